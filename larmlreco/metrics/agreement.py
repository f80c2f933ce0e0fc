"""Do the planes agree on the charge of points? A measure that needs no truth, for real data."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.ratio import EventRatio

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_PAIRS = ((0, 1), (0, 2), (1, 2))
_QUANTILES = (0.16, 0.5, 0.84)
_EDGES = np.linspace(-3, 3, 601)


class PlaneAgreement:
    """Charge of points that three planes have seen, compared between the planes.

    ``ratio``: charge of the pixel on one plane over that on another, a point each: median and central 68 %, from a
    histogram in steps of 1 % of a decade. ``row_correlation``: of the sums over the different pixels of such points in
    a row, over all rows with any of them; drift time is common to all planes and so, after deconvolution, is charge.
    ``matched_charge``: part of the charge of a plane's pixels that belongs to such points.
    """

    def __init__(self, views: Sequence[str]) -> None:
        self.views = tuple(views)
        self._ratios = {pair: np.zeros(len(_EDGES) - 1, dtype=np.int64) for pair in _PAIRS}
        self._matched = [EventRatio() for _ in views]
        self._moments = {pair: np.zeros(6) for pair in _PAIRS}
        self._points = 0

    def add(self, pixel: Int64, charges: Sequence[npt.ArrayLike], rows: Sequence[npt.ArrayLike]) -> None:
        """Add one event: pixels (P, 3) of its points, -1 for none, and charge and row of all pixels, by plane."""
        seen = pixel[(pixel >= 0).all(axis=1)]
        self._points += len(seen)
        n_rows = max((int(np.max(r)) + 1 for r in map(np.asarray, rows) if r.size), default=0)
        sums, of_points = [], []
        for plane in range(len(self.views)):
            charge = np.asarray(charges[plane], dtype=np.float64)
            mine = np.unique(seen[:, plane])
            self._matched[plane].add(float(charge[mine].sum()), float(charge.sum()))
            sums.append(np.bincount(np.asarray(rows[plane], dtype=np.int64)[mine], charge[mine], n_rows))
            of_points.append(charge[seen[:, plane]])
        for a, b in _PAIRS:
            logs = np.log10(np.maximum(of_points[a], 1e-9) / np.maximum(of_points[b], 1e-9))
            self._ratios[a, b] += np.histogram(np.clip(logs, -2.999, 2.999), _EDGES)[0]
            some = (sums[a] > 0) | (sums[b] > 0)
            x, y = sums[a][some], sums[b][some]
            self._moments[a, b] += [len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y]

    def _correlation(self, pair: tuple[int, int]) -> float:
        n, x, y, xx, yy, xy = self._moments[pair].tolist()
        spread = (n * xx - x * x) * (n * yy - y * y)
        return (n * xy - x * y) / math.sqrt(spread) if spread > 0 else math.nan

    def _quantiles(self, pair: tuple[int, int]) -> list[float]:
        total = np.cumsum(self._ratios[pair])
        if not total[-1]:
            return [math.nan] * len(_QUANTILES)
        middles = (_EDGES[:-1] + _EDGES[1:]) / 2
        return [float(10 ** middles[np.searchsorted(total, q * total[-1])]) for q in _QUANTILES]

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON values."""
        pairs = {}
        for a, b in _PAIRS:
            low, median, high = self._quantiles((a, b))
            pairs[f"{self.views[a]}/{self.views[b]}"] = {
                "ratio": median,
                "ratio_low": low,
                "ratio_high": high,
                "row_correlation": self._correlation((a, b)),
            }
        matched = {view: ratio.as_dict() for view, ratio in zip(self.views, self._matched, strict=True)}
        return {"three_plane_points": self._points, "pairs": pairs, "matched_charge": matched}

    def table(self) -> str:
        """The figures for people."""
        lines = [f"{self._points:,} points seen on three planes"]
        for view, ratio in zip(self.views, self._matched, strict=True):
            lines.append(f"part of the charge of {view} in them: {100 * ratio.value:.1f} %")
        for name, pair in self.summary()["pairs"].items():
            lines.append(
                f"charge {name}: median {pair['ratio']:.2f}, 68 % from {pair['ratio_low']:.2f} to "
                f"{pair['ratio_high']:.2f}; correlation of the sums of rows {pair['row_correlation']:.3f}"
            )
        return "\n".join(lines)
