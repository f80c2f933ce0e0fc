"""Plane images by plain loops over samples. Imports nothing of the package."""

import math
from collections import defaultdict
from collections.abc import Iterable

Place = tuple[int, int]
"""Column and row."""


def image_of_samples(
    rois: Iterable[tuple[int, int, int, list[float]]], rebin: int, threshold: float, n_rows: int
) -> dict[Place, tuple[float, set[int]]]:
    """Charge and wires of every pixel; a ROI is (wire row, column, first sample, samples)."""
    charge: dict[Place, float] = defaultdict(float)
    wires: dict[Place, set[int]] = defaultdict(set)
    for wire, column, begin, samples in rois:
        for i, adc in enumerate(samples):
            place = (column, (begin + i) // rebin)
            if place[1] < n_rows:
                charge[place] += adc
                wires[place].add(wire)
    return {place: (q, wires[place]) for place, q in sorted(charge.items()) if q >= threshold}


def gaussian_share(peak: float, sigma: float, row: int, rebin: int, reach: float = 4.0) -> float:
    """Part of a Gaussian, cut at ``reach`` standard deviations, in a row; sample s reaches from s - 0.5 to s + 0.5."""

    def below(tick: float) -> float:
        z = max(-reach, min(reach, (tick - peak) / sigma))
        return 0.5 * math.erf(z / math.sqrt(2))

    whole = math.erf(reach / math.sqrt(2))
    return (below((row + 1) * rebin - 0.5) - below(row * rebin - 0.5)) / whole


def pixels_under_hit(places: list[Place], column: int, start: int, stop: int, rebin: int) -> list[int]:
    """Numbers of the pixels on a column that hold a sample of [start, stop)."""
    rows = {sample // rebin for sample in range(start, stop)}
    return [i for i, (c, row) in enumerate(places) if c == column and row in rows]
