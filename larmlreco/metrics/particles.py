"""How well particles are found and measured: the part that is found, energies, lengths, ends."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.metrics.ratio import EventRatio, percent

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]

MEASURES = ("energy", "energy_charge", "length", "start_distance", "angle")
"""What is measured of matched particles: (found - true) / true of the first three, the distance of the starts in cm,
the angle between the directions in degrees."""

RATIOS = ("found", "found_long", "right_class", "pure", "right_end", "right_end_sure")
"""Ratios of :class:`ParticleMetrics`, by class."""

SURE = 0.9
"""Score of the start from which it counts as sure."""

SCORES = (0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Bounds of the scores of the start in :meth:`ParticleMetrics.reliability`."""


@dataclass(frozen=True)
class Matches:
    """Pairs (K,) of a true cluster and a particle, and the energies (MeV) of all of them, by number."""

    true: Int64
    found: Int64
    true_energy: Float64
    found_energy: Float64


def match_particles(
    true: Index, found_there: Index, true_energy: Float64, found: Index, true_there: Index, found_energy: Float64
) -> Matches:
    """Pairs of true clusters and particles that hold more than half of one another's energy.

    For the N true voxels the true cluster ``true``, the particle ``found_there`` (-1: none) and the energy; for the M
    reconstructed voxels the particle ``found``, the true cluster ``true_there`` (-1: none) and the energy; rows of
    negative ``true`` or ``found`` do not count. More than half can hold for one pair only, so each is there once.
    """
    n = int(max(np.max(true, initial=-1), np.max(true_there, initial=-1))) + 1
    m = int(max(np.max(found, initial=-1), np.max(found_there, initial=-1))) + 1
    totals = [_sums(true, true_energy, n), _sums(found, found_energy, m)]
    first = _shared(true, found_there, true_energy, m)
    second = _shared(true_there, found, found_energy, m)
    pairs = [
        key
        for key in sorted(first.keys() & second.keys())
        if 2 * first[key] > totals[0][key[0]] and 2 * second[key] > totals[1][key[1]]
    ]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Matches(table[:, 0], table[:, 1], totals[0], totals[1])


def _sums(number: Index, energy: Float64, n: int) -> Float64:
    known = number >= 0
    return np.bincount(number[known], energy[known], n).astype(np.float64)


def _shared(true: Index, found: Index, energy: Float64, m: int) -> dict[tuple[int, int], float]:
    both = (true >= 0) & (found >= 0)
    keys, row = np.unique(true[both].astype(np.int64) * max(m, 1) + found[both], return_inverse=True)
    total = np.bincount(row.reshape(-1), energy[both], len(keys))
    return {(int(k) // max(m, 1), int(k) % max(m, 1)): float(t) for k, t in zip(keys, total, strict=True)}


class ParticleMetrics:
    """Figures over events, by true class.

    ``found``: true clusters with a match; ``found_long``: the same of those that extend at least ``least_extent`` cm,
    so that voxels can show them apart from what they touch; ``right_class``: matched ones with the right class;
    ``pure``: particles of a class that are matched to a true cluster of it; ``right_end`` and ``right_end_sure``:
    matched ones whose start is nearer to the true start than their end, of all and of those with a score of the start
    of at least :data:`SURE`. Clusters and particles count from ``least_energy`` MeV on.
    """

    def __init__(self, least_energy: float = 5.0, least_extent: float = 1.0) -> None:
        self.least_energy, self.least_extent = least_energy, least_extent
        self._ratios = {name: {figure: EventRatio() for figure in RATIOS} for name in SEMANTIC_NAMES}
        self._scores = [(EventRatio(), EventRatio()) for _ in SCORES[1:]]
        self._values: dict[str, dict[str, list[float]]] = {
            name: {measure: [] for measure in MEASURES} for name in SEMANTIC_NAMES
        }

    def add(
        self,
        matches: Matches,
        true_class: Index,
        found_class: Index,
        extent: Float64,
        measures: Mapping[str, Float64],
        ends: Sequence[tuple[int, bool, float]],
    ) -> None:
        """Add one event: class of the true clusters (n,) and of the particles (m,), by number, ``extent`` (n,) in cm.

        ``measures`` by name of :data:`MEASURES` (K,), NaN where one does not apply; ``ends``: of pairs whose ends can
        be compared the number of the pair, whether the start is right, and its score.
        """
        counted = matches.true_energy[matches.true] >= self.least_energy
        long = extent >= self.least_extent
        for number, name in enumerate(SEMANTIC_NAMES):
            ratios = self._ratios[name]
            mine = counted & (true_class[matches.true] == number)
            here = (true_class == number) & (matches.true_energy >= self.least_energy)
            ratios["found"].add(int(mine.sum()), int(here.sum()))
            ratios["found_long"].add(int((mine & long[matches.true]).sum()), int((here & long).sum()))
            right = mine & (found_class[matches.found] == number)
            ratios["right_class"].add(int(right.sum()), int(mine.sum()))
            all_of = (found_class == number) & (matches.found_energy >= self.least_energy)
            of_class = true_class[matches.true] == found_class[matches.found]
            good = np.isin(np.flatnonzero(all_of), matches.found[of_class])
            ratios["pure"].add(int(good.sum()), int(all_of.sum()))
            told = [(right, score) for pair, right, score in ends if mine[pair]]
            ratios["right_end"].add(sum(right for right, _ in told), len(told))
            sure = [right for right, score in told if score >= SURE]
            ratios["right_end_sure"].add(sum(sure), len(sure))
            for measure, values in measures.items():
                here_values = values[mine]
                self._values[name][measure] += here_values[np.isfinite(here_values)].tolist()
        self._add_scores([(right, score) for pair, right, score in ends if counted[pair]])

    def _add_scores(self, told: Sequence[tuple[bool, float]]) -> None:
        """Add the pairs of one event to the scores of the start."""
        where = np.clip(np.searchsorted(SCORES, [score for _, score in told], side="right") - 1, 0, len(SCORES) - 2)
        for number, (mean, right) in enumerate(self._scores):
            mine = [pair for pair, place in zip(told, where.tolist(), strict=True) if place == number]
            mean.add(sum(score for _, score in mine), len(mine))
            right.add(sum(correct for correct, _ in mine), len(mine))

    def reliability(self) -> list[dict[str, Any]]:
        """For each range of the score of the start, of all classes: ``low``, ``high``, mean ``score``, ``right``.

        Where the score is the probability that the start is right, both ratios agree within their errors.
        """
        return [
            {"low": low, "high": high, "score": mean.value, "right": right.as_dict()}
            for low, high, (mean, right) in zip(SCORES[:-1], SCORES[1:], self._scores, strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """By class: ratios with their errors; median, its error, and half the width of 68 % of each measure."""
        return {
            name: {figure: ratio.as_dict() for figure, ratio in ratios.items()}
            | {measure: _spread(values) for measure, values in self._values[name].items()}
            for name, ratios in self._ratios.items()
        }

    def table(self) -> str:
        """The summary for people."""
        lines = [f"{'%':8}" + "".join(f"{name:>18}" for name in RATIOS)]
        found = self.summary()
        for name, values in found.items():
            cells = [percent(values[r]["value"], values[r]["error"], 6) for r in RATIOS]
            lines.append(f"{name:8}" + "".join(f"{cell:>18}" for cell in cells))
        lines += ["", f"{'':8}" + "".join(f"{measure:>26}" for measure in MEASURES)]
        for name, values in found.items():
            cells = [_shown(values[measure], measure) for measure in MEASURES]
            lines.append(f"{name:8}" + "".join(f"{cell:>26}" for cell in cells))
        lines.append("(median, half of 68 % of all, pairs; energies and lengths: (found - true) / true)")
        lines += ["", f"{'start_score':14}{'mean':>8}{'right %':>18}{'pairs':>8}"]
        for row in self.reliability():
            right = row["right"]
            score = f"{row['low']:.2f} to {row['high']:.2f}"
            shown = percent(right["value"], right["error"], 6)
            mean = f"{row['score']:.3f}" if right["count"] else "-"
            lines.append(f"{score:14}{mean:>8}{shown:>18}{right['count']:8.0f}")
        return "\n".join(lines)


def _spread(values: list[float]) -> dict[str, float]:
    n = len(values)
    if n == 0:
        return {"median": math.nan, "error": math.nan, "width": math.nan, "pairs": 0}
    low, middle, high = (float(v) for v in np.percentile(values, [16, 50, 84]))
    width = (high - low) / 2
    return {"median": middle, "error": 1.2533 * width / math.sqrt(n), "width": width, "pairs": n}


def _shown(values: Mapping[str, float], measure: str) -> str:
    if not values["pairs"]:
        return "-"
    unit, factor = {"start_distance": (" cm", 1), "angle": (" deg", 1)}.get(measure, (" %", 100))
    return f"{factor * values['median']:.1f}, {factor * values['width']:.1f}{unit} ({values['pairs']})"
