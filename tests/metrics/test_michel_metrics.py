"""Michel figures on hand-worked events."""

import math

import numpy as np
import pytest

from larmlreco.metrics.michel import MichelMetrics, match_michels

#                 two found well          one lost        a fake
TRUTH = np.array([0] * 20 + [1] * 10 + [2] * 5 + [-1] * 12)
FOUND = np.array([4] * 18 + [-1] * 2 + [5] * 10 + [-1] * 5 + [5] * 2 + [6] * 10)


def test_worked_event() -> None:
    metrics = MichelMetrics()
    matches = metrics.add(TRUTH, FOUND)
    assert matches.candidate.tolist() == [4, 5]
    assert matches.true.tolist() == [0, 1]
    figures = metrics.summary()["all"]
    assert figures["id_efficiency"]["value"] == pytest.approx(2 / 3)
    assert figures["id_purity"]["value"] == pytest.approx(2 / 3)
    assert figures["cluster_efficiency"]["value"] == pytest.approx((18 / 20 + 1) / 2)
    assert figures["cluster_purity"]["value"] == pytest.approx((1 + 10 / 12) / 2)
    assert figures["both_above_95"]["value"] == 0.0
    assert "(93.9)" in metrics.table()
    assert "3 true Michel electrons, 3 candidates, 2 matched" in metrics.table()


def test_the_cut_leaves_out_small_candidates() -> None:
    metrics = MichelMetrics()
    metrics.add(np.array([0] * 9 + [1] * 12), np.array([0] * 9 + [1] * 12))
    cut, everything = metrics.summary()["min_10_voxels"], metrics.summary()["all"]
    assert (everything["id_efficiency"]["value"], cut["id_efficiency"]["value"]) == (1.0, 0.5)
    assert cut["id_purity"]["value"] == 1.0
    assert everything["both_above_95"]["value"] == 1.0


def test_a_true_cluster_is_matched_once_by_the_candidate_that_shares_most() -> None:
    matches = match_michels(np.zeros(10, int), np.array([2] * 4 + [1] * 6))
    assert matches.candidate.tolist() == [1]
    assert (matches.n_candidates, matches.n_true) == (2, 1)
    tied = match_michels(np.zeros(10, int), np.array([2] * 5 + [1] * 5))
    assert tied.candidate.tolist() == [1]


def test_a_candidate_goes_to_the_true_cluster_that_shares_most() -> None:
    matches = match_michels(np.array([8] * 3 + [9] * 7), np.zeros(10, int))
    assert (matches.true.tolist(), matches.shared.tolist()) == ([9], [7])
    assert (matches.true_size.tolist(), matches.candidate_size.tolist()) == ([7], [10])


def test_events_without_michels() -> None:
    metrics = MichelMetrics()
    metrics.add(np.zeros(0, int), np.zeros(0, int))
    metrics.add(np.full(3, -1), np.full(3, -1))
    assert math.isnan(metrics.summary()["all"]["id_purity"]["value"])
    metrics.add(np.full(3, -1), np.zeros(3, int))
    assert metrics.summary()["all"]["id_purity"]["value"] == 0.0
    assert "0 true Michel electrons, 1 candidates, 0 matched" in metrics.table()
