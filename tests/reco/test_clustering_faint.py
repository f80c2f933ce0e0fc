"""Faint pieces of delta rays and Michel electrons, on voxels in a row that are worked out by hand."""

import numpy as np
import pytest

from larmlreco.reco.clustering_faint import join_faint, without_faint


def row(*pieces: tuple[int, int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels along x: first, last and charge of each piece, spread evenly."""
    x = [np.arange(low, high + 1) for low, high, _ in pieces]
    charge = [np.full(high - low + 1, total / (high - low + 1)) for low, high, total in pieces]
    return np.column_stack([np.concatenate(x), np.zeros((sum(map(len, x)), 2), int)]), np.concatenate(charge)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(0, 1, 3.0), (3, 4, 3.0)], [0, 1]),  # two that are both delta rays
        ([(0, 1, 3.0), (3, 4, 1.0)], [0, 0]),  # a faint one is part of its neighbour
        ([(0, 1, 3.0), (5, 6, 1.0)], [0, 1]),  # unless that is too far
        ([(0, 1, 3.0), (3, 3, 1.0), (6, 7, 3.0)], [0, 0, 1]),  # one goes with the nearer, and joins no two others
        ([(0, 1, 3.0), (3, 3, 1.0), (5, 5, 1.1), (8, 9, 3.0)], [0, 0, 0, 1]),  # also by way of another faint one
        ([(0, 0, 1.0), (2, 2, 1.0), (5, 5, 3.0)], [0, 0, 1]),  # two faint ones are enough together
    ],
)
def test_pieces_of_less_charge_join_the_nearest(pieces: list, expected: list[int]) -> None:
    voxels, charge = row(*pieces)
    sizes = [high - low + 1 for low, high, _ in pieces]
    assert join_faint(voxels, charge, 3.2, 1.5).tolist() == np.repeat(expected, sizes).tolist()


def test_of_neighbours_as_near_the_one_with_the_first_voxel_is_joined() -> None:
    voxels, charge = row((0, 1, 3.0), (3, 3, 1.0), (5, 6, 3.0))
    assert join_faint(voxels, charge, 3.2, 1.5).tolist() == [0, 0, 0, 1, 1]
    assert join_faint(voxels[::-1], charge, 3.2, 1.5).tolist() == [0, 0, 0, 1, 1]


def test_with_no_least_charge_the_clusters_are_the_connected_pieces() -> None:
    voxels, charge = row((0, 1, 0.1), (3, 4, 0.1))
    assert join_faint(voxels, charge, 3.2, 0.0).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("n", [0, 1])
def test_few_voxels(n: int) -> None:
    assert join_faint(np.zeros((n, 3), int), np.ones(n), 3.2, 1.5).tolist() == [0] * n


def test_thousands_of_faint_specks_end_in_bounded_time() -> None:
    specks = np.stack(np.meshgrid(*[np.arange(0, 60, 3)] * 3), -1).reshape(-1, 3)
    assert join_faint(specks, np.full(len(specks), 1e-6), 3.2, 1.5).max() == 0


HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


def relabelled(label: list[int], charge: float, least: dict[int, float]) -> list[int]:
    """New labels of voxels in a row, -1 for a place without a voxel, with equal charges."""
    known = np.array(label) >= 0
    voxels = np.column_stack([np.flatnonzero(known), np.zeros((known.sum(), 2), int)])
    kept = np.array(label)[known]
    out = np.array(label)
    out[known] = without_faint(voxels, kept, np.full(len(kept), charge), least, 3.2)
    return out.tolist()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ([MIP, MIP, DELTA, DELTA, MIP], [MIP, MIP, MIP, MIP, MIP]),  # 1 MeV on a track
        ([MIP, MIP, DELTA, DELTA, DELTA, MIP], [MIP, MIP, DELTA, DELTA, DELTA, MIP]),  # 1.5 MeV
        ([DELTA, MIP, DELTA, DELTA, MIP], [DELTA, MIP, DELTA, DELTA, MIP]),  # as much in two pieces
        ([HIP, DELTA, MIP, SHOWER], [HIP, HIP, MIP, SHOWER]),  # a tie goes to the lower
        ([-1, MICHEL, -1, -1, MIP], [-1, SHOWER, -1, -1, MIP]),  # touches nothing
        ([MIP, MICHEL, DELTA, MIP], [MIP, MIP, MIP, MIP]),  # MIP 1, delta 1; and MIP 1, Michel 1
    ],
)
def test_faint_clusters_take_the_class_around_them(label: list[int], expected: list[int]) -> None:
    assert relabelled(label, 0.5, {DELTA: 1.2, MICHEL: 1.2}) == expected


def test_classes_without_a_limit_and_voxels_without_a_class_stay() -> None:
    assert relabelled([MIP, DELTA, MICHEL], 0.5, {MICHEL: 1.2}) == [MIP, DELTA, DELTA]
    voxels = np.array([[0, 0, 0], [1, 0, 0]])
    assert without_faint(voxels, np.array([-1, DELTA]), np.ones(2), {DELTA: 2.0}, 3.2).tolist() == [-1, SHOWER]
    none = np.zeros(0, int)
    assert without_faint(np.zeros((0, 3), int), none, np.zeros(0), {DELTA: 2.0}, 3.2).tolist() == []
