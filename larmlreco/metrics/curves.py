"""Wrong pixels against a variable: energy, opening angle, distance to the border."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.ratio import EventRatio

_LOW_EDGES = (2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
_HIGH_EDGES = (10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 10000.0)
ENERGY_EDGES = (*_LOW_EDGES, *_HIGH_EDGES)
"""Bins of the kinetic energy at birth of the particle that a pixel belongs to, in MeV; delta rays have 2 and more."""

ANGLE_EDGES = (0.0, 10.0, 20.0, 40.0, 60.0, 90.0, 120.0, 150.0, 180.0)
"""Bins of the smallest opening angle between primaries, in degrees (PRD 99 092001, Fig. 7a)."""

BORDER_EDGES = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0)
"""Bins of the distance to the border of the image, in pixels (arXiv 1903.05663, Fig. 12)."""


class Curve:
    """Part of the pixels that are wrong, in bins of a variable; the event is the unit of the statistical error.

    Bins are half open, [edge, next edge), the last one closed. ``unit`` is that of the variable.
    """

    def __init__(self, edges: Sequence[float], unit: str) -> None:
        self.edges = np.asarray(edges, dtype=np.float64)
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise ValueError(f"edges must be at least two rising numbers; got {list(edges)}")
        self.unit = unit
        self._bins = [EventRatio() for _ in range(len(self.edges) - 1)]

    def add(self, values: npt.ArrayLike, wrong: npt.NDArray[np.bool_]) -> None:
        """Add the pixels of one event: the variable (N,), or one number for all, and whether they are wrong (N,).

        Pixels whose variable is NaN or outside the bins do not count.
        """
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), wrong.shape)
        known = (value >= self.edges[0]) & (value <= self.edges[-1])
        at = np.minimum(np.searchsorted(self.edges, value[known], side="right") - 1, len(self._bins) - 1)
        total = np.bincount(at, minlength=len(self._bins))
        bad = np.bincount(at[wrong[known]], minlength=len(self._bins))
        for ratio, numerator, denominator in zip(self._bins, bad, total, strict=True):
            ratio.add(int(numerator), int(denominator))

    def summary(self) -> dict[str, Any]:
        """Edges and unit, and for every bin the wrong part, its error, events and pixels, as JSON values."""
        bins = [ratio.as_dict() for ratio in self._bins]
        columns = {name: [b[name] for b in bins] for name in ("value", "error", "events", "count")}
        return {"edges": self.edges.tolist(), "unit": self.unit, **columns}


class CurveSet:
    """A curve for every class, and one for all classes together."""

    def __init__(self, class_names: Sequence[str], edges: Sequence[float], unit: str) -> None:
        self._curves = {name: Curve(edges, unit) for name in ("all", *class_names)}

    def add(
        self, values: npt.ArrayLike, truth: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]]
    ) -> None:
        """Add one event: the variable (N,), or one number for all, and labels (N,); rows without truth do not count."""
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), truth.shape)
        for number, curve in enumerate(self._curves.values(), start=-1):
            mine = truth >= 0 if number < 0 else truth == number
            curve.add(value[mine], (predicted != truth)[mine])

    def summary(self) -> dict[str, Any]:
        """Every curve by class name, see :meth:`Curve.summary`."""
        return {name: curve.summary() for name, curve in self._curves.items()}

    def table(self) -> str:
        """All classes together for people: a line a bin."""
        all_of = self.summary()["all"]
        lines = []
        for low, high, value, error, events in zip(
            all_of["edges"], all_of["edges"][1:], all_of["value"], all_of["error"], all_of["events"], strict=False
        ):
            if events:
                lines.append(
                    f"  {low:7g} to {high:7g} {all_of['unit']:5} "
                    f"{100 * value:6.2f} +- {100 * error:5.2f} % wrong, {events} events"
                )
        return "\n".join(lines) or "  no pixels"


def border_distance(coords: Sequence[npt.NDArray[np.integer[Any]]], size: Sequence[int]) -> npt.NDArray[np.float64]:
    """Distance (N,) of pixels to the nearest face of the image, in pixels: 0 for those that touch it.

    ``coords`` are the columns of each axis (N,), ``size`` the number of pixels along it.
    """
    near = [np.minimum(axis, n - 1 - axis) for axis, n in zip(coords, size, strict=True)]
    return np.asarray(np.min(near, axis=0), dtype=np.float64)
