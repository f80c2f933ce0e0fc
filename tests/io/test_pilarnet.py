"""Voxels and truth from HDF5 files of PILArNet-M."""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from larmlreco.errors import InputError
from larmlreco.io import open_file
from larmlreco.io.pilarnet import TRUTH, VOXELS
from larmlreco.labels import SPINE_NAMES
from larmlreco.products import TrueLabels, Voxels

Rows = npt.ArrayLike


def write(path: Path, points: list[Rows], clusters: list[Rows], **renamed: str) -> Path:
    """A file with these rows of 8 and 5 numbers an event."""
    with h5py.File(path, "w") as file:
        for name, events, dtype in (("point", points, np.float32), ("cluster", clusters, np.int64)):
            data = file.create_dataset(renamed.get(name, name), (len(events),), dtype=h5py.vlen_dtype(dtype))
            for i, rows in enumerate(events):
                data[i] = np.asarray(rows, dtype=dtype).reshape(-1)
    return path


def points(*voxels: tuple[int, int, int]) -> list[list[float]]:
    return [[*v, 9.0, 0.5 + i, 0.0, 1e4, 0.3] for i, v in enumerate(voxels)]


EVENT = points((1, 2, 3), (767, 0, 5), (4, 4, 4))
CLUSTERS = [[2, 7, 70, 0, 1], [1, 8, 71, 0, 3]]


def test_points_become_voxels_and_clusters_labels(tmp_path: Path) -> None:
    reader = open_file(write(tmp_path / "a.h5", [EVENT, [], EVENT[:1]], [CLUSTERS, [], [[1, 3, 4, 0, 4]]]))
    assert [tuple(i) for i in reader.event_ids] == [(1, 1, 1), (1, 1, 2), (1, 1, 3)]
    assert reader.keys("event") == [VOXELS, TRUTH]
    voxels, truth = reader.read(0, VOXELS), reader.read(0, TRUTH)
    assert isinstance(voxels, Voxels)
    assert isinstance(truth, TrueLabels)
    assert np.stack([voxels.x, voxels.y, voxels.z], axis=1).tolist() == [[1, 2, 3], [767, 0, 5], [4, 4, 4]]
    assert voxels.energy.tolist() == [0.5, 1.5, 2.5]
    assert voxels.pitch.tolist() == pytest.approx([0.3])
    assert truth.label.tolist() == [1, 1, 3]
    assert truth.cluster.tolist() == [7, 7, 8]
    assert truth.particle.tolist() == [70, 70, 71]
    assert truth.meta["scheme"] == "spine"
    assert truth.meta["class_names"] == list(SPINE_NAMES)
    for key in (VOXELS, TRUTH):
        empty = reader.read(1, key)
        assert empty is not None
        assert len(empty) == 0
    with pytest.raises(IndexError):
        reader.read(3, VOXELS)
    reader.close()


def test_later_files_with_a_column_more(tmp_path: Path) -> None:
    reader = open_file(write(tmp_path / "a.h5", [EVENT], [[[2, 7, 70, 0, 1, 13], [1, 8, 71, 0, 3, 11]]]))
    truth = reader.read(0, TRUTH)
    assert isinstance(truth, TrueLabels)
    assert truth.label.tolist() == [1, 1, 3]


@pytest.mark.parametrize(
    ("point", "cluster", "message"),
    [
        (EVENT, [[2, 7, 70, 0, 1]], "cluster does not tell the 3 points apart; expected rows of points, fragment"),
        (EVENT, [[3, 7, 70, 0, 6]], "class 6 is outside the scheme spine with 6 classes: shower, track"),
        ([1.0, 2.0, 3.0], CLUSTERS, "point has 3 numbers; expected 8 a point: x, y, z, value"),
        ([[0.5, *EVENT[0][1:]]], [[1, 0, 0, 0, 0]], "x is not the index of a voxel everywhere"),
    ],
)
def test_damaged_events_are_named(tmp_path: Path, point: Rows, cluster: Rows, message: str) -> None:
    path = write(tmp_path / "bad.h5", [EVENT, point], [CLUSTERS, cluster])
    reader = open_file(path)
    with pytest.raises(InputError, match=rf"bad\.h5, entry 1: {message}"):
        _ = [reader.read(1, key) for key in (VOXELS, TRUTH)]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the data sets cluster; .* it has point, truth"):
        open_file(write(tmp_path / "a.h5", [EVENT], [CLUSTERS], cluster="truth"))
    with pytest.raises(InputError, match="has 2 events of points and 1 of truth"):
        open_file(write(tmp_path / "b.h5", [EVENT, EVENT], [CLUSTERS]))
    cut = write(tmp_path / "c.h5", [EVENT], [CLUSTERS])
    cut.write_bytes(cut.read_bytes()[:600])
    with pytest.raises(InputError, match=r"c\.h5 is not a readable HDF5 file"):
        open_file(cut)
