"""DBSCAN (Ester et al. 1996) on voxels, and connected pieces of groups of voxels."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Places = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]

TOUCHING = 1.99
"""Distance in voxels within which two voxels share a face, an edge or a corner."""


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
    a, b = _pairs(places[first], eps)
    count = weight + _sums(a, weight[b], len(first)) + _sums(b, weight[a], len(first))
    core = count >= min_samples
    linked = core[a] & core[b]
    label = _first_seen(_components(a[linked], b[linked], len(first)), first, core)
    reach = np.concatenate([np.stack([a, b]), np.stack([b, a])], axis=1)
    reach = reach[:, core[reach[0]] & ~core[reach[1]]]
    border = np.full(len(first), n, dtype=np.int64)
    np.minimum.at(border, reach[1], label[reach[0]])
    joins = ~core & (border < n)
    label[joins] = border[joins]
    return np.asarray(label[inverse], dtype=np.int64)


def neighbour_counts(places: Places, eps: float) -> Int64:
    """Number (N,) of distinct places within ``eps`` of each of the distinct places (N, D), itself included."""
    a, b = _pairs(places, eps)
    return np.asarray(1 + np.bincount(a, minlength=len(places)) + np.bincount(b, minlength=len(places)))


def connected_pieces(voxels: Places, group: npt.NDArray[np.integer[Any]]) -> Int64:
    """Number (N,) of the connected piece of each voxel (N, 3), where only voxels of one group (N,) connect.

    Voxels connect when they share a face, an edge or a corner, or coincide. Pieces are numbered by group, then in the
    order of their first voxels; a voxel of a negative group has -1.
    """
    out = np.full(len(voxels), -1, dtype=np.int64)
    rows = np.flatnonzero(group >= 0)
    if len(rows) == 0:
        return out
    keyed = np.column_stack([group[rows], voxels[rows]])
    distinct, inverse = np.unique(keyed, axis=0, return_inverse=True)
    a, b = _pairs(distinct[:, 1:], TOUCHING)
    same = distinct[a, 0] == distinct[b, 0]
    piece = _components(a[same], b[same], len(distinct))[inverse.reshape(-1)]
    _, first, row = np.unique(piece, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.lexsort((first, group[rows[first]]))] = np.arange(len(first))
    out[rows] = rank[row]
    return out


def _pairs(places: Places, eps: float) -> tuple[Int64, Int64]:
    if len(places) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    pairs = cKDTree(np.asarray(places, dtype=np.float64)).query_pairs(eps, output_type="ndarray").astype(np.int64)
    return pairs[:, 0], pairs[:, 1]


def _sums(row: Int64, weight: Int64, n: int) -> Int64:
    return np.bincount(row, weight, minlength=n).astype(np.int64)


def _components(a: Int64, b: Int64, n: int) -> Int64:
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _first_seen(component: Int64, first: Int64, core: npt.NDArray[np.bool_]) -> Int64:
    """Components of cores numbered by the lowest row ``first`` of a core in them; -1 for what is no core."""
    n = int(component.max()) + 1
    earliest = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(earliest, component[core], first[core])
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(earliest, kind="stable")] = np.arange(n)
    return np.where(core, rank[component], -1)
