"""How well voxels are grouped into particles: ARI, purity, efficiency, Dice (arXiv 2007.03083, definitions in B).

A partition is an array of cluster numbers, one a voxel; a negative number is a voxel in no cluster of that partition.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.ratio import EventRatio

Labels = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

FIGURES: tuple[str, ...] = ("ari", "purity", "efficiency", "sbd")
"""Figures of :class:`PartitionScores` that are quoted as means over events."""

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "all": MappingProxyType({"ari": 0.973}),
        "shower": MappingProxyType({"ari": 0.968, "purity": 0.997, "efficiency": 0.996, "sbd": 0.978}),
        "track": MappingProxyType({"ari": 0.961, "purity": 0.988, "efficiency": 0.983, "sbd": 0.717}),
        "Michel": MappingProxyType({"ari": 0.998, "purity": 0.999, "efficiency": 1.000, "sbd": 0.998}),
        "delta": MappingProxyType({"ari": 0.978, "purity": 0.992, "efficiency": 0.998, "sbd": 0.982}),
    }
)
"""Means over the validation set of PILArNet given true semantics (arXiv 2007.03083)."""


@dataclass(frozen=True)
class PartitionScores:
    """Figures of one predicted partition; a mean over no cluster is NaN.

    ``best_dice_true`` is the mean over true clusters of the best Dice score with a predicted one,
    ``best_dice_predicted`` the other way round.
    """

    n_true: int
    n_predicted: int
    ari: float
    purity: float
    efficiency: float
    best_dice_true: float
    best_dice_predicted: float

    @property
    def sbd(self) -> float:
        """Symmetric best Dice: the smaller of both; 0 where only one of the partitions has clusters."""
        if self.n_true == 0 and self.n_predicted == 0:
            return math.nan
        if self.n_true == 0 or self.n_predicted == 0:
            return 0.0
        return min(self.best_dice_true, self.best_dice_predicted)


@dataclass(frozen=True)
class Overlaps:
    """Voxels that clusters of two partitions share: ``count[k]`` of them in ``true[k]`` and ``predicted[k]``.

    Clusters are rows of ``true_sizes`` (n,) and ``predicted_sizes`` (m,), in the order of their numbers, which
    ``true_numbers`` and ``predicted_numbers`` hold; pairs without a common voxel are left out.
    """

    true: Int64
    predicted: Int64
    count: Int64
    true_sizes: Int64
    predicted_sizes: Int64
    true_numbers: Int64
    predicted_numbers: Int64


def overlaps(truth: Labels, predicted: Labels) -> Overlaps:
    """Shared voxels of two partitions (N,). Raises ``ValueError`` for lengths that differ."""
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"truth has {truth.shape} numbers, the prediction {predicted.shape}; expected equal lengths")
    true_numbers, true_sizes = np.unique(truth[truth >= 0], return_counts=True)
    numbers, sizes = np.unique(predicted[predicted >= 0], return_counts=True)
    both = (truth >= 0) & (predicted >= 0)
    pair = np.searchsorted(true_numbers, truth[both]) * max(len(numbers), 1)
    pair += np.searchsorted(numbers, predicted[both])
    code, count = np.unique(pair, return_counts=True)
    i, j = np.divmod(code, max(len(numbers), 1))
    return Overlaps(*(np.asarray(a, dtype=np.int64) for a in (i, j, count, true_sizes, sizes, true_numbers, numbers)))


def compare_partitions(truth: Labels, predicted: Labels) -> PartitionScores:
    """All figures of a predicted partition (N,) against the true one (N,).

    A voxel that is in no cluster of either partition does not count. One that is in a cluster of one of them only
    counts in the size of that cluster, and for the ARI as a cluster of its own in the other: leaving voxels out
    lowers efficiency, Dice and ARI, taking in foreign ones lowers purity, Dice and ARI.

    Raises ``ValueError`` for lengths that differ.
    """
    shared = overlaps(truth, predicted)
    n, m = len(shared.true_sizes), len(shared.predicted_sizes)
    total = int(np.count_nonzero((truth >= 0) | (predicted >= 0)))
    dice = 2 * shared.count / (shared.true_sizes[shared.true] + shared.predicted_sizes[shared.predicted])
    return PartitionScores(
        n,
        m,
        _rand_index(shared, total),
        _mean(_largest(shared.predicted, shared.count, m) / shared.predicted_sizes),
        _mean(_largest(shared.true, shared.count, n) / shared.true_sizes),
        _mean(_largest(shared.true, dice, n)),
        _mean(_largest(shared.predicted, dice, m)),
    )


def _largest(cluster: Int64, values: npt.NDArray[Any], n: int) -> Float64:
    out = np.zeros(n)
    np.maximum.at(out, cluster, values)
    return out


def _mean(values: Float64) -> float:
    return float(values.mean()) if len(values) else math.nan


def _rand_index(shared: Overlaps, total: int) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) from the counts of pairs, in exact integers."""
    if total == 0:
        return math.nan

    def pairs(sizes: Int64) -> int:
        return sum(int(s) * (int(s) - 1) for s in sizes)

    both, in_true, in_predicted = pairs(shared.count), pairs(shared.true_sizes), pairs(shared.predicted_sizes)
    if both == in_true == in_predicted:
        return 1.0
    everything = total * (total - 1)
    # Numerator and denominator of (both - expected) / (mean - expected), with expected = in_true * in_predicted / all.
    above = 2 * (both * everything - in_true * in_predicted)
    return above / ((in_true + in_predicted) * everything - 2 * in_true * in_predicted)


MULTIPLICITY_EDGES: tuple[int, ...] = (0, 1, 2, 3, 5, 8, 12, 20, 30)
"""Lowest numbers of true clusters of the bins of :meth:`ClusteringMetrics.by_multiplicity`."""

ENERGY_EDGES: tuple[float, ...] = (0.0, 20.0, 50.0, 100.0, 200.0, 400.0, 800.0)
"""Lowest energies (MeV) of the bins of :meth:`ClusteringMetrics.by_energy`."""


class ClusteringMetrics:
    """Figures by class over events, beside the published ones.

    A class of an event counts where it has a true or a predicted cluster. ``all`` is the mean over all pairs of event
    and class. Errors are those of a mean over events.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._means = {name: {f: EventRatio() for f in FIGURES} for name in ("all", *self.class_names)}
        self._clusters = {name: [0, 0] for name in ("all", *self.class_names)}
        self._against = {
            name: [{f: EventRatio() for f in FIGURES} for _ in MULTIPLICITY_EDGES] for name in self.class_names
        }
        self._energies = {name: [{f: EventRatio() for f in FIGURES} for _ in ENERGY_EDGES] for name in self.class_names}

    def add(self, class_name: str, truth: Labels, predicted: Labels, energy: float | None = None) -> PartitionScores:
        """Add the voxels of one class in one event, see :func:`compare_partitions`; returns their figures.

        ``energy``: that of the true clusters together, MeV, where it is known.
        """
        scores = compare_partitions(truth, predicted)
        many = int(np.searchsorted(MULTIPLICITY_EDGES, scores.n_true, side="right")) - 1
        for name in ("all", class_name):
            self._clusters[name][0] += scores.n_true
            self._clusters[name][1] += scores.n_predicted
        filled = [self._means["all"], self._means[class_name], self._against[class_name][many]]
        if energy is not None and scores.n_true:
            high = int(np.searchsorted(ENERGY_EDGES, max(energy, 0.0), side="right")) - 1
            filled.append(self._energies[class_name][high])
        for figure in FIGURES:
            value = getattr(scores, figure)
            if not math.isnan(value):
                for means in filled:
                    means[figure].add(value, 1)
        return scores

    def by_multiplicity(self) -> dict[str, Any]:
        """Figures by class against the number of true clusters of the class in the event, as JSON values."""
        return {
            name: [
                {"true_clusters_from": low, **{figure: mean.as_dict() for figure, mean in means.items()}}
                for low, means in zip(MULTIPLICITY_EDGES, bins, strict=True)
            ]
            for name, bins in self._against.items()
        }

    def by_energy(self) -> dict[str, Any]:
        """Figures by class against the true energy of the class in the event, where it was given, as JSON values."""
        return {
            name: [
                {"energy_from": low, **{figure: mean.as_dict() for figure, mean in means.items()}}
                for low, means in zip(ENERGY_EDGES, bins, strict=True)
            ]
            for name, bins in self._energies.items()
        }

    def summary(self) -> dict[str, Any]:
        """Figures by class with their errors, numbers of clusters, and the published values, as JSON values."""
        return {
            name: {
                **{figure: mean.as_dict() for figure, mean in means.items()},
                "true_clusters": self._clusters[name][0],
                "predicted_clusters": self._clusters[name][1],
                "published": dict(PUBLISHED.get(name, {})),
            }
            for name, means in self._means.items()
        }

    def table(self) -> str:
        """The summary for people; the published value in brackets."""
        width = max(8, *(len(name) for name in self.class_names))
        lines = [f"{'':{width}}" + "".join(f"{f:>26}" for f in FIGURES) + f"{'clusters true':>16}{'found':>9}"]
        for name, values in self.summary().items():
            row = f"{name:{width}}"
            for figure in FIGURES:
                known = values["published"].get(figure)
                beside = "       " if known is None else f"({known:.3f})"
                row += f"  {values[figure]['value']:6.3f} +- {values[figure]['error']:5.3f} {beside}"
            lines.append(f"{row}{values['true_clusters']:>16,}{values['predicted_clusters']:>9,}")
        return "\n".join(lines)
