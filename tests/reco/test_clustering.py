"""Proposal-free clustering: the tree of boxes against the plain procedure, options, degenerate input."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.proposal_free_clustering import plain_clusters

from larmlreco.reco.clustering import (
    ClassGroup,
    ClusteringOptions,
    KernelOutputs,
    ShapeOptions,
    cluster_voxels,
    divided_pieces,
    seeded_clusters,
)

CLASSES = ((0, 1), (2,), (3,), (4,))
NETWORK = [ClassGroup(classes, "network") for classes in CLASSES]
DBSCAN = [ClassGroup(classes) for classes in CLASSES]


def blobs(n: int, k: int, seed: int, spread: float = 0.02, margin: float = 0.05) -> tuple[Any, Any, Any]:
    """Embeddings around k centres with the seediness that a trained network would give."""
    random = np.random.default_rng(seed)
    centres = random.uniform(-0.95, 0.95, (k, 3))
    of = random.integers(0, k, n)
    embedding = np.clip(random.normal(centres[of], spread), -1, 1)
    margins = margin * np.exp(random.normal(0, 0.1, n))
    distance = ((embedding - centres[of]) ** 2).sum(1)
    seediness = np.clip(np.exp(-distance / (2 * margin**2)) + random.normal(0, 0.02, n), 0, 1)
    return tuple(a.astype(np.float32) for a in (embedding, margins, seediness))


def same_as_plain(arrays: tuple[Any, Any, Any], options: ClusteringOptions) -> tuple[Any, Any]:
    found, founders = seeded_clusters(*arrays, options)
    lists = [a.astype(np.float64).tolist() for a in arrays]
    expected = plain_clusters(
        *lists,
        options.seed_threshold,
        options.probability_threshold,
        options.min_size,
        options.assign_all,
        options.founder_threshold,
    )
    assert (found.tolist(), founders.tolist()) == expected
    return found, founders


@pytest.mark.parametrize(("assign_all", "founder"), [(False, 1.0), (True, 1.0), (True, 0.1)])
@pytest.mark.parametrize(
    ("n", "k", "spread", "margin"),
    [(400, 1, 0.05, 0.05), (600, 12, 0.02, 0.05), (600, 12, 0.3, 0.2), (500, 100, 0.001, 0.01)],
)
def test_clusters_are_those_of_the_plain_procedure(
    n: int, k: int, spread: float, margin: float, assign_all: bool, founder: float
) -> None:
    arrays = blobs(n, k, seed=n + k, spread=spread, margin=margin)
    found, _ = same_as_plain(arrays, ClusteringOptions(0.3, 0.5, 3, assign_all, founder))
    assert found.max() >= 0


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_ties_and_duplicates_give_the_same_clusters(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    levels = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    embedding = np.array(data.draw(st.lists(st.tuples(levels, levels, levels), min_size=n, max_size=n)))
    margin = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 2.0]), min_size=n, max_size=n)))
    seediness = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)))
    options = ClusteringOptions(
        data.draw(levels),
        data.draw(st.sampled_from([0.1, 0.5, 0.9])),
        data.draw(st.integers(1, 4)),
        data.draw(st.booleans()),
        data.draw(st.sampled_from([0.01, 0.2, 1.0])),
    )
    same_as_plain((embedding, margin, seediness), options)


def test_one_embedding_of_many_dimensions_and_one_dimension() -> None:
    random = np.random.default_rng(5)
    for dimension in (1, 2, 5):
        arrays = (random.uniform(-1, 1, (300, dimension)), random.uniform(0, 0.4, 300), random.uniform(0, 1, 300))
        same_as_plain(arrays, ClusteringOptions(0.1))


def test_a_hand_worked_line() -> None:
    embedding = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0.9, 0, 0], [0.4, 0, 0]])
    seediness = np.array([0.6, 0.9, 0.6, 0.8, 0.1])
    # With sigma 0.1 the score is above 0.5 within 0.1 * sqrt(2 ln 2) = 0.118.
    found, founders = seeded_clusters(embedding, np.full(5, 0.1), seediness, ClusteringOptions(assign_all=False))
    assert (found.tolist(), founders.tolist()) == ([0, 0, 0, 1, -1], [1, 3])
    every, _ = seeded_clusters(embedding, np.full(5, 0.1), seediness, ClusteringOptions())
    assert every.tolist() == [0, 0, 0, 1, 0]


def test_degenerate_input_is_quick_and_defined() -> None:
    options = ClusteringOptions(0.5, 0.5, 1, True)
    nothing = seeded_clusters(np.zeros((0, 3)), np.zeros(0), np.zeros(0), options)
    assert [len(a) for a in nothing] == [0, 0]
    found, founders = seeded_clusters(np.zeros((1, 3)), np.zeros(1), np.ones(1), options)
    assert (found.tolist(), founders.tolist()) == ([0], [0])
    n = 50_000
    for margin in (0.0, 0.3):
        found, founders = seeded_clusters(np.full((n, 3), 0.2), np.full(n, margin), np.full(n, 0.7), options)
        assert founders.tolist() == [0]
        assert not found.any()
    low, founders = seeded_clusters(np.zeros((n, 3)), np.ones(n), np.full(n, 0.4), options)
    assert len(founders) == 0
    assert (low == -1).all()


def test_thousands_of_tiny_clusters_take_bounded_time_and_memory() -> None:
    random = np.random.default_rng(0)
    n = 25_000
    arrays = random.uniform(-1, 1, (n, 3)), np.full(n, 0.004), random.uniform(0.5, 1, n)
    tracemalloc.start()
    start = time.process_time()
    found, founders = seeded_clusters(*arrays, ClusteringOptions())
    took, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(founders) > 20_000
    assert (np.bincount(found) > 0).all()
    assert took < 60
    assert peak < 1e9


def test_rows_may_be_strided_and_of_any_precision() -> None:
    embedding, margin, seediness = blobs(500, 6, 3)
    expected = seeded_clusters(embedding, margin, seediness, ClusteringOptions())[0]
    wide = np.zeros((500, 6), np.float32)
    wide[:, ::2] = embedding
    strided = seeded_clusters(
        wide[:, ::2], np.repeat(margin, 2)[::2], seediness.astype(np.float64), ClusteringOptions()
    )
    assert np.array_equal(strided[0], expected)


@pytest.mark.parametrize("name", ["embedding", "margin", "seediness"])
def test_a_value_that_is_not_finite_is_named(name: str) -> None:
    arrays = dict(zip(("embedding", "margin", "seediness"), blobs(50, 2, 1), strict=True))
    arrays[name][7] = np.nan
    with pytest.raises(ValueError, match=f"the {name} of voxel 7 is not finite"):
        seeded_clusters(**arrays, options=ClusteringOptions())


def test_bad_options_and_lengths_are_named() -> None:
    with pytest.raises(ValueError, match=r"probability_threshold must be above 0 and below 1; got 1\.0"):
        ClusteringOptions(probability_threshold=1.0)
    with pytest.raises(ValueError, match=r"founder_threshold must be above 0 and at most 1; got 0\.0"):
        ClusteringOptions(founder_threshold=0.0)
    with pytest.raises(ValueError, match="min_size must be at least 1; got 0"):
        ClusteringOptions(min_size=0)
    with pytest.raises(ValueError, match="must have equal numbers of rows"):
        seeded_clusters(np.zeros((3, 3)), np.zeros(2), np.zeros(3), ClusteringOptions())


def line(n: int, y: int, x0: int = 0) -> np.ndarray:
    return np.column_stack([np.arange(x0, x0 + n), np.full(n, y), np.zeros(n, int)])


def test_an_event_is_clustered_class_by_class() -> None:
    voxels = np.concatenate([line(10, 0), line(6, 0, 30), line(4, 50), line(5, 90)])
    label = np.array([1] * 9 + [0] + [2] * 6 + [2] * 4 + [4] * 5)
    embedding = np.zeros((25, 3))
    embedding[24] = 0.9
    seediness = np.full(25, 0.6)
    seediness[[3, 12, 22]] = 0.9
    outputs = KernelOutputs(embedding, np.full(25, 0.1), seediness)
    found = cluster_voxels(voxels, label, np.ones(25), NETWORK, outputs)
    # Track: HIP and MIP together; both shower pieces at one embedding; the last Michel voxel alone.
    assert found.cluster.tolist() == [0] * 10 + [1] * 10 + [2] * 4 + [3]
    assert found.semantic.tolist() == [1, 2, 4, 4]
    assert found.seed.tolist() == [3, 12, 22, 24]
    assert found.founded.all()
    torn = cluster_voxels(voxels, label, np.ones(25), NETWORK, outputs, fragmented=[2])
    assert torn.cluster.tolist() == [0] * 10 + [1] * 6 + [2] * 4 + [3] * 4 + [4]
    assert torn.seed.tolist() == [3, 12, 16, 22, 24]
    assert torn.semantic.tolist() == [1, 2, 2, 4, 4]


def test_where_no_voxel_can_found_a_cluster_its_pieces_are_the_clusters() -> None:
    voxels, label = np.concatenate([line(3, 0), line(3, 20)]), np.full(6, 3)
    outputs = KernelOutputs(np.zeros((6, 3)), np.ones(6), np.array([0.1, 0.3, 0.2, 0.1, 0.1, 0.4]))
    found = cluster_voxels(voxels, label, np.ones(6), NETWORK, outputs)
    assert found.cluster.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.seed.tolist() == [1, 5]
    left = cluster_voxels(voxels, label, np.ones(6), NETWORK, outputs, ClusteringOptions(assign_all=False))
    assert left.cluster.tolist() == [-1] * 6
    assert len(left.semantic) == len(left.seed) == 0


@pytest.mark.parametrize("assign_all", [True, False])
def test_pieces_are_divided_as_if_each_were_alone(assign_all: bool) -> None:
    random = np.random.default_rng(5)
    n = 600
    piece = np.repeat(np.arange(-1, 29), 20)
    piece[-5:] = 29
    outputs = KernelOutputs(random.uniform(-1, 1, (n, 3)), random.uniform(0, 0.8, n), random.uniform(0, 0.8, n))
    outputs.seediness[piece == 7] = 0.1
    options = ClusteringOptions(min_size=2, assign_all=assign_all, founder_threshold=0.1)
    found, seed = divided_pieces(piece, outputs, options)
    assert (found[piece == -1] == -1).all()
    made = 0
    for number in range(30):
        rows = np.flatnonzero(piece == number)
        mine = outputs.of(rows)
        alone, founders = seeded_clusters(mine.embedding, mine.margin, mine.seediness, options)
        if len(rows) < 10 or len(founders) == 0:
            alone, founders = np.zeros(len(rows), int), np.array([mine.seediness.argmax()])
        assert np.array_equal(found[rows], np.where(alone >= 0, alone + made, -1))
        assert np.array_equal(seed[made : made + len(founders)], rows[founders])
        made += len(founders)
    assert made == len(seed)


def test_no_pieces_no_clusters() -> None:
    none = KernelOutputs(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    assert [len(a) for a in divided_pieces(np.zeros(0, int), none, ClusteringOptions())] == [0, 0]
    bare = KernelOutputs(np.zeros((2, 3)), np.ones(2), np.ones(2))
    found, seed = divided_pieces(np.full(2, -1), bare, ClusteringOptions())
    assert found.tolist() == [-1, -1]
    assert len(seed) == 0


def test_voxels_without_a_class_and_empty_events() -> None:
    outputs = KernelOutputs(np.zeros((2, 3)), np.ones(2), np.ones(2))
    unlabelled = cluster_voxels(line(2, 0), np.array([-1, 2]), np.ones(2), NETWORK, outputs, fragmented=[2])
    assert unlabelled.cluster.tolist() == [-1, 0]
    empty = cluster_voxels(np.zeros((0, 3), int), np.zeros(0, int), np.zeros(0), DBSCAN)
    assert len(empty.cluster) == len(empty.semantic) == 0


def test_dbscan_of_an_event_needs_no_network() -> None:
    voxels = np.concatenate([line(4, 0), line(4, 9), line(4, 0, 4)])
    label = np.array([1] * 4 + [2] * 4 + [0] * 4)
    charge = np.array([1, 2, 3, 1, 1, 5, 1, 1, 1, 1, 9, 1.0])
    found = cluster_voxels(voxels, label, charge, DBSCAN)
    assert found.cluster.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert found.seed.tolist() == [10, 5]
    assert found.semantic.tolist() == [0, 2]
    assert not found.founded.any()
    with pytest.raises(ValueError, match="the method network needs a network's outputs"):
        cluster_voxels(voxels, label, charge, NETWORK)
    methods = "dbscan, tracks, showers, deltas, network, pieces"
    with pytest.raises(ValueError, match=f"unknown method 'kmeans'; valid: {methods}"):
        ClassGroup((1,), "kmeans")


def test_each_group_has_its_method() -> None:
    # Two tracks at a right angle, of one class, and two delta rays that touch.
    corner = np.concatenate([line(20, 0), np.column_stack([np.full(19, 19), np.arange(1, 20), np.zeros(19, int)])])
    voxels = np.concatenate([corner, line(6, 50)])
    label = np.array([1] * 39 + [3] * 6)
    groups = [ClassGroup((0, 1), "tracks"), ClassGroup((3,), "dbscan", 2.9)]
    found = cluster_voxels(voxels, label, np.arange(45.0), groups)
    assert found.semantic.tolist() == [1, 1, 3]
    assert np.bincount(found.cluster[:39]) == pytest.approx([20, 19], abs=3)
    assert found.seed.tolist()[1:] == [38, 44]


def test_showers_are_cut_at_a_vertex_where_a_track_is_and_faint_delta_rays_join() -> None:
    # Two showers at a right angle with a track at their corner, and two delta rays of 3 and 1 MeV with a voxel between.
    corner = np.concatenate([line(60, 0), np.column_stack([np.full(59, 59), np.arange(1, 60), np.zeros(59, int)])])
    track = np.column_stack([np.full(20, 59), np.zeros(20, int), np.arange(3, 23)])
    deltas = np.concatenate([line(3, -40), line(6, -40)[4:]])
    voxels = np.concatenate([corner, track, deltas])
    label = np.repeat([2, 1, 3], [119, 20, 5])
    charge = np.concatenate([np.ones(139), np.full(3, 1.0), np.full(2, 0.5)])
    groups = [ClassGroup((0, 1), "tracks"), ClassGroup((2,), "showers"), ClassGroup((3,), "deltas", 3.2)]
    found = cluster_voxels(voxels, label, charge, groups)
    assert found.semantic.tolist() == [1, 2, 2, 3]
    assert np.bincount(found.cluster)[[1, 2]] == pytest.approx([60, 59], abs=3)
    whole = cluster_voxels(voxels[label != 1], label[label != 1], charge[label != 1], groups)
    assert whole.semantic.tolist() == [2, 3]
    parted = cluster_voxels(voxels, label, charge, groups, shapes=ShapeOptions(faint_delta=0.5))
    assert parted.semantic.tolist() == [1, 2, 2, 3, 3]
