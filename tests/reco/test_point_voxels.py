"""Points to voxels: the sharing of charge, energy, the grid."""

import numpy as np
import pytest

from larmlreco.argon import W_MEV, recombined_electrons
from larmlreco.geometry import detector
from larmlreco.reco.point_voxels import (
    ChargeScale,
    PointGrid,
    cell_size,
    links_through,
    part_with,
    point_grid,
    point_voxels,
    shared_charge,
    tpc_of_instance,
)

UBOONE = detector("microboone")
GRID = PointGrid((0.0, 0.0, 0.0), (100, 100, 100), 0.3)


def shared_one_by_one(pixel: np.ndarray, charge: np.ndarray, weight: np.ndarray, passes: int) -> np.ndarray:
    """The same with loops over points and planes."""
    n, planes = charge.shape
    share = [weight[i] * sum(charge[i]) / max(sum(charge[i] > 0), 1) for i in range(n)]
    for _ in range(passes):
        factors = []
        for i in range(n):
            ratios = []
            for p in range(planes):
                if charge[i, p] > 0:
                    alike = (charge[:, p] > 0) & (pixel[:, p] == pixel[i, p])
                    total = sum(share[j] for j in np.flatnonzero(alike)) if pixel[i, p] >= 0 else share[i]
                    ratios.append(charge[i, p] / total)
            factors.append(sum(ratios) / len(ratios) if ratios else 1.0)
        share = [s * f for s, f in zip(share, factors, strict=True)]
    return np.array(share)


def test_sharing_against_loops() -> None:
    random = np.random.default_rng(3)
    pixel = random.integers(-1, 6, (40, 3))
    held = random.uniform(10, 100, (7, 3))
    charge = held[pixel, np.arange(3)] * (random.random((40, 3)) < 0.8)
    weight = random.uniform(0.3, 1, 40)
    for passes in (0, 1, 4):
        found = shared_charge(pixel, charge, weight, passes)
        assert found == pytest.approx(shared_one_by_one(pixel, charge, weight, passes), rel=1e-9)


def test_charge_that_planes_agree_on_is_found_and_a_ghost_fades() -> None:
    """Two places of 60 and 100 share a pixel of U; a ghost takes pixels of both, which are full without it."""
    pixel = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1]])
    charge = np.array([[160.0, 60, 60], [160, 100, 100], [160, 60, 100]])
    found = shared_charge(pixel, charge, np.array([1.0, 1, 0.5]), passes=200)
    assert found == pytest.approx([60, 100, 0], abs=2)
    once = shared_charge(pixel, charge, np.ones(3))
    assert sum(once) == pytest.approx(160, rel=0.05)


def test_the_charge_of_all_points_is_that_of_their_pixels() -> None:
    """Six points along a wire share its pixel, each with its own on another plane."""
    pixel = np.column_stack([np.arange(6), np.zeros(6), np.full(6, -1)]).astype(int)
    charge = np.column_stack([np.full(6, 50.0), np.full(6, 300.0), np.zeros(6)])
    assert shared_charge(pixel, charge, np.full(6, 0.4)) == pytest.approx(np.full(6, 50.0))


def test_points_without_pixels_and_without_charge() -> None:
    charge = np.array([[30.0, 10.0, 20.0], [0, 0, 0]])
    assert shared_charge(np.full((2, 3), -1), charge, np.ones(2)) == pytest.approx([20, 0], rel=0.01)
    assert shared_charge(np.zeros((0, 3), int), np.zeros((0, 3)), np.zeros(0)).shape == (0,)


def test_energy_of_charge() -> None:
    electrons = recombined_electrons(np.array([0.63]), np.array([0.3]), UBOONE.electric_field)
    scale = ChargeScale(electrons=200.0, field=UBOONE.electric_field, dedx=2.1)
    assert scale.energy(electrons / 200, np.zeros(1)) == pytest.approx([0.63])
    lossy = ChargeScale(200.0, UBOONE.electric_field, 2.1, lifetime=8.0, correction=2.0)
    assert lossy.energy(electrons / 200, np.array([800.0])) == pytest.approx([2 * 0.63 * np.exp(0.1)])
    assert lossy.energy(electrons / 200, np.array([-50.0])) == pytest.approx([2 * 0.63])
    assert scale.mev == pytest.approx(200 * W_MEV / 0.6344, rel=1e-3)


def test_points_become_voxels() -> None:
    place = [[0.4, 0.1, 0.1], [0.1, 0.1, 0.1], [0.5, 0.2, 0.2], [-0.1, 0, 0], [29.9, 29.9, 29.9], [30.1, 1, 1]]
    found = point_voxels(place, [1.0, 2.0, 3.0, 9.0, 5.0, 9.0], GRID)
    assert found.index.tolist() == [[0, 0, 0], [1, 0, 0], [99, 99, 99]]
    assert found.energy.tolist() == [2, 4, 5]
    assert (found.voxel.tolist(), found.point.tolist()) == ([0, 1, 1, 2], [1, 0, 2, 4])
    assert found.outside == 2
    assert part_with(found, np.array([1, 0, 0, 0, 0, 0], dtype=bool)).tolist() == [0, 0.25, 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cells_longer_than_voxels_leave_no_holes(axis: int) -> None:
    """A track along an axis, one point a cell of 0.3294 cm: every voxel is filled, and no energy is lost."""
    size = 0.3294
    place = np.full((80, 3), 0.1)
    place[:, axis] = (np.arange(80) + 0.5) * size + 0.05
    cell = [0.3, 0.3, 0.3]
    cell[axis] = size
    found = point_voxels(place, np.ones(80), GRID, cell)
    assert np.diff(found.index[:, axis]).tolist() == [1] * (len(found.index) - 1)
    assert found.energy.sum() == pytest.approx(80)
    assert np.bincount(found.point).max() == 2
    assert len(point_voxels(place, np.ones(80), GRID).index) < len(found.index)
    short = point_voxels(place, np.ones(80), GRID, [0.1, 0.1, 0.1])
    assert np.bincount(short.point).tolist() == [1] * 80


def test_a_cell_fills_voxels_in_equal_parts() -> None:
    found = point_voxels([[0.6, 0.5, 0.4]], [8.0], GRID, [0.65, 0.2, 0.65])
    expected = [[x, 1, z] for x in (1, 2) for z in (0, 1)]
    assert found.index.tolist() == expected
    assert found.energy.tolist() == [2.0] * 4


def test_cells_of_detectors() -> None:
    assert cell_size(UBOONE, 0, 0.3294) == pytest.approx((0.3294, 0.3464, 0.3), rel=1e-3)
    assert cell_size(detector("protodunehd"), 2, 0.47) == pytest.approx((0.47, 0.8, 0.479), rel=1e-2)


def test_threshold_drops_voxels_and_their_links() -> None:
    found = point_voxels([[0.1, 0.1, 0.1], [5, 5, 5], [5, 5, 5]], [0.05, 0.06, 0.06], GRID, threshold=0.1)
    assert found.index.tolist() == [[16, 16, 16]]
    assert (found.voxel.tolist(), found.point.tolist()) == ([0, 0], [1, 2])


def test_no_points_and_bad_points() -> None:
    found = point_voxels(np.zeros((0, 3)), np.zeros(0), GRID)
    assert found.index.shape == (0, 3)
    assert len(found.energy) == len(found.voxel) == found.outside == 0
    for place, energy in (([[np.nan, 0, 0]], [1.0]), ([[1, 1, 1]], [np.inf])):
        with pytest.raises(ValueError, match="point 0 has a place or an energy that is not finite"):
            point_voxels(place, energy, GRID)


@pytest.mark.parametrize(("name", "tpc"), [("microboone", 0), ("protodunehd", 2), ("sbnd", 1), ("icarus", 3)])
def test_the_grid_holds_all_that_wires_and_samples_can_give(name: str, tpc: int) -> None:
    mine = detector(name)
    grid = point_grid(mine, tpc, 0.3)
    end = np.array(grid.origin) + np.array(grid.shape) * grid.pitch
    ticks = mine.tick_to_x(np.array([0, mine.image_samples - 1]), tpc)
    assert grid.origin[0] <= ticks.min()
    assert ticks.max() <= end[0]
    for plane in mine.tpcs[tpc].planes:
        assert (plane.windows[:, :, 0] >= np.array(grid.origin[1:])).all()
        assert (plane.windows[:, :, 1] <= end[1:]).all()
    assert max(grid.shape) * grid.pitch < 3000


def test_links_go_through_points() -> None:
    found = point_voxels([[0.1, 0.1, 0.1], [0.2, 0.2, 0.2], [5, 5, 5]], [1.0, 1.0, 1.0], GRID)
    pairs = links_through(found.voxel, found.point, np.array([[7, -1, 3], [7, 2, -1], [-1, -1, 9]]))
    assert pairs.tolist() == [[0, 2], [0, 3], [0, 7], [1, 9]]


def test_instances_name_tpcs() -> None:
    assert tpc_of_instance(UBOONE, "") == 0
    assert tpc_of_instance(detector("protodunehd"), "tpc2") == 2
    with pytest.raises(ValueError, match=r"protodunehd has no TPC 'tpc0'; valid: 'tpc1', 'tpc2', 'tpc5', 'tpc6'"):
        tpc_of_instance(detector("protodunehd"), "tpc0")
