"""Straight lines through dead regions: how far a line that continues measured charge runs within each candidate site.

A sparse network finds it hard to work out where, to a part of a site, a thin track passes that it sees on both sides of
a gap. A fit to the charge on both sides tells at once, and the network judges whether the line is to be believed.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.sites import SiteBox, rows_of

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LINE_FEATURES: tuple[str, ...] = ("across", "onward")
"""Columns of :func:`line_features`."""

_NEIGHBOURS, _RADIUS = 32, 12.0  # measured sites that a line is fitted to, on each side
_TUBES = (2.5, 1.8, 1.5)  # distance from the line of the sites that the next fit uses, in sites
_LEAST = 4  # of them on each side of a gap
_SPREAD = (0.3, 1.0)  # root mean square distance from the line: of a perfect one at best, and of one that is none
_FITS = 2000  # most lines of each kind that are fitted, the first ones
_STEP = 0.25  # in sites


def line_features(
    tree: cKDTree,
    candidates: Int64,
    border: Int64,
    pairs: Int64,
    direction: Float64,
    extension: int,
) -> Float32:
    """Features (M, 2) of the candidates (M, D), distinct: the longest piece in a site of a line of either kind.

    ``tree``: of the measured sites (N, D); ``border`` (B, D): those of them at dead regions, with the ``direction``
    (B, D) in which charge goes on there, 0: not clear; ``pairs`` (P, 2): rows of ``border`` on two sides of a region,
    the best first.
    ``across``: of lines fitted to the charge around both; ``onward``: of lines fitted to the charge behind one site and
    continued over ``extension`` sites. Lengths are in sites and are multiplied by a quality from 0 to 1, which is
    lower the further the charge lies from its line.
    """
    features = np.zeros((len(candidates), len(LINE_FEATURES)), dtype=np.float32)
    if not len(candidates) or not len(border):
        return features
    distance, row = tree.query(border, min(_NEIGHBOURS, tree.n), distance_upper_bound=_RADIUS)
    distance, row = distance.reshape(len(border), -1), row.reshape(len(border), -1)
    known = np.isfinite(distance)
    near = np.append(tree.data, tree.data[:1], axis=0)[row]
    cells = _Cells(candidates)

    two = pairs[:_FITS]
    if len(two):
        start, end = border[two[:, 0]].astype(np.float64), border[two[:, 1]].astype(np.float64)
        points = np.concatenate([near[two[:, 0]], near[two[:, 1]]], axis=1)
        usable = np.concatenate([known[two[:, 0]], known[two[:, 1]]], axis=1)
        # Only what lies behind an end, seen from the other one: else a site counts for both sides.
        step = end - start
        usable[:, : near.shape[1]] &= _along(near[two[:, 0]], start, step) <= 0.5
        usable[:, near.shape[1] :] &= _along(near[two[:, 1]], end, step) >= -0.5
        middle, along, quality = _fitted(points, usable, start, step, near.shape[1])
        first, last = (_along(p[:, np.newaxis], middle, along)[:, 0] for p in (start, end))
        features[:, 0] = cells.longest(middle, along, np.minimum(first, last), np.maximum(first, last), quality)
    one = np.flatnonzero(direction.any(axis=1))[:_FITS]
    if len(one) and extension:
        start = border[one].astype(np.float64)
        middle, along, quality = _fitted(near[one], known[one], start, direction[one], near.shape[1])
        first = _along(start[:, np.newaxis], middle, along)[:, 0]
        features[:, 1] = cells.longest(middle, along, first, first + extension, quality)
    return features


def _along(points: Float64, origin: Float64, direction: Float64) -> Float64:
    """Places (L, K) of points (L, K, D) along unit vectors of directions (L, D) from origins (L, D)."""
    length = np.maximum(np.linalg.norm(direction, axis=1), 1e-9)
    return np.asarray(((points - origin[:, np.newaxis]) * (direction / length[:, np.newaxis])[:, np.newaxis]).sum(-1))


def _fitted(
    points: Float64, usable: Bools, origin: Float64, direction: Float64, n_first: int
) -> tuple[Float64, Float64, Float64]:
    """Lines through points (L, K, D): a point (L, D) of each, its unit vector (L, D), and its quality (L,), 0: none.

    It begins with the line along ``direction`` through ``origin``; ``n_first``: of the points of one side.
    """
    middle, along = origin, direction / np.maximum(np.linalg.norm(direction, axis=1), 1e-9)[:, np.newaxis]
    good = np.ones(len(points), dtype=np.bool_)
    spread = np.zeros(len(points))
    for tube in _TUBES:
        used = usable & (_off(points, middle, along) <= tube)
        good &= used[:, :n_first].sum(axis=1) >= _LEAST
        if points.shape[1] > n_first:
            good &= used[:, n_first:].sum(axis=1) >= _LEAST
        weight = used / np.maximum(used.sum(axis=1, keepdims=True), 1)
        middle = (points * weight[..., np.newaxis]).sum(axis=1)
        away = points - middle[:, np.newaxis]
        covariance = np.einsum("lk,lki,lkj->lij", weight, away, away)
        values, vectors = np.linalg.eigh(covariance)
        found = vectors[..., -1]
        along = found * np.where((found * direction).sum(axis=1) < 0, -1.0, 1.0)[:, np.newaxis]
        spread = np.sqrt(np.maximum(values[:, :-1].sum(axis=1), 0.0))
    low, high = _SPREAD
    return middle, along, np.where(good, np.clip((high - spread) / (high - low), 0.0, 1.0), 0.0)


def _off(points: Float64, middle: Float64, along: Float64) -> Float64:
    """Distances (L, K) of points from lines."""
    away = points - middle[:, np.newaxis]
    forward = (away * along[:, np.newaxis]).sum(-1)
    return np.asarray(np.sqrt(np.maximum((away**2).sum(-1) - forward**2, 0.0)))


class _Cells:
    """Candidate sites (M, D) as cells whose middles they are, to be met by lines."""

    def __init__(self, candidates: Int64) -> None:
        self._candidates = candidates
        self._box = SiteBox.around(candidates)
        self._keys = self._box.keys(candidates)

    def longest(self, middle: Float64, along: Float64, first: Float64, last: Float64, quality: Float64) -> Float64:
        """Longest piece (M,) in each cell of the lines (L, D) from ``first`` to ``last``, times the line's quality."""
        out = np.zeros(len(self._candidates))
        lines = np.flatnonzero(quality > 0)
        count = np.ceil((last - first)[lines] / _STEP).astype(np.int64) + 1
        line = np.repeat(lines, count)
        at = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
        place = np.minimum(first[line] + at * _STEP, last[line])
        cell = np.floor(middle[line] + place[:, np.newaxis] * along[line] + 0.5).astype(np.int64)
        inside = self._box.holds(cell)
        row = rows_of(self._box.keys(cell[inside]), self._keys)
        met = row >= 0
        pair = np.unique(np.column_stack([line[inside][met], row[met]]), axis=0)
        line, row = pair[:, 0], pair[:, 1]
        cell = self._candidates[row]
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = ((cell + half - middle[line]) / along[line] for half in (-0.5, 0.5))
        parallel = along[line] == 0
        begin = np.where(parallel, -np.inf, np.minimum(one, other)).max(axis=1)
        stop = np.where(parallel, np.inf, np.maximum(one, other)).min(axis=1)
        np.maximum.at(out, row, np.maximum(stop - begin, 0.0) * quality[line])
        return out
