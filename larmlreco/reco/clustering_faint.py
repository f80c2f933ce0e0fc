"""Faint pieces of delta rays and Michel electrons: part of a neighbour, or of another class.

A delta ray runs along its track and through it, so that voxels in which the track has more energy part its pieces. An
electron counts as a delta ray of its own only from a kinetic energy on, so a piece with less charge is part of another
one, while two pieces with more are two delta rays. What stays faint by itself a network took for the class by mistake.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.labels import SEMANTIC_NAMES, Semantic
from larmlreco.sites import TOUCHING, components, connected_pieces, pairs_within

Int64 = npt.NDArray[np.int64]
Index = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


def join_faint(voxels: Index, charge: Floats, reach: float, least: float) -> Int64:
    """Cluster (N,) of each of the distinct voxels (N, 3) with ``charge`` (N,).

    Connected pieces (numbered in the order of their first voxels) are joined in rounds: each one with less charge than
    ``least`` goes with the nearest other one, at most ``reach`` (voxels) away, ties to the first pair of voxels. Thus
    two pieces with more are never joined, neither directly nor through a faint one. Time is that of the pairs of voxels
    within ``reach``, times at most the logarithm of the number of pieces.
    """
    places = np.asarray(voxels, dtype=np.float64).reshape(-1, 3)
    piece = connected_pieces(places)
    if len(piece) < 2:
        return piece
    pairs = np.column_stack(pairs_within(places, reach))
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    away = ((places[pairs[:, 0]] - places[pairs[:, 1]]) ** 2).sum(axis=1)
    pairs = pairs[np.lexsort((pairs.max(axis=1), pairs.min(axis=1), away))]
    while True:
        faint = np.bincount(piece, charge) < least
        one, other = piece[pairs].T
        going = (one != other) & faint[one]
        if not going.any():
            return piece
        joining, nearest = np.unique(one[going], return_index=True)
        piece = components(joining, other[going][nearest], len(faint))[piece]


def without_faint(voxels: Index, label: Index, charge: Floats, least: Mapping[int, float], reach: float) -> Int64:
    """Labels (N,) of the distinct voxels (N, 3) with ``label`` (N,) and ``charge`` (N,), where none is faint.

    Clusters of :func:`join_faint` of a class in ``least``, that have less charge than it says, take the class of most
    of the voxels of other classes that touch them, ties to the lower; those that touch none are showers, as most lone
    deposits are. Every class is judged by the labels as they were given.
    """
    out = np.array(label, dtype=np.int64)
    for semantic, limit in least.items():
        rows = np.flatnonzero(label == semantic)
        cluster = join_faint(voxels[rows], charge[rows], reach, limit)
        faint = (np.bincount(cluster, charge[rows]) < limit)[cluster] if len(rows) else np.zeros(0, dtype=bool)
        others = np.flatnonzero((label != semantic) & (label >= 0))
        votes = np.zeros((len(rows), len(SEMANTIC_NAMES)))
        if faint.any() and len(others):
            near = cKDTree(voxels[others]).query_ball_point(voxels[rows[faint]], TOUCHING)
            owner = np.repeat(cluster[faint], [len(found) for found in near])
            touching = np.fromiter((i for found in near for i in found), dtype=np.int64, count=len(owner))
            np.add.at(votes, (owner, label[others[touching]]), 1)
        taken = np.where(votes.any(axis=1), votes.argmax(axis=1), int(Semantic.SHOWER))
        out[rows[faint]] = taken[cluster[faint]]
    return out
