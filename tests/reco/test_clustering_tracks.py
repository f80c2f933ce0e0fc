"""Tracks told apart by their shape, on lines whose truth is known."""

import math

import numpy as np
import pytest

from larmlreco.metrics.clustering import compare_partitions
from larmlreco.reco.clustering_tracks import TrackOptions, split_tracks

HIP, MIP = 0, 1


def event(*lines: tuple[tuple[float, float, float], tuple[float, float, float], int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and tracks of lines (start, direction, length in voxels); a shared voxel is of the first line."""
    voxels, track = [], []
    for number, (start, course, length) in enumerate(lines):
        unit = np.array(course) / np.linalg.norm(course)
        way = np.array(start) + np.arange(0, length, 0.25)[:, None] * unit
        voxels.append(np.floor(way).astype(int))
        track.append(np.full(len(way), number))
    index, first = np.unique(np.concatenate(voxels), axis=0, return_index=True)
    return index, np.concatenate(track)[first]


def figures(lines: list[tuple]) -> float:
    voxels, truth = event(*lines)
    return compare_partitions(truth, split_tracks(voxels, np.full(len(truth), MIP))).ari


ORIGIN = (0.5, 0.5, 0.5)


@pytest.mark.parametrize("angle", [30, 60, 90, 150])
def test_two_tracks_from_one_vertex_are_told_apart(angle: float) -> None:
    bent = (math.cos(math.radians(angle)), math.sin(math.radians(angle)), 0.1)
    assert figures([(ORIGIN, (1, 0, 0.1), 60), (ORIGIN, bent, 50)]) > 0.8


def test_three_tracks_from_one_vertex_also_where_two_of_them_are_back_to_back() -> None:
    lines = [(ORIGIN, (1, 0, 0.1), 60), (ORIGIN, (-1, 0, -0.1), 50), (ORIGIN, (0.2, 1, 0.3), 40)]
    assert figures(lines) > 0.8


def test_a_straight_track_is_one_and_so_are_two_that_cross() -> None:
    assert figures([(ORIGIN, (1, 0.3, 0.2), 120)]) == 1.0
    assert figures([((-40, 0.5, 0.5), (1, 0, 0.1), 80), ((0.5, -40, 4.5), (0, 1, 0.05), 80)]) > 0.95


def test_a_track_goes_on_across_a_gap_and_voxels_beside_it_are_part_of_it() -> None:
    voxels, truth = event((ORIGIN, (1, 0.2, 0.1), 80))
    kept = (voxels[:, 0] < 30) | (voxels[:, 0] > 32)
    stub = np.array([[50, 12, 5], [50, 13, 5]])
    found = split_tracks(np.concatenate([voxels[kept], stub]), np.full(int(kept.sum()) + 2, MIP))
    assert set(found.tolist()) == {0}
    assert set(truth.tolist()) == {0}


def test_tracks_of_two_classes_are_two_unless_one_is_a_speck() -> None:
    voxels, _ = event((ORIGIN, (1, 0.2, 0.1), 60))
    kind = np.full(len(voxels), MIP)
    kind[30:32] = HIP
    assert len(set(split_tracks(voxels, kind).tolist())) == 2
    assert set(split_tracks(voxels, kind, TrackOptions(speck=2)).tolist()) == {0}
    alone = np.array([[0, 0, 0], [50, 50, 50]])
    assert split_tracks(alone, np.array([MIP, HIP]), TrackOptions(speck=2)).tolist() == [0, 1]


def test_the_order_of_the_voxels_does_not_matter() -> None:
    voxels, _ = event((ORIGIN, (1, 0, 0.1), 60), (ORIGIN, (0, 1, 0.1), 50), ((30, -20, 3), (0, 1, 0), 50))
    kind = np.full(len(voxels), MIP)
    found = split_tracks(voxels, kind)
    order = np.random.default_rng(1).permutation(len(voxels))
    assert compare_partitions(found[order], split_tracks(voxels[order], kind)).ari > 0.95
    assert np.array_equal(found, split_tracks(voxels.astype(np.float64)[:, :], kind))


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_few_voxels(n: int) -> None:
    found = split_tracks(np.arange(3 * n).reshape(n, 3), np.full(n, MIP))
    assert found.tolist() == ([0] * n if n < 2 or 3 * math.sqrt(3) <= 4 else list(range(n)))


def test_a_block_of_voxels_and_thousands_of_specks_end_in_bounded_time() -> None:
    block = np.stack(np.meshgrid(*[np.arange(20)] * 3), -1).reshape(-1, 3)
    assert len(split_tracks(block, np.full(len(block), MIP))) == 8000
    specks = np.stack(np.meshgrid(*[np.arange(0, 200, 10)] * 3), -1).reshape(-1, 3)
    assert split_tracks(specks, np.full(len(specks), HIP)).max() == 7999
