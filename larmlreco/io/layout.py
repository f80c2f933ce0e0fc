"""The layout of our own ROOT files: names of trees, branches and documents, and what the documents say.

A file holds the trees ``Events``, ``SubRuns`` and ``Runs``. An entry is one event, subrun or run; its id lies in the
branches ``run``, ``subrun``, ``event`` (events also have ``is_real_data`` and ``time``). The product
``<Type>_<label>_<instance>_<process>`` has

- a branch ``<product>.<column>`` a column, a variable-length array of numbers,
- a branch ``<product>.n_<rows>`` a group of columns of equal length: that length, the counter of their branches,
- a branch ``<product>.meta``: the number of its ``meta`` in the document of products, -1 where the entry has no such
  product.

The columns are the branches of variable length; the other two kinds hold one number an entry. ROOT's ``Snapshot`` does
not know names with dots: ``Define("peak_time", "Hits_gaushit__Reco1.peak_time")`` first.

Beside the trees lie three documents, ``TObjString`` of text that any ROOT reads: ``larmlreco_status`` is ``complete``
or ``partial``, ``larmlreco_provenance`` (JSON) tells what made the file, process by process, ``larmlreco_products``
(JSON) lists the distinct ``meta`` of every product; its cycles follow one another, each continues the lists of those
before it.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from larmlreco.io.reader import Level, ProcessRecord
from larmlreco.products import Product
from larmlreco.products.base import Json

FORMAT_VERSION = 1
"""Raised when a file of an earlier version of the package could not be read by the same code."""

STATUS, PRODUCTS, PROVENANCE = "larmlreco_status", "larmlreco_products", "larmlreco_provenance"
COMPLETE, PARTIAL = "complete", "partial"

TREES: Mapping[Level, str] = {"event": "Events", "subrun": "SubRuns", "run": "Runs"}
ID_BRANCHES: Mapping[Level, tuple[str, ...]] = {
    "event": ("run", "subrun", "event"),
    "subrun": ("run", "subrun"),
    "run": ("run",),
}
IS_REAL_DATA, TIME = "is_real_data", "time"
ABSENT = -1
"""Content of the branch ``<product>.meta`` where the entry has no such product."""


def column_branch(product: str, column: str) -> str:
    """Branch of one column."""
    return f"{product}.{column}"


def counter_branch(product: str, rows: str) -> str:
    """Branch of the length of a group of columns."""
    return f"{product}.n_{rows}"


def meta_branch(product: str) -> str:
    """Branch of the number of the meta."""
    return f"{product}.meta"


@dataclass(frozen=True)
class ColumnLayout:
    """A column as it is stored: its type and the group of columns it has equal length with."""

    dtype: np.dtype[Any]
    rows: str


def column_layout(product: type[Product], meta: Mapping[str, Json]) -> dict[str, ColumnLayout] | None:
    """Columns of a product by name, in order; ``None`` where ``meta`` lacks the names of the parts of a field."""
    out: dict[str, ColumnLayout] = {}
    for name, what in product.columns().items():
        here = ColumnLayout(what.dtype, what.rows)
        if what.parts is None:
            out[name] = here
            continue
        if isinstance(what.parts, str) and what.parts not in meta:
            return None
        for part in meta[what.parts] if isinstance(what.parts, str) else what.parts:
            out[f"{name}_{part}"] = here
    return out


@dataclass(frozen=True)
class Process:
    """A process that made a file.

    ``version`` is the release that ran it, ``configuration`` its expanded FHiCL, ``parameter_set_id`` the hexadecimal
    hash of that, ``versions`` the packages it used, ``models`` the SHA-256 of the archives it loaded by name,
    ``inputs`` the files it read, ``not_kept`` the products of its input that it could not keep, with the reason.
    """

    name: str
    version: str = ""
    configuration: str = ""
    parameter_set_id: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    not_kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def record(self) -> ProcessRecord:
        """What readers of all formats tell of a process."""
        return ProcessRecord(self.name, self.version, self.parameter_set_id)


@dataclass(frozen=True)
class Provenance:
    """What made a file: its processes, the earliest first."""

    processes: Sequence[Process] = ()

    def followed_by(self, later: "Provenance") -> "Provenance":
        """These processes, then those of ``later`` that are not among them."""
        known = {(p.name, p.parameter_set_id, p.configuration) for p in self.processes}
        new = [p for p in later.processes if (p.name, p.parameter_set_id, p.configuration) not in known]
        return Provenance((*self.processes, *new))

    def to_json(self) -> str:
        """Text of the document of provenance."""
        processes = [dataclasses.asdict(process) for process in self.processes]
        return json.dumps({"format": FORMAT_VERSION, "processes": processes}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Provenance":
        """Read the document. Raises ``ValueError`` for one of a later format."""
        document = json.loads(text)
        if document["format"] > FORMAT_VERSION:
            raise ValueError(
                f"format {document['format']} was written by a later version; this one reads up to {FORMAT_VERSION}"
            )
        names = {f.name for f in dataclasses.fields(Process)}
        return cls(tuple(Process(**{k: v for k, v in p.items() if k in names}) for p in document["processes"]))


class Metas:
    """The distinct ``meta`` of every product of a file, numbered in the order of their first use."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Level, str], dict[str, int]] = {}
        self._metas: dict[tuple[Level, str], list[dict[str, Json]]] = {}

    def number(self, level: Level, product: str, meta: Mapping[str, Json]) -> int:
        """Number of a meta; a new one is added. Raises ``TypeError`` for a value that JSON does not have."""
        numbers = self._numbers.setdefault((level, product), {})
        text = json.dumps(dict(meta), sort_keys=True)
        if text not in numbers:
            numbers[text] = len(numbers)
            self._metas.setdefault((level, product), []).append(json.loads(text))
        return numbers[text]

    def of(self, level: Level, product: str) -> Sequence[dict[str, Json]]:
        """All metas of a product, in the order of their numbers."""
        return self._metas.get((level, product), [])

    def counts(self) -> Counter[tuple[Level, str]]:
        """How many metas every product has."""
        return Counter({which: len(metas) for which, metas in self._metas.items()})

    def to_json(self, after: Counter[tuple[Level, str]]) -> str | None:
        """Document of the metas beyond the first ``after`` of every product; ``None`` if there are none."""
        document: dict[str, dict[str, list[Json]]] = {}
        for (level, name), count in self.counts().items():
            if count > after[level, name]:
                document.setdefault(TREES[level], {})[name] = list(self.of(level, name)[after[level, name] :])
        return json.dumps(document) if document else None

    @classmethod
    def from_json(cls, texts: Iterable[str]) -> "Metas":
        """Read the documents of a file, in the order of their cycles."""
        out = cls()
        for text in texts:
            document = json.loads(text)
            for level, tree in TREES.items():
                for name, metas in document.get(tree, {}).items():
                    for meta in metas:
                        out.number(level, name, meta)
        return out


def product_names(branches: Iterable[str]) -> list[str]:
    """Names of the products of a tree, from the names of all its branches, in their order."""
    suffix = meta_branch("")
    return [name.removesuffix(suffix) for name in branches if name.endswith(suffix)]
