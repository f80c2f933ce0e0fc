"""Showers that touch where they begin: two electrons or photons of one vertex make one connected piece of voxels.

The longest way through the piece runs from the end of one shower over the vertex to the end of the other, and has a
kink there. A shower has kinks of its own: where an electron scatters, and where a photon makes a pair, whose two ways
turn back by more than 120 degrees. What tells them apart is the vertex, where in most events tracks begin too, and the
energy that goes on in both directions.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.reco.ways import kinks, lengths, longest_way, nearest_on_way, neighbour_ways
from larmlreco.sites import TOUCHING, connected_pieces

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ShowerOptions:
    """Options of :func:`split_showers`; lengths in voxels, angles in degrees, charges in the unit of the voxels.

    ``least``: least charge of each of two connected showers. ``window``: length on both sides of a kink over which
    directions are measured, and least distance of a kink from the ends of the way. ``kink``: least angle of a kink
    within ``near`` of a track's voxel. Elsewhere it must be between ``open_kink`` and ``most_kink``, and in both
    directions there must be a charge of ``cone_charge`` within a cone of half opening ``cone_angle`` and length
    ``cone_length``.
    """

    least: float = 25.0
    window: float = 16.0
    kink: float = 20.0
    near: float = 6.0
    open_kink: float = 60.0
    most_kink: float = 120.0
    cone_charge: float = 80.0
    cone_angle: float = 25.0
    cone_length: float = 250.0


_DEFAULT = ShowerOptions()


def split_showers(voxels: Index, charge: Floats, tracks: Index, options: ShowerOptions = _DEFAULT) -> Int64:
    """Shower (N,) of each of the distinct voxels (N, 3) with ``charge`` (N,), for voxels (T, 3) of tracks.

    The showers are the connected pieces, cut at vertices. They are numbered in the order of their first voxels.
    """
    places = np.asarray(voxels, dtype=np.float64).reshape(-1, 3)
    weight = np.asarray(charge, dtype=np.float64)
    piece = connected_pieces(places)
    near = cKDTree(np.asarray(tracks, dtype=np.float64)) if len(tracks) else None
    made = int(piece.max(initial=-1)) + 1
    bright = np.bincount(piece, weight, made) >= 2 * options.least
    todo = [np.flatnonzero(piece == number) for number in np.flatnonzero(bright)]
    while todo:
        rows = todo.pop()
        beyond = _beyond_vertex(places, weight, rows, near, options)
        if beyond is not None:
            piece[rows[beyond]] = made
            made += 1
            todo += [rows[~beyond], rows[beyond]]
    _, first, inverse = np.unique(piece, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse.reshape(-1)], dtype=np.int64)


def _beyond_vertex(
    places: Float64, charge: Float64, rows: Int64, tracks: cKDTree | None, options: ShowerOptions
) -> npt.NDArray[np.bool_] | None:
    """Which of the rows of a piece are on the far side of a vertex in its longest way; None where it has none."""
    if len(rows) < 2 or charge[rows].sum() < 2 * options.least:
        return None
    ways = neighbour_ways(places[rows], TOUCHING)
    course = longest_way(ways)
    way = places[rows[course]]
    length = lengths(way)
    place = np.flatnonzero((length >= options.window) & (length <= length[-1] - options.window))
    if len(place) == 0:
        return None
    angle, before, after = kinks(way, place, options.window)
    beside = np.zeros(len(place), dtype=bool)
    if tracks is not None:
        beside = (angle >= options.kink) & (tracks.query(way[place])[0] <= options.near)
    apart = (angle >= options.open_kink) & (angle <= options.most_kink)
    if not (beside | apart).any():
        return None
    on_way = nearest_on_way(ways, course)
    up_to = np.concatenate([[0.0], np.cumsum(np.bincount(on_way, charge[rows], len(course)))])
    enough = np.minimum(up_to[place], up_to[-1] - up_to[place]) >= options.least
    if (beside & enough).any():
        return np.asarray(on_way >= place[_largest(angle, beside & enough)], dtype=bool)
    if not (apart & enough).any():
        return None
    best = _largest(angle, apart & enough)
    offset = places - way[place[best]]
    if any(_in_cone(offset, charge, axis, options) < options.cone_charge for axis in (-before[best], after[best])):
        return None
    return np.asarray(on_way >= place[best], dtype=bool)


def _largest(value: Float64, where: npt.NDArray[np.bool_]) -> int:
    """Position of the largest value among some."""
    return int(np.where(where, value, -np.inf).argmax())


def _in_cone(offset: Float64, charge: Float64, axis: Float64, options: ShowerOptions) -> float:
    """Charge of the voxels with ``offset`` (N, 3) from the tip of a cone around ``axis`` (3,)."""
    away = np.sqrt((offset**2).sum(axis=1))
    inside = (offset @ axis > math.cos(math.radians(options.cone_angle)) * away) & (away <= options.cone_length)
    return float(charge[inside].sum())
