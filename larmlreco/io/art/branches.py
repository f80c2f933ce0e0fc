"""Branches of a TTree as sources of decoded objects, split or not."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from larmlreco.io.art.decoder import Bytes, DamagedError, Decoder, Jagged, Tree, UndecodableError
from larmlreco.io.art.streamer import (
    Basic,
    Classes,
    CppType,
    Element,
    Headed,
    Members,
    Object,
    Sequence,
    Text,
    named_type,
    normalized,
)

_STL_COUNT = 4
_CLONES = (3, 31)


class Source(Protocol):
    """Something that gives the decoded object of every entry of a tree."""

    def read(self, entry: int) -> Any:
        """The object of one entry."""
        ...

    def all(self) -> Iterator[Any]:
        """The objects of all entries, a basket at a time as columns. Unsplit branches only."""
        ...


def source(branch: Any, classes: Classes) -> Source:
    """The source of a branch (``uproot.TBranch``).

    Raises ``UndecodableError`` if its class cannot be decoded.
    """
    return _source(branch, classes, branch.name)


def _source(branch: Any, classes: Classes, prefix: str) -> Source:
    if not branch.branches:
        return _Whole(_leaf(branch, classes))
    if branch.member("fType") == _STL_COUNT:
        return _Collection(branch, classes)
    return _Record(branch, classes, prefix)


class _Leaf:
    """Bytes of a branch that has no branches below it, and their decoder. Keeps one basket."""

    def __init__(self, branch: Any, type_: CppType, classes: Classes) -> None:
        self._branch = branch
        self._decoder = Decoder(classes, type_)
        self._edges: list[int] | None = None
        self._held: tuple[int, Bytes, Bytes | None] | None = None

    def read(self, entry: int, n: int = 1) -> Tree:
        """``n`` instances that make up one entry."""
        number = int(np.searchsorted(self._entry_edges(), entry, side="right")) - 1
        first, stop = self._entry_edges()[number : number + 2]
        data, offsets = self._basket(number, stop - first)
        begin, end = int(offsets[entry - first]), int(offsets[entry - first + 1])
        return self._decoder(data[begin:end], n)

    def all(self) -> Iterator[Tree]:
        """All entries of one instance each, a basket at a time."""
        edges = self._entry_edges()
        for number, (first, stop) in enumerate(pairwise(edges)):
            data, _ = self._basket(number, stop - first)
            yield self._decoder(data, stop - first)

    def _entry_edges(self) -> list[int]:
        if self._edges is None:
            edges = [int(e) for e in self._branch.entry_offsets]
            if edges[0] != 0 or edges[-1] != self._branch.num_entries or any(np.diff(edges) < 0):
                raise DamagedError(f"its baskets do not cover its {self._branch.num_entries} entries")
            self._edges = edges
        return self._edges

    def _basket(self, number: int, n_entries: int) -> tuple[Bytes, Any]:
        if self._held is None or self._held[0] != number:
            self._held = None
            basket = self._branch.basket(number)
            data = np.array(basket.data, dtype=np.uint8)  # a copy: the decoder needs an array it could write to
            if basket.byte_offsets is not None:
                offsets = np.asarray(basket.byte_offsets)
            elif n_entries and len(data) % n_entries == 0:
                offsets = np.arange(n_entries + 1) * (len(data) // n_entries)
            else:
                raise DamagedError(f"basket {number} of {len(data)} bytes does not hold {n_entries} entries")
            rising = len(offsets) == n_entries + 1 and offsets[0] == 0 and offsets[-1] == len(data)
            if not rising or (np.diff(offsets) < 0).any():
                raise DamagedError(f"the offsets of the entries of basket {number} are wrong")
            self._held = number, data, offsets
        return self._held[1], self._held[2]


class _Whole:
    def __init__(self, leaf: _Leaf) -> None:
        self._leaf = leaf

    def read(self, entry: int) -> Any:
        return self._leaf.read(entry)

    def all(self) -> Iterator[Any]:
        return self._leaf.all()


class _Record:
    """An object whose members are branches."""

    def __init__(self, branch: Any, classes: Classes, prefix: str) -> None:
        self._members: list[tuple[tuple[str, ...], Source]] = []
        for below in branch.branches:
            if _is_base(below, classes):  # the members of a base class have the names of members of the object
                self._members.append(((), _source(below, classes, prefix)))
            else:
                self._members.append((_relative(below.name, prefix), source(below, classes)))

    def read(self, entry: int) -> Any:
        tree: dict[str, Any] = {}
        for path, member in self._members:
            _put(tree, path, member.read(entry))
        return tree

    def all(self) -> Iterator[Any]:
        raise UndecodableError("it is split")


class _Collection:
    """A collection whose items' members are branches, beside a branch of the number of items."""

    def __init__(self, branch: Any, classes: Classes) -> None:
        self._count = _Leaf(branch, Basic("i4"), classes)
        self._members = []
        for below in _leaves(branch):
            path = _relative(below.name, branch.name)
            self._members.append((path[:-1] if _is_base(below, classes) else path, _leaf(below, classes)))

    def read(self, entry: int) -> Any:
        count: Any = self._count.read(entry)
        n = int(count[0])
        if n < 0:
            raise DamagedError(f"a collection of {n} items")
        tree: dict[str, Any] = {}
        for path, member in self._members:
            _put(tree, path, member.read(entry, n))
        return Jagged(count.astype("i8"), tree)

    def all(self) -> Iterator[Any]:
        raise UndecodableError("it is split")


def _leaves(branch: Any) -> Iterator[Any]:
    for below in branch.branches:
        if below.branches:
            if below.member("fType") in (_STL_COUNT, *_CLONES):
                raise UndecodableError(f"{below.name} is a split collection inside another one")
            yield from _leaves(below)
        else:
            yield below


def _leaf(branch: Any, classes: Classes) -> _Leaf:
    """A branch without branches below it."""
    if branch.member("fID", none_if_missing=True) is None:
        raise UndecodableError(f"{branch.name} is not the branch of a class")
    if branch.member("fType") in _CLONES:
        raise UndecodableError(f"{branch.name} is a TClonesArray")
    if branch.member("fID") >= 0:
        return _Leaf(branch, _element(branch, classes).type, classes)
    name, version, checksum = _class_of(branch)
    type_ = named_type(name)
    if isinstance(type_, Object):
        return _Leaf(branch, Members(name, version, checksum), classes)
    return _Leaf(branch, Headed(type_) if isinstance(type_, Sequence | Text) else type_, classes)


def _class_of(branch: Any) -> tuple[str, int, int]:
    """Name, version and checksum of the class that a branch, or the member that a branch holds, belongs to."""
    name = normalized(str(branch.member("fClassName")))
    return name, int(branch.member("fClassVersion")), int(branch.member("fCheckSum")) & 0xFFFFFFFF


def _element(branch: Any, classes: Classes) -> Element:
    """The member or base class that a branch holds."""
    name, version, checksum = _class_of(branch)
    info = classes.find(name, version=version, checksum=checksum)
    index = int(branch.member("fID"))
    if info is None or not 0 <= index < len(info.elements):
        raise UndecodableError(f"the file does not describe member {index} of {name}, version {version}")
    element = info.elements[index]
    last = _relative(branch.name, "")[-1]
    if last.split("::")[-1] != element.name.split("::")[-1]:
        raise UndecodableError(f"{branch.name} is not member {element.name} of {name}, as the file describes it")
    return element


def _is_base(branch: Any, classes: Classes) -> bool:
    return branch.member("fID", none_if_missing=True) is not None and (
        branch.member("fID") >= 0 and _element(branch, classes).is_base
    )


def _relative(name: str, parent: str) -> tuple[str, ...]:
    """Path of a member below its parent: names of branches hold the whole path and the sizes of arrays."""
    name = re.sub(r"(\[\d*\])+\Z", "", name.rstrip("."))
    parent = parent.rstrip(".") + "."
    if parent != "." and name.startswith(parent):
        name = name[len(parent) :]
    return tuple(name.split("."))


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    if path:
        tree[path[-1]] = value
    else:
        tree.update(value)
