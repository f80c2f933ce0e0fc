"""Writes our own ROOT layout (see :mod:`larmlreco.io.layout`) with uproot, in bounded memory.

While it is written and after a failure the file is ``<path>.partial``: readable as far as it was flushed, and marked.
"""

import contextlib
import itertools
import os
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot
import xxhash

from larmlreco.errors import OutputError
from larmlreco.io import layout
from larmlreco.io.layout import ColumnLayout, Metas, Process, Provenance
from larmlreco.io.reader import EventInfo, Level
from larmlreco.io.rootdates import remove_dates
from larmlreco.products import Product, ProductKey

Compression = Literal["zstd", "lz4", "zlib", "lzma", "none"]

FLUSH_ENTRIES = 128
FLUSH_BYTES = 16 * 1024**2
"""Entries are kept until there are so many of them or so many bytes; the first ones are written after 1, 2, 4, ..."""


class _CheckedZSTD(uproot.ZSTD):  # type: ignore[misc]  # uproot has no types
    """Zstandard frames that end in a checksum of what they hold.

    uproot and ROOT write frames without one, and read most of those that were damaged as other numbers; every reader
    checks a checksum that is there. LZ4 (in ROOT), zlib and LZMA have theirs anyway.
    """

    @property
    def code_pair(self) -> tuple[int, int]:
        """Algorithm and level as ROOT numbers them."""
        pair: tuple[int, int] = uproot.ZSTD(self.level).code_pair
        return pair

    def compress(self, data: Any) -> bytes:
        """One frame (RFC 8878): byte 4 describes it, bit 2 of that says that a checksum follows the last block."""
        frame = bytearray(super().compress(data))
        if not frame[4] & 4:
            frame[4] |= 4
            frame += (xxhash.xxh64(data).intdigest() & 0xFFFFFFFF).to_bytes(4, "little")
        return bytes(frame)


_COMPRESSION: Mapping[str, Callable[[int], Any]] = {
    "zstd": _CheckedZSTD,
    "lz4": uproot.LZ4,
    "zlib": uproot.ZLIB,
    "lzma": uproot.LZMA,
}
HIGHEST_LEVEL: Mapping[Compression, int] = {"zstd": 22, "lz4": 12, "zlib": 9, "lzma": 9, "none": 22}
"""Highest level of each algorithm (any level means the same without compression)."""

_ID_TYPE = np.dtype(np.int64)
_INFO_TYPES: Mapping[str, np.dtype[Any]] = {layout.IS_REAL_DATA: np.dtype(bool), layout.TIME: np.dtype(np.uint64)}
_NO_INFO = EventInfo(is_real_data=False, time=0)


def partial_path(path: str | Path) -> Path:
    """Where an output lies until it is complete."""
    return Path(f"{path}.partial")


def check_output_path(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse an output that cannot be made: its directory is missing, it is a directory, or one of the inputs.

    Raises ``OutputError``. An output that exists is replaced when the new one is complete.
    """
    here = Path(path)
    if not here.parent.is_dir():
        raise OutputError(f"output {path}: directory {here.parent} does not exist; make it first")
    if here.is_dir():
        raise OutputError(f"output {path} is a directory; expected the name of a file")
    for given in inputs:
        if _same_file(here, given) or _same_file(partial_path(here), given):
            raise OutputError(f"output {path} is also an input; choose another name")


@contextlib.contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Raise ``OutputError`` that names the output for whatever the operating system refuses."""
    try:
        yield
    except OSError as error:
        partial = partial_path(path)
        left = f"; what was written lies in {partial}" if partial.exists() else ""
        raise OutputError(f"output {path}: {error.strerror or error}{left}") from error


def _same_file(output: Path, given: str | Path) -> bool:
    try:
        return output.resolve() == Path(given).resolve() or output.samefile(given)
    except OSError:
        return False


@dataclass
class _Entry:
    ids: tuple[int, ...]
    info: EventInfo
    products: dict[str, tuple[int, Product]]


@dataclass
class _Tree:
    """What is known of a tree, and its entries that are not yet in the file."""

    level: Level
    columns: dict[str, dict[str, ColumnLayout]] = field(default_factory=dict)
    waiting: list[_Entry] = field(default_factory=list)
    waiting_bytes: int = 0
    written: int = 0
    branches: list[str] = field(default_factory=list)

    @property
    def due(self) -> bool:
        return len(self.waiting) >= min(self.written + 1, FLUSH_ENTRIES) or self.waiting_bytes >= FLUSH_BYTES

    def scalars(self) -> dict[str, np.dtype[Any]]:
        """Types of the branches with one number an entry, without the counters."""
        out = dict.fromkeys(layout.ID_BRANCHES[self.level], _ID_TYPE)
        if self.level == "event":
            out |= _INFO_TYPES
        return out | {layout.meta_branch(product): np.dtype(np.int32) for product in self.columns}

    def counters(self) -> dict[str, str]:
        """Counter of every column's branch."""
        return {
            layout.column_branch(product, name): layout.counter_branch(product, what.rows)
            for product, columns in self.columns.items()
            for name, what in columns.items()
        }

    def types(self) -> dict[str, Any]:
        """Branch types in the words of uproot's ``mktree``."""
        out: dict[str, Any] = dict(self.scalars())
        for product, columns in self.columns.items():
            for name, what in columns.items():
                # as a type, not as text: uproot takes 20 ms to read the text of one
                out[layout.column_branch(product, name)] = ak.types.ListType(ak.types.NumpyType(what.dtype.name))
        return out

    def names(self) -> list[str]:
        """Names of the branches that :meth:`types` describes, in order."""
        return [*self.scalars(), *self.counters()]

    def take(self) -> dict[str, Any]:
        """The waiting entries as arrays by branch; none is waiting afterwards."""
        entries, self.waiting, self.waiting_bytes = self.waiting, [], 0
        out: dict[str, Any] = {}
        for i, name in enumerate(layout.ID_BRANCHES[self.level]):
            out[name] = np.array([entry.ids[i] for entry in entries], dtype=_ID_TYPE)
        if self.level == "event":
            out[layout.IS_REAL_DATA] = np.array([entry.info.is_real_data for entry in entries], dtype=bool)
            out[layout.TIME] = np.array([entry.info.time for entry in entries], dtype=np.uint64)
        for product, columns in self.columns.items():
            found = [entry.products.get(product) for entry in entries]
            metas = [layout.ABSENT if here is None else here[0] for here in found]
            out[layout.meta_branch(product)] = np.array(metas, dtype=np.int32)
            arrays = [None if here is None else here[1].to_columns() for here in found]
            for name, what in columns.items():
                empty = np.zeros(0, dtype=what.dtype)
                out[layout.column_branch(product, name)] = _jagged([empty if a is None else a[name] for a in arrays])
        return out

    def blanks(self, n: int, branches: Iterable[str]) -> dict[str, Any]:
        """What entries hold in branches that were added later."""
        scalars, out = self.scalars(), {}
        types = {
            layout.column_branch(product, name): what.dtype
            for product, columns in self.columns.items()
            for name, what in columns.items()
        }
        for name in branches:
            if name in scalars:
                out[name] = np.full(n, layout.ABSENT, dtype=scalars[name])
            else:
                out[name] = _jagged([np.zeros(0, dtype=types[name])] * n)
        return out


def _jagged(arrays: Sequence[npt.NDArray[Any]]) -> ak.Array:
    offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
    np.cumsum([len(a) for a in arrays], out=offsets[1:])
    content = ak.contents.NumpyArray(np.concatenate(arrays))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))


class RootWriter:
    """Writes one file of our layout.

    ``process`` made it, after those of ``history``; ``compression_level`` is that of the algorithm. With ``undated``
    the file has no date and no random identifier, so that the same entries make the same bytes. Entries are
    given by :meth:`write`, then :meth:`close` gives the file its name, or :meth:`abort` leaves what there is as
    ``<path>.partial``. As a context manager it does the one or the other.

    Every method raises ``OutputError`` when the file cannot be written (no space, no permission).
    """

    def __init__(
        self,
        path: str | Path,
        process: Process,
        history: Provenance = Provenance(),  # noqa: B008 (immutable)
        *,
        compression: Compression = "zstd",
        compression_level: int = 3,
        undated: bool = False,
    ) -> None:
        check_output_path(path)
        self.path = Path(path)
        self._history = history
        self._process = process
        self._compression = _COMPRESSION[compression](compression_level) if compression != "none" else None
        self._undated = undated
        self._trees = {level: _Tree(level) for level in layout.TREES}
        self._metas = Metas()
        self._documents: dict[str, str] = {}
        self._metas_written: Counter[tuple[Level, str]] = Counter()
        self._stream: IO[bytes] | None = None
        self._file: Any = None
        with self._errors():
            self._open(partial_path(self.path))
            self._put_documents(layout.PARTIAL)

    def declare(self, keys: Iterable[ProductKey], level: Level = "event") -> None:
        """Tell which products to expect, so that their branches exist even if no entry has them.

        A product whose columns depend on its meta, and one of an unknown type, is left to :meth:`write`.
        """
        tree = self._trees[level]
        for key in keys:
            known = Product.types.get(key.type)
            columns = None if known is None else layout.column_layout(known, {})
            if columns is not None:
                tree.columns.setdefault(key.branch, columns)

    def add_history(self, history: Provenance) -> None:
        """Add the processes of a further input."""
        self._history = self._history.followed_by(history)

    def update_process(self, process: Process) -> None:
        """Replace what is said of the process that writes, for example when a further input was opened."""
        self._process = process

    def write(
        self,
        ids: tuple[int, ...],
        products: Mapping[ProductKey, Product],
        level: Level = "event",
        info: EventInfo = _NO_INFO,
    ) -> None:
        """Add an entry: (run, subrun, event) of an event, (run, subrun) of a subrun, (run,) of a run.

        Raises ``OutputError`` for a product whose columns differ from those it had before.
        """
        tree = self._trees[level]
        entry = _Entry(ids, info, {})
        for key, product in products.items():
            columns = layout.column_layout(type(product), product.meta)
            if columns is None:
                raise AssertionError(f"{key.branch} was made without the meta that names its columns")
            before = tree.columns.setdefault(key.branch, columns)
            if before != columns:
                where = f"{level} {':'.join(map(str, ids))}"
                raise OutputError(
                    f"output {self.path}: {key.branch} has the columns {', '.join(columns)} in {where}, but had "
                    f"{', '.join(before)} before; a product keeps its columns throughout a file"
                )
            entry.products[key.branch] = self._metas.number(level, key.branch, product.meta), product
            tree.waiting_bytes += sum(getattr(product, name).nbytes for name in product.columns())
        tree.waiting.append(entry)
        if tree.due:
            with self._errors():
                self._flush(tree)

    def close(self) -> None:
        """Write the rest, mark the file complete and give it its name."""
        with self._errors():
            self._flush_all()
            self._put_documents(layout.COMPLETE)
            if self._stream is not None:
                os.fsync(self._stream.fileno())  # network file systems tell of a full disk only here
            self._close_file()
            if self._undated:
                try:
                    remove_dates(partial_path(self.path))
                except ValueError as error:  # a complete file, whatever its dates say
                    warnings.warn(f"output {self.path} keeps the dates at which it was written: {error}", stacklevel=2)
            partial_path(self.path).replace(self.path)

    def abort(self) -> Path | None:
        """Write the rest if that is possible and leave the file partial. Returns its path, ``None`` if closed."""
        if self._file is None:
            return None
        # something failed already, and that is what the user must see
        with contextlib.suppress(Exception):
            self._flush_all()
        with contextlib.suppress(Exception):
            self._close_file()
        return partial_path(self.path)

    def __enter__(self) -> "RootWriter":
        return self

    def __exit__(self, exception: type[BaseException] | None, *rest: object) -> None:
        if exception is None:
            self.close()
        else:
            self.abort()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with output_errors(self.path):
                yield
        except OutputError:
            # what still waits would fail again, and the stream would raise when it is collected
            stream, self._stream, self._file = self._stream, None, None
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
            raise

    def _open(self, path: Path) -> None:
        self._stream = path.open("w+b")
        identifier = (lambda: uuid.UUID(int=0)) if self._undated else uuid.uuid1
        self._file = uproot.recreate(self._stream, compression=self._compression, uuid_function=identifier)
        self._documents = {}
        self._metas_written = Counter()

    def _close_file(self) -> None:
        stream, file, self._stream, self._file = self._stream, self._file, None, None
        file.close()
        if stream is not None:
            stream.close()

    def _put_documents(self, status: str) -> None:
        made = self._history.followed_by(Provenance((self._process,)))
        self._put(layout.PROVENANCE, made.to_json())
        new = self._metas.to_json(after=self._metas_written)
        if new is not None:
            self._file[layout.PRODUCTS] = new
            self._metas_written = self._metas.counts()
        self._put(layout.STATUS, status)

    def _put(self, name: str, text: str) -> None:
        if self._documents.get(name) != text:
            if name in self._documents:
                del self._file[name]  # ROOT would still find the earlier cycle
            self._file[name] = text
            self._documents[name] = text

    def _flush_all(self) -> None:
        for tree in self._trees.values():
            self._flush(tree, even_empty=True)

    def _flush(self, tree: _Tree, even_empty: bool = False) -> None:
        if not tree.waiting and not (even_empty and not tree.branches):
            return
        # documents first: a file that ends here knows every meta that its entries name
        self._put_documents(layout.PARTIAL)
        if tree.branches and tree.branches != tree.names():
            self._rewrite()
        elif not tree.branches:
            self._make_tree(tree)
        n = len(tree.waiting)
        if n:
            self._file[layout.TREES[tree.level]].extend(tree.take())
            tree.written += n
        if self._stream is not None:
            self._stream.flush()

    def _make_tree(self, tree: _Tree) -> None:
        counters = tree.counters()
        types = tree.types()
        # the list of baskets lies in the file at its full capacity: doubling it keeps the file's growth linear
        self._file.mktree(
            layout.TREES[tree.level],
            types,
            counter_name=counters.__getitem__,
            initial_basket_capacity=16,
            resize_factor=2,
        )
        tree.branches = tree.names()

    def _rewrite(self) -> None:
        """Copy the file into one whose trees have all the branches that are known by now (uproot adds none)."""
        partial = partial_path(self.path)
        rewritten = partial.with_suffix(".rewritten")
        self._close_file()
        self._open(rewritten)
        self._put_documents(layout.PARTIAL)
        with uproot.open(partial) as old:
            for level, tree in self._trees.items():
                if not tree.branches:
                    continue
                before = tree.branches
                self._make_tree(tree)
                added = [name for name in tree.branches if name not in set(before)]
                source, target = old[layout.TREES[level]], self._file[layout.TREES[level]]
                for start, stop in _clusters(source):
                    columns = source.arrays(before, entry_start=start, entry_stop=stop, how=dict, library="ak")
                    target.extend(columns | tree.blanks(stop - start, added))
        rewritten.replace(partial)


def _clusters(tree: Any) -> list[tuple[int, int]]:
    edges = tree["run"].entry_offsets
    return list(itertools.pairwise(edges))
