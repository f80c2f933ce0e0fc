"""DBSCAN against its definition and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.proposal_free_clustering import plain_dbscan
from sklearn.cluster import DBSCAN

from larmlreco.reco.clustering_dbscan import dbscan, neighbour_counts


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*(st.integers(-5, 5),) * 3), min_size=1, max_size=70),
    st.sampled_from([1.0, 1.99, 2.0, 2.8]),
    st.integers(1, 6),
)
def test_labels_are_those_of_the_definition(places: list[tuple[int, int, int]], eps: float, min_samples: int) -> None:
    assert dbscan(np.array(places), eps, min_samples).tolist() == plain_dbscan(places, eps, min_samples)


@pytest.mark.parametrize(("eps", "min_samples"), [(2.8, 10), (2.8, 5), (2.8, 4), (1.99, 1)])
def test_labels_are_those_of_scikit_learn(eps: float, min_samples: int) -> None:
    random = np.random.default_rng(2)
    voxels = np.unique(random.integers(0, 22, (1500, 3)), axis=0)
    voxels = random.permutation(voxels)
    expected = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(voxels)
    assert np.array_equal(dbscan(voxels, eps, min_samples), expected)
    points = random.normal(0, 3, (800, 3))
    assert np.array_equal(dbscan(points, 1.0, 5), DBSCAN(eps=1.0, min_samples=5).fit_predict(points))


def test_no_place_one_place_and_many_at_one() -> None:
    assert dbscan(np.zeros((0, 3), int), 2.8, 5).tolist() == []
    assert dbscan(np.zeros((1, 3), int), 2.8, 1).tolist() == [0]
    assert dbscan(np.zeros((1, 3), int), 2.8, 2).tolist() == [-1]
    assert not dbscan(np.zeros((200_000, 3), int), 2.8, 10).any()


def test_neighbours_are_counted_with_the_place_itself() -> None:
    line = np.column_stack([np.arange(6), np.zeros(6, int), np.zeros(6, int)])
    assert neighbour_counts(line, 2.8).tolist() == [3, 4, 5, 5, 4, 3]
    assert neighbour_counts(line[:1], 2.8).tolist() == [1]
