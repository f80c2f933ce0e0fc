"""The way of a particle through its voxels: from one end to the other, its length and its charge along it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Places = npt.NDArray[Any]

NEIGHBOURS = 2.3
"""Distance (voxels) within which voxels are joined; what is farther apart is joined across the gap."""

STEP = 3.0
"""Length (voxels) of the steps in which the way and the charge along it are measured."""

_FEW_VOXELS = 8  # so few are taken to lie on a line
_MOST_VOXELS = 20_000


@dataclass(frozen=True)
class Path:
    """The way through N voxels, from one end to the other; nothing here says which end is the start.

    ``along`` (N,): distance of every voxel from the first end along the voxels; ``points`` (K + 1, 3): the way as a
    line of K pieces from end to end; ``piece`` (N,): the piece that a voxel belongs to; ``charge`` (K,) and ``size``
    (K,): charge and length of each piece; ``filled`` (K,): whether it has a voxel. Lengths in voxels.
    """

    along: Float64
    points: Float64
    piece: Int64
    charge: Float64
    size: Float64
    filled: npt.NDArray[np.bool_]

    @property
    def length(self) -> float:
        """Length of the line."""
        return float(self.size.sum())

    @cached_property
    def middle(self) -> Float64:
        """Lengths (K,) along the line to the middles of its pieces."""
        return np.asarray(np.cumsum(self.size) - self.size / 2)

    def parts(self, measured: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Parts of the length with voxels that are ``measured`` (N,), and with others alone."""
        seen = np.zeros(len(self.size), dtype=np.bool_)
        seen[self.piece[measured]] = True
        size = self.size if self.length > 0 else np.ones(len(self.size))
        return float(size[seen].sum() / size.sum()), float(size[self.filled & ~seen].sum() / size.sum())

    def reversed(self) -> "Path":
        """The same way from the other end."""
        return Path(
            self.along.max() - self.along,
            self.points[::-1],
            len(self.size) - 1 - self.piece,
            self.charge[::-1],
            self.size[::-1],
            self.filled[::-1],
        )

    def charge_density(self, low: float, high: float) -> float:
        """Charge a voxel's length between two lengths along the line, gaps left out; NaN where there is nothing.

        The pieces count whose middles lie between, without the first and the last piece of the line where there are
        others: the particle covers an unknown part of these.
        """
        inside = (self.middle >= low) & (self.middle <= high) & self.filled
        if len(inside) > 2 and inside[1:-1].any():
            inside[[0, -1]] = False
        size = float(self.size[inside].sum())
        return float(self.charge[inside].sum()) / size if size > 0 else float("nan")


def path_of(voxels: Places, charge: Float64) -> Path:
    """The way through distinct voxels (N, 3) with ``charge`` (N,), at least one.

    Its ends are the two voxels that are farthest apart along the voxels; between them it leads through the middles, by
    charge, of the voxels at equal distance from the first end. It is the same for every order of the voxels. Time is
    near-linear in the voxels: voxels are joined to those near them, and pieces that are apart are joined where they
    follow one another along the longest axis.

    Raises ``ValueError`` without a voxel.
    """
    if len(voxels) == 0:
        raise ValueError("a path needs at least one voxel; got none")
    order = np.lexsort(np.asarray(voxels).T)
    places = np.asarray(voxels, dtype=np.float64)[order]
    ordered = np.maximum(np.asarray(charge, dtype=np.float64)[order], 0)
    along = _along(places)
    path = _line(places, ordered, along)
    row = np.argsort(order)
    return Path(path.along[row], path.points, path.piece[row], path.charge, path.size, path.filled)


def principal_axis(offset: Float64) -> Float64:
    """Unit vector (3,) of the longest axis of places around their mean (N, 3)."""
    axis: Float64 = np.linalg.eigh(offset.T @ offset)[1][:, -1]
    return axis


def _along(places: Float64) -> Float64:
    """Distance (N,) of every place, in lexicographic order, from the first end."""
    if len(places) <= _FEW_VOXELS:
        squared = ((places[:, np.newaxis] - places) ** 2).sum(axis=2)
        return np.asarray(np.sqrt(squared[int(squared.max(axis=1).argmax())]))
    if len(places) > _MOST_VOXELS:
        coarse, row = np.unique(np.floor(places / 2), axis=0, return_inverse=True)
        return np.asarray(2 * _along(coarse)[row.reshape(-1)])
    pairs = cKDTree(places).query_pairs(NEIGHBOURS, output_type="ndarray").astype(np.int64)
    graph = _graph(pairs, places)
    _, piece = connected_components(graph, connection="strong")
    if piece.max() > 0:
        graph = _graph(np.concatenate([pairs, _bridges(places, piece)]), places)
    ends = [int(np.argmax(dijkstra(graph, indices=0)))]
    second = dijkstra(graph, indices=ends[0])
    ends.append(int(np.argmax(second)))
    return np.asarray(second if ends[0] < ends[1] else dijkstra(graph, indices=ends[1]), dtype=np.float64)


def _graph(pairs: Int64, places: Float64) -> csr_array:
    """Both directions of every pair, so that nothing needs to turn the graph around again."""
    length = np.sqrt(((places[pairs[:, 0]] - places[pairs[:, 1]]) ** 2).sum(axis=1))
    row, column = np.concatenate([pairs, pairs[:, ::-1]]).T
    return csr_array((np.tile(length, 2), (row, column)), shape=(len(places), len(places)))


def _bridges(places: Float64, piece: npt.NDArray[Any]) -> Int64:
    """Pairs (M, 2) of places that follow one another along the longest axis and are of different pieces."""
    offset = places - places.mean(axis=0)
    order = np.argsort(offset @ principal_axis(offset), kind="stable")
    apart = piece[order[:-1]] != piece[order[1:]]
    return np.column_stack([order[:-1][apart], order[1:][apart]]).astype(np.int64)


def _line(places: Float64, charge: Float64, along: Float64) -> Path:
    """The line whose inner points lie half way between the middles of neighbouring steps."""
    n = max(int(np.ceil(along.max() / STEP)), 1)
    piece = np.minimum((along * (n / max(float(along.max()), 1e-9))).astype(np.int64), n - 1)
    weight = charge + 1e-9 * max(float(charge.sum()), 1.0)
    total = np.bincount(piece, weight, n)
    filled = np.bincount(piece, minlength=n) > 0
    steps = np.arange(n)
    middles = np.empty((n, 3))
    for axis in range(3):
        mean = np.bincount(piece, weight * places[:, axis], n)[filled] / total[filled]
        middles[:, axis] = np.interp(steps, steps[filled], mean)
    ends = places[[int(np.argmin(along)), int(np.argmax(along))]]
    points = np.concatenate([ends[:1], (middles[1:] + middles[:-1]) / 2, ends[1:]])
    size = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    return Path(along, points, piece, np.bincount(piece, charge, n).astype(np.float64), size, filled)
