"""Producer of partners between wire planes, and of points in space."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import Detector, ReadoutPlane, detector
from larmlreco.images import DeadChannelFinder, hits_of_pixels
from larmlreco.inference import Archive, load_archive
from larmlreco.products import (
    Assns,
    ChannelStatus,
    FlowPoints,
    Hits,
    InputTag,
    Pixels,
    SemanticScores,
    SpacePoints,
    Wires,
)
from larmlreco.reco.candidates import (
    FEATURES,
    N_PLANES,
    Candidates,
    CandidateSettings,
    PlanePixels,
    candidate_coords,
    candidate_features,
    find_candidates,
    plane_pixels,
)
from larmlreco.reco.crops import CropSettings, score_in_crops
from larmlreco.reco.flow import (
    FLAGS,
    Choice,
    Points,
    choose,
    infilled_flags,
    make_points,
    partner_pixels,
    partner_wires,
    row_length,
)
from larmlreco.reco.semantic import scores_of_hits
from larmlreco.reco.shifts import frame_of, said_of_pixels, shift_input, shift_scores

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Volume:
    """A TPC: its number, its planes, the instance of its points, and what instances of its planes begin with."""

    tpc: int
    planes: tuple[ReadoutPlane, ...]
    instance: str
    prefix: str


class LArFlow(Producer):
    """Find the partners of every pixel on the other planes, and the points in space that they make.

    Candidates are pixels of the three planes of a TPC in one row whose wires meet. The network in a TorchScript archive
    scores them, or it shifts pixels to other planes and the candidates near the shifts score; the archive's outputs say
    which. Puts, for every TPC (one instance each, ``tpc0``; where there is one TPC the instance is empty):
    ``SpacePoints``, with the links ``Assns`` ``<instance>_hits`` and ``<instance>_wires`` from points to the hits and
    wires of their measured pixels, where those are given; ``SemanticScores`` of the points, charge-weighted means of
    their pixels, where ``segmentation`` is given; and ``FlowPoints`` for every direction, ``Y2U`` or ``tpc0_Y2U``.
    """

    class Parameters(ParameterSet):
        """Parameters of LArFlow."""

        archive: str = parameter("larflow_uboone.ts", doc="TorchScript archive: a path, or a shipped one's name")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        detector: str = parameter(doc="geometry of the images")
        planes: list[str] = parameter([], doc="planes to use, all of their TPCs; empty: all that see an active volume")
        hits: InputTag | None = parameter(None, doc="hits to link to points; @nil: none")
        wires: InputTag | None = parameter(None, doc="wires to link to points; @nil: none")
        segmentation: InputTag | None = parameter(None, doc="scores of pixels to carry over to points; @nil: none")
        channel_status: InputTag | None = parameter(None, doc="status of channels, to know which are dead")
        dead_channels: list[int] = parameter([], doc="more dead channels", minimum=0)
        silent_is_dead: bool = parameter(
            True, doc="without a status: take wires that have no pixel in an event as dead there"
        )
        min_score: float = parameter(0.3, doc="least score of a point", minimum=0, maximum=1)
        tolerance: float = parameter(
            0.75, doc="largest distance of the third wire from the crossing of two", unit="pitch", minimum=0.01
        )
        row_limit: int = parameter(512, doc="most pixels of a row and plane that are considered", minimum=1)
        pair_limit: int = parameter(8_000_000, doc="most pairs of pixels of an event and TPC", minimum=1)
        crop_rows: int = parameter(
            0, doc="rows that the network sees at once; 0: all (the first LArFlow: 512)", minimum=0
        )
        crop_wires: int = parameter(
            0, doc="pitches along z that the network sees at once; 0: all (the first LArFlow: 832)", minimum=0
        )
        shift_spread: float = parameter(
            25.0,
            doc="width of the distribution of partners around shifts; archives that shift",
            unit="wire",
            minimum=0.1,
        )
        allow_other_detector: bool = parameter(
            False, doc="run an archive on a detector or view that its card does not name; the product then says so"
        )
        charge_scale: float = parameter(
            1.0, doc="factor from the images' charge to that of the archive's training", minimum=1e-9
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        self._volumes = _volumes(self._detector, config.planes, context.label)
        self._limits = CandidateSettings(config.tolerance, config.row_limit, config.pair_limit)
        self._spread = config.shift_spread
        self._crop_rows, self._crop_wires = config.crop_rows, config.crop_wires
        self._min_score, self._scale = config.min_score, config.charge_scale
        self._detector.check_channels(config.dead_channels, "dead channels")
        self._dead = DeadChannelFinder(
            config.dead_channels,
            config.silent_is_dead,
            context.log,
            None if config.channel_status is None else str(config.channel_status),
        )
        planes = {plane.name: plane for volume in self._volumes for plane in volume.planes}
        self._archive = load_archive(config.archive, context.device, context.threads)
        self._archive.check(
            task="flow",
            detector=config.detector,
            planes={plane.view for plane in planes.values()},
            allow_other_detector=config.allow_other_detector,
        )
        card = self._archive.card
        self._shifts = any(key.startswith("flow_") for key in card.outputs)
        if self._shifts:
            self._check_shifts(config, context.label)
        else:
            self._archive.check(detector=card.detector, outputs=["score"])
            _check_features(self._archive, "candidates", [name for name, _ in FEATURES])
        context.register_model(self._archive.path.name, card.sha256)
        self._meta = {
            "model": self._archive.path.name,
            "model_sha256": card.sha256,
            "model_detector": card.detector,
            "detector": config.detector,
            "charge_scale": config.charge_scale,
            "trained_for_this_detector": config.detector == card.detector,
        }
        self._consume(config, list(planes))
        for volume in self._volumes:
            self.produces(SpacePoints, volume.instance, facts={"detector": config.detector})
            for tag, name in ((self._hits, "hits"), (self._wires, "wires")):
                if tag is not None:
                    self.produces(Assns, _joined(volume.instance, name))
            if self._segmentation:
                self.produces(SemanticScores, volume.instance)
            for source in volume.planes:
                for target in volume.planes:
                    if source is not target:
                        self.produces(FlowPoints, f"{volume.prefix}{source.view}2{target.view}")

    def _consume(self, config: Parameters, names: list[str]) -> None:
        label, process = config.images.label, config.images.process
        facts = {"detector": config.detector, **self._archive.image_facts(config.charge_scale)}
        self._images = {name: self.consumes(Pixels, InputTag(label, name, process), facts=facts) for name in names}
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        self._wires = None if config.wires is None else self.consumes(Wires, config.wires)
        self._status = None
        if config.channel_status is not None:
            self._status = self.consumes(ChannelStatus, config.channel_status, optional=True)
        self._segmentation = {}
        if config.segmentation is not None:
            label, process = config.segmentation.label, config.segmentation.process
            for name in names:
                self._segmentation[name] = self.consumes(SemanticScores, InputTag(label, name, process))

    def produce(self, event: Event) -> None:
        """Find partners and points of one event."""
        status = None if self._status is None else event.find(ChannelStatus, self._status)
        for volume in self._volumes:
            images = [event.get(Pixels, self._images[plane.name]) for plane in volume.planes]
            for plane, pixels in zip(volume.planes, images, strict=True):
                self._detector.check_name(pixels.meta.get("detector", ""), f"the images of plane {plane.name}")
                self._archive.check_image(pixels.meta, self._scale)
            dead = self._dead.find(status, zip(images, volume.planes, strict=True))
            planes = [
                plane_pixels(pixels, readout, self._detector, volume.tpc, dead)
                for pixels, readout in zip(images, volume.planes, strict=True)
            ]
            found = find_candidates(planes, self._limits)
            if len(found.limited_rows):
                self.context.log.warning(
                    "event %s: candidates were limited in %d rows with very many pixels",
                    event.id,
                    len(found.limited_rows),
                )
            found, score = self._judged(found, planes)
            choices = choose(found, planes, score, [len(pixels) for pixels in images])
            self._put_flow(event, volume, found, planes, choices)
            rebin = int(images[0].meta["rebin"])
            points = make_points(found, planes, choices, self._detector, rebin, self._min_score)
            self._put_points(event, volume, images, points, len(found.limited_rows))

    def _judged(self, found: Candidates, planes: list[PlanePixels]) -> tuple[Candidates, npt.NDArray[Any]]:
        """Candidates that the network knows of, and their scores."""
        if not self._shifts:
            return found, score_in_crops(
                lambda coords, features: self._archive(coords, features)["score"],
                candidate_coords(found, planes),
                candidate_features(planes, found, self._scale),
                found,
                CropSettings(self._crop_rows, self._crop_wires, planes[-1].plane.pitch),
            )
        frame = frame_of([plane.plane for plane in planes])
        rows = shift_input(planes, frame)
        outputs = self._archive(rows.coords, self._scale * rows.charge[:, np.newaxis])
        said = said_of_pixels(rows, planes, frame, outputs, self._archive.card.planes)
        score = shift_scores(found, said, self._spread)
        known = np.flatnonzero(np.isfinite(score))
        return found.take(known), score[known]

    def _check_shifts(self, config: Parameters, label: str) -> None:
        """Raise ``ConfigurationError`` where shifts cannot be used as the job asks for."""
        _check_features(self._archive, "pixels", ["adc"])
        if config.crop_rows or config.crop_wires:
            raise ConfigurationError(
                f"{label}: {config.archive} shifts pixels, for which there are no crops; "
                "expected crop_rows: 0 and crop_wires: 0"
            )
        for volume in self._volumes:
            try:
                frame_of(self._detector.tpcs[volume.tpc].planes)
            except ValueError as error:
                raise ConfigurationError(
                    f"{label}: {config.archive} cannot be used for {config.detector}: {error}"
                ) from error

    def _put_flow(
        self,
        event: Event,
        volume: _Volume,
        found: Candidates,
        planes: list[PlanePixels],
        choices: list[Choice],
    ) -> None:
        branches = [event.key(Pixels, self._images[plane.name]).branch for plane in volume.planes]
        for source, choice in enumerate(choices):
            wires, pixels = partner_wires(choice, found), partner_pixels(choice, found, planes)
            for target, readout in enumerate(volume.planes):
                if target == source:
                    continue
                channel = np.append(planes[target].plane.channels, -1)[wires[:, target]]
                flow = FlowPoints(
                    column=np.where(channel < 0, -1, self._detector.channel_column[channel]).astype(np.int32),
                    pixel=pixels[:, target].astype(np.int32),
                    score=choice.probability.astype(np.float32),
                    matchable=choice.matched[:, target].astype(np.float32),
                    candidates=choice.count.astype(np.int32),
                    meta={
                        **self._meta,
                        "source": branches[source],
                        "target": branches[target],
                        "n_limited_rows": len(found.limited_rows),
                    },
                )
                event.put(flow, f"{volume.prefix}{volume.planes[source].view}2{readout.view}")

    def _put_points(
        self, event: Event, volume: _Volume, images: list[Pixels], points: Points, n_limited_rows: int
    ) -> None:
        branches = [event.key(Pixels, self._images[plane.name]).branch for plane in volume.planes]
        hit = np.full(points.pixel.shape, -1, dtype=np.int64)
        if self._hits is not None:
            hits = event.get(Hits, self._hits)
            for number, pixels in enumerate(images):
                nearest = np.append(_nearest_hits(hits, pixels, self._detector), -1)
                hit[:, number] = nearest[points.pixel[:, number]]
        made = SpacePoints(
            id=np.arange(len(points.x), dtype=np.int32),
            x=points.x.astype(np.float32),
            y=points.y.astype(np.float32),
            z=points.z.astype(np.float32),
            err=points.covariance.astype(np.float32),
            charge=points.charge.astype(np.float32),
            score=points.score.astype(np.float32),
            consistency=points.consistency.astype(np.float32),
            flags=(points.flags | infilled_flags(points.pixel, [image.infilled for image in images])).astype(np.int32),
            pixel=points.pixel.astype(np.int32),
            hit=hit.astype(np.int32),
            meta={
                **self._meta,
                "flags": dict(FLAGS),
                "tpc": volume.tpc,
                "images": branches,
                "min_score": self._min_score,
                "row_length": row_length(self._detector, int(images[0].meta["rebin"])),
                "n_limited_rows": n_limited_rows,
            },
        )
        key = event.put(made, volume.instance)
        if self._hits is not None:
            right = event.key(Hits, self._hits).branch
            event.put(_links(hit, key.branch, right), _joined(volume.instance, "hits"))
        if self._wires is not None:
            wires = event.get(Wires, self._wires)
            row = np.full(self._detector.n_channels + 1, -1, dtype=np.int64)
            row[wires.channel] = np.arange(len(wires))
            channel = np.full(points.pixel.shape, -1, dtype=np.int64)
            for number, (pixels, plane) in enumerate(zip(images, volume.planes, strict=True)):
                channels = np.where(pixels.infilled == 0, plane.channels[pixels.column], self._detector.n_channels)
                channels = np.append(channels, self._detector.n_channels)
                channel[:, number] = channels[points.pixel[:, number]]
            right = event.key(Wires, self._wires).branch
            event.put(_links(row[channel], key.branch, right), _joined(volume.instance, "wires"))
        if self._segmentation:
            event.put(self._classes(event, volume, points, key.branch), volume.instance)

    def _classes(self, event: Event, volume: _Volume, points: Points, target: str) -> SemanticScores:
        """Scores of points: the charge-weighted means of those of their pixels.

        Pixels that were filled in stand after the measured ones and have no scores where the latter's are given.
        """
        pair_scores, pair_charge, pair_point = [], [], []
        meta = {}
        for number, plane in enumerate(volume.planes):
            scores = event.get(SemanticScores, self._segmentation[plane.name])
            here = np.flatnonzero((points.pixel[:, number] >= 0) & (points.pixel[:, number] < len(scores)))
            pair_scores.append(scores.scores[points.pixel[here, number]])
            pair_charge.append(points.charge[here, number].astype(np.float32))
            pair_point.append(here)
            meta = dict(scores.meta)
        mean, label = scores_of_hits(
            np.concatenate(pair_scores), np.concatenate(pair_charge), np.concatenate(pair_point), len(points.x)
        )
        return SemanticScores(scores=mean, label=label, meta={**meta, "target": target})


def _check_features(archive: Archive, rows: str, wanted: list[str]) -> None:
    known = [feature.name for feature in archive.card.features]
    if known != wanted:
        raise ConfigurationError(
            f"archive {archive.path}: {rows} have the features {', '.join(wanted)}; the card has {', '.join(known)}"
        )


def _volumes(mine: Detector, names: list[str], label: str) -> list[_Volume]:
    """The TPCs whose planes are all among ``names``, or all that are active without any."""
    wanted = [mine.readout_plane(name) for name in names] or list(mine.active_readout_planes)
    chosen = {plane.name for plane in wanted}
    volumes = []
    for tpc, planes in mine.volumes.items():
        if len(planes) == N_PLANES and {plane.name for plane in planes} <= chosen:
            single = len(mine.tpcs) == 1
            instance = "" if single else f"tpc{tpc}"
            volumes.append(_Volume(tpc, planes, instance, "" if single else f"{instance}_"))
    used = {plane.name for volume in volumes for plane in volume.planes}
    if chosen - used or not volumes:
        raise ConfigurationError(
            f"{label}.planes: {', '.join(sorted(chosen - used)) or 'nothing'} makes no TPC of {mine.name}; "
            f"expected all {N_PLANES} planes of one that is active, for example "
            + ", ".join(p.name for p in next(iter(mine.volumes.values())))
        )
    return volumes


def _joined(instance: str, name: str) -> str:
    return f"{instance}_{name}" if instance else name


def _nearest_hits(hits: Hits, pixels: Pixels, mine: Detector) -> Int64:
    """The hit (N,) of each pixel whose peak is nearest to the middle of its row; -1 where no hit holds its samples."""
    pixel, hit = hits_of_pixels(hits, pixels, mine)
    rebin = int(pixels.meta["rebin"])
    off = np.abs(hits.peak_time[hit] - ((pixels.row[pixel] + 0.5) * rebin - 0.5))
    order = np.lexsort((hit, off, pixel))
    pixel, hit = pixel[order], hit[order]
    nearest = np.full(len(pixels), -1, dtype=np.int64)
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    nearest[pixel[first]] = hit[first]
    return nearest


def _links(right: Int64, left_branch: str, right_branch: str) -> Assns:
    """Links from points to the rows ``right`` (P, 3) that are theirs, -1: none, each once."""
    point = np.repeat(np.arange(len(right)), right.shape[1])
    pairs = np.unique(np.column_stack([point, right.reshape(-1)])[right.reshape(-1) >= 0], axis=0).astype(np.int32)
    return Assns(left=pairs[:, 0], right=pairs[:, 1], meta={"left": left_branch, "right": right_branch})
