"""Energy deposits in liquid argon by Geant4 (package extra ``sim``: geant4-pybind).

Electromagnetic, decay and stopping physics; hadronic inelastic interactions are left out. Geant4 runs in a process
of its own (:mod:`larmlreco.simulation.geant_worker`): it has one run manager a process, prints what it likes, and
ends the process on a fatal error.
"""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

DATA_SETS: Mapping[str, str] = {"G4LEDATA": "G4EMLOW", "G4ENSDFSTATEDATA": "G4ENSDFSTATE"}
"""Data sets that the physics reads in liquid argon: environment variable and Geant4's name."""

_MM = 0.1
_NS = 1e-3
_LOG_LINES = 2


@dataclass(frozen=True)
class Primary:
    """A particle to be tracked: PDG code, kinetic energy (MeV), start (cm), direction, t0 (us), 1 if cosmic."""

    pdg: int
    kinetic_energy: float
    position: tuple[float, float, float]
    direction: tuple[float, float, float]
    t0: float = 0.0
    cosmic: int = 0


@dataclass(frozen=True)
class Deposits:
    """Steps (N,) in the active volume, in the order of tracking: middle (N, 3) cm, time us, MeV, cm, particle id."""

    position: Float64
    time: Float64
    energy: Float64
    length: Float64
    particle: Int64


@dataclass(frozen=True)
class Tracks:
    """Particles (M,) with deposits and their ancestors, by id: birth in cm, us and MeV; creator process and model."""

    id: Int64
    pdg: Int64
    parent: Int64
    process: tuple[str, ...]
    model: tuple[str, ...]
    kinetic_energy: Float64
    position: Float64
    time: Float64

    def rows(self, ids: Int64) -> Int64:
        """Row of every id."""
        return np.asarray(np.searchsorted(self.id, ids))

    def primary(self) -> Int64:
        """Id of the primary (M,) that each particle descends from."""
        primary: Int64 = self.id.copy()
        row = self.rows(self.parent)
        # Geant4 numbers a parent before its children, so one pass in order of the ids is enough.
        for i in np.flatnonzero(self.parent > 0):
            primary[i] = primary[row[i]]
        return primary


@dataclass(frozen=True)
class Volume:
    """Box of liquid argon (cm): the active volume from ``low`` to ``high``, and the argon ``margin`` around it."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    margin: tuple[float, float, float]

    @property
    def centre(self) -> Float64:
        """Middle of the active volume (3,), cm: the origin of Geant4's coordinates."""
        return np.add(self.low, self.high) / 2

    @property
    def argon_low(self) -> Float64:
        """Lower corner of the argon (3,), cm."""
        return np.subtract(self.low, self.margin)

    @property
    def argon_high(self) -> Float64:
        """Upper corner of the argon (3,), cm."""
        return np.add(self.high, self.margin)


@dataclass(frozen=True)
class World:
    """What the worker builds, in Geant4's mm: half sides of argon and active volume, longest step, production cut."""

    argon: tuple[float, ...]
    active: tuple[float, ...]
    step: float
    cut: float


@dataclass(frozen=True)
class Shot:
    """One event for the worker: seed, and for each primary PDG code, MeV, start (mm) and direction."""

    seed: int
    primaries: tuple[tuple[int, float, tuple[float, ...], tuple[float, ...]], ...]


def check_data(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
    """Raise ``ConfigurationError`` when a data set that the physics reads is nowhere, naming its variable.

    It may be named by its own variable, lie in ``GEANT4_DATA_DIR``, or where geant4-pybind downloads the data sets
    to (``~/.geant4_pybind``).
    """
    common = environment.get("GEANT4_DATA_DIR")
    place = Path(common) if common else (home or Path.home()) / ".geant4_pybind"
    for variable, name in DATA_SETS.items():
        given = environment.get(variable)
        if given is not None and not Path(given).is_dir():
            raise ConfigurationError(
                f"Geant4 data {name} not found: the environment variable {variable} names {given!r}, "
                "which is not a directory"
            )
        if given is None and next(place.glob(f"{name}*"), None) is None:
            raise ConfigurationError(
                f"Geant4 data {name} not found in {place}: set the environment variable {variable} to its "
                "directory, or let geant4-pybind download it: python -c 'import geant4_pybind'"
            )


class Geant4:
    """Geant4 set up for one volume, in a process of its own; :meth:`track` follows the primaries of one event.

    ``step_cm``: longest step in the active volume; ``cut_cm``: production cut in range for secondaries. A context
    manager; the process ends with it. Raises ``ConfigurationError`` without geant4-pybind or its data.
    """

    def __init__(self, volume: Volume, *, step_cm: float = 0.1, cut_cm: float = 0.07) -> None:
        if find_spec("geant4_pybind") is None:
            raise ConfigurationError(
                "simulation needs geant4-pybind, which is not installed; install it with: pip install 'larmlreco[sim]'"
            )
        check_data()
        self._volume = volume
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "larmlreco.simulation.geant_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._finalizer = weakref.finalize(self, _end, self._process, self._log)
        argon = (volume.argon_high - volume.argon_low) / 2 / _MM
        active = np.subtract(volume.high, volume.low) / 2 / _MM
        self._ask(World(_triple(argon), _triple(active), step_cm / _MM, cut_cm / _MM))

    def track(self, primaries: Sequence[Primary], seed: int) -> tuple[Deposits, Tracks]:
        """Steps and particles of one event; the same primaries and seed give the same numbers.

        The id of primary i is i + 1. Times count from the start of the primary. ``seed``: 0 to 2^31 - 1.
        Raises ``ConfigurationError`` with Geant4's words when it ends on a fatal error.
        """
        shots = tuple(
            (p.pdg, p.kinetic_energy, _triple((np.array(p.position) - self._volume.centre) / _MM), p.direction)
            for p in primaries
        )
        steps, tracks = self._ask(Shot(seed, shots))
        return self._arrays(steps, tracks)

    def close(self) -> None:
        """End the process."""
        self._finalizer()

    def __enter__(self) -> "Geant4":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, what: World | Shot) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the pipes to Geant4 are not open")
        try:
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            status = self._process.wait()
            raise ConfigurationError(f"Geant4 ended with status {status}: {self._last_words()}") from None

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        told = lines
        issued = [i for i, line in enumerate(lines) if line.startswith("issued by")]
        if issued:
            told = list(itertools.takewhile(lambda line: not line.startswith("***"), lines[issued[-1] + 1 :]))
        return " ".join(told[-_LOG_LINES:]) or "it said nothing"

    def _arrays(self, steps: Float64, tracks: list[tuple[Any, ...]]) -> tuple[Deposits, Tracks]:
        deposits = Deposits(
            position=(steps[:, 0:3] + steps[:, 3:6]) / 2 * _MM + self._volume.centre,
            time=steps[:, 6] * _NS,
            energy=steps[:, 7].copy(),
            length=steps[:, 8] * _MM,
            particle=steps[:, 9].astype(np.int64),
        )
        by_id = {t[0]: t for t in tracks}
        wanted: set[int] = set()
        for number in np.unique(deposits.particle).tolist():
            while number and number not in wanted:
                wanted.add(number)
                number = by_id[number][2]
        rows = [by_id[i] for i in sorted(wanted)]
        numbers = np.array([r[3:8] for r in rows], dtype=np.float64).reshape(-1, 5)
        return deposits, Tracks(
            id=np.array([r[0] for r in rows], dtype=np.int64),
            pdg=np.array([r[1] for r in rows], dtype=np.int64),
            parent=np.array([r[2] for r in rows], dtype=np.int64),
            process=tuple(r[8] for r in rows),
            model=tuple(r[9] for r in rows),
            kinetic_energy=numbers[:, 0].copy(),
            position=numbers[:, 1:4] * _MM + self._volume.centre,
            time=numbers[:, 4] * _NS,
        )


def _end(process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
    log.close()


def _triple(v: Float64) -> tuple[float, float, float]:
    x, y, z = v.tolist()
    return x, y, z
