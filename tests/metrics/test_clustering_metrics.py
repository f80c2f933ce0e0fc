"""Clustering figures against scikit-learn, hand-worked examples and sums over sets."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from larmlreco.metrics.clustering import ClusteringMetrics, compare_partitions, overlaps


def sets_of(labels: list[int]) -> list[set[int]]:
    return [{i for i, x in enumerate(labels) if x == c} for c in sorted(set(labels)) if c >= 0]


def dice(a: set[int], b: set[int]) -> float:
    return 2 * len(a & b) / (len(a) + len(b))


PARTITIONS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-1, 5), min_size=n, max_size=n) for _ in range(2)))
)


@settings(max_examples=80, deadline=None)
@given(PARTITIONS)
def test_figures_are_those_of_the_definitions_over_sets(pair: tuple[list[int], list[int]]) -> None:
    truth, predicted = pair
    scores = compare_partitions(np.array(truth), np.array(predicted))
    a, b = sets_of(truth), sets_of(predicted)
    assert (scores.n_true, scores.n_predicted) == (len(a), len(b))
    if a:
        efficiency = sum(max((len(s & t) for t in b), default=0) / len(s) for s in a) / len(a)
        forth = sum(max((dice(s, t) for t in b), default=0.0) for s in a) / len(a)
        assert scores.efficiency == pytest.approx(efficiency)
        assert scores.best_dice_true == pytest.approx(forth)
    if b:
        purity = sum(max((len(s & t) for s in a), default=0) / len(t) for t in b) / len(b)
        back = sum(max((dice(s, t) for s in a), default=0.0) for t in b) / len(b)
        assert scores.purity == pytest.approx(purity)
        assert scores.best_dice_predicted == pytest.approx(back)
    if a and b:
        assert scores.sbd == pytest.approx(min(forth, back))


@settings(max_examples=80, deadline=None)
@given(PARTITIONS)
def test_rand_index_is_that_of_scikit_learn_with_lone_voxels_as_clusters(pair: tuple[list[int], list[int]]) -> None:
    rows = [(a, b) for a, b in zip(*pair, strict=True) if a >= 0 or b >= 0]
    alone = [[x if x >= 0 else 100 + i for i, x in enumerate(column)] for column in zip(*rows, strict=True)]
    ours = compare_partitions(*(np.array(column) for column in pair)).ari
    if not rows:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(adjusted_rand_score(*alone), abs=1e-12)


def test_worked_example() -> None:
    # True clusters A (4 voxels) and B (2); found: X with three of A and one of B, Y with one of each.
    scores = compare_partitions(np.array([0, 0, 0, 0, 1, 1]), np.array([7, 7, 7, 9, 7, 9]))
    assert scores.purity == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.efficiency == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.best_dice_true == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert scores.best_dice_predicted == pytest.approx((6 / 8 + 2 / 4) / 2)
    # Pairs: 3 together in both, 7 in each, 15 in all: (3 - 49/15) / (7 - 49/15).
    assert scores.ari == pytest.approx((3 - 49 / 15) / (7 - 49 / 15))


def test_merged_and_cut_tracks_have_the_worked_dice() -> None:
    merged = compare_partitions(np.array([0] * 50 + [1] * 50), np.zeros(100, int))
    assert (merged.purity, merged.efficiency, merged.sbd) == (0.5, 1.0, pytest.approx(2 / 3))
    cut = compare_partitions(np.zeros(100, int), np.array([0] * 50 + [1] * 50))
    assert (cut.purity, cut.efficiency, cut.sbd) == (1.0, 0.5, pytest.approx(2 / 3))


def test_degenerate_partitions() -> None:
    nothing = compare_partitions(np.zeros(0, int), np.zeros(0, int))
    assert math.isnan(nothing.ari)
    assert math.isnan(nothing.sbd)
    lost = compare_partitions(np.array([3, 3]), np.array([-1, -1]))
    assert (lost.efficiency, lost.sbd, lost.n_predicted) == (0.0, 0.0, 0)
    assert math.isnan(lost.purity)
    one = compare_partitions(np.array([5]), np.array([2]))
    assert (one.ari, one.purity, one.efficiency, one.sbd) == (1.0, 1.0, 1.0, 1.0)


def test_pairs_of_large_clusters_do_not_overflow() -> None:
    truth = np.repeat(np.arange(2), 2_000_000)
    assert compare_partitions(truth, truth[::-1]).ari == 1.0
    assert compare_partitions(truth, np.zeros(4_000_000, np.int32)).ari == pytest.approx(0.0)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="expected equal lengths"):
        overlaps(np.zeros(3, int), np.zeros(2, int))


def test_means_over_events_beside_the_published_ones() -> None:
    metrics = ClusteringMetrics(("shower", "track"))
    metrics.add("track", np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    metrics.add("track", np.array([0, 0]), np.array([0, 1]))
    metrics.add("shower", np.zeros(0, int), np.zeros(0, int))
    summary = metrics.summary()
    assert summary["track"]["efficiency"]["value"] == pytest.approx(0.75)
    assert summary["track"]["efficiency"]["error"] == pytest.approx(0.25)
    assert summary["track"]["published"]["sbd"] == 0.717
    assert (summary["track"]["true_clusters"], summary["track"]["predicted_clusters"]) == (3, 4)
    assert summary["all"]["purity"]["events"] == 2
    assert summary["shower"]["ari"]["events"] == 0
    assert "(0.717)" in metrics.table()
