"""Learning rate against iteration."""

import math
from dataclasses import dataclass

from larmlreco.errors import ConfigurationError, valid_choices

SCHEDULES = ("constant", "cosine", "step")


@dataclass(frozen=True)
class Schedule:
    """``constant``; ``cosine`` down to ``floor`` times the rate at the last iteration; ``step``: times ``factor`` every
    ``step`` iterations. All begin with ``warmup`` iterations in which the rate grows from 0.
    """

    kind: str
    rate: float
    iterations: int
    warmup: int = 0
    floor: float = 0.0
    step: int = 1
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ConfigurationError(f"unknown schedule {self.kind!r}; {valid_choices(self.kind, SCHEDULES)}")

    def __call__(self, iteration: int) -> float:
        """The learning rate of an iteration, from 0."""
        if iteration < self.warmup:
            return self.rate * (iteration + 1) / self.warmup
        if self.kind == "cosine":
            done = (iteration - self.warmup) / max(self.iterations - self.warmup, 1)
            return self.rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
        if self.kind == "step":
            return self.rate * float(self.factor ** (iteration // self.step))
        return self.rate
