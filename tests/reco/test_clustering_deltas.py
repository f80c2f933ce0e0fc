"""Faint pieces of delta rays, on voxels in a row that are worked out by hand."""

import numpy as np
import pytest

from larmlreco.reco.clustering_deltas import join_faint


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
