"""Reads LArCV2 ROOT files: images of planes, voxels and true particles.

LArCV2 (github.com/DeepLearnPhysics/larcv2) keeps a tree ``<kind>_<producer>_tree`` for every product. Its images are
stored column after column: pixel (row, column) is element column * rows + row. Voxel (x, y, z) of a sparse tensor has
the number (z * ny + y) * nx + x.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io.foreign import ForeignReader
from larmlreco.io.reader import BranchSummary, Level
from larmlreco.io.rootfile import open_root, reading, truncation
from larmlreco.labels import Semantic
from larmlreco.masses import is_nucleus, mass
from larmlreco.products import Pixels, Product, ProductKey, TrueParticles, Voxels
from larmlreco.units import NS

PROCESS = "LArCV"

_KINDS = {"image2d": "EventImage2D", "particle": "EventParticle", "sparse3d": "EventSparseTensor3D"}
"""What is read: the first word of a tree's name, and its C++ class."""

_CHUNK = 16  # images of 256 x 256 pixels take 0.8 MB an event
_INVALID_TRACK = 2**32 - 1
_HIP = {2212}
_MIP = {13, 211, 321}
_SHOWER = {11, 22, 111}


@dataclass(frozen=True)
class _Tree:
    kind: str
    producer: str
    tree: Any

    @property
    def branch(self) -> str:
        return f"{self.kind}_{self.producer}_branch"

    @property
    def label(self) -> str:
        return self.producer.replace("_", "")

    def array(self, leaf: str, start: int, stop: int) -> ak.Array:
        """Entries [start, stop) of the sub-branch named ``leaf``."""
        found = [key for key in self.tree.keys(recursive=True) if key.split("/")[-1] == leaf]
        if not found:
            raise KeyError(f"{self.branch} has no {leaf}")
        return self.tree[found[0]].array(entry_start=start, entry_stop=stop, library="ak")


def is_larcv(names: list[str]) -> bool:
    """Whether the objects of a ROOT file are those of a LArCV2 file."""
    return any(name.endswith("_tree") and name.startswith(tuple(f"{kind}_" for kind in _KINDS)) for name in names)


class LArCVReader(ForeignReader):
    """A LArCV2 file; implements :class:`larmlreco.io.reader.Reader`.

    ``image2d`` becomes ``Pixels`` with the instance ``plane<i>`` (i: place in the event's list of images), the pixels
    that are not zero; ``meta`` also has ``origin`` and ``pitch``, (column, row) in the unit of the image. ``sparse3d``
    becomes ``Voxels``, their ``energy`` whatever value the producer gave (a class number in an image of labels); the
    voxels must be cubes. ``particle``
    becomes ``TrueParticles``: id is LArCV's number plus 1, the kinetic energy follows from momentum and mass (nan for
    a PDG code without a known mass), the class from the PDG code alone (no delta rays or Michel electrons), the
    instance is the particle itself.
    """

    def __init__(self, path: str | Path, file: Any = None) -> None:
        self._file = open_root(path) if file is None else file
        cut = truncation(self._file)
        if cut:
            raise InputError(f"input {path} is truncated: {cut}")
        self._trees = []
        with reading(path, "the list of trees"):
            for name in self._file.keys(recursive=False, cycle=False, filter_classname="TTree"):
                kind, _, producer = name.removesuffix("_tree").partition("_")
                if name.endswith("_tree") and producer:
                    self._trees.append(_Tree(kind, producer, self._file[name]))
        readable = [t for t in self._trees if t.kind in _KINDS]
        if not readable:
            trees = ", ".join(f"{kind}_*_tree" for kind in _KINDS)
            raise InputError(f"input {path} holds none of {trees}; expected a LArCV2 file")
        self._check_lengths(path, readable)
        with reading(path, readable[0].branch):
            n = readable[0].tree.num_entries
            columns = [ak.to_numpy(readable[0].array(leaf, 0, n)) for leaf in ("_run", "_subrun", "_event")]
        super().__init__(path, PROCESS, np.stack([_valid(c) for c in columns], axis=1).reshape(-1, 3))
        self._chunks: dict[str, tuple[int, int, list[ak.Array]]] = {}
        self._summaries: list[BranchSummary] = []
        self._of_key: dict[ProductKey, tuple[_Tree, int]] = {}
        for tree in self._trees:
            with reading(path, tree.branch):
                self._add(tree)

    @staticmethod
    def _check_lengths(path: str | Path, trees: list[_Tree]) -> None:
        lengths = {tree.branch: tree.tree.num_entries for tree in trees}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise InputError(f"input {path}: its trees have different numbers of events: {found}")

    def _add(self, tree: _Tree) -> None:
        n, size = tree.tree.num_entries, int(tree.tree.compressed_bytes)
        if tree.kind == "image2d":
            images = ak.to_numpy(ak.num(tree.array("_image_v._meta._col_count", 0, n)))
            planes = int(images.max()) if n else 0
            for i in range(planes):
                key = ProductKey("Pixels", tree.label, f"plane{i}", PROCESS)
                self._of_key[key] = tree, i
                present = int((images > i).sum())
                self._summaries.append(BranchSummary(key.branch, "larcv::EventImage2D", key, present, size // planes))
        elif tree.kind in _KINDS:
            key = ProductKey("TrueParticles" if tree.kind == "particle" else "Voxels", tree.label, "", PROCESS)
            self._of_key[key] = tree, 0
            self._summaries.append(BranchSummary(key.branch, f"larcv::{_KINDS[tree.kind]}", key, n, size))
        else:
            reason = f"only {', '.join(_KINDS)} are read from LArCV2 files"
            self._summaries.append(BranchSummary(tree.branch, f"larcv {tree.kind}", None, n, size, reason))

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """All products; those of other kinds than ``_KINDS`` cannot be decoded."""
        return list(self._summaries) if level == "event" else []

    def _read(self, entry: int, key: ProductKey) -> Product | None:
        if not 0 <= entry < self.n_events:
            raise IndexError(f"entry {entry} is outside the {self.n_events} entries")
        tree, i = self._of_key[key]
        with reading(self.path, f"{tree.branch}, entry {entry}"):
            if tree.kind == "particle":
                return _particles(tree, entry)
            if tree.kind == "sparse3d":
                return _voxels(tree, entry, self.path)
            start, stop, columns = self._chunks.get(tree.branch, (0, 0, []))
            if not start <= entry < stop:
                self._chunks.pop(tree.branch, None)  # not two chunks in memory at once
                start, stop = entry, min(entry + _CHUNK, self.n_events)
                columns = [tree.array(leaf, start, stop) for leaf in _IMAGE_LEAVES]
                self._chunks[tree.branch] = start, stop, columns
            return _pixels([column[entry - start] for column in columns], i)

    def close(self) -> None:
        """Release the file."""
        self._chunks.clear()
        self._file.file.close()


_IMAGE_LEAVES = (
    "_image_v._img",
    "_image_v._meta._col_count",
    "_image_v._meta._row_count",
    "_image_v._meta._p1.x",
    "_image_v._meta._p1.y",
    "_image_v._meta._p2.x",
    "_image_v._meta._p2.y",
)


def _pixels(event: list[ak.Array], i: int) -> Pixels | None:
    if i >= len(event[0]):
        return None
    n_columns, n_rows = int(event[1][i]), int(event[2][i])
    x1, y1, x2, y2 = (float(values[i]) for values in event[3:])
    image = ak.to_numpy(event[0][i]).reshape(n_columns, n_rows)
    column, row = np.nonzero(image)
    columns: dict[str, npt.ArrayLike] = {
        "tpc": np.zeros(len(column)),
        "plane": np.full(len(column), i),
        "column": column,
        "row": row,
        "adc": image[column, row],
    }
    meta = {
        "detector": "",
        "tpc": 0,
        "plane": i,
        "view": f"plane{i}",
        "rebin": 1,
        "threshold": 0.0,
        "n_columns": n_columns,
        "n_rows": n_rows,
        "origin": [x1, y1],
        "pitch": [(x2 - x1) / max(n_columns, 1), (y2 - y1) / max(n_rows, 1)],
    }
    return Pixels.from_columns(columns, meta)


def _voxels(tree: _Tree, entry: int, path: str) -> Voxels:
    def value(leaf: str) -> float:
        return float(tree.array(f"_meta.{leaf}", entry, entry + 1)[0])

    pitches = [value(f"_{axis}len") for axis in "xyz"]
    if not np.allclose(pitches, pitches[0], rtol=1e-6):
        raise InputError(
            f"input {path}, {tree.branch}, entry {entry}: its voxels measure "
            f"{' x '.join(f'{pitch:g}' for pitch in pitches)}; expected cubes"
        )
    numbers = ak.to_numpy(tree.array("_voxel_v._id", entry, entry + 1)[0]).astype(np.int64)
    nx, ny, _ = shape = [int(value(f"_{axis}num")) for axis in "xyz"]
    columns: dict[str, npt.ArrayLike] = {
        "x": numbers % nx,
        "y": numbers // nx % ny,
        "z": numbers // (nx * ny),
        "energy": ak.to_numpy(tree.array("_voxel_v._value", entry, entry + 1)[0]),
        "pitch": pitches[:1],
    }
    origin = {f"origin_{axis}": [value(f"_p1.{axis}")] for axis in "xyz"}
    return Voxels.from_columns(columns | origin, {"shape": shape})


def _particles(tree: _Tree, entry: int) -> TrueParticles:
    def column(leaf: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = ak.to_numpy(tree.array(f"_part_v.{leaf}", entry, entry + 1)[0])
        return values

    pdg = column("_pdg").astype(np.int64)
    track, parent_track = column("_trackid").astype(np.int64), column("_parent_trackid").astype(np.int64)
    ancestor_track, number = column("_ancestor_trackid").astype(np.int64), column("_id").astype(np.int64) + 1
    by_track = {int(t): i for i, t in enumerate(track) if t != _INVALID_TRACK}
    parent = np.array(
        [number[by_track[p]] if p in by_track and p != t else 0 for p, t in zip(parent_track, track, strict=True)],
        dtype=np.int64,
    )
    t = column("_vtx._t") * NS
    t0 = np.array([t[by_track.get(int(a), i)] for i, a in enumerate(ancestor_track)])
    names = ak.to_list(tree.array("_part_v._process", entry, entry + 1)[0])
    processes = sorted(set(names))
    columns: dict[str, npt.ArrayLike] = {
        "id": number,
        "pdg": pdg,
        "parent": parent,
        "process": [processes.index(name) for name in names],
        "kinetic_energy": _kinetic_energy(pdg, np.stack([column(f"_p{axis}") for axis in "xyz"], axis=1)),
        "x": column("_vtx._x"),
        "y": column("_vtx._y"),
        "z": column("_vtx._z"),
        "t": t - t0,
        "t0": t0,
        "semantic": [int(_semantic(int(code))) for code in pdg],
        "instance": number,
        "cosmic": np.zeros(len(pdg)),
    }
    return TrueParticles.from_columns(columns, {"processes": processes})


def _kinetic_energy(pdg: npt.NDArray[np.int64], momentum: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rest = np.array([mass(int(code)) for code in pdg])
    kinetic: npt.NDArray[np.float64] = np.sqrt((momentum**2).sum(axis=1) + rest**2) - rest
    return kinetic


def _semantic(pdg: int) -> Semantic:
    code = abs(pdg)
    if code in _HIP or is_nucleus(code):
        return Semantic.HIP
    if code in _MIP:
        return Semantic.MIP
    return Semantic.SHOWER if code in _SHOWER else Semantic.NO_LABEL


def _valid(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """LArCV writes 2^64 - 1 for a number it does not know; 0 here."""
    return np.where(values > np.iinfo(np.int64).max, 0, values).astype(np.int64)
