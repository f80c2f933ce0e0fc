"""Training of infill: images with random dead regions, the true charge in these, loss and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from larmlreco.labels import Semantic
from larmlreco.metrics.ratio import EventRatio, percent
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.network import Network
from larmlreco.reco.infill import CandidateSettings, infill_features, plane_candidates, voxel_candidates
from larmlreco.train.augment import Augmentation
from larmlreco.train.dead_regions import RegionSettings, random_regions
from larmlreco.train.images import ImageSet, LabelledImage, image_generator
from larmlreco.train.infill_losses import InfillLoss
from larmlreco.train.trainer import Figures, Plan, TrainingLoop

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Least probabilities of a site that counts as active, for which there are figures."""

_CANDIDATE = 1

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class InfillImage:
    """An image with dead regions: measured sites, then candidates, and what the regions truly hold.

    ``coords`` (N+M, D), ``features`` (N+M, 2), ``target`` (M,) true charge of the candidates, 0: empty. ``hidden``
    (H, D): all sites with charge in dead regions, candidates or not, their ``charge`` (H,). Of candidates and of hidden
    sites: ``width`` (M,) and ``hidden_width`` (H,) of their region in sites, ``track`` (M,) and ``hidden_track`` (H,):
    whether the nearest site with charge is one of a track.
    """

    coords: Int64
    features: Float32
    target: Float32
    hidden: Int64
    charge: Float32
    width: Float64
    hidden_width: Float64
    track: Bools
    hidden_track: Bools

    @property
    def candidates(self) -> Int64:
        """Coordinates (M, D) of the candidates."""
        return self.coords[len(self.coords) - len(self.target) :]


def hide(
    image: LabelledImage, regions: RegionSettings, settings: CandidateSettings, random: np.random.Generator
) -> InfillImage:
    """The image with random dead regions. Planes have blocks of dead wires (axis 0)."""
    coords = image.coords.astype(np.int64)
    dead = random_regions(coords, regions, random)
    hidden_width = dead.widths(coords)
    hidden = hidden_width > 0
    measured, charge = coords[~hidden], image.features[~hidden, 0]
    if coords.shape[1] == 2:
        last = int(coords[:, 0].max()) + regions.most_width
        wires = np.column_stack([np.arange(last + 1), np.zeros(last + 1, np.int64)])
        found = plane_candidates(measured, dead.contains(wires), settings).sites
    else:
        found = voxel_candidates(measured, dead, settings).sites
    # labels of sites without truth are no track
    track = np.isin(image.labels, [int(Semantic.HIP), int(Semantic.MIP)])
    target = np.zeros(len(found), np.float32)
    at = match_sites(found, coords[hidden])
    target[at >= 0] = image.features[hidden, 0][at[at >= 0]]
    _, nearest = cKDTree(coords).query(found) if len(found) else (None, np.zeros(0, np.int64))
    return InfillImage(
        np.concatenate([measured, found]),
        infill_features(charge, len(found), settings, random),
        target,
        coords[hidden],
        image.features[hidden, 0],
        dead.widths(found),
        hidden_width[hidden],
        track[nearest],
        track[hidden],
    )


def match_sites(sites: Int64, others: Int64) -> Int64:
    """Row in ``others`` (K, D), distinct sites, of each of ``sites`` (N, D); -1 where it is not there."""
    if not len(sites) or not len(others):
        return np.full(len(sites), -1, np.int64)
    low = np.minimum(sites.min(axis=0), others.min(axis=0))
    shape = np.maximum(sites.max(axis=0), others.max(axis=0)) - low + 1
    wanted, there = (np.ravel_multi_index(tuple((s - low).T), tuple(shape)) for s in (sites, others))
    order = np.argsort(there)
    place = np.minimum(np.searchsorted(there[order], wanted), len(there) - 1)
    return np.where(there[order][place] == wanted, order[place], -1).astype(np.int64)


@dataclass(frozen=True)
class InfillBatch:
    """Images one after another: ``coords`` (N, 1+D), ``features`` (N, 2); ``target`` (K,) of the candidate rows."""

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


class InfillFigures:
    """Figures in dead regions only; all sites with charge in them count, candidates or not.

    For each of :data:`THRESHOLDS` and each group of sites: ``precision`` and ``recall`` of the sites taken as active;
    the same with a tolerance of one site (``near``: a site of the other kind at most one step away, straight or
    diagonally); ``f1`` = 2 right / (taken + true); ``energy``, the sum of what is
    predicted for the sites taken over the true one; ``energy_found``, the part of the true one in sites that are taken.
    Groups: all, gaps up to ``narrow`` sites wide and wider ones, sites of tracks and others. Errors take the image as
    the independent unit.
    """

    names = ("precision", "recall", "precision_near", "recall_near", "f1", "energy", "energy_found")

    def __init__(self, narrow: int) -> None:
        self._narrow = narrow
        self._ratios: dict[str, list[dict[str, EventRatio]]] = {}

    def add(self, image: InfillImage, active: npt.ArrayLike, energy: npt.ArrayLike) -> None:
        """Add an image with the probabilities and energies (M,) that a network gives its candidates."""
        p, e = np.asarray(active, dtype=np.float64), np.asarray(energy, dtype=np.float64)
        sites = image.candidates
        at = match_sites(image.hidden, sites)
        own = np.where(at >= 0, np.append(p, -1.0)[at], -1.0)
        near, beside = own, image.target != 0
        steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * sites.shape[1], indexing="ij"), -1).reshape(-1, sites.shape[1])
        for step in steps:
            near = np.maximum(near, np.append(p, -1.0)[match_sites(image.hidden + step, sites)])
            beside = beside | (match_sites(sites + step, image.hidden) >= 0)
        thin, hidden_thin = image.width <= self._narrow, image.hidden_width <= self._narrow
        track, hidden_track = image.track, image.hidden_track
        groups = {
            "all": (np.ones_like(thin), np.ones_like(hidden_thin)),
            "narrow": (thin, hidden_thin),
            "wide": (~thin, ~hidden_thin),
            "track": (track, hidden_track),
            "other": (~track, ~hidden_track),
            "narrow track": (thin & track, hidden_thin & hidden_track),
        }
        for name, (mine, true) in groups.items():
            ratios = self._ratios.setdefault(name, [{n: EventRatio() for n in self.names} for _ in THRESHOLDS])
            n_true, true_energy = int(true.sum()), float(image.charge[true].sum())
            for threshold, ratio in zip(THRESHOLDS, ratios, strict=True):
                taken = mine & (p >= threshold)
                right, n = int((taken & (image.target != 0)).sum()), int(taken.sum())
                ratio["precision"].add(right, n)
                ratio["recall"].add(int((own[true] >= threshold).sum()), n_true)
                ratio["precision_near"].add(int((taken & beside).sum()), n)
                ratio["recall_near"].add(int((near[true] >= threshold).sum()), n_true)
                ratio["f1"].add(2 * right, n + n_true)
                ratio["energy"].add(float(e[taken].sum()), true_energy)
                ratio["energy_found"].add(float(image.charge[true & (own >= threshold)].sum()), true_energy)

    def _best(self) -> int:
        f1 = [ratio["f1"].value for ratio in self._ratios["all"]]
        return int(np.nanargmax(f1)) if np.isfinite(f1).any() else 0

    def summary(self) -> dict[str, Any]:
        """``accuracy``, the best F1 of all sites; ``threshold``, where it is; ``classes``, the F1 of each group there;
        ``groups``, all figures there, and ``curve``, those of all sites by threshold.
        """
        best = self._best()
        at_best = {name: ratios[best] for name, ratios in self._ratios.items()}
        return {
            "accuracy": at_best["all"]["f1"].as_dict(),
            "threshold": THRESHOLDS[best],
            "classes": {name: figures["f1"].as_dict() for name, figures in at_best.items()},
            "groups": {
                name: {key: ratio.as_dict() for key, ratio in figures.items()} for name, figures in at_best.items()
            },
            "curve": {
                str(threshold): {key: ratio.value for key, ratio in figures.items()}
                for threshold, figures in zip(THRESHOLDS, self._ratios["all"], strict=True)
            },
        }

    def table(self) -> str:
        """The figures at the best threshold for people, in per cent."""
        best = self._best()
        lines = [f"probability at least {THRESHOLDS[best]}, %" + "".join(f"{name:>18}" for name in self.names)]
        for group, ratios in self._ratios.items():
            figures = "".join(f"{percent(r.value, r.error):>18}" for r in ratios[best].values())
            lines.append(f"{group:{len(lines[0]) - 18 * len(self.names)}}{figures}")
        return "\n".join(lines)


class InfillTrainer(TrainingLoop):
    """Trains :class:`larmlreco.models.infill.InfillUResNet` on images of which random dead regions hide a part.

    In the log of the training, ``accuracy`` is the F1 of the sites with a probability of 0.5 and more among the
    candidates; that of the validation is the best F1 over all hidden sites, see :class:`InfillFigures`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        training: ImageSet,
        validation: ImageSet,
        plan: Plan,
        augmentation: Augmentation,
        regions: RegionSettings,
        settings: CandidateSettings,
        loss: InfillLoss,
        narrow: int,
        directory: Path,
        device: torch.device,
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
            images.append(hide(self._augment(self._training[number], random), self._regions, self._settings, random))
        batch = collate(images, self._device)
        logit, _, terms = self._terms(batch)
        taken, true = logit.detach() > 0, batch.target != 0
        f1 = 2 * int((taken & true).sum()) / max(int(taken.sum() + true.sum()), 1)
        figures = {key: float(value.detach()) for key, value in terms.items() if key != "loss"}
        if self._criterion.log_weights.requires_grad:
            figures["track_weight"] = float(self._criterion.weights()[0].detach())
        return terms["loss"], {"accuracy": f1, "pixels": len(batch.target), **figures}

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, whose dead regions follow from the seed alone."""
        figures = InfillFigures(self._narrow)
        self._network.eval()
        losses = []
        with torch.no_grad():
            for i in range(len(self._validation)):
                random = np.random.default_rng((self._plan.seed, 3, i))
                image = hide(self._validation[i], self._regions, self._settings, random)
                logit, energy, terms = self._terms(collate([image], self._device))
                losses.append(float(terms["loss"]))
                figures.add(image, torch.sigmoid(logit).cpu().numpy(), energy.float().cpu().numpy())
        return sum(losses) / len(losses), figures
