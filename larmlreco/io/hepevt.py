"""Reads final states of event generators from HEPEVT text files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.units import GEV, NS

COLUMNS = (
    *("status", "pdg", "first mother", "last mother", "first daughter", "last daughter"),
    *("px", "py", "pz", "energy", "mass", "x", "y", "z", "t"),
)
"""What the numbers of a particle's line are: GeV, cm, ns."""

_TRACKED = 1


@dataclass(frozen=True)
class FinalStateParticle:
    """A particle to be tracked: PDG code, momentum (3,) MeV/c, mass MeV, position (3,) cm, time us."""

    pdg: int
    momentum: npt.NDArray[np.float64]
    mass: float
    position: npt.NDArray[np.float64]
    time: float


class HepEvtFile:
    """Events of a HEPEVT text file, as LArSoft's TextFileGen reads it.

    An event is a line with its number and its number of particles, and a line with the numbers ``COLUMNS`` for each;
    those with status 1 are tracked. Raises ``InputError`` for a file that is missing or not of that form, naming the
    line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            text = Path(path).read_text(encoding="ascii")
        except FileNotFoundError as error:
            raise InputError(f"final states {path}: the file does not exist") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"final states {path}: not a readable text file ({error})") from error
        lines = [(i, line.split()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
        self._events: list[list[FinalStateParticle]] = []
        at = 0
        while at < len(lines):
            count = self._count(*lines[at])
            rows = lines[at + 1 : at + 1 + count]
            if len(rows) < count:
                raise InputError(f"{self._where(lines[at][0])}: {count} particles announced, {len(rows)} follow")
            made = [self._particle(*row) for row in rows]
            self._events.append([p for p in made if p is not None])
            at += 1 + count

    def __len__(self) -> int:
        return len(self._events)

    def event(self, number: int) -> list[FinalStateParticle]:
        """Particles of event ``number``, from 0, in file order. Raises ``InputError`` beyond the last event."""
        if not 0 <= number < len(self):
            raise InputError(
                f"final states {self.path}: event {number} is asked for, the file has {len(self)} (from 0)"
            )
        return self._events[number]

    def _where(self, line: int) -> str:
        return f"final states {self.path}, line {line}"

    def _count(self, line: int, words: list[str]) -> int:
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise InputError(
                f"{self._where(line)}: expected the number of the event and of its particles, got {' '.join(words)!r}"
            )
        return int(words[1])

    def _particle(self, line: int, words: list[str]) -> FinalStateParticle | None:
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != len(COLUMNS) or not np.isfinite(numbers).all():
            raise InputError(
                f"{self._where(line)}: expected {len(COLUMNS)} numbers ({', '.join(COLUMNS)}), got {' '.join(words)!r}"
            )
        value = dict(zip(COLUMNS, numbers, strict=True))
        if int(value["status"]) != _TRACKED:
            return None
        return FinalStateParticle(
            int(value["pdg"]),
            np.array([value[name] for name in ("px", "py", "pz")]) * GEV,
            value["mass"] * GEV,
            np.array([value[axis] for axis in "xyz"]),
            value["t"] * NS,
        )
