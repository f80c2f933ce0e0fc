"""Evaluator of charge that was filled into dead regions."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.geometry import Detector, ReadoutPlane, detector
from larmlreco.images import dead_channels
from larmlreco.labels import Semantic
from larmlreco.metrics.infill import HiddenImage, InfillMetrics
from larmlreco.products import (
    ChannelStatus,
    DeadRegions,
    InfilledPixels,
    InfilledVoxels,
    InputTag,
    Pixels,
    TrueLabels,
    Voxels,
)
from larmlreco.reco.dead import DeadRegion, DeadWires, dead_boxes, gap_widths
from larmlreco.sites import connected_pieces

Int64 = npt.NDArray[np.int64]


class InfillEvaluator(Evaluator):
    """Compare what was filled in with what was there, in regions that were masked on purpose.

    On simulation and on data: the truth is the image before ChannelMask or RegionMask took its part away. With true
    labels the figures are split by class, and gaps are counted in true tracks; else in connected groups of sites.
    """

    class Parameters(ParameterSet):
        """Parameters of InfillEvaluator."""

        input_type: Literal["Pixels", "Voxels"] = parameter("Pixels", doc="type of the images")
        truth: InputTag = parameter("images", doc="images before masking")
        infilled: InputTag = parameter("infill", doc="what was filled in (InfilledPixels, InfilledVoxels)")
        masked: InputTag = parameter(
            "mask:masked", doc="what was masked: ChannelStatus of planes; DeadRegions of voxels, an instance an image"
        )
        images: list[str] = parameter(
            [], doc="instances of the images; empty: all planes that see an active volume, or the voxels without a name"
        )
        detector: str | None = parameter(None, doc="geometry of the planes' images")
        labels: InputTag | None = parameter(
            None, doc="true labels (TrueLabels) of the images before masking, of planes with particles; @nil: none"
        )
        narrow: float = parameter(3.0, doc="widest gap that is called narrow", unit="cm", minimum=0.01)
        threshold: float | None = parameter(
            None, doc="least probability; @nil: that of the module that filled in", minimum=0, maximum=1
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._planes: dict[str, ReadoutPlane] = {}
        self._detector: Detector | None = None
        if config.input_type == "Pixels":
            if config.detector is None:
                raise ConfigurationError(
                    f'{context.label}.detector: images of planes need it, for example "microboone"'
                )
            self._detector = detector(config.detector)
            planes = [self._detector.readout_plane(name) for name in config.images]
            self._planes = {plane.name: plane for plane in planes or self._detector.active_readout_planes}
        names = list(self._planes) if self._planes else config.images or [""]

        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        kind: type[Pixels | Voxels] = Pixels if self._planes else Voxels
        filled: type[InfilledPixels | InfilledVoxels] = InfilledPixels if self._planes else InfilledVoxels
        self._images = {
            name: (self.consumes(kind, tag(config.truth, name)), self.consumes(filled, tag(config.infilled, name)))
            for name in names
        }
        self._labels = {}
        if config.labels is not None:
            self._labels = {name: self.consumes(TrueLabels, tag(config.labels, name)) for name in names}
        self._masked = {}
        if self._planes:
            self._status = self.consumes(ChannelStatus, config.masked)
        else:
            self._masked = {name: self.consumes(DeadRegions, tag(config.masked, name)) for name in names}
        self._metrics: dict[str, InfillMetrics] = {}
        self._rows: dict[str, dict[str, list[Any]]] = {}
        self._histograms = None
        if "TFileService" in context.job.services:
            book = context.histograms.histogram2d
            self._histograms = (
                book("sites", "sites in masked regions;true;found", (100, 0, 2000), (100, 0, 2000)),
                book("energy", "energy of a track in masked regions;true;found", (100, 0, 2000), (100, 0, 2000)),
            )

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        for name in self._images:
            image, threshold, pitch = self._plane(event, name) if self._planes else self._volume(event, name)
            if pitch == 0:
                continue
            metrics = self._metrics.setdefault(name, self._new(threshold, pitch))
            if self._config.threshold is None and threshold != metrics.threshold:
                raise InputError(
                    f"{event.id}: sites were filled in from the probability {threshold:g} on, those before from "
                    f"{metrics.threshold:g}; set {self.context.label}.threshold"
                )
            found = metrics.add(image)
            self._remember(event, name, found)

    def _new(self, threshold: float, pitch: float) -> InfillMetrics:
        wanted = self._config.threshold
        return InfillMetrics(int(self._config.narrow / pitch + 1e-4), threshold if wanted is None else wanted)

    def _remember(self, event: Event, name: str, found: dict[str, Any]) -> None:
        rows = self._rows.setdefault(name, {"sites": [], "energy": []})
        rows["sites"].append([found["true"], found["found"]])
        rows["energy"] += [list(track[:2]) for track in found["tracks"]]
        if self._histograms is not None:
            sites, energy = self._histograms
            sites.fill(found["true"], found["found"])
            for track in found["tracks"]:
                energy.fill(track[0], track[1])

    def _plane(self, event: Event, name: str) -> tuple[HiddenImage, float, float]:
        truth_tag, filled_tag = self._images[name]
        pixels, filled = event.get(Pixels, truth_tag), event.get(InfilledPixels, filled_tag)
        readout = self._planes[name]
        dead = np.isin(readout.channels, dead_channels(event.get(ChannelStatus, self._status)))
        coords = np.column_stack([pixels.column, pixels.row]).astype(np.int64)
        found = np.column_stack([filled.column, filled.row]).astype(np.int64)
        image = self._hidden(event, name, coords, pixels.adc, DeadWires(dead), found, filled.adc, filled.probability)
        return image, float(filled.meta["threshold"]), max(plane.pitch for plane in readout.wire_planes)

    def _volume(self, event: Event, name: str) -> tuple[HiddenImage, float, float]:
        truth_tag, filled_tag = self._images[name]
        voxels, filled = event.get(Voxels, truth_tag), event.get(InfilledVoxels, filled_tag)
        boxes = event.get(DeadRegions, self._masked[name])
        origin = voxels.origin[0].astype(np.float64) if len(voxels.origin) else np.zeros(3)
        pitch = float(voxels.pitch[0]) if len(voxels.pitch) else 0.0  # of events without an image
        dead = dead_boxes(boxes.low, boxes.high, origin, pitch or 1.0)
        coords = np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
        found = np.column_stack([filled.x, filled.y, filled.z]).astype(np.int64)
        image = self._hidden(event, name, coords, voxels.energy, dead, found, filled.energy, filled.probability)
        return image, float(filled.meta["threshold"]), pitch

    def _hidden(
        self,
        event: Event,
        name: str,
        coords: Int64,
        energy: npt.NDArray[np.float32],
        dead: DeadRegion,
        found: Int64,
        found_energy: npt.NDArray[np.float32],
        probability: npt.NDArray[np.float32],
    ) -> HiddenImage:
        track = np.full(len(coords), -1, dtype=np.int64)
        if name in self._labels:
            labels = event.get(TrueLabels, self._labels[name])
            if len(labels) != len(coords):
                raise InputError(
                    f"{event.id}: {self._labels[name]} has {len(labels)} rows; expected the {len(coords)} of "
                    f"{self._images[name][0]}"
                )
            known = labels.label >= 0
            is_track = np.isin(labels.label, [int(Semantic.HIP), int(Semantic.MIP)])
            track[known] = is_track[known]
            cluster = np.where(known, labels.particle if self._planes else labels.cluster, -1).astype(np.int64)
        else:
            cluster = connected_pieces(coords)
        inside = dead.contains(found)
        return HiddenImage(
            sites=coords,
            energy=energy.astype(np.float64),
            track=track,
            cluster=cluster,
            width=gap_widths(coords, dead),
            found=found[inside],
            probability=probability[inside].astype(np.float64),
            found_energy=found_energy[inside].astype(np.float64),
            found_width=gap_widths(found[inside], dead),
        )

    def results(self) -> dict[str, Any]:
        """By instance the figures of :class:`larmlreco.metrics.infill.InfillMetrics`, and ``rows``: true and found
        ``sites`` of every event, true and found ``energy`` of every track with a hidden part.
        """
        return {
            name or "voxels": {**metrics.summary(), "rows": self._rows[name]} for name, metrics in self._metrics.items()
        }

    def table(self) -> str:
        """A table an instance."""
        tables = [f"-- {name or 'voxels'}\n{metrics.table()}" for name, metrics in self._metrics.items()]
        return "\n".join(tables) or "no events"
