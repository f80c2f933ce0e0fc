"""A ratio of sums over events with its statistical error, in constant memory."""

import math
from dataclasses import dataclass


@dataclass
class EventRatio:
    """Sum of numerators over sum of denominators, where the event is the independent unit.

    Pixels of one event share its particles, so a binomial error over pixels is far too small. The error here is
    that of a ratio estimator: sqrt(sum (c - R n)^2 * N / (N - 1)) / sum n over the N events with n > 0.
    """

    events: int = 0
    numerator: float = 0.0
    denominator: float = 0.0
    _cc: float = 0.0
    _cn: float = 0.0
    _nn: float = 0.0

    def add(self, numerator: float, denominator: float) -> None:
        """Add one event; one with denominator 0 does not count."""
        if denominator == 0:
            return
        self.events += 1
        self.numerator += numerator
        self.denominator += denominator
        self._cc += numerator * numerator
        self._cn += numerator * denominator
        self._nn += denominator * denominator

    @property
    def value(self) -> float:
        """The ratio; NaN without events."""
        return self.numerator / self.denominator if self.denominator else math.nan

    @property
    def error(self) -> float:
        """Its standard error; NaN with fewer than two events."""
        if self.events < 2:
            return math.nan
        r = self.value
        squares = max(self._cc - 2 * r * self._cn + r * r * self._nn, 0.0)
        return math.sqrt(squares * self.events / (self.events - 1)) / self.denominator

    def as_dict(self) -> dict[str, float]:
        """``value``, ``error``, ``events``, ``count`` (the denominator) for a report."""
        return {"value": self.value, "error": self.error, "events": self.events, "count": self.denominator}


def percent(value: float, error: float, width: int = 0) -> str:
    """``value +- error`` in per cent for a table, ``-`` for what is not known; ``width`` characters for the value."""
    shown = ["-" if math.isnan(number) else f"{100 * number:.2f}" for number in (value, error)]
    return f"{shown[0]:>{width}} +- {shown[1]:>{min(width, 5)}}"
