"""What the readers of formats without runs, subruns and provenance have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io.reader import BranchSummary, EventInfo, IDs, Level, ProcessRecord
from larmlreco.products import Product, ProductKey


class ForeignReader(ABC):
    """Base of readers that get only events from a file; implements :class:`larmlreco.io.reader.Reader`.

    ``ids`` (n, 3) int64 are the runs, subruns and events; runs and subruns follow from them. All products carry the
    name ``process``.
    """

    complete = True

    def __init__(self, path: str | Path, process: str, ids: npt.ArrayLike) -> None:
        self._path = str(path)
        self._process = process
        self._ids = IDs(ids)

    @property
    def path(self) -> str:
        """What was opened."""
        return self._path

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self._ids)

    @property
    def event_ids(self) -> IDs:
        """(run, subrun, event) of every event, in file order."""
        return self._ids

    @property
    def subrun_ids(self) -> IDs:
        """(run, subrun) of the events, each once, in the order of their first event."""
        return self._distinct(2)

    @property
    def run_ids(self) -> IDs:
        """(run,) of the events, each once, in the order of their first event."""
        return self._distinct(1)

    def _distinct(self, columns: int) -> IDs:
        _, first = np.unique(self._ids.array[:, :columns], axis=0, return_index=True)
        return IDs(self._ids.array[np.sort(first), :columns])

    @property
    def process_history(self) -> Sequence[ProcessRecord]:
        """One process, which stands for whatever made the file."""
        return [ProcessRecord(self._process, "", "")]

    @property
    def configurations(self) -> Mapping[str, str]:
        """The file holds none."""
        return {}

    def event_info(self, entry: int) -> EventInfo:
        """The file does not say when an event was taken."""
        return EventInfo(is_real_data=False, time=0)

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products that can be read."""
        return [b.key for b in self.branches(level) if b.key is not None]

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Branches that exist but cannot be decoded, with the reason."""
        return {b.name: b.reason for b in self.branches(level) if b.reason}

    @abstractmethod
    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """All product branches, those that cannot be decoded too."""

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry; ``None`` where this entry has none. Raises ``InputError`` for an unknown key."""
        if key not in self.keys(level):
            known = ", ".join(k.branch for k in self.keys(level)) or "none"
            raise InputError(f"input {self._path} has no {level} product {key.branch}; valid: {known}")
        return self._read(entry, key)

    @abstractmethod
    def _read(self, entry: int, key: ProductKey) -> Product | None:
        """The product of a key that exists."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""
