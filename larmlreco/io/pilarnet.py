"""Reads HDF5 files of PILArNet-M: voxels with energy, class and clusters."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io.foreign import ForeignReader
from larmlreco.io.reader import BranchSummary, Level
from larmlreco.io.rootfile import first_line
from larmlreco.labels import SPINE_NAMES
from larmlreco.products import Product, ProductKey, TrueLabels, Voxels

PROCESS = "PILArNet"
POINT_COLUMNS = ("x", "y", "z", "value", "energy", "t", "electrons", "dx")
CLUSTER_COLUMNS = ("points", "fragment", "group", "interaction", "semantic")
"""Columns of the two data sets; later releases add the kind of particle to ``cluster``, which is not read."""

_CLUSTER_WIDTHS = (len(CLUSTER_COLUMNS), len(CLUSTER_COLUMNS) + 1)
VOXELS = ProductKey("Voxels", "voxels", "", PROCESS)
TRUTH = ProductKey("TrueLabels", "truth", "", PROCESS)


class PilarnetReader(ForeignReader):
    """A PILArNet-M file; implements :class:`larmlreco.io.reader.Reader`.

    The data sets ``point`` and ``cluster`` hold one row of variable length an event: points with ``POINT_COLUMNS``,
    ordered by cluster, and clusters with ``CLUSTER_COLUMNS``. They become ``Voxels`` (energy in MeV) and ``TrueLabels``
    in the scheme ``spine`` (cluster: the fragment's number; particle: that of the group). Event i is 1:1:i+1.
    ``pitch`` is the edge of a voxel in cm. Raises ``InputError`` for a file that is something else.
    """

    def __init__(self, path: str | Path, *, pitch: float = 0.3) -> None:
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise InputError(f"input {path} is not a readable HDF5 file: {first_line(error)}") from error
        missing = [name for name in ("point", "cluster") if name not in self._file]
        if missing:
            raise InputError(
                f"input {path} lacks the data sets {', '.join(missing)}; expected point and cluster, as in PILArNet-M; "
                f"it has {', '.join(self._file) or 'nothing'}"
            )
        lengths = {name: len(self._file[name]) for name in ("point", "cluster")}
        if len(set(lengths.values())) > 1:
            raise InputError(f"input {path} has {lengths['point']} events of points and {lengths['cluster']} of truth")
        super().__init__(path, PROCESS, [[1, 1, i + 1] for i in range(lengths["point"])] or np.zeros((0, 3)))
        self._pitch = pitch

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """The two products."""
        if level != "event":
            return []
        sizes = [int(self._file[name].id.get_storage_size()) for name in ("point", "cluster")]
        pairs = zip((VOXELS, TRUTH), sizes, strict=True)
        return [BranchSummary(key.branch, key.type, key, self.n_events, size) for key, size in pairs]

    def _read(self, entry: int, key: ProductKey) -> Product:
        if not 0 <= entry < self.n_events:
            raise IndexError(f"entry {entry} is outside the {self.n_events} entries")
        points = self._row("point", entry)
        if points.size % len(POINT_COLUMNS):
            raise InputError(
                f"input {self.path}, entry {entry}: point has {points.size} numbers; "
                f"expected {len(POINT_COLUMNS)} a point: {', '.join(POINT_COLUMNS)}"
            )
        point = dict(zip(POINT_COLUMNS, points.reshape(-1, len(POINT_COLUMNS)).T, strict=True))
        return self._voxels(point, entry) if key == VOXELS else self._labels(len(point["x"]), entry)

    def _row(self, name: str, entry: int) -> npt.NDArray[Any]:
        try:
            return np.asarray(self._file[name][entry])
        except OSError as error:
            raise InputError(f"input {self.path}, {name}, entry {entry}: {first_line(error)}") from error

    def _voxels(self, point: dict[str, npt.NDArray[Any]], entry: int) -> Voxels:
        columns: dict[str, npt.ArrayLike] = {"energy": point["energy"], "pitch": [self._pitch]}
        columns |= {f"origin_{axis}": [0.0] for axis in "xyz"}
        for axis in "xyz":
            index = np.rint(point[axis])
            if not np.array_equal(index, point[axis]):
                raise InputError(f"input {self.path}, entry {entry}: {axis} is not the index of a voxel everywhere")
            columns[axis] = index
        return Voxels.from_columns(columns)

    def _labels(self, n_points: int, entry: int) -> TrueLabels:
        numbers = self._row("cluster", entry)
        for width in _CLUSTER_WIDTHS:
            if numbers.size % width == 0 and numbers.reshape(-1, width)[:, 0].sum() == n_points:
                cluster = dict(zip(CLUSTER_COLUMNS, numbers.reshape(-1, width).T, strict=False))
                break
        else:
            raise InputError(
                f"input {self.path}, entry {entry}: cluster does not tell the {n_points} points apart; "
                f"expected rows of {', '.join(CLUSTER_COLUMNS)}"
            )
        count = cluster["points"].astype(np.int64)
        semantic = cluster["semantic"].astype(np.int64)
        outside = (semantic < 0) | (semantic >= len(SPINE_NAMES))
        if outside.any():
            raise InputError(
                f"input {self.path}, entry {entry}: class {semantic[outside][0]} is outside the scheme spine "
                f"with {len(SPINE_NAMES)} classes: {', '.join(SPINE_NAMES)}"
            )
        return TrueLabels(
            label=np.repeat(semantic, count).astype(np.int32),
            cluster=np.repeat(cluster["fragment"], count).astype(np.int32),
            particle=np.repeat(cluster["group"], count).astype(np.int32),
            meta={"class_names": list(SPINE_NAMES), "scheme": "spine", "target": VOXELS.branch},
        )

    def close(self) -> None:
        """Release the file."""
        self._file.close()
