"""Tracks told apart by their shape: courses through the voxels, cut at kinks and junctions, joined across crossings.

DBSCAN makes one cluster of all tracks that touch. Here every such piece is taken apart into courses, the longest way
through its voxels first and then the longest one through what is left. A particle starts or ends where a course has a
kink, or where another one ends in its middle; what continues in a straight line is one particle.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.reco.ways import kinks, lengths, longest_way, neighbour_ways, unit
from larmlreco.sites import connected_pieces

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]

_MOST_COURSES = 64


@dataclass(frozen=True)
class TrackOptions:
    """Options of :func:`split_tracks`; lengths in voxels, angles in degrees.

    ``gap``: voxels of a track may be this far apart. ``radius``: voxels nearer to a course are of it. ``stub`` and
    ``least``: what stays within ``stub`` of another course, or has fewer voxels, is part of it: electrons that a
    particle sets free. ``window``: length on both sides of a place over which directions are measured. ``kink``: least
    angle between them where one particle ends and another begins; it grows to ``end_kink`` within ``end_length`` of the
    end of a course, where slow particles scatter strongly. ``straight`` and ``reach``: largest angle and distance of
    two ends that continue each other. ``speck``: connected voxels of one class, so many at most, that touch another
    class are taken for it.
    """

    gap: float = 4.0
    radius: float = 1.8
    stub: float = 4.0
    least: int = 5
    window: float = 12.0
    kink: float = 20.0
    end_kink: float = 90.0
    end_length: float = 12.0
    straight: float = 15.0
    reach: float = 8.0
    speck: int = 0


_DEFAULT = TrackOptions()


def split_tracks(voxels: Index, semantic: Index, options: TrackOptions = _DEFAULT) -> Int64:
    """Track (N,) of each of the distinct voxels (N, 3) with class ``semantic`` (N,); a track has one class.

    Tracks are numbered in the order of their first voxels. Time and memory are those of the pairs of voxels within
    ``gap``, times the number of tracks that touch, at most 64 of a piece.
    """
    places = np.asarray(voxels, dtype=np.float64).reshape(-1, 3)
    if len(places) == 0:
        return np.zeros(0, dtype=np.int64)
    kind = _without_specks(places, np.asarray(semantic, dtype=np.int64), options.speck)
    courses: list[Int64] = []
    for number in np.unique(kind):
        rows = np.flatnonzero(kind == number)
        piece = dbscan(places[rows], options.gap, 1)
        order = np.argsort(piece, kind="stable")
        for part in np.split(order, np.cumsum(np.bincount(piece))[:-1]):
            courses += [rows[part][course] for course in _courses(places[rows[part]], options)]
    joints = _joints(places, courses, options)
    sections: list[Int64] = []
    parted: set[tuple[int, int]] = set()
    for course, at in zip(courses, joints, strict=True):
        made = _cut(places, course, at, options)
        ends = np.cumsum([len(section) for section in made])
        # Ends are numbered in pairs, the last one of a section and the first one of the next are neighbours.
        parted |= {
            (2 * (len(sections) + i) + 1, 2 * (len(sections) + i) + 2) for i in np.flatnonzero(np.isin(ends, at))
        }
        sections += made
    owner = _joined(places, kind, sections, parted, options)
    track = np.zeros(len(places), dtype=np.int64)
    for number in np.unique(kind):
        mine = [i for i, section in enumerate(sections) if kind[section[0]] == number]
        on_course = np.concatenate([sections[i] for i in mine])
        of_course = np.repeat(owner[mine], [len(sections[i]) for i in mine])
        rows = np.flatnonzero(kind == number)
        track[rows] = of_course[cKDTree(places[on_course]).query(places[rows])[1]]
    _, first, inverse = np.unique(track, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse.reshape(-1)], dtype=np.int64)


def _without_specks(places: Float64, kind: Int64, most: int) -> Int64:
    """Classes (N,) where connected voxels of one class, at most ``most``, have the class of most voxels around them."""
    if most < 1 or len(kind) < 2:
        return kind
    piece = connected_pieces(places.astype(np.int64), kind)
    small = np.bincount(piece)[piece] <= most
    rows = np.flatnonzero(small)
    near = cKDTree(places[~small]) if not small.all() else None
    if near is None or len(rows) == 0:
        return kind
    out: Int64 = kind.copy()
    others = kind[~small]
    which, row = _close(near, places[rows], 1.99)
    votes = np.zeros((int(piece.max()) + 1, int(kind.max()) + 1), dtype=np.int64)
    np.add.at(votes, (piece[rows[which]], others[row]), 1)
    touched = votes[piece[rows]].sum(axis=1) > 0
    out[rows[touched]] = votes[piece[rows[touched]]].argmax(axis=1)
    return out


def _close(tree: Any, places: Float64, radius: float) -> tuple[Int64, Int64]:
    """Pairs of a row of ``places`` and a row of the tree within ``radius``."""
    found = tree.query_ball_point(places, radius)
    which = np.repeat(np.arange(len(places)), [len(f) for f in found])
    return which, np.fromiter((i for f in found for i in f), dtype=np.int64, count=len(which))


def _courses(places: Float64, options: TrackOptions) -> list[Int64]:
    """Rows along each course of a piece (N, 3), the longest course first; voxels near a course are left out."""
    if len(places) < 2 * options.least:
        return [np.arange(len(places))]
    ways = neighbour_ways(places, options.gap)
    todo = [np.arange(len(places))]
    courses: list[Int64] = []
    while todo and len(courses) < _MOST_COURSES:
        rows = todo.pop(0)
        course = rows[longest_way(ways[rows][:, rows] if len(rows) < len(places) else ways)]
        courses.append(course)
        away, _ = cKDTree(places[course]).query(places[rows])
        left, away = rows[away > options.radius], away[away > options.radius]
        if len(left) == 0:
            continue
        piece = dbscan(places[left], options.gap, 1)
        farthest = np.zeros(int(piece.max()) + 1)
        np.maximum.at(farthest, piece, away)
        sizes = np.bincount(piece)
        todo += [left[piece == k] for k in np.flatnonzero((farthest >= options.stub) & (sizes >= options.least))]
    return courses


def _joints(places: Float64, courses: list[Int64], options: TrackOptions) -> list[list[int]]:
    """Positions in the middle of each course where others end, without those where another one crosses it."""
    out: list[list[int]] = [[] for _ in courses]
    if len(courses) < 2:
        return out
    rows = np.concatenate(courses)
    course = np.repeat(np.arange(len(courses)), [len(c) for c in courses])
    position = np.concatenate([np.arange(len(c)) for c in courses])
    long = [i for i, c in enumerate(courses) if len(c) > options.least]
    ends = np.array([courses[i][side] for i in long for side in (0, -1)], dtype=np.int64)
    from_course = np.repeat(long, 2)
    outward = [unit(_end(places, courses[i], side, options.window)[1]) for i in long for side in (0, 1)]
    if len(ends) == 0:
        return out
    end, near = _close(cKDTree(places[rows]), places[ends], options.gap)
    other = course[near] != from_course[end]
    end, near = end[other], near[other]
    squared = ((places[ends[end]] - places[rows[near]]) ** 2).sum(axis=1)
    order = np.lexsort((near, squared, course[near], end))
    pair = np.column_stack([end, course[near]])[order]
    first = order[np.flatnonzero((np.diff(pair, axis=0, prepend=-1) != 0).any(axis=1))]
    for i in np.unique(course[near[first]]).tolist():
        here = first[course[near[first]] == i]
        touching = [(int(position[near[k]]), outward[end[k]]) for k in here]
        crossing: set[int] = set()
        for x in range(len(touching)):
            for y in range(x):
                apart = abs(touching[x][0] - touching[y][0])
                if not {x, y} & crossing and apart <= 2 * options.gap and touching[x][1] @ touching[y][1] < -0.9:
                    crossing |= {x, y}
        inside = range(options.least, len(courses[i]) - options.least)
        out[i] = sorted({at for k, (at, _) in enumerate(touching) if k not in crossing and at in inside})
    return out


def _end(places: Float64, course: Int64, side: int, window: float) -> tuple[Float64, Float64, Float64]:
    """Place of the first (0) or last (1) voxel of a course, its direction outward, and the middle of its end."""
    way = places[course] if side == 0 else places[course[::-1]]
    part = way[: int(np.searchsorted(lengths(way), window, side="right"))]
    middle = part.mean(axis=0)
    if len(part) < 3:
        return way[0], np.zeros(3), middle
    axis = np.linalg.svd(part - middle, full_matrices=False)[2][0]
    return way[0], axis if float(axis @ (part[0] - part[-1])) >= 0 else -axis, middle


def _cut(places: Float64, course: Int64, joints: list[int], options: TrackOptions) -> list[Int64]:
    """The sections of a course between its joints and kinks."""
    bounds = [0, *joints, len(course)]
    todo = list(itertools.pairwise(bounds))
    out = []
    while todo:
        low, high = todo.pop()
        at = _kink(places[course[low:high]], options)
        if at is None:
            out.append((low, high))
        else:
            todo += [(low, low + at), (low + at, high)]
    return [course[low:high] for low, high in sorted(out)]


def _kink(way: Float64, options: TrackOptions) -> int | None:
    """Position of the sharpest kink of a way (M, 3), None where it has none."""
    if len(way) <= 2 * options.least:
        return None
    length = lengths(way)
    place = np.arange(options.least, len(way) - options.least)
    angle, _, _ = kinks(way, place, options.window)
    from_end = np.minimum(length[place], length[-1] - length[place])
    asked = options.kink + (options.end_kink - options.kink) * np.exp(-from_end / options.end_length)
    best = int((angle / asked).argmax())
    return int(place[best]) if angle[best] > asked[best] else None


def _joined(
    places: Float64, kind: Int64, sections: list[Int64], parted: set[tuple[int, int]], options: TrackOptions
) -> Int64:
    """Track (K,) of each section: ends that continue each other are joined, the straightest pairs first.

    Ends 2i and 2i + 1 are those of section i; the pairs ``parted`` are cut by a joint and stay apart.
    """
    owner = np.arange(len(sections))
    if len(sections) < 2:
        return owner
    ends = [_end(places, section, side, options.window) for section in sections for side in (0, 1)]
    place = np.array([e[0] for e in ends])
    outward, middle = np.array([e[1] for e in ends]), np.array([e[2] for e in ends])
    a, b = cKDTree(place).query_pairs(options.reach, output_type="ndarray").T
    same = (kind[[s[0] for s in sections]][a // 2] == kind[[s[0] for s in sections]][b // 2]) & (a // 2 != b // 2)
    a, b = a[same], b[same]
    line = middle[b] - middle[a]
    line /= np.maximum(np.sqrt((line * line).sum(axis=1, keepdims=True)), 1e-9)
    straight = np.minimum((outward[a] * line).sum(axis=1), -(outward[b] * line).sum(axis=1))
    straight = np.minimum(straight, -(outward[a] * outward[b]).sum(axis=1))
    kept = straight > math.cos(math.radians(options.straight))
    taken: set[int] = set()
    for i, j in zip(*(x[kept][np.lexsort((b[kept], a[kept], -straight[kept]))].tolist() for x in (a, b)), strict=True):
        if (i, j) not in parted and i not in taken and j not in taken and owner[i // 2] != owner[j // 2]:
            taken |= {i, j}
            owner[owner == owner[j // 2]] = owner[i // 2]
    return owner
