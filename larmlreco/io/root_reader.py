"""Reads our own ROOT layout (see :mod:`larmlreco.io.layout`) with uproot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io import layout
from larmlreco.io.layout import Metas, Process, Provenance
from larmlreco.io.reader import BranchSummary, EventInfo, IDs, Level, ProcessRecord
from larmlreco.io.rootfile import open_root, reading, truncation
from larmlreco.products import Product, ProductKey


@dataclass(frozen=True)
class _Chunk:
    """One product in the entries [start, stop): numbers of metas, and offsets and content of every column."""

    start: int
    stop: int
    metas: npt.NDArray[np.int32]
    columns: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]


class RootReader:
    """A file of our own layout; implements :class:`larmlreco.io.reader.Reader`.

    ``file`` is the top directory where the file is open already. One cluster of every product that is read stays in
    memory: what the writer flushed at a time.
    """

    def __init__(self, path: str | Path, file: Any = None) -> None:
        self._path = str(path)
        self._file = open_root(path) if file is None else file
        with reading(self._path, "the list of documents"):
            status = self._documents(layout.STATUS)
            provenance = self._documents(layout.PROVENANCE)
            if not (status or provenance):
                raise InputError(f"input {path} is not a file of larmlreco: it lacks {layout.PROVENANCE}")
        self.complete = status[-1:] == [layout.COMPLETE]
        cut = truncation(self._file)
        if self.complete and cut:
            raise InputError(f"input {path} is truncated: {cut}")
        with reading(self._path, layout.PROVENANCE):
            self.provenance = Provenance.from_json(provenance[-1]) if provenance else Provenance()
        with reading(self._path, layout.PRODUCTS):
            self._metas = Metas.from_json(self._documents(layout.PRODUCTS))
        self._trees: dict[Level, Any] = {}
        self._products: dict[Level, dict[str, list[str]]] = {}
        self._ids: dict[Level, IDs] = {}
        for level, name in layout.TREES.items():
            self._read_tree(level, name)
        self._chunks: dict[tuple[Level, str], _Chunk] = {}

    def _read_tree(self, level: Level, name: str) -> None:
        id_branches = layout.ID_BRANCHES[level]
        with reading(self._path, f"tree {name}"):
            tree = self._trees[level] = self._file.get(name)
            if tree is None:  # a partial file may end before its first flush
                self._products[level] = {}
                self._ids[level] = IDs(np.zeros((0, len(id_branches))))
                return
            products: dict[str, list[str]] = {p: [] for p in layout.product_names(b.name for b in tree.branches)}
            for branch in tree.branches:
                product, _, column = branch.name.partition(".")
                if product in products and _is_list(branch):
                    products[product].append(column)
            self._products[level] = products
            ids = tree.arrays(id_branches, library="np", how=tuple)
            self._ids[level] = IDs(np.stack(ids, axis=1))
            if level == "event":
                self._info = tree.arrays([layout.IS_REAL_DATA, layout.TIME], library="np", how=tuple)

    def _documents(self, name: str) -> list[str]:
        cycles = sorted(int(k.split(";")[1]) for k in self._file.keys(recursive=False) if k.split(";")[0] == name)
        return [str(self._file[f"{name};{cycle}"]) for cycle in cycles]

    @property
    def path(self) -> str:
        """What was opened."""
        return self._path

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self._ids["event"])

    @property
    def event_ids(self) -> IDs:
        """(run, subrun, event) of every event, in file order."""
        return self._ids["event"]

    @property
    def subrun_ids(self) -> IDs:
        """(run, subrun) of every subrun record, in file order."""
        return self._ids["subrun"]

    @property
    def run_ids(self) -> IDs:
        """(run,) of every run record, in file order."""
        return self._ids["run"]

    @property
    def process_history(self) -> Sequence[ProcessRecord]:
        """Processes that made the file, the earliest first."""
        return [process.record for process in self.provenance.processes]

    @property
    def configurations(self) -> Mapping[str, str]:
        """Expanded FHiCL of each process."""
        return {process.name: process.configuration for process in self.provenance.processes}

    def event_info(self, entry: int) -> EventInfo:
        """The event record of one entry."""
        real, time = self._info
        return EventInfo(bool(real[entry]), int(time[entry]))

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products that can be read."""
        return [ProductKey.from_branch(name) for name in self._products[level] if not self._refusal(level, name)]

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Products of classes that are not loaded, or that have other columns in this version."""
        reasons = {name: self._refusal(level, name) for name in self._products[level]}
        return {name: reason for name, reason in reasons.items() if reason}

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """All products; ``entries`` counts the entries that have it."""
        tree, out = self._trees[level], []
        sizes: dict[str, int] = {}
        with reading(self._path, f"tree {layout.TREES[level]}"):
            for branch in tree.branches if tree is not None else ():
                product = branch.name.partition(".")[0]
                sizes[product] = sizes.get(product, 0) + int(branch.compressed_bytes)
            for name in self._products[level]:
                present = int((tree[layout.meta_branch(name)].array(library="np") != layout.ABSENT).sum())
                reason = self._refusal(level, name)
                key = None if reason else ProductKey.from_branch(name)
                out.append(BranchSummary(name, name.partition("_")[0], key, present, sizes[name], reason))
        return out

    def _refusal(self, level: Level, name: str) -> str:
        """Why a product cannot be made from its columns, "" if it can."""
        try:
            key = ProductKey.from_branch(name)
        except ValueError as error:
            return str(error)
        product = Product.types.get(key.type)
        if product is None:
            return f"no module or package that is loaded has a product class {key.type}"
        for meta in self._metas.of(level, name)[:1]:
            known = layout.column_layout(product, meta)
            if known is None:
                return f"its meta lacks the names of the columns of {key.type}"
            present = set(self._products[level][name])
            strange = sorted(present - set(known))
            fills = {field for field, what in product.columns().items() if what.fill is not None}
            lacking = sorted(set(known) - present - fills)
            if strange:
                return f"{key.type} of this version has no column {', '.join(strange)}"
            if lacking:
                return f"{key.type} of this version needs the column {', '.join(lacking)}"
        return ""

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry; ``None`` where this entry has none. Raises ``InputError`` for an unknown key."""
        name = key.branch
        refusal = self._refusal(level, name) if name in self._products[level] else "it is not there"
        if refusal:
            known = ", ".join(k.branch for k in self.keys(level)) or "none"
            raise InputError(f"input {self._path}: {level} product {name}: {refusal}; valid: {known}")
        chunk = self._chunks.get((level, name))
        if chunk is None or not chunk.start <= entry < chunk.stop:
            self._chunks.pop((level, name), None)  # not two clusters in memory at once
            with reading(self._path, f"tree {layout.TREES[level]}, {name}, entry {entry}"):
                chunk = self._chunks[level, name] = self._load(level, name, entry)
        i = entry - chunk.start
        if chunk.metas[i] == layout.ABSENT:
            return None
        with reading(self._path, f"tree {layout.TREES[level]}, {name}, entry {entry}"):
            columns = {n: content[offsets[i] : offsets[i + 1]] for n, (offsets, content) in chunk.columns.items()}
            meta = self._metas.of(level, name)[chunk.metas[i]]
            return Product.types[key.type].from_columns(columns, meta)

    def _load(self, level: Level, name: str, entry: int) -> _Chunk:
        tree = self._trees[level]
        columns = {column: layout.column_branch(name, column) for column in self._products[level][name]}
        meta = layout.meta_branch(name)
        start, stop = 0, tree.num_entries
        if not 0 <= entry < stop:
            raise IndexError(f"entry {entry} is outside the {stop} entries")
        for branch in (meta, *columns.values()):
            edges = np.asarray(tree[branch].entry_offsets)
            basket = int(np.searchsorted(edges, entry, side="right")) - 1
            start = max(start, int(edges[basket]))
            stop = min(stop, int(edges[basket + 1]))
        arrays = tree.arrays([meta, *columns.values()], entry_start=start, entry_stop=stop, how=dict, library="ak")
        loaded = {}
        for column, branch in columns.items():
            lists = ak.to_layout(arrays[branch]).to_ListOffsetArray64(True)
            loaded[column] = np.asarray(lists.offsets), ak.to_numpy(lists.content)
        return _Chunk(start, stop, ak.to_numpy(arrays[meta]), loaded)

    def close(self) -> None:
        """Release the file."""
        self._chunks.clear()
        self._file.file.close()


def _is_list(branch: Any) -> bool:
    return branch.member("fLeaves")[0].member("fLeafCount") is not None


def provenance_of(reader: Any) -> Provenance:
    """What made a file, whatever its format: what a reader of our layout holds, else its processes and their FHiCL."""
    if isinstance(reader, RootReader):
        return reader.provenance
    texts = reader.configurations
    return Provenance(
        tuple(
            Process(p.name, p.version, texts.get(p.name, ""), p.parameter_set_id, inputs=())
            for p in reader.process_history
        )
    )
