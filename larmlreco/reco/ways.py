"""Ways through neighbouring places: the graph of neighbours, the longest way in it, lengths and directions along it."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def neighbour_ways(places: Float64, reach: float) -> Any:
    """Sparse matrix (N, N) with the squared distance of each pair of places (N, 3) within ``reach``, both ways round.

    The square makes many small steps shorter than a few large ones, so that a way stays on its track.
    """
    a, b = cKDTree(places).query_pairs(reach, output_type="ndarray").T
    weight = ((places[a] - places[b]) ** 2).sum(axis=1)
    return csr_array(
        (np.concatenate([weight, weight]), (np.concatenate([a, b]), np.concatenate([b, a]))),
        shape=(len(places), len(places)),
    )


def longest_way(ways: Any) -> Int64:
    """Rows (M,) along the way between the two ends that are farthest apart, as far as two searches find them."""
    distance = dijkstra(ways, indices=0)
    start = int(np.where(np.isfinite(distance), distance, -1).argmax())
    distance, before = dijkstra(ways, indices=start, return_predecessors=True)
    way = [int(np.where(np.isfinite(distance), distance, -1).argmax())]
    while way[-1] != start:
        way.append(int(before[way[-1]]))
    return np.array(way, dtype=np.int64)


def nearest_on_way(ways: Any, way: Int64) -> Int64:
    """Position (N,) on the way (M,) from which each place is reached in the shortest way; -1: from none."""
    _, _, source = dijkstra(ways, indices=way, min_only=True, return_predecessors=True)
    position = np.full(ways.shape[0] + 1, -1, dtype=np.int64)
    position[way] = np.arange(len(way))
    return np.asarray(position[np.maximum(source, -1)], dtype=np.int64)


def lengths(way: Float64) -> Float64:
    """Length (M,) of a way (M, 3) up to each of its places."""
    return np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(way, axis=0) ** 2).sum(axis=1)))])


def axes(way: Float64, low: Int64, high: Int64) -> Float64:
    """Unit vectors (K, 3) along the ranges [low, high) (K,) of a way (M, 3)."""
    centred = way - way.mean(axis=0)
    sums = np.concatenate([np.zeros((1, 3)), np.cumsum(centred, axis=0)])
    squares = np.cumsum(centred[:, :, np.newaxis] * centred[:, np.newaxis, :], axis=0)
    squares = np.concatenate([np.zeros((1, 3, 3)), squares])
    n = (high - low)[:, np.newaxis]
    middle = (sums[high] - sums[low]) / n
    spread = (squares[high] - squares[low]) / n[:, :, np.newaxis]
    spread -= middle[:, :, np.newaxis] * middle[:, np.newaxis, :]
    axis = np.linalg.eigh(spread)[1][:, :, 2]
    forward = (axis * (way[high - 1] - way[low])).sum(axis=1) >= 0
    return np.asarray(np.where(forward[:, np.newaxis], axis, -axis), dtype=np.float64)


def kinks(way: Float64, place: Int64, window: float) -> tuple[Float64, Float64, Float64]:
    """Angle (K,), degrees, at positions ``place`` (K,) of a way (M, 3), and its directions (K, 3) before and after.

    Directions are measured over the length ``window`` on both sides.
    """
    length = lengths(way)
    first = np.searchsorted(length, length[place] - window)
    last = np.searchsorted(length, length[place] + window, side="right")
    before, after = axes(way, first, place), axes(way, place + 1, last)
    return np.degrees(np.arccos(np.clip((before * after).sum(axis=1), -1.0, 1.0))), before, after


def unit(vector: npt.NDArray[Any]) -> Float64:
    """The vector with length 1, or 0."""
    length = float(np.sqrt((vector * vector).sum()))
    return np.asarray(vector / length if length > 0 else np.zeros(vector.shape), dtype=np.float64)
