"""Delta rays: connected pieces of voxels, of which faint ones belong to a neighbour.

A delta ray runs along its track and through it, so that voxels in which the track has more energy part its pieces. An
electron counts as a delta ray of its own only from a kinetic energy on, so a piece with less charge is part of another
one, while two pieces with more are two delta rays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from larmlreco.reco.clustering_dbscan import TOUCHING, dbscan

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
    piece = dbscan(places, TOUCHING, 1)
    if len(piece) < 2:
        return piece
    pairs = cKDTree(places).query_pairs(reach, output_type="ndarray")
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
        graph = coo_array((np.ones(len(joining)), (joining, other[going][nearest])), shape=(len(faint),) * 2)
        # Components are numbered in the order of their first pieces.
        piece = np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)[piece]
