"""How well Michel electrons are found (Domine and Terao, arXiv 1903.05663, section VII.B)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.clustering import overlaps
from larmlreco.metrics.ratio import EventRatio

Labels = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]

FIGURES: tuple[str, ...] = ("id_efficiency", "id_purity", "cluster_efficiency", "cluster_purity", "both_above_95")
"""Figures of :class:`MichelMetrics`."""

ANALYSIS_CUT = 10
"""Least number of voxels of a candidate in the published analysis cut."""

PUBLISHED: Mapping[int, Mapping[str, float]] = MappingProxyType(
    {
        0: MappingProxyType(
            {
                "id_efficiency": 0.939,
                "id_purity": 0.967,
                "cluster_efficiency": 0.954,
                "cluster_purity": 0.955,
                "both_above_95": 0.898,
            }
        ),
        ANALYSIS_CUT: MappingProxyType(
            {"id_efficiency": 0.934, "id_purity": 0.973, "cluster_efficiency": 0.960, "cluster_purity": 0.960}
        ),
    }
)
"""Figures on PILArNet with predicted semantics by the least number of voxels (arXiv 1903.05663, table VI)."""


@dataclass(frozen=True)
class MichelMatches:
    """Pairs of candidate and true Michel cluster, and what there is to match.

    ``candidate`` and ``true`` (K,) are the clusters' numbers, ``shared`` (K,) their common voxels, ``candidate_size``
    and ``true_size`` (K,) all of theirs.
    """

    candidate: Int64
    true: Int64
    shared: Int64
    candidate_size: Int64
    true_size: Int64
    n_candidates: int
    n_true: int


def match_michels(truth: Labels, candidates: Labels, min_voxels: int = 0) -> MichelMatches:
    """Match candidates to true Michel clusters by their common voxels.

    ``truth`` and ``candidates`` (N,) are the numbers of the true Michel cluster and of the candidate of each voxel,
    negative for none. Candidates of fewer than ``min_voxels`` voxels are left out. Each candidate goes to the true
    cluster that shares most voxels with it, ties to the lower number; of several candidates that go to one true
    cluster the one that shares most is its match, ties to the lower number, and the others are not matched, so that
    no true cluster counts twice.

    Raises ``ValueError`` for lengths that differ.
    """
    found = overlaps(truth, candidates)
    large = found.predicted_sizes >= min_voxels
    kept = large[found.predicted]
    true, candidate, shared = found.true[kept], found.predicted[kept], found.count[kept]
    first = _first_of_each(candidate, np.lexsort((true, -shared, candidate)))
    true, candidate, shared = true[first], candidate[first], shared[first]
    first = _first_of_each(true, np.lexsort((candidate, -shared, true)))
    true, candidate, shared = true[first], candidate[first], shared[first]
    return MichelMatches(
        found.predicted_numbers[candidate],
        found.true_numbers[true],
        shared,
        found.predicted_sizes[candidate],
        found.true_sizes[true],
        int(large.sum()),
        len(found.true_sizes),
    )


def _first_of_each(group: Int64, order: Int64) -> Int64:
    """The first row of every group in an order that sorts by group."""
    ordered = group[order]
    return order[np.flatnonzero(np.diff(ordered, prepend=-1))]


class MichelMetrics:
    """Efficiencies and purities over events, without and with the cut on the number of voxels.

    ID efficiency: matched over true Michel clusters; ID purity: matched over all candidates. Cluster efficiency and
    purity: shared voxels over those of the true cluster and of the candidate, mean over matched pairs.
    ``both_above_95`` is the part of the matched pairs with both above 95 %.
    """

    def __init__(self) -> None:
        self._ratios = {cut: {figure: EventRatio() for figure in FIGURES} for cut in PUBLISHED}

    def add(self, truth: Labels, candidates: Labels) -> MichelMatches:
        """Add one event, see :func:`match_michels`; returns the matches without cut."""
        for cut, ratios in self._ratios.items():
            matches = match_michels(truth, candidates, cut)
            n = len(matches.shared)
            efficiency, purity = matches.shared / matches.true_size, matches.shared / matches.candidate_size
            ratios["id_efficiency"].add(n, matches.n_true)
            ratios["id_purity"].add(n, matches.n_candidates)
            ratios["cluster_efficiency"].add(float(efficiency.sum()), n)
            ratios["cluster_purity"].add(float(purity.sum()), n)
            ratios["both_above_95"].add(int(((efficiency > 0.95) & (purity > 0.95)).sum()), n)
        return match_michels(truth, candidates)

    def summary(self) -> dict[str, Any]:
        """Figures with their errors and the published ones, for ``all`` candidates and ``min_10_voxels``."""
        return {
            f"min_{cut}_voxels" if cut else "all": {
                **{figure: ratio.as_dict() for figure, ratio in ratios.items()},
                "published": dict(PUBLISHED[cut]),
            }
            for cut, ratios in self._ratios.items()
        }

    def table(self) -> str:
        """The summary for people, in per cent; the published value in brackets."""
        lines = [f"{'':14}" + "".join(f"{figure:>26}" for figure in FIGURES)]
        for name, values in self.summary().items():
            row = f"{name:14}"
            for figure in FIGURES:
                known = values["published"].get(figure)
                beside = "      " if known is None else f"({100 * known:.1f})"
                row += f"  {100 * values[figure]['value']:6.2f} +- {100 * values[figure]['error']:5.2f} {beside:>7}"
            lines.append(row)
        counts = self._ratios[0]
        lines.append(
            f"{int(counts['id_efficiency'].denominator)} true Michel electrons, "
            f"{int(counts['id_purity'].denominator)} candidates, {int(counts['id_purity'].numerator)} matched"
        )
        return "\n".join(lines)
