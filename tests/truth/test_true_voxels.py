"""Energy, classes and clusters of voxels."""

import numpy as np
import pytest
from oracles.voxel_truth import truth_of_voxels

from larmlreco.truth.voxels import VoxelGrid, voxel_clusters, voxel_deposits, voxel_labels

GRID = VoxelGrid((12, 12, 12), 0.3)
HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


@pytest.mark.parametrize("seed", range(6))
def test_truth_is_that_of_the_definitions(seed: int) -> None:
    random = np.random.default_rng(seed)
    semantic = [HIP, MIP, SHOWER, SHOWER, DELTA, MICHEL, SHOWER]
    instance = [0, 1, 2, 2, 4, 5, 6]
    n = 400
    position = random.uniform(-0.2, 3.8, (n, 3))
    # Energies that are sums of powers of two add up exactly, so that ties are ties.
    energy = random.integers(1, 4, n) / 4
    particle = random.integers(0, 7, n)
    rows = [(*p, e, k) for p, e, k in zip(position.tolist(), energy.tolist(), particle.tolist(), strict=True)]
    expected = truth_of_voxels(rows, semantic, instance, 12, 0.3)
    made = voxel_deposits(position, energy, particle, GRID)
    label = voxel_labels(made, semantic)
    cluster, owner = voxel_clusters(made, semantic, instance, label)
    voxels = [tuple(v) for v in made.index.tolist()]
    assert voxels == sorted(expected)
    assert made.total().tolist() == [expected[v][0] for v in voxels]
    assert label.tolist() == [expected[v][1] for v in voxels]
    assert owner.tolist() == [expected[v][2] for v in voxels]
    members = {c: frozenset(v for v, k in zip(voxels, cluster.tolist(), strict=True) if k == c) for c in set(cluster)}
    assert all(members[c] == expected[v][3] for v, c in zip(voxels, cluster.tolist(), strict=True))
    assert sorted(members) == list(range(len(members)))


def test_an_empty_event() -> None:
    made = voxel_deposits(np.zeros((0, 3)), [], [], GRID, smear=0.4, threshold=0.1)
    label = voxel_labels(made, [MIP])
    cluster, owner = voxel_clusters(made, [MIP], [0], label)
    assert len(made.index) == len(label) == len(cluster) == len(owner) == len(made.total()) == 0


def test_deposits_on_the_border_and_of_nothing() -> None:
    position = [[0, 0, 0], [3.6, 1, 1], [-1e-9, 1, 1], [3.5999, 3.5999, 3.5999], [1, 1, 1]]
    made = voxel_deposits(position, [1, 1, 1, 1, 0], [0, 0, 0, 0, 0], GRID)
    assert made.index.tolist() == [[0, 0, 0], [11, 11, 11]]


def test_ties_go_to_the_lower_class_and_particle() -> None:
    made = voxel_deposits([[0.1, 0.1, 0.1]] * 4, [1, 1, 1, 1], [3, 2, 1, 0], GRID)
    label = voxel_labels(made, [SHOWER, MIP, SHOWER, MIP])
    assert label.tolist() == [MIP]
    assert voxel_clusters(made, [SHOWER, MIP, SHOWER, MIP], [0, 1, 2, 3], label)[1].tolist() == [1]


def test_smearing_keeps_the_energy_and_its_centre() -> None:
    random = np.random.default_rng(3)
    position, energy = random.uniform(1.2, 2.4, (200, 3)), random.uniform(0.1, 1, 200)
    particle = random.integers(0, 3, 200)
    thin = voxel_deposits(position, energy, particle, GRID)
    wide = voxel_deposits(position, energy, particle, GRID, smear=0.4)
    assert len(wide.index) > len(thin.index)
    for k in range(3):
        assert wide.energy[wide.particle == k].sum() == pytest.approx(energy[particle == k].sum())
    centre = ((wide.index + 0.5) * 0.3 * wide.total()[:, None]).sum(axis=0) / wide.total().sum()
    assert centre == pytest.approx((position * energy[:, None]).sum(axis=0) / energy.sum(), abs=0.02)


def test_smearing_is_a_gaussian_over_the_voxels() -> None:
    made = voxel_deposits([[1.65, 1.65, 1.65]], [1.0], [0], GRID, smear=0.4)
    # A width of 0.4 leaves 78.9 % within half a voxel on an axis, 10.6 % on either side; edges and corners have less
    # than 1 % and go to the others.
    assert len(made.index) == 7
    assert made.total().max() == pytest.approx(0.789**3 / (0.789**3 + 6 * 0.1055 * 0.789**2), abs=2e-3)


def test_smeared_energy_stays_inside_the_grid() -> None:
    made = voxel_deposits([[0.01, 0.01, 0.01]], [1.0], [0], GRID, smear=0.4)
    assert (made.index >= 0).all()
    assert 0 < made.total().sum() < 1


def test_a_threshold_drops_voxels_as_a_whole() -> None:
    position = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.2], [1, 1, 1]]
    made = voxel_deposits(position, [0.3, 0.3, 0.4], [0, 1, 0], GRID, threshold=0.5)
    assert made.index.tolist() == [[0, 0, 0]]
    assert made.energy.tolist() == [0.3, 0.3]
    assert made.voxel.tolist() == [0, 0]
