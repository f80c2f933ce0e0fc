"""Showers that touch where they begin, on lines whose truth is known."""

import math

import numpy as np
import pytest

from larmlreco.reco.clustering_showers import ShowerOptions, split_showers

VERTEX = np.array([100.5, 100.5, 100.5])
TRACK = np.array([[100, 100, 100 - step] for step in range(3, 30)])
NONE = np.zeros((0, 3), dtype=int)


def lines(*angles: float, length: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of lines from one vertex in a plane, by their angles in degrees, and the line of each voxel."""
    voxels, line = [], []
    for number, angle in enumerate(angles):
        course = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle)), 0.0])
        way = VERTEX + np.arange(0, length, 0.25)[:, None] * course
        voxels.append(np.floor(way).astype(int))
        line.append(np.full(len(way), number))
    index, first = np.unique(np.concatenate(voxels), axis=0, return_index=True)
    return index, np.concatenate(line)[first]


def parts(charge: float, tracks: np.ndarray, *angles: float) -> int:
    """Number of showers found, after a check that none has voxels of two lines, but for a few at the vertex."""
    voxels, truth = lines(*angles)
    found = split_showers(voxels, np.full(len(voxels), charge), tracks)
    outside = np.abs(voxels - VERTEX).max(axis=1) > 5
    if found.max() > 0:
        for number in range(found.max() + 1):
            assert len(np.unique(truth[outside & (found == number)])) == 1
    return int(found.max()) + 1


@pytest.mark.parametrize("angle", [40, 90, 150])
def test_two_showers_of_a_vertex_with_a_track_are_two(angle: float) -> None:
    assert parts(1.0, TRACK, 0, angle) == 2
    far = TRACK - [0, 0, 10]
    assert parts(1.0, far, 0, angle) == 1


def test_three_showers_of_a_vertex_are_three() -> None:
    assert parts(1.0, TRACK, 0, 90, 200) == 3


def test_without_a_track_both_showers_must_go_on_with_energy() -> None:
    assert parts(1.0, NONE, 0, 90) == 1
    assert parts(3.0, NONE, 0, 90) == 2


def test_without_a_track_a_pair_and_an_electron_that_scatters_a_little_are_one() -> None:
    assert parts(3.0, NONE, 0, 30) == 1
    assert parts(3.0, NONE, 0, 150) == 1
    assert parts(1.0, TRACK, 0, 180) == 1


def test_a_faint_branch_is_part_of_its_shower() -> None:
    voxels, _ = lines(0, 90)
    charge = np.full(len(voxels), 1.0)
    assert split_showers(voxels, charge, TRACK, ShowerOptions(least=70)).max() == 0
    assert split_showers(voxels, charge, TRACK, ShowerOptions(least=40)).max() == 1


def test_showers_are_numbered_by_first_voxels_and_pieces_stay_apart() -> None:
    voxels = np.array([[9, 0, 0], [0, 0, 0], [9, 1, 1], [1, 1, 1], [3, 1, 1]])
    assert split_showers(voxels, np.full(5, 100.0), NONE).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_voxels(n: int) -> None:
    found = split_showers(np.arange(3 * n).reshape(n, 3), np.full(n, 1e3), TRACK)
    assert found.tolist() == list(range(n))


def test_a_block_of_voxels_ends_in_bounded_time() -> None:
    block = np.stack(np.meshgrid(*[np.arange(16)] * 3), -1).reshape(-1, 3)
    assert len(split_showers(block, np.ones(len(block)), block[:1])) == 4096
