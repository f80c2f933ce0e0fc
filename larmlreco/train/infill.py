"""Training of infill: images with random dead regions, the true charge in these, loss and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from larmlreco.geometry import Detector
from larmlreco.labels import Semantic
from larmlreco.metrics.infill import THRESHOLDS, HiddenImage, InfillMetrics, track_sites
from larmlreco.metrics.ratio import EventRatio
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.network import Network
from larmlreco.products import Pixels
from larmlreco.reco.infill import CandidateSettings, infill_features, plane_candidates, voxel_candidates
from larmlreco.reco.infill_crossings import Crossings, plane_crossings
from larmlreco.sites import match_sites
from larmlreco.train.augment import Augmentation
from larmlreco.train.dead_regions import RegionSettings, random_regions
from larmlreco.train.images import LabelledImage, image_generator
from larmlreco.train.infill_losses import InfillLoss
from larmlreco.train.store import ImageStore
from larmlreco.train.trainer import Figures, Plan, TrainingLoop

_CANDIDATE = 1

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InfillImage:
    """An image with dead regions: measured sites, then candidates, and what the regions truly hold.

    ``coords`` (N+M, D), ``features`` (N+M, C), ``target`` (M,) true charge of the candidates, 0: empty; ``width`` (M,):
    width in sites of their region. ``whole``: the image as it was; ``hidden_width`` of its sites: that of the region
    that hides them, 0: they are measured.
    """

    coords: Int64
    features: Float32
    target: Float32
    width: Int64
    whole: LabelledImage
    hidden_width: Int64

    @property
    def candidates(self) -> Int64:
        """Coordinates (M, D) of the candidates."""
        return self.coords[len(self.coords) - len(self.target) :]

    def found(self, active: npt.ArrayLike, energy: npt.ArrayLike) -> HiddenImage:
        """What a network found, with the probabilities and energies (M,) that it gives the candidates."""
        labels, clusters = self.whole.labels, self.whole.groups
        track = np.where(labels < 0, -1, np.isin(labels, [int(Semantic.HIP), int(Semantic.MIP)]))
        return HiddenImage(
            sites=self.whole.coords.astype(np.int64),
            energy=self.whole.features[:, 0].astype(np.float64),
            track=track.astype(np.int64),
            cluster=np.full(len(labels), -1) if clusters is None else clusters.astype(np.int64),
            width=self.hidden_width,
            found=self.candidates,
            probability=np.asarray(active, dtype=np.float64),
            found_energy=np.asarray(energy, dtype=np.float64),
            found_width=self.width,
        )


@dataclass(frozen=True)
class OtherPlanes:
    """The images of the other planes of an event, of which random regions hide parts too, and the planes' geometry."""

    images: Sequence[LabelledImage]
    geometry: Detector

    def crossings(
        self,
        image: LabelledImage,
        measured: Bools,
        dead_wires: Bools,
        regions: RegionSettings,
        reach: int,
        random: np.random.Generator,
    ) -> Crossings:
        """Crossings on the dead wires (wires,) of an image, of whose pixels (N,) the ``measured`` ones are seen.

        Raises ``ValueError`` for images that do not know their planes.
        """
        if min(i.plane for i in (image, *self.images)) < 0:
            raise ValueError("crossings need images that know their planes")
        planes = self.geometry.readout_planes
        seen = {planes[image.plane].name: _pixels(image, measured)}
        for other in self.images:
            coords = other.coords.astype(np.int64)
            alive = ~random_regions(coords, regions, random).contains(coords)
            seen[planes[other.plane].name] = _pixels(other, alive)
        for plane in planes:
            seen.setdefault(plane.name, Pixels.empty())
        dead = np.zeros(planes[image.plane].n_columns, dtype=np.bool_)
        dead[: len(dead_wires)] = dead_wires[: len(dead)]
        return plane_crossings(seen, self.geometry, planes[image.plane], dead, reach)


def _scaled(image: LabelledImage, factor: float) -> LabelledImage:
    return replace(image, features=(factor * image.features).astype(np.float32))


def _pixels(image: LabelledImage, rows: Bools) -> Pixels:
    column, row = image.coords[rows].T
    zero = np.zeros(len(row), dtype=np.int32)
    return Pixels(tpc=zero, plane=zero, column=column, row=row, adc=image.features[rows, 0])


def hide(
    image: LabelledImage,
    regions: RegionSettings,
    settings: CandidateSettings,
    random: np.random.Generator,
    others: OtherPlanes | None = None,
) -> InfillImage:
    """The image with random dead regions. Planes have blocks of dead wires (axis 0).

    Raises ``ValueError`` where the settings ask for crossings and there are no ``others``.
    """
    coords = image.coords.astype(np.int64)
    dead = random_regions(coords, regions, random)
    width = dead.widths(coords).astype(np.int64)
    hidden = width > 0
    measured, charge = coords[~hidden], image.features[:, 0]
    if coords.shape[1] == 2:
        last = int(coords[:, 0].max()) + regions.most_width
        wires = np.column_stack([np.arange(last + 1), np.zeros(last + 1, np.int64)])
        dead_wires, crossings = dead.contains(wires), None
        if settings.crossings and others is not None:
            crossings = others.crossings(image, ~hidden, dead_wires, regions, settings.reach, random)
        found = plane_candidates(measured, dead_wires, settings, crossings=crossings)
    else:
        found = voxel_candidates(measured, dead, settings)
    at = match_sites(found.sites, coords[hidden])
    return InfillImage(
        np.concatenate([measured, found.sites]),
        infill_features(charge[~hidden], found, settings, random),
        np.where(at >= 0, np.append(charge[hidden], 0)[at], 0).astype(np.float32),
        dead.widths(found.sites).astype(np.int64),
        image,
        width,
    )


@dataclass(frozen=True)
class InfillBatch:
    """Images one after another: ``coords`` (N, 1+D), ``features`` (N, C); ``target`` (K,) of the candidate rows."""

    coords: Tensor
    features: Tensor
    target: Tensor


def collate(images: Sequence[InfillImage], device: torch.device) -> InfillBatch:
    """Put images into one batch; item i of the batch is ``images[i]``."""
    items = np.repeat(np.arange(len(images)), [len(image.coords) for image in images])
    coords = np.column_stack([items, np.concatenate([image.coords for image in images])])
    return InfillBatch(
        torch.from_numpy(coords).to(device),
        torch.from_numpy(np.concatenate([image.features for image in images])).to(device),
        torch.from_numpy(np.concatenate([image.target for image in images])).to(device),
    )


def balanced_threshold(images: Sequence[HiddenImage], narrow: int) -> tuple[float, EventRatio]:
    """The threshold at which as many sites are found as are hidden, and the F1 of the sites there.

    Counted are regions of up to ``narrow`` sites, where there is charge in some, since most of what wide ones hide
    cannot be reached, and of these the sites of tracks, where there are some, since most of what is hidden of showers
    cannot be found. Precision and recall are then equal, and sums of energies lose in missed sites what they gain in
    wrong ones. One of :data:`larmlreco.metrics.infill.THRESHOLDS`, ties to the lower one. F1 is
    2 right / (found + hidden); errors take the image as the independent unit.
    """
    tracks = any(((image.width > 0) & (image.track == 1)).any() for image in images)
    chosen = [track_sites(image) if tracks else (image.width >= 0, image.found_width >= 0) for image in images]
    if not any((mine & (i.width > 0) & (i.width <= narrow)).any() for i, (mine, _) in zip(images, chosen, strict=True)):
        narrow = max((int(image.width.max(initial=0)) for image in images), default=0)
    counted = []
    for image, (of_true, of_found) in zip(images, chosen, strict=True):
        hidden = image.sites[of_true & (image.width > 0) & (image.width <= narrow)]
        mine = of_found & (image.found_width <= narrow)
        right = match_sites(image.found[mine], hidden) >= 0
        counted.append((image.probability[mine], right, len(hidden)))
    wanted = sum(n for _, _, n in counted)
    excess = [abs(sum(int((p >= t).sum()) for p, _, _ in counted) - wanted) for t in THRESHOLDS]
    threshold = THRESHOLDS[int(np.argmin(excess))]
    f1 = EventRatio()
    for p, right, n in counted:
        taken = p >= threshold
        f1.add(2 * int((taken & right).sum()), int(taken.sum()) + n)
    return threshold, f1


class InfillFigures:
    """Figures of a validation, see :class:`larmlreco.metrics.infill.InfillMetrics`, at ``threshold``, or, where it is
    0, at :func:`balanced_threshold`.

    All sites with charge in dead regions count, candidates or not.
    """

    def __init__(self, narrow: int, images: Sequence[HiddenImage], threshold: float = 0.0) -> None:
        balanced, self._f1 = balanced_threshold(images, narrow)
        self._metrics = InfillMetrics(narrow, threshold or balanced)
        for image in images:
            self._metrics.add(image)

    def summary(self) -> dict[str, Any]:
        """``accuracy``: balanced F1 in narrow regions; ``classes``: recall by group; and the figures of infill."""
        figures = self._metrics.summary()
        classes = {name: group["recall"] for name, group in figures["groups"].items()}
        return {"accuracy": self._f1.as_dict(), "classes": classes, **figures}

    def table(self) -> str:
        """The figures for people."""
        return self._metrics.table()


class InfillTrainer(TrainingLoop):
    """Trains :class:`larmlreco.models.infill.InfillUResNet` on images of which random dead regions hide a part.

    In the log of the training, ``accuracy`` is the F1 of the sites with a probability of 0.5 and more among the
    candidates; that of the validation is the F1 of all that narrow regions hide, see :class:`InfillFigures`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        training: ImageStore,
        validation: ImageStore,
        plan: Plan,
        augmentation: Augmentation,
        regions: RegionSettings,
        settings: CandidateSettings,
        loss: InfillLoss,
        narrow: int,
        directory: Path,
        device: torch.device,
        threshold: float = 0.0,
        geometry: Detector | None = None,
    ) -> None:
        sizes = {"training": len(training), "validation": len(validation)}
        super().__init__(checkpoint, network, sizes, plan, directory, device, loss)
        self._training = training
        self._validation = validation
        self._augment = augmentation
        self._regions = regions
        self._settings = settings
        self._criterion = loss
        self._narrow = narrow
        self._threshold = threshold
        self._geometry = geometry

    def _terms(self, batch: InfillBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Log-odds and energy (K,) of the candidates, and the terms of the loss."""
        outputs = self._raw(batch.coords, batch.features)
        candidates = batch.features[:, _CANDIDATE] > 0
        logit, energy = (outputs[key][candidates, 0] for key in ("active", "energy"))
        return logit, energy, self._criterion(logit, energy, batch.target)

    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        images = []
        for place, number in self._items(len(self._training), iteration):
            random = image_generator(self._plan.seed, iteration, place)
            images.append(self._augmented(number, random))
        batch = collate(images, self._device)
        logit, _, terms = self._terms(batch)
        taken, true = logit.detach() > 0, batch.target != 0
        f1 = 2 * int((taken & true).sum()) / max(int(taken.sum() + true.sum()), 1)
        figures = {key: float(value.detach()) for key, value in terms.items() if key != "loss"}
        if self._criterion.log_weights.requires_grad:
            figures["track_weight"] = float(self._criterion.weights()[0].detach())
        return terms["loss"], {"accuracy": f1, "pixels": len(batch.target), **figures}

    def _augmented(self, number: int, random: np.random.Generator) -> InfillImage:
        """A training image with random dead regions, as it is learned from."""
        if self._geometry is None:
            return hide(self._augment(self._training[number], random), self._regions, self._settings, random)
        # Mirrored wires would not cross where they do.
        hidden = self._hidden(self._training, number, random, self._augment.factor(random))
        return replace(hidden, coords=self._augment.moved(hidden.coords, random))

    def _hidden(self, store: ImageStore, number: int, random: np.random.Generator, factor: float = 1.0) -> InfillImage:
        """Image ``number`` with random dead regions, its charge multiplied by ``factor``."""
        image = _scaled(store[number], factor)
        others = None
        if self._geometry is not None:
            planes = [_scaled(other, factor) for other in store.of_event(number) if other.plane != image.plane]
            others = OtherPlanes(planes, self._geometry)
        return hide(image, self._regions, self._settings, random, others)

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, whose dead regions follow from the seed alone."""
        images = []
        self._network.eval()
        losses = []
        with torch.no_grad():
            for i in range(len(self._validation)):
                random = np.random.default_rng((self._plan.seed, 3, i))
                image = self._hidden(self._validation, i, random)
                logit, energy, terms = self._terms(collate([image], self._device))
                losses.append(float(terms["loss"]))
                active = torch.sigmoid(logit.float()).cpu().numpy()
                images.append(image.found(active, energy.float().cpu().numpy()))
        return sum(losses) / len(losses), InfillFigures(self._narrow, images, self._threshold)
