"""The id of an event."""

import re
from dataclasses import dataclass

import numpy as np

_ID = re.compile(r"(\d+):(\d+):(\d+)\Z")


@dataclass(frozen=True, order=True)
class EventID:
    """Run, subrun and number of an event, written ``R:S:E``."""

    run: int
    subrun: int
    event: int

    def random(self, seed: int = 0) -> np.random.Generator:
        """Random numbers that follow from the seed (0 or more) and the event alone."""
        return np.random.default_rng([seed, *(abs(number) for number in (self.run, self.subrun, self.event))])

    @classmethod
    def parse(cls, text: str) -> "EventID":
        """Read ``R:S:E``. Raises ``ValueError`` for anything else."""
        match = _ID.match(text.strip())
        if not match:
            raise ValueError(f"{text!r} is not an event id; expected RUN:SUBRUN:EVENT, for example 1:1:5")
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.run}:{self.subrun}:{self.event}"
