"""Tracks that were found in pieces, put together: across gaps of dead wires and stretches of another class.

Two pieces belong together where the end of one looks at the end of the other: along both directions the gap is crossed
with a small offset, and the directions agree. Ends are paired from the shortest gap on, each at most once in a pass;
then the joined tracks are looked at again. Pieces too short to have a direction join the track at which they lie.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from larmlreco.labels import Semantic
from larmlreco.reco.particles_path import path_of, principal_axis

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]

_TRACKS = (Semantic.HIP, Semantic.MIP)
_PASSES = 5


@dataclass(frozen=True)
class JoinOptions:
    """Options of :func:`join_tracks`; lengths in voxels.

    ``max_gap``: longest gap; ``overlap``: length over which two pieces may lie side by side; ``offset`` and ``slope``:
    an end may lie beside the line of the other one by ``offset + slope * gap``; ``min_cosine``: least cosine of the
    angle between the directions of the two pieces, and ``near_cosine`` where the gap is at most ``near``; ``reach``:
    length over which a direction is measured, pieces shorter than half of it have none; ``other_class``: pieces of the
    other track class (a Bragg peak) up to this length are joined too, where they are ``near`` and straight on;
    ``beside``: distance of short pieces from the track of their class that they join (``speck``: of any track class up
    to this length), and of pieces that lie beside a larger one of their class with at least the part ``covered`` of
    their voxels.
    """

    max_gap: float = 80.0
    overlap: float = 25.0
    offset: float = 3.5
    slope: float = 0.1
    min_cosine: float = 0.95
    near: float = 10.0
    near_cosine: float = 0.85
    reach: float = 20.0
    other_class: float = 0.0
    speck: float = 3.0
    beside: float = 3.0
    covered: float = 0.7


_DEFAULT = JoinOptions()


def join_tracks(voxels: npt.ArrayLike, cluster: Index, semantic: Index, options: JoinOptions = _DEFAULT) -> Int64:
    """Number (K,) of the joined cluster of each of the K clusters, in the order of their first members.

    ``voxels`` (N, 3): distinct places in voxels; ``cluster`` (N,): cluster of each, -1 for none; ``semantic`` (K,):
    classes in the canonical scheme. Clusters that are no tracks stay as they are. Near-linear in the voxels.
    """
    places = np.asarray(voxels, dtype=np.float64).reshape(-1, 3)
    owner, kinds = np.asarray(cluster, dtype=np.int64), np.asarray(semantic, dtype=np.int64)
    size = np.bincount(owner[owner >= 0], minlength=len(kinds)) + 1e-9
    number, classes = np.arange(len(kinds)), kinds
    for _ in range(_PASSES):  # a joined track has ends and directions of its own
        again = _joined(places, np.append(number, -1)[owner], classes, options)
        if again.max(initial=-1) + 1 == len(classes):
            break
        number = again[number]
        n, c = int(again.max()) + 1, int(kinds.max()) + 1
        classes = np.bincount(number * c + kinds, size, n * c).reshape(n, c).argmax(axis=1)
    return number


def _joined(places: Float64, cluster: Int64, semantic: Int64, options: JoinOptions) -> Int64:
    """One pass of :func:`join_tracks`."""
    k = len(semantic)
    order = np.argsort(cluster, kind="stable")
    edges = np.searchsorted(cluster[order], np.arange(k + 1))
    tracks = [row for row in range(k) if semantic[row] in _TRACKS and edges[row + 1] > edges[row]]
    members = {row: places[order[edges[row] : edges[row + 1]]] for row in tracks}
    pairs = _facing(members, semantic, options)
    pairs += _beside(members, semantic, _components(pairs, k), options)
    return _components([*pairs, *_covered(members, semantic, options)], k)


@dataclass(frozen=True)
class _Ends:
    """Ends (E,) of long pieces: cluster, ``place`` and outward unit vector (E, 3); ``length`` (E,) of the piece."""

    owner: Int64
    place: Float64
    out: Float64
    length: Float64


def _ends(members: dict[int, Float64], options: JoinOptions) -> _Ends:
    rows: list[tuple[int, Float64, Float64, float]] = []
    for row, places in members.items():
        path = path_of(places, np.ones(len(places)))
        if path.length < options.reach / 2:
            continue
        for way in (path, path.reversed()):
            near = places[way.along <= options.reach]
            middle = near.mean(axis=0)
            axis = principal_axis(near - middle)
            rows.append((row, way.points[0], axis if (way.points[0] - middle) @ axis >= 0 else -axis, path.length))
    return _Ends(
        np.array([r[0] for r in rows], dtype=np.int64),
        np.array([r[1] for r in rows]).reshape(-1, 3),
        np.array([r[2] for r in rows]).reshape(-1, 3),
        np.array([r[3] for r in rows], dtype=np.float64),
    )


def _facing(members: dict[int, Float64], semantic: Index, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of clusters whose ends look at one another."""
    ends = _ends(members, options)
    if len(ends.owner) < 2:
        return []
    pairs = cKDTree(ends.place).query_pairs(options.max_gap, output_type="ndarray")
    a, b = pairs[ends.owner[pairs[:, 0]] != ends.owner[pairs[:, 1]]].T
    same = np.asarray(semantic)[ends.owner[a]] == np.asarray(semantic)[ends.owner[b]]
    same |= np.minimum(ends.length[a], ends.length[b]) <= options.other_class
    a, b = a[same], b[same]
    gap = ends.place[b] - ends.place[a]
    size = np.sqrt((gap**2).sum(axis=1))
    cosine = -(ends.out[a] * ends.out[b]).sum(axis=1)
    near = size <= options.near
    alike = np.asarray(semantic)[ends.owner[a]] == np.asarray(semantic)[ends.owner[b]]
    good = (cosine >= np.where(near & alike, options.near_cosine, options.min_cosine)) & (near | alike)
    most = options.offset + options.slope * size
    beside = np.zeros(len(a))
    for out, sign in ((ends.out[a], 1), (ends.out[b], -1)):
        along = sign * (gap * out).sum(axis=1)
        offset = np.sqrt(np.maximum(size**2 - along**2, 0))
        good &= (along >= -np.where(cosine >= options.min_cosine, options.overlap, options.near / 2)) & (offset <= most)
        beside += offset
    taken: set[int] = set()
    found = []
    for i in np.lexsort((b, a, size + 2 * beside)):
        if good[i] and not taken & {int(a[i]), int(b[i])}:
            taken |= {int(a[i]), int(b[i])}
            found.append((int(ends.owner[a[i]]), int(ends.owner[b[i]])))
    return found


def _beside(members: dict[int, Float64], semantic: Index, number: Int64, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of a short piece and the track of its class that it lies at, the nearest one."""
    size = {row: float(np.ptp(places, axis=0).max()) for row, places in members.items()}
    short = [row for row in members if size[row] < options.reach / 2 and (number == number[row]).sum() == 1]
    long = [row for row in members if row not in set(short)]
    if not short or not long:
        return []
    owner = np.repeat(long, [len(members[row]) for row in long])
    tree = cKDTree(np.concatenate([members[row] for row in long]))
    found = []
    for row in short:
        distance, nearest = tree.query(members[row], distance_upper_bound=options.beside + 1e-9)
        best = int(np.argmin(distance))
        if np.isfinite(distance[best]):
            other = int(owner[nearest[best]])
            if semantic[row] == semantic[other] or size[row] <= options.speck:
                found.append((row, other))
    return found


def _covered(members: dict[int, Float64], semantic: Index, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of a piece and a larger one of its class beside which most of it lies."""
    if len(members) < 2:
        return []
    owner = np.repeat(list(members), [len(places) for places in members.values()])
    places = np.concatenate(list(members.values()))
    pairs = cKDTree(places).query_pairs(options.beside, output_type="ndarray").astype(np.int64)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    mine, theirs = owner[pairs[:, 0]], owner[pairs[:, 1]]
    size = np.bincount(owner)
    kinds = np.asarray(semantic)
    smaller = (size[mine] < size[theirs]) | ((size[mine] == size[theirs]) & (mine > theirs))
    found = smaller & (mine != theirs) & (kinds[mine] == kinds[theirs])
    touched = np.unique(np.column_stack([pairs[found, 0], theirs[found]]), axis=0)
    both, count = np.unique(np.column_stack([owner[touched[:, 0]], touched[:, 1]]), axis=0, return_counts=True)
    return [(int(a), int(b)) for (a, b), n in zip(both, count, strict=True) if n >= options.covered * size[a]]


def _components(pairs: list[tuple[int, int]], n: int) -> Int64:
    """Number (n,) of the group of every cluster, in the order of their first members."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(table)), (table[:, 0], table[:, 1])), shape=(n, n))
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    group = connected_components(graph, directed=False)[1]
    _, first, row = np.unique(group, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[row.reshape(-1)], dtype=np.int64)
