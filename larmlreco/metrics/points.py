"""How well points in space stand for the true charge: distance, ghosts, completeness."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.metrics.ratio import EventRatio

Float64 = npt.NDArray[np.float64]

RADIUS = 1.0
"""A point is a ghost without true charge within this distance (cm); true charge is found with a point within it."""

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Least scores of points at which ghosts and completeness are counted."""

_QUANTILES = (0.5, 0.68, 0.95)
_BIN, _N_BINS = 0.01, 5000
_CURVE_STEP, _CURVE_BINS = 0.05, 40


class PointMetrics:
    """Distances of points to the nearest true charge, fraction of ghosts, completeness of the true charge.

    Distances are counted in bins of 0.01 cm up to 50 cm, so that memory stays constant; errors of fractions take the
    event as the independent unit.
    """

    def __init__(self) -> None:
        self._distances = np.zeros(_N_BINS + 1, dtype=np.int64)
        self._ghosts = [EventRatio() for _ in THRESHOLDS]
        self._complete = [EventRatio() for _ in THRESHOLDS]

    def add(self, points: Float64, score: Float64, true: Float64, charge: Float64) -> None:
        """Add one event: points (P, 3) with scores (P,), and places (T, 3) in cm and charges (T,) of true deposits.

        An event without true charge counts its points as ghosts, one without points has completeness 0.
        """
        near = np.full(len(points), np.inf)
        if len(true) and len(points):
            near = cKDTree(true).query(points)[0]
        bins = np.minimum(near / _BIN, _N_BINS).astype(np.int64)
        self._distances += np.bincount(bins, minlength=_N_BINS + 1)
        total = float(charge.sum())
        for ghosts, complete, threshold in zip(self._ghosts, self._complete, THRESHOLDS, strict=True):
            kept = score >= threshold
            ghosts.add(int((near[kept] > RADIUS).sum()), int(kept.sum()))
            found = 0.0
            if kept.any() and len(true):
                reached = cKDTree(points[kept]).query(true, distance_upper_bound=RADIUS)[0] <= RADIUS
                found = float(charge[reached].sum())
            complete.add(found, total)

    def quantile(self, part: float) -> float:
        """Distance (cm) below which this part of the points lies, the middle of its bin; NaN without points."""
        total = self._distances.sum()
        if not total:
            return math.nan
        at = int(np.searchsorted(np.cumsum(self._distances), part * total))
        return math.inf if at >= _N_BINS else (at + 0.5) * _BIN

    def ghosts_at(self, completeness: float) -> float:
        """Fraction of ghosts at the score where this completeness is reached, linear between thresholds; NaN if never.

        Of several such scores the highest counts.
        """
        reached = np.array([c.value for c in self._complete])
        ghosts = np.array([g.value for g in self._ghosts])
        above = np.flatnonzero(reached >= completeness)
        if not len(above):
            return math.nan
        i = int(above[-1])
        if i + 1 == len(reached) or not np.isfinite(reached[i + 1]) or not np.isfinite(ghosts[i + 1]):
            return float(ghosts[i])
        part = (reached[i] - completeness) / (reached[i] - reached[i + 1])
        return float(ghosts[i] + part * (ghosts[i + 1] - ghosts[i]))

    def _curve(self) -> list[float]:
        counts = np.cumsum(np.concatenate([[0], self._distances]))
        bins = np.rint(np.arange(_CURVE_BINS + 1) * _CURVE_STEP / _BIN).astype(np.int64)
        return [float(part) for part in counts[bins] / max(counts[-1], 1)]

    def summary(self) -> dict[str, Any]:
        """All figures with their errors, as JSON values.

        ``curve``: the part of the points nearer to true charge than the distances ``curve_cm``.
        """
        return {
            "points": int(self._distances.sum()),
            "radius_cm": RADIUS,
            "distance_cm": {f"{100 * part:.0f} %": self.quantile(part) for part in _QUANTILES},
            "curve_cm": [_CURVE_STEP * i for i in range(_CURVE_BINS + 1)],
            "curve": self._curve(),
            "thresholds": list(THRESHOLDS),
            "ghosts": [ratio.as_dict() for ratio in self._ghosts],
            "completeness": [ratio.as_dict() for ratio in self._complete],
            "ghosts_at_95_completeness": self.ghosts_at(0.95),
        }

    def table(self) -> str:
        """The figures for people."""
        distances = ", ".join(f"{100 * part:.0f} % within {10 * self.quantile(part):.1f} mm" for part in _QUANTILES)
        lines = [
            f"{int(self._distances.sum()):,} points; distance to the nearest true charge: {distances}",
            f"{'score at least':>14}{'ghosts, %':>20}{'completeness, %':>20}{'points':>14}",
        ]
        for threshold, ghosts, complete in zip(THRESHOLDS, self._ghosts, self._complete, strict=True):
            cells = "".join(f"{f'{100 * r.value:.2f} +- {100 * r.error:.2f}':>20}" for r in (ghosts, complete))
            lines.append(f"{threshold:>14.2f}{cells}{int(ghosts.denominator):>14,}")
        lines.append(f"ghosts at 95 % completeness: {100 * self.ghosts_at(0.95):.2f} %")
        return "\n".join(lines)
