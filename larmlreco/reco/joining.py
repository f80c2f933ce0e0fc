"""Tracks that were found in pieces, put together: across gaps of dead wires and stretches of another class.

Two pieces belong together where the end of one looks at the end of the other: along both directions the gap is crossed
with a small offset, and the directions agree. Ends are paired from the shortest gap on, each at most once in a pass;
then the joined tracks are looked at again. Pieces too short to have a direction join the track at which they lie. Where
a third track ends is a vertex: two that leave it in opposite directions are two particles.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.labels import Semantic
from larmlreco.reco.particles_path import path_of, principal_axis
from larmlreco.sites import components

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
    to this length, 0: none), and of pieces that lie beside a larger one of their class with at least the part
    ``covered`` of their voxels; ``vertex``: distance from both ends of a pair within which a third track, of at least
    ``reach``, that ends there, continues nothing and goes elsewhere says that the pair only meets at a vertex.
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
    vertex: float = 5.0


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
    known: _Known = {}
    for _ in range(_PASSES):  # a joined track has ends and directions of its own
        again = _joined(places, np.append(number, -1)[owner], classes, options, known)
        if again.max(initial=-1) + 1 == len(classes):
            break
        number = again[number]
        n, c = int(again.max()) + 1, int(kinds.max()) + 1
        classes = np.bincount(number * c + kinds, size, n * c).reshape(n, c).argmax(axis=1)
    return number


_End = tuple[Float64, Float64, float]
"""Place and outward unit vector (3,) of an end, length of its piece."""

_Known = dict[tuple[int, int], list[_End]]
"""Ends of pieces by first row and number of their voxels: pieces only grow, so these two tell one from its pieces."""


def _joined(places: Float64, cluster: Int64, semantic: Int64, options: JoinOptions, known: _Known) -> Int64:
    """One pass of :func:`join_tracks`; adds to the ends that are ``known``."""
    k = len(semantic)
    order = np.argsort(cluster, kind="stable")
    edges = np.searchsorted(cluster[order], np.arange(k + 1))
    tracks = [row for row in range(k) if semantic[row] in _TRACKS and edges[row + 1] > edges[row]]
    members = {row: places[order[edges[row] : edges[row + 1]]] for row in tracks}
    ends = {}
    for row, own in members.items():
        key = (int(order[edges[row]]), len(own))
        if key not in known:
            known[key] = _ends_of(own, options)
        ends[row] = known[key]
    pairs = _facing(ends, semantic, options)
    pairs += _alone(_beside(members, semantic, options), pairs, k)
    pairs += _alone(_covered(members, semantic, options), pairs, k)
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return components(one, other, k)


def _alone(more: list[tuple[int, int]], pairs: list[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """Those of ``more`` pairs whose first cluster is in none of ``pairs``.

    A short piece at a vertex lies beside several tracks: each reason by itself may name another one, and together they
    would join tracks that only begin at the same place. What is left out is looked at again in the next pass.
    """
    taken = np.zeros(n, dtype=np.bool_)
    taken[np.array(pairs, dtype=np.int64).reshape(-1)] = True
    return [(one, other) for one, other in more if not taken[one]]


@dataclass(frozen=True)
class _Ends:
    """Ends (E,) of long pieces: cluster, ``place`` and outward unit vector (E, 3); ``length`` (E,) of the piece."""

    owner: Int64
    place: Float64
    out: Float64
    length: Float64


def _ends_of(places: Float64, options: JoinOptions) -> list[_End]:
    """Both ends of a long piece, none of a short one."""
    path = path_of(places, np.ones(len(places)))
    found: list[_End] = []
    if path.length < options.reach / 2:
        return found
    for way in (path, path.reversed()):
        near = places[way.along <= options.reach]
        middle = near.mean(axis=0)
        axis = principal_axis(near - middle)
        found.append((way.points[0], axis if (way.points[0] - middle) @ axis >= 0 else -axis, path.length))
    return found


def _table(ends: dict[int, list[_End]]) -> _Ends:
    rows = [(row, *end) for row, both in ends.items() for end in both]
    return _Ends(
        np.array([r[0] for r in rows], dtype=np.int64),
        np.array([r[1] for r in rows]).reshape(-1, 3),
        np.array([r[2] for r in rows]).reshape(-1, 3),
        np.array([r[3] for r in rows], dtype=np.float64),
    )


def _facing(of_piece: dict[int, list[_End]], semantic: Index, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of clusters whose ends look at one another."""
    ends = _table(of_piece)
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
    a, b, badness = a[good], b[good], (size + 2 * beside)[good]
    for i in np.lexsort((b, a, badness)):
        if not taken & {int(a[i]), int(b[i])}:
            taken |= {int(a[i]), int(b[i])}
            found.append((int(a[i]), int(b[i])))
    meeting = _at_vertices(ends, np.array(found, dtype=np.int64).reshape(-1, 2), options)
    return [(int(ends.owner[i]), int(ends.owner[j])) for (i, j), met in zip(found, meeting, strict=True) if not met]


def _at_vertices(ends: _Ends, pairs: Int64, options: JoinOptions) -> npt.NDArray[np.bool_]:
    """Whether another track, with an end that is in no pair, ends where the two ends of a pair (K, 2) are."""
    alone = np.setdiff1d(np.arange(len(ends.owner)), pairs)
    if len(pairs) == 0 or len(alone) == 0:
        return np.zeros(len(pairs), dtype=np.bool_)
    tree = cKDTree(ends.place[alone])
    near = [tree.query_ball_point(ends.place[pairs[:, side]], options.vertex) for side in (0, 1)]
    out = []
    for pair, one, other in zip(pairs, *near, strict=True):
        third = alone[sorted({*one} & {*other})]
        third = third[~np.isin(ends.owner[third], ends.owner[pair])]
        aside = np.abs(ends.out[third] @ ends.out[pair].T).max(axis=1, initial=0) < options.near_cosine
        out.append(bool((aside & (ends.length[third] >= options.reach)).any()))
    return np.array(out, dtype=np.bool_)


def _beside(members: dict[int, Float64], semantic: Index, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of a short piece and the track of its class that it lies at, the nearest one."""
    size = {row: float(np.ptp(places, axis=0).max()) for row, places in members.items()}
    short = [row for row in members if size[row] < options.reach / 2]
    long = sorted(set(members).difference(short))
    if not short or not long:
        return []
    owner = np.repeat(long, [len(members[row]) for row in long])
    tree = cKDTree(np.concatenate([members[row] for row in long]))
    found = []
    distances, nearest = tree.query(
        np.concatenate([members[row] for row in short]), distance_upper_bound=options.beside + 1e-9
    )
    first = np.cumsum([0] + [len(members[row]) for row in short])
    for row, low, high in zip(short, first[:-1], first[1:], strict=True):
        best = low + int(np.argmin(distances[low:high]))
        if np.isfinite(distances[best]):
            other = int(owner[nearest[best]])
            if semantic[row] == semantic[other] or 0 < options.speck >= size[row]:
                found.append((row, other))
    return found


def _covered(members: dict[int, Float64], semantic: Index, options: JoinOptions) -> list[tuple[int, int]]:
    """Pairs of a piece and the larger one of its class beside which most of it lies, the nearest one on average.

    A piece has one such partner at most: what lies at a vertex lies beside all tracks that begin there, and is no
    reason to join them.
    """
    if len(members) < 2:
        return []
    owner = np.repeat(list(members), [len(places) for places in members.values()])
    places = np.concatenate(list(members.values()))
    pairs = cKDTree(places).query_pairs(options.beside, output_type="ndarray")
    kinds, size = np.asarray(semantic), np.bincount(owner)
    a, b = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]].T.astype(np.int64)
    alike = kinds[owner[a]] == kinds[owner[b]]
    a, b = a[alike], b[alike]
    swap = (size[owner[a]] > size[owner[b]]) | ((size[owner[a]] == size[owner[b]]) & (owner[a] < owner[b]))
    place, other = np.where(swap, b, a), np.where(swap, a, b)  # the place is one of the smaller piece
    apart = np.sqrt(((places[place] - places[other]) ** 2).sum(axis=1))
    order = np.lexsort((apart, owner[other], place))
    pair = np.column_stack([place, owner[other]])[order]
    first = order[np.flatnonzero((np.diff(pair, axis=0, prepend=-1) != 0).any(axis=1))]
    both, row = np.unique(owner[place[first]] * len(size) + owner[other[first]], return_inverse=True)
    mine, theirs = np.divmod(both, len(size))
    count = np.bincount(row)
    away = (size[mine] - count) * options.beside  # of the voxels that are not beside it
    distance = (np.bincount(row, apart[first]) + away) / size[mine]
    good = np.flatnonzero(count >= options.covered * size[mine])
    good = good[np.lexsort((theirs[good], distance[good], mine[good]))]
    good = good[np.flatnonzero(np.diff(mine[good], prepend=-1))]
    return list(zip(mine[good].tolist(), theirs[good].tolist(), strict=True))
