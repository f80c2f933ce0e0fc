"""Producer of charge in dead regions."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework import Event, ModuleContext, Producer, parameter
from larmlreco.framework.dead import DeadVoxelParameters, check_geometry, status_input
from larmlreco.geometry import Detector, ReadoutPlane, detector
from larmlreco.images import DeadChannelFinder
from larmlreco.inference import load_archive
from larmlreco.products import (
    Assns,
    ChannelStatus,
    DeadRegions,
    InfilledPixels,
    InfilledVoxels,
    InputTag,
    Pixels,
    ProductKey,
    Voxels,
)
from larmlreco.reco.dead import DeadAnywhere, DeadRegion, DeadVoxelFinder
from larmlreco.reco.infill import (
    CandidateSettings,
    FoundCandidates,
    infill_features,
    plane_candidates,
    voxel_candidates,
    with_infilled_pixels,
    with_infilled_voxels,
)
from larmlreco.reco.infill_crossings import other_planes, plane_crossings

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


class DeadRegionInfill(Producer):
    """Fill charge into dead wires of planes, or into dead regions among voxels, with a sparse network.

    Puts, with the plane's name or the image's instance: ``InfilledPixels`` (``InfilledVoxels``), the image with the
    measured pixels (voxels) first, as they were, and those filled in after them, marked; and the ``Assns`` from the
    former to the latter. A module that takes its images from here instead of from where they were made works on both.
    What is dead on planes follows from the status of channels; among voxels from that and the geometry (a voxel is dead
    that fewer than ``min_planes`` planes see), from boxes in the configuration, or from ``DeadRegions``. With
    an archive that learned crossings (a feature on its card) the images of the other planes of a TPC are read, too.
    """

    class Parameters(DeadVoxelParameters):
        """Parameters of DeadRegionInfill."""

        archive: str = parameter("infill_uboone.ts", doc="TorchScript archive: a path, or a shipped one's name")
        input: InputTag = parameter("images", doc="images to fill")
        input_type: Literal["Pixels", "Voxels"] = parameter("Pixels", doc="type of the images")
        images: list[str] = parameter(
            [], doc="instances of the images; empty: all planes that see an active volume, or the voxels without a name"
        )
        detector: str = parameter(
            "liquid_argon", doc="detector of the images, as the archive's card names it; of planes also their geometry"
        )
        allow_other_detector: bool = parameter(
            False, doc="run an archive on a detector or view that its card does not name; the product then says so"
        )
        charge_scale: float = parameter(
            1.0, doc="factor from the images' charge to that of the archive's training", minimum=1e-9
        )
        silent_is_dead: bool = parameter(
            True, doc="planes without a status: take wires that have no pixel in an event as dead there"
        )
        longest_silent: int = parameter(
            32, doc="runs of more silent wires are not dead; 0: they are", unit="wire", minimum=0
        )
        regions: InputTag | None = parameter(None, doc="voxels: boxes where nothing is seen (DeadRegions)")
        threshold: float | None = parameter(
            None,
            doc="least probability of a site that is filled in; @nil: the best one of the archive's validation",
            minimum=0,
            maximum=1,
        )
        expected: bool = parameter(
            False, doc="whether a site filled into the image has its expected charge: that times its probability"
        )
        min_probability: float = parameter(
            0.05, doc="less probable sites are not kept as products", minimum=0, maximum=1
        )
        value: Literal["zero", "random", "minus_one"] | None = parameter(
            None, doc="charge that a candidate shows to the network; @nil: as in the archive's training"
        )
        limit: int = parameter(100_000, doc="most candidates of an image, those nearest to charge", minimum=1)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._planes: dict[str, ReadoutPlane] = {}
        if config.input_type == "Pixels":
            self._prepare_planes(config, context)
        names = list(self._planes) if self._planes else config.images or [""]
        self._load(config, context)
        tag = config.input
        kind: type[Pixels | Voxels] = Pixels if self._planes else Voxels
        facts: dict[str, Any] = self._archive.voxel_facts()
        if self._planes:
            facts = {"detector": config.detector, **self._archive.image_facts(config.charge_scale)}

        def images_of(name: str) -> InputTag:
            return self.consumes(kind, InputTag(tag.label, name, tag.process), facts=facts)

        self._images = {name: images_of(name) for name in names}
        self._others = {}
        for plane in self._planes.values() if self._settings.crossings else ():
            for other in other_planes(self._detector, plane):
                if other.name not in self._images:
                    self._others[other.name] = images_of(other.name)
        self._status, self._regions = status_input(self, config), None
        if config.regions is not None:
            self._regions = self.consumes(DeadRegions, config.regions)
        self._finder = DeadChannelFinder(
            config.dead_channels,
            config.silent_is_dead and bool(self._planes),
            context.log,
            None if config.channel_status is None else str(config.channel_status),
            config.longest_silent,
        )
        geometry = None if self._planes else self._voxel_geometry(config, context)
        self._dead = DeadVoxelFinder(config.dead_regions, geometry, config.min_planes)
        self._told: set[str] = set()
        self._filled, self._merged = {}, {}
        for name in names:
            self._filled[name] = self.produces(InfilledPixels if self._planes else InfilledVoxels, name)
            self._merged[name] = self.produces(kind, name, facts=facts)
            self.produces(Assns, name)

    def _prepare_planes(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        self._detector.check_channels(config.dead_channels, "dead channels")
        planes = [self._detector.readout_plane(name) for name in config.images]
        self._planes = {plane.name: plane for plane in planes or self._detector.active_readout_planes}
        for name in ("dead_regions", "regions", "geometry"):
            if getattr(config, name):
                raise ConfigurationError(
                    f'{context.label}.{name}: only for input_type "Voxels"; planes need channel_status or dead_channels'
                )

    def _voxel_geometry(self, config: Parameters, context: ModuleContext) -> Detector | None:
        check_geometry(config, context)
        if config.geometry is not None:
            geometry = detector(config.geometry)
            geometry.check_channels(config.dead_channels, "dead channels")
            return geometry
        if not config.dead_regions and config.regions is None:
            raise ConfigurationError(
                f"{context.label}: nothing says where voxels are dead; expected geometry with channel_status or "
                "dead_channels, dead_regions, or regions"
            )
        return None

    def _load(self, config: Parameters, context: ModuleContext) -> None:
        self._archive = load_archive(config.archive, context.device, context.threads)
        self._archive.check(
            task="infill",
            detector=config.detector,
            planes={plane.view for plane in self._planes.values()},
            outputs=["active", "energy"],
            dimension=2 if self._planes else 3,
            allow_other_detector=config.allow_other_detector,
        )
        card = self._archive.card
        names = {field.name for field in fields(CandidateSettings)}
        trained = {k: v for k, v in card.training.get("candidates", {}).items() if k in names}
        settings = replace(CandidateSettings(**trained), limit=config.limit)
        if tuple(feature.name for feature in card.features[1:]) != settings.features[1:]:
            raise ConfigurationError(
                f"archive {self._archive.path}: sites have the features charge or energy, "
                + ", ".join(settings.features[1:])
                + "; the card has "
                + ", ".join(feature.name for feature in card.features)
            )
        context.register_model(self._archive.path.name, card.sha256)
        self._settings = settings if config.value is None else replace(settings, value=config.value)
        known = card.metrics.get("threshold")
        self._threshold = float(known if known is not None else 0.5) if config.threshold is None else config.threshold
        self._meta = {
            "model": self._archive.path.name,
            "model_sha256": card.sha256,
            "model_detector": card.detector,
            "trained_for_this_detector": config.detector == card.detector,
            "threshold": self._threshold,
            "min_probability": min(config.min_probability, self._threshold),
            "value": self._settings.value,
            "expected": config.expected,
        }

    def produce(self, event: Event) -> None:
        """Fill the images of one event."""
        status = None if self._status is None else event.find(ChannelStatus, self._status)
        images = {}
        if self._settings.crossings:
            images = {name: event.get(Pixels, tag) for name, tag in {**self._others, **self._images}.items()}
            for name in self._others:
                self._archive.check_image(images[name].meta, self._config.charge_scale)
        for name, tag in self._images.items():
            if self._planes:
                self._fill_plane(event, name, tag, status, images)
            else:
                self._fill_voxels(event, name, tag, status)

    def _fill_plane(
        self, event: Event, name: str, tag: InputTag, status: ChannelStatus | None, images: Mapping[str, Pixels]
    ) -> None:
        pixels, readout = event.get(Pixels, tag), self._planes[name]
        self._archive.check_image(pixels.meta, self._config.charge_scale)
        channels = self._finder.find(status, [(pixels, readout)])
        dead = np.isin(readout.channels, np.concatenate([channels, self._detector.unread_channels]))
        if dead.all() and len(pixels) == 0 and status is not None and name not in self._told:
            self._told.add(name)
            self.log.warning("all wires of plane %s are dead; nothing can be filled in there", name)
        coords = np.column_stack([pixels.column, pixels.row]).astype(np.int64)
        crossings = None
        if self._settings.crossings:
            crossings = plane_crossings(images, self._detector, readout, dead, self._settings.reach)
        found = plane_candidates(coords, dead, self._settings, int(pixels.meta["n_rows"]), crossings)
        sites, charge, probability = self._scored(event, name, coords, pixels.adc, found)
        charge = (charge / self._config.charge_scale).astype(np.float32)
        meta = self._about(event.key(Pixels, tag), name, len(pixels), found, probability)
        n = len(sites)
        filled = InfilledPixels(
            tpc=np.full(n, readout.tpc, dtype=np.int32),
            plane=np.full(n, readout.plane, dtype=np.int32),
            column=sites[:, 0].astype(np.int32),
            row=sites[:, 1].astype(np.int32),
            adc=charge,
            probability=probability,
            meta=meta,
        )
        taken = np.flatnonzero(probability >= self._threshold)
        merged = with_infilled_pixels(
            pixels, sites[taken], self._shown(charge, probability)[taken], {"infill": self._of_image(meta)}
        )
        self._put(event, name, filled, merged, taken, len(pixels))

    def _fill_voxels(self, event: Event, name: str, tag: InputTag, status: ChannelStatus | None) -> None:
        voxels = event.get(Voxels, tag)
        key = event.key(Voxels, tag)
        self._archive.check_pitch(voxels.pitch, key.branch)
        coords = np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
        found = voxel_candidates(coords, self._dead_among(event, voxels, status), self._settings)
        sites, energy, probability = self._scored(event, name, coords, voxels.energy, found)
        energy = (energy / self._config.charge_scale).astype(np.float32)
        meta = self._about(key, name, len(voxels), found, probability)
        x, y, z = sites.T.astype(np.int32)
        filled = InfilledVoxels(
            x=x,
            y=y,
            z=z,
            energy=energy,
            probability=probability,
            origin=voxels.origin,
            pitch=voxels.pitch,
            meta=meta,
        )
        taken = np.flatnonzero(probability >= self._threshold)
        merged = with_infilled_voxels(
            voxels, sites[taken], self._shown(energy, probability)[taken], {"infill": self._of_image(meta)}
        )
        self._put(event, name, filled, merged, taken, len(voxels))

    def _dead_among(self, event: Event, voxels: Voxels, status: ChannelStatus | None) -> DeadRegion:
        """Where voxels are dead in an event."""
        if not len(voxels.pitch) or not len(voxels.origin):
            return DeadAnywhere(())
        boxes = np.zeros((0, 2, 3))
        if self._regions is not None:
            given = event.get(DeadRegions, self._regions)
            boxes = np.stack([given.low, given.high], axis=1)
        return self._dead.find(
            self._finder.find(status), voxels.origin[0], float(voxels.pitch[0]), boxes, voxels.meta.get("tpc")
        )

    def _scored(
        self, event: Event, name: str, coords: Int64, charge: Float32, found: FoundCandidates
    ) -> tuple[Int64, Float32, Float32]:
        """Candidates that are probable enough to be kept, their charge as the network sees it, and probabilities."""
        if found.limited:
            self.log.warning("event %s: candidates of %s were limited", event.id, name or "the voxels")
        sites, none = found.sites, np.zeros(0, dtype=np.float32)
        if not len(sites):
            return sites, none, none
        features = infill_features(charge, found, self._settings, event.id.random(), self._config.charge_scale)
        rows = np.concatenate([coords, sites])
        outputs = self._archive(np.column_stack([np.zeros(len(rows), dtype=np.int64), rows]), features)
        probability, energy = (outputs[key].reshape(-1)[len(coords) :] for key in ("active", "energy"))
        for key, values in (("active", probability), ("energy", energy)):
            if not np.isfinite(values).all():
                raise InputError(
                    f"archive {self._archive.path}: {key} of {int((~np.isfinite(values)).sum())} of {len(values)} "
                    f"candidates is not finite in event {event.id}"
                )
        kept = probability >= self._meta["min_probability"]
        return sites[kept], energy[kept].astype(np.float32), probability[kept].astype(np.float32)

    def _shown(self, charge: Float32, probability: Float32) -> Float32:
        """Charge of sites as the image holds it."""
        return charge * probability if self._config.expected else charge

    def _about(
        self, image: ProductKey, name: str, n_measured: int, found: FoundCandidates, probability: Float32
    ) -> dict[str, Any]:
        return {
            **self._meta,
            "image": image.branch,
            "merged": self._merged[name].branch,
            "n_measured": n_measured,
            "n_infilled": int((probability >= self._threshold).sum()),
            "n_candidates": len(found.sites),
            "limited": found.limited,
        }

    @staticmethod
    def _of_image(meta: dict[str, Any]) -> dict[str, Any]:
        return {
            key: meta[key]
            for key in ("model", "model_sha256", "threshold", "expected", "image", "n_measured", "n_infilled")
        }

    def _put(
        self,
        event: Event,
        name: str,
        filled: InfilledPixels | InfilledVoxels,
        merged: Pixels | Voxels,
        taken: Int64,
        n_measured: int,
    ) -> None:
        left, right = event.put(filled, name), event.put(merged, name)
        links = {"left": taken, "right": n_measured + np.arange(len(taken))}
        event.put(Assns.from_columns(links, {"left": left.branch, "right": right.branch}), name)
