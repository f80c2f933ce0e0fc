"""What every reader of event files offers, whatever the format of the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from larmlreco.products import Product, ProductKey

Level = Literal["event", "subrun", "run"]
"""What a product belongs to; also which tree of a file it lies in."""


class IDs(Sequence[tuple[int, ...]]):
    """Ids in file order as tuples of integers, kept in one array so that millions of events stay small.

    ``array`` has the shape (n, 3) for events (run, subrun, event), (n, 2) for subruns, (n, 1) for runs.
    """

    def __init__(self, array: npt.ArrayLike) -> None:
        self.array: npt.NDArray[np.int64] = np.ascontiguousarray(array, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> "IDs": ...
    def __getitem__(self, index: int | slice) -> "tuple[int, ...] | IDs":
        if isinstance(index, slice):
            return IDs(self.array[index])
        return tuple(self.array[index].tolist())

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return (tuple(row.tolist()) for row in self.array)


class EventInfo(NamedTuple):
    """What an event record says beside its id. ``time`` is art's 64-bit time stamp, 0 where there is none."""

    is_real_data: bool
    time: int


class ProcessRecord(NamedTuple):
    """A process that made a file, the earliest first: name, release, hexadecimal id of its configuration."""

    name: str
    version: str
    parameter_set_id: str


@dataclass(frozen=True)
class BranchSummary:
    """A product branch of a file: name, C++ or product type, key (``None``: not a product of ours), size.

    ``bytes`` is the compressed size in the file. ``reason`` says why it cannot be decoded ("" if it can).
    """

    name: str
    type: str
    key: ProductKey | None
    entries: int
    bytes: int
    reason: str = ""


@runtime_checkable
class Reader(Protocol):
    """An open file of events.

    Every method raises :class:`larmlreco.errors.InputError` that names the file, the tree or branch and the entry
    when the content is damaged. A reader keeps a bounded amount of data in memory, however many events it reads.
    """

    @property
    def path(self) -> str:
        """What was opened: a path or an address."""
        ...

    @property
    def n_events(self) -> int:
        """Number of events."""
        ...

    @property
    def event_ids(self) -> IDs:
        """(run, subrun, event) of every event, in file order."""
        ...

    @property
    def subrun_ids(self) -> IDs:
        """(run, subrun) of every subrun record, in file order."""
        ...

    @property
    def run_ids(self) -> IDs:
        """(run,) of every run record, in file order."""
        ...

    @property
    def complete(self) -> bool:
        """False for a file whose writer did not finish."""
        ...

    @property
    def process_history(self) -> Sequence[ProcessRecord]:
        """Processes that made the file, the earliest first."""
        ...

    @property
    def configurations(self) -> Mapping[str, str]:
        """FHiCL text of the configuration of each process, as far as the file holds it."""
        ...

    def event_info(self, entry: int) -> EventInfo:
        """The event record of one entry."""
        ...

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products that can be read."""
        ...

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry; ``None`` where this entry has none. Raises ``InputError`` for an unknown key."""
        ...

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """All product branches, those that cannot be decoded too."""
        ...

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Branches that exist but cannot be decoded, with the reason."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...
