"""Points in a tree of boxes from which balls of points are taken out until none are left."""

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_LEAF = 24
_DEEPEST = 10


class PointTree:
    """Points (N, D) in boxes, halved along all axes at once, that know how many of their points are left.

    Balls of points are asked for in batches; boxes that are empty, far from the ball or wholly inside it are settled
    without looking at their points. A point at distance d is in a ball when d^2 < r^2, or d = 0. Comparing boxes gives
    exactly what comparing the points would: rounding is monotonic, and squares are summed in the same order.
    """

    def __init__(self, points: Float64) -> None:
        low = points.min(axis=0)
        span = points.max(axis=0) - low
        scale = (2**_DEEPEST * (1 - 1e-9)) / np.where(span > 0, span, 1.0)
        cell = ((points - low) * scale).astype(np.int64).clip(0, 2**_DEEPEST - 1)
        code = _interleaved(cell)
        self._row = np.argsort(code, kind="stable")
        self._position_of = np.argsort(self._row)
        self._points = points[self._row]
        self._present = np.ones(len(points), dtype=bool)
        self._build(code[self._row])

    def _build(self, code: Int64) -> None:
        """Boxes level by level: their ranges of points, corners, parents and children."""
        dimension = self._points.shape[1]
        begin, end = np.zeros(1, dtype=np.int64), np.array([len(code)])
        parent = np.full(1, -1)
        levels: list[tuple[Int64, ...]] = []
        corners: list[tuple[Float64, Float64]] = []
        made = 0
        self._leaf_of = np.zeros(len(code), dtype=np.int64)
        for level in range(_DEEPEST + 1):
            corners.append(_corners(self._points, begin, end))
            splits = (end - begin > _LEAF) & (level < _DEEPEST)
            number = np.arange(made, made + len(begin))
            leaf = np.flatnonzero(~splits)
            pairs, positions = _ranges(begin[leaf], end[leaf])
            self._leaf_of[positions] = number[leaf[pairs]]
            shift = dimension * (_DEEPEST - 1 - level)
            pairs, positions = _ranges(begin[splits], end[splits])
            if len(positions) == 0:
                levels.append((begin, end, parent, np.zeros(len(begin), np.int64), np.zeros(len(begin), np.int64)))
                break
            step = np.flatnonzero(
                (np.diff(code[positions] >> shift, prepend=-1) != 0) | (np.diff(pairs, prepend=-1) != 0)
            )
            child_begin = positions[step]
            child_end = positions[np.append(step[1:], len(positions)) - 1] + 1
            owner = np.flatnonzero(splits)[pairs[step]]
            n_children = np.bincount(owner, minlength=len(begin))
            first_child = made + len(begin) + np.cumsum(n_children) - n_children
            levels.append((begin, end, parent, first_child, n_children))
            made += len(begin)
            begin, end, parent = child_begin, child_end, number[owner]
        self._begin, self._end, self._parent, self._first_child, self._n_children = (
            np.concatenate(column) for column in zip(*levels, strict=True)
        )
        self._low, self._high = (np.concatenate(column) for column in zip(*corners, strict=True))
        self._left = self._end - self._begin

    def balls(self, centres: Float64, squared_radii: Float64) -> tuple[Int64, Int64]:
        """Pairs of ball (row of ``centres`` (B, D) and ``squared_radii`` (B,)) and row of a point left in it.

        Pairs are ordered by ball.
        """
        ball, box = np.arange(len(centres)), np.zeros(len(centres), dtype=np.int64)
        found: list[tuple[Int64, Int64]] = []
        while len(ball):
            some = self._left[box] > 0
            ball, box = ball[some], box[some]
            centre, radius = centres[ball], squared_radii[ball]
            below, above = self._low[box] - centre, centre - self._high[box]
            meets = within(np.maximum(np.maximum(below, above), 0), radius)
            ball, box, radius, below, above = (a[meets] for a in (ball, box, radius, below, above))
            whole = within(np.maximum(np.abs(below), np.abs(above)), radius)
            # A box that has lost most of its points is opened, so that the lost ones need not be passed over again.
            full = self._left[box] * 4 >= self._end[box] - self._begin[box]
            leaf = self._n_children[box] == 0
            taken = whole & (full | leaf)
            found.append(self._left_in(ball[taken], box[taken]))
            looked = leaf & ~whole
            pairs, positions = self._left_in(ball[looked], box[looked])
            inside = within(self._points[positions] - centres[pairs], squared_radii[pairs])
            found.append((pairs[inside], positions[inside]))
            opened = ~taken & ~leaf
            which, child = _ranges(self._first_child[box[opened]], (self._first_child + self._n_children)[box[opened]])
            ball, box = ball[opened][which], child
        balls = np.concatenate([f[0] for f in found])
        order = np.argsort(balls, kind="stable")
        return balls[order], self._row[np.concatenate([f[1] for f in found])[order]]

    def remove(self, rows: Int64) -> None:
        """Take out points by their distinct rows, which were not taken out before."""
        positions = self._position_of[rows]
        self._present[positions] = False
        box, count = np.unique(self._leaf_of[positions], return_counts=True)
        while len(box):
            np.subtract.at(self._left, box, count)
            box = self._parent[box]
            up = box >= 0
            box, count = box[up], count[up]

    def _left_in(self, ball: Int64, box: Int64) -> tuple[Int64, Int64]:
        which, positions = _ranges(self._begin[box], self._end[box])
        left = self._present[positions]
        return ball[which[left]], positions[left]


def within(difference: Float64, squared_radius: Float64) -> Bool:
    """Whether d^2 < r^2 or d = 0 for differences (M, D)."""
    squared = squared_distance(difference)
    return np.asarray((squared < squared_radius) | (squared == 0))


def squared_distance(difference: Float64) -> Float64:
    """Sum (...,) of the squares of differences (..., D), axis after axis."""
    total: Float64 = difference[..., 0] * difference[..., 0]
    for axis in range(1, difference.shape[-1]):
        total = total + difference[..., axis] * difference[..., axis]
    return total


def _ranges(begin: Int64, end: Int64) -> tuple[Int64, Int64]:
    """All numbers of the ranges [begin, end) one after another, and which range each is of."""
    length = end - begin
    which = np.repeat(np.arange(len(begin)), length)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(length) - length - begin, length)


def _corners(points: Float64, begin: Int64, end: Int64) -> tuple[Float64, Float64]:
    """Lowest and highest coordinates of the points of every range; ranges are ordered and none is empty."""
    which, positions = _ranges(begin, end)
    start = np.flatnonzero(np.diff(which, prepend=-1))
    return np.minimum.reduceat(points[positions], start), np.maximum.reduceat(points[positions], start)


def _interleaved(cell: Any) -> Int64:
    """Bits of the coordinates (N, D) in turn, the highest first."""
    code = np.zeros(len(cell), dtype=np.int64)
    for bit in range(_DEEPEST - 1, -1, -1):
        for axis in range(cell.shape[1]):
            code = (code << 1) | ((cell[:, axis] >> bit) & 1)
    return code
