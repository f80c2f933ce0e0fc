"""The second reader: ROOT itself reads the content of products, through PyROOT.

It serves as a second opinion, and where the dictionaries of an experiment's classes are loaded: then objects are read
with the conversions between versions that those bring along. Without dictionaries ROOT makes do with the
descriptions in the file. Lists of products, ids and documents are read as by the first reader.
"""

import ctypes
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io import layout
from larmlreco.io.art.branches import Source, source
from larmlreco.io.art.decoder import Bytes, DamagedError, Jagged, Tree, UndecodableError
from larmlreco.io.art.file import ArtFile
from larmlreco.io.art.streamer import BASIC_TYPES, normalized
from larmlreco.io.art.translate import wrapped_class
from larmlreco.io.reader import Level, Reader
from larmlreco.io.root_reader import RootReader, _Chunk
from larmlreco.io.rootfile import first_line, open_root, reading

with warnings.catch_warnings():  # the wheel warns that it is young
    warnings.simplefilter("ignore")
    import ROOT

_DECLARATIONS = """
#include <TBranchElement.h>
#include <TLeaf.h>
namespace larmlreco {
  inline unsigned long object_of(TBranch* branch) {
    auto* element = dynamic_cast<TBranchElement*>(branch);
    return element ? reinterpret_cast<unsigned long>(element->GetObject()) : 0;
  }
  inline unsigned long values_of(TLeaf* leaf) { return reinterpret_cast<unsigned long>(leaf->GetValuePointer()); }
}
"""
_LEAF_TYPES = {
    "Bool_t": "?", "Char_t": "i1", "UChar_t": "u1", "Short_t": "i2", "UShort_t": "u2", "Int_t": "i4", "UInt_t": "u4",
    "Long64_t": "i8", "ULong64_t": "u8", "Float_t": "f4", "Double_t": "f8",
}  # fmt: skip
_IN_MEMORY = {**BASIC_TYPES, 9: "f8", 19: "f4"}
_BOOL = 18
_ARRAY, _STL_VECTOR = 20, 1
_POINTER = 8

_descriptions: dict[str, tuple[tuple[int, int], ...]] = {}
"""Version and checksums of the classes without a dictionary, as the first file in this process described them."""


def open_with_pyroot(path: str | Path) -> Reader:
    """Open a file of our own layout or of art, to be read by ROOT.

    Raises ``InputError`` for a file that is missing, damaged, or neither of these.
    """
    file = open_root(path)
    with reading(path, "the list of objects"):
        names = list(dict.fromkeys(file.keys(recursive=False, cycle=False)))
    if layout.PROVENANCE in names or layout.STATUS in names:
        return PyRootReader(path, file)
    if "Events" in names:
        return PyRootArtFile(path, file)
    raise InputError(
        f"input {path} holds no events that ROOT can read: it has {', '.join(names) or 'nothing'}; "
        "expected a tree Events (art, larmlreco)"
    )


def _open(path: str | Path) -> Any:
    """A ``TFile``, without the warnings about classes that have no dictionary."""
    if not hasattr(ROOT, "larmlreco"):
        ROOT.gROOT.SetBatch(True)
        ROOT.gInterpreter.Declare(_DECLARATIONS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ROOT.TFile.Open(str(path))
    except OSError as error:
        raise InputError(f"input {path}: ROOT cannot open it: {first_line(error)}") from error


def _memory(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size) if size else b""


class PyRootReader(RootReader):
    """A file of our own layout whose columns ROOT reads, one entry at a time."""

    @cached_property
    def _root_file(self) -> Any:
        return _open(self.path)

    def _load(self, level: Level, name: str, entry: int) -> _Chunk:
        tree = self._root_file.Get(layout.TREES[level])
        columns = {}
        for column in self._products[level][name]:
            values = self._values(tree, layout.column_branch(name, column), entry)
            columns[column] = np.array([0, len(values)], dtype="i8"), values
        metas = self._values(tree, layout.meta_branch(name), entry).astype("i4")
        return _Chunk(entry, entry + 1, metas, columns)

    def _values(self, tree: Any, name: str, entry: int) -> npt.NDArray[Any]:
        branch = tree.GetBranch(name)
        counter = branch.GetListOfLeaves().At(0).GetLeafCount()
        if counter and counter.GetBranch().GetEntry(entry) <= 0:
            raise ValueError(f"ROOT cannot read {counter.GetName()}")
        leaf = branch.GetListOfLeaves().At(0)
        # an empty list has no bytes, all else that has none is an error
        if branch.GetEntry(entry) < 0 or (branch.GetReadEntry() != entry):
            raise ValueError(f"ROOT cannot read {name}")
        dtype = np.dtype(_LEAF_TYPES[str(leaf.GetTypeName())])
        return np.frombuffer(_memory(ROOT.larmlreco.values_of(leaf), leaf.GetLen() * dtype.itemsize), dtype=dtype)

    def close(self) -> None:
        """Release the file."""
        super().close()
        self._root_file.Close()


class PyRootArtFile(ArtFile):
    """An art file whose collections ROOT reads into memory, with the dictionaries that are loaded.

    Links (``art::Assns``) are decoded from the bytes as by the first reader, because the dictionaries of art move
    them to members that are not stored.
    """

    @cached_property
    def _root_file(self) -> Any:
        return _open(self.path)

    def _source(self, level: Level, branch: Any) -> Source:
        class_name = str(branch.member("fClassName"))
        if normalized(wrapped_class(class_name)).startswith("art::Assns<"):
            return source(branch, self._classes)
        for name in self._classes.needed_by(class_name):
            known = tuple((info.version, info.checksum) for info in self._classes.versions(name))
            class_ = ROOT.TClass.GetClass(name)
            if not (class_ and class_.IsLoaded()) and _descriptions.setdefault(name, known) != known:
                # ROOT keeps the layout of the first file in memory and would give wrong numbers
                raise UndecodableError(
                    f"ROOT has no dictionary of {name} and read a file with another version of it before"
                )
        tree = self._root_file.Get({"event": "Events", "subrun": "SubRuns", "run": "Runs"}[level])
        return _ObjectSource(tree.GetBranch(branch.name), ROOT.TClass.GetClass(class_name))

    def close(self) -> None:
        """Release the file."""
        super().close()
        self._root_file.Close()


class _ObjectSource:
    """Objects that ROOT reads from a branch, taken from memory member by member."""

    def __init__(self, branch: Any, class_: Any) -> None:
        self._branch, self._class = branch, class_

    def read(self, entry: int) -> Any:
        if self._branch.GetEntry(entry) <= 0:
            raise DamagedError("ROOT cannot read it")
        address = int(ROOT.larmlreco.object_of(self._branch))
        if address == 0:
            raise UndecodableError("it is not the branch of a class")
        size = int(self._class.Size())
        return _record(np.frombuffer(_memory(address, size), dtype=np.uint8).reshape(1, size), self._class)

    def all(self) -> Iterator[Any]:
        return (self.read(entry) for entry in range(self._branch.GetEntries()))


def _record(rows: Bytes, class_: Any) -> dict[str, Tree]:
    """The stored members of objects; ``rows`` (N, size of the class) is their memory."""
    tree: dict[str, Tree] = {}
    for element in class_.GetStreamerInfo().GetElements():
        name, offset = str(element.GetName()), int(element.GetOffset())
        if element.IsBase():
            tree.update(_record(rows[:, offset:], element.GetClassPointer()))
        else:
            tree[name] = _member(rows[:, offset:], element)
    return tree


def _member(rows: Bytes, element: Any) -> Tree:
    code, length = int(element.GetType()), int(element.GetArrayLength())
    if length and _ARRAY <= code < 2 * _ARRAY:
        return _numbers(rows, code - _ARRAY, length)
    if not length and code in _IN_MEMORY:
        return _numbers(rows, code, 0)
    if isinstance(element, ROOT.TStreamerSTL) and int(element.GetSTLtype()) == _STL_VECTOR and not length:
        return _vectors(rows, element)
    if isinstance(element, ROOT.TStreamerObjectAny | ROOT.TStreamerObject) and not length:
        return _record(rows, element.GetClassPointer())
    raise UndecodableError(f"member {element.GetName()}, a {element.GetTypeName()}, is not read through ROOT")


def _numbers(rows: Bytes, code: int, length: int) -> npt.NDArray[Any]:
    dtype = np.dtype("?" if code == _BOOL else _IN_MEMORY[code])
    values = np.ascontiguousarray(rows[:, : dtype.itemsize * max(length, 1)]).view(dtype)
    return values if length else values[:, 0]


def _vectors(rows: Bytes, element: Any) -> Jagged:
    """``std::vector``, which is in memory the address of its first item and that behind its last."""
    ends = np.ascontiguousarray(rows[:, : 2 * _POINTER]).view("u8")
    sizes = (ends[:, 1] - ends[:, 0]).astype("i8")
    memory = b"".join(_memory(a, n) for a, n in zip(ends[:, 0].tolist(), sizes.tolist(), strict=True))
    content = np.frombuffer(memory, dtype=np.uint8)
    code = int(element.GetCtype())
    if code in _IN_MEMORY and code != _BOOL:
        dtype = np.dtype(_IN_MEMORY[code])
        return Jagged(sizes // dtype.itemsize, content.view(dtype))
    class_ = element.GetClassPointer().GetCollectionProxy().GetValueClass()
    if not class_:
        raise UndecodableError(f"member {element.GetName()}, a {element.GetTypeName()}, is not read through ROOT")
    size = int(class_.Size())
    return Jagged(sizes // size, _record(content.reshape(-1, size), class_))
