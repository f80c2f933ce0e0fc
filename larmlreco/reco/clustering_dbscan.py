"""DBSCAN (Ester et al. 1996) on voxels."""

from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.sites import components, pairs_within

Places = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


def dbscan(places: Places, eps: float, min_samples: int) -> Int64:
    """Cluster (N,) of each place (N, D), -1 for noise.

    A place with at least ``min_samples`` places within ``eps``, itself included, is a core; cores within ``eps`` of one
    another are of one cluster; another place joins the first cluster that has a core within ``eps`` of it. Clusters are
    numbered in the order of their first cores. Places that coincide count separately, at the cost of one, so time and
    memory are proportional to the pairs of distinct places within ``eps``; on voxels these are a fixed number each.
    """
    n = len(places)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    _, first, inverse, weight = np.unique(places, axis=0, return_index=True, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    a, b = pairs_within(places[first], eps)
    count = weight + _sums(a, weight[b], len(first)) + _sums(b, weight[a], len(first))
    core = count >= min_samples
    linked = core[a] & core[b]
    label = _first_seen(components(a[linked], b[linked], len(first)), first, core)
    reach = np.concatenate([np.stack([a, b]), np.stack([b, a])], axis=1)
    reach = reach[:, core[reach[0]] & ~core[reach[1]]]
    border = np.full(len(first), n, dtype=np.int64)
    np.minimum.at(border, reach[1], label[reach[0]])
    joins = ~core & (border < n)
    label[joins] = border[joins]
    return np.asarray(label[inverse], dtype=np.int64)


def neighbour_counts(places: Places, eps: float) -> Int64:
    """Number (N,) of distinct places within ``eps`` of each of the distinct places (N, D), itself included."""
    a, b = pairs_within(places, eps)
    return np.asarray(1 + np.bincount(a, minlength=len(places)) + np.bincount(b, minlength=len(places)))


def _sums(row: Int64, weight: Int64, n: int) -> Int64:
    return np.bincount(row, weight, minlength=n).astype(np.int64)


def _first_seen(component: Int64, first: Int64, core: npt.NDArray[np.bool_]) -> Int64:
    """Components of cores numbered by the lowest row ``first`` of a core in them; -1 for what is no core."""
    n = int(component.max()) + 1
    earliest = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(earliest, component[core], first[core])
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(earliest, kind="stable")] = np.arange(n)
    return np.where(core, rank[component], -1)
