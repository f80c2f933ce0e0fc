"""Reads truth that lies beside a file of events, in a NumPy archive: steps and particles by event."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io.rootfile import first_line
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import ChannelStatus, TrueParticles, TrueSteps

_DEAD = 1
_HEAD = ("run", "subrun", "event", "class_names")
_STEPS = ("xyz", "t", "de", "dx", "electrons", "tick", "track")
_TRACKS = ("id", "pdg", "parent", "process", "ke", "xyz", "t", "t0", "semantic", "instance", "cosmic")


class TruthArchive:
    """Truth of the events of another file.

    Arrays ``run``, ``subrun``, ``event`` (events,), ``class_names``, optionally ``dead_channels``; of event i those
    called ``ev{i}_step_*`` (xyz cm, t us, de MeV, dx cm, electrons, tick, track) and ``ev{i}_track_*`` (id, pdg,
    parent, process, ke MeV, xyz cm, t us, t0 us, semantic, instance, cosmic).

    Raises ``InputError`` for a file that is something else, or whose classes are not the canonical ones.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._arrays: Any = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise InputError(f"truth {path} does not exist") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"truth {path} is not a readable npz archive: {first_line(error)}") from error
        files = set(getattr(self._arrays, "files", ()))
        missing = [name for name in _HEAD if name not in files]
        if missing:
            raise InputError(
                f"truth {path} lacks the arrays {', '.join(missing)}; "
                "expected truth by event, with ev0_step_xyz, ev0_track_id and so on"
            )
        self._has_dead = "dead_channels" in files
        names = tuple(str(name).lower() for name in self._arrays["class_names"])
        if names != tuple(name.lower() for name in SEMANTIC_NAMES):
            raise InputError(f"truth {path} has the classes {', '.join(names)}; expected {', '.join(SEMANTIC_NAMES)}")
        ids = zip(*(self._arrays[name].tolist() for name in ("run", "subrun", "event")), strict=True)
        self._entry = {(int(r), int(s), int(e)): i for i, (r, s, e) in enumerate(ids)}

    @property
    def event_ids(self) -> list[tuple[int, int, int]]:
        """(run, subrun, event) of every event."""
        return list(self._entry)

    def read(self, run: int, subrun: int, event: int) -> tuple[TrueSteps, TrueParticles]:
        """Truth of one event. Raises ``InputError`` for an event that the archive does not have."""
        if (run, subrun, event) not in self._entry:
            known = list(self._entry)
            shown = ", ".join(":".join(map(str, k)) for k in known[:3])
            raise InputError(
                f"truth {self.path} has no event {run}:{subrun}:{event}; "
                f"it has {len(known)}: {shown}{', ...' if len(known) > 3 else ''}"
            )
        number = self._entry[run, subrun, event]
        step = {name: self._array(f"ev{number}_step_{name}") for name in _STEPS}
        track = {name: self._array(f"ev{number}_track_{name}") for name in _TRACKS}
        processes, process = np.unique(track["process"], return_inverse=True)
        steps = {name: step[name] for name in ("t", "de", "dx", "electrons", "tick")}
        steps |= dict(zip("xyz", step["xyz"].T, strict=True)) | {"particle": step["track"]}
        particles = {name: track[name] for name in ("id", "pdg", "parent", "t", "t0", "semantic", "instance", "cosmic")}
        particles |= dict(zip("xyz", track["xyz"].T, strict=True))
        particles |= {"process": process, "kinetic_energy": track["ke"]}
        meta = {"processes": [str(p) for p in processes], "class_names": list(SEMANTIC_NAMES)}
        return TrueSteps.from_columns(steps), TrueParticles.from_columns(particles, meta)

    def channel_status(self) -> ChannelStatus:
        """Dead channels, the same for all events; none where the archive does not say."""
        channel = self._arrays["dead_channels"] if self._has_dead else np.zeros(0, dtype=np.int32)
        return ChannelStatus.from_columns({"channel": channel, "status": np.full(len(channel), _DEAD)})

    def close(self) -> None:
        """Close the file."""
        self._arrays.close()

    def _array(self, name: str) -> npt.NDArray[Any]:
        try:
            return np.asarray(self._arrays[name])
        except (KeyError, zipfile.BadZipFile, ValueError, EOFError) as error:
            raise InputError(f"truth {self.path} lacks the array {name}, or it is damaged") from error
