"""What two planes say of the dead wires of the third: where pixels of one row cross on them, and how well they agree.

From its own plane nobody can tell whether a shower left something in a gap. The other two planes saw it: charge reaches
all of them at the same time, so pixels of the two in one row, on wires that meet on the dead one, may be of one place
(as LArFlow's candidates). Most such pairs are of two places, and the network judges which to believe.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector, ReadoutPlane
from larmlreco.products import Pixels
from larmlreco.reco.candidates import N_PLANES, PlanePixels, crossing_pairs, place_key, plane_pixels

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CROSSING_FEATURES: tuple[str, ...] = (
    "crossing",
    "overlap",
    "crossings",
    "explained_less",
    "explained_more",
    "choices_less",
    "choices_more",
    "crossing_charge",
)
"""Columns of :attr:`Crossings.features`."""

_TOLERANCE = 0.75  # wires between a crossing and a wire for which it counts, that of LArFlow's candidates
_NEAREST = 0.5
_PULSE = (-2, -1, 0, 1, 2)  # rows around a pixel, on its wire
_CORE = slice(1, 4)  # the three in the middle


@dataclass(frozen=True)
class Crossings:
    """Places on dead wires of a plane where pixels of the other two cross: ``sites`` (K, 2), column and row, distinct.

    A pixel's pulse is the charge of its wire in five rows around it. ``features`` (K, 8): ``crossing``: how alike the
    pulses of the two pixels of a pair are, of the pair for which that is largest (then, the charge), as the cosine of
    the angle between them; ``overlap``: the largest ratio, of a pair, of what the three rows in the middle of both
    pulses share to what either holds; ``crossings``: log10(1 + n) of the number n of pairs here. Of the two pixels of
    the first pair, for each the smaller value before the larger: ``explained``: the largest ratio of what the pulses of
    the two and of a pixel of this plane on which the two cross share to what any of the three holds, since charge that
    has a place already is rather not here too, 0: no such pixel; ``choices``: log10(1 + n) of the number n of its
    crossings (in a TPC, and of a channel that reads several wires, on one of them). ``crossing_charge`` (ADC): the mean
    of both. ``central`` (K,): a pair crosses at most half a wire from here. ``limited``: pixels were left out, see
    :class:`larmlreco.reco.candidates.CandidateSettings`.
    """

    sites: Int64
    features: Float32
    central: Bools
    limited: bool = False

    @classmethod
    def none(cls) -> "Crossings":
        """No crossings."""
        width = len(CROSSING_FEATURES)
        return cls(np.zeros((0, 2), np.int64), np.zeros((0, width), np.float32), np.zeros(0, np.bool_))


def other_planes(detector: Detector, plane: ReadoutPlane) -> tuple[ReadoutPlane, ...]:
    """The other planes of the active TPCs of three planes in which a plane has wires."""
    others = (other for planes in _volumes(detector, plane).values() for other in planes if other is not plane)
    return tuple({other.name: other for other in others}.values())


def plane_crossings(
    images: Mapping[str, Pixels], detector: Detector, plane: ReadoutPlane, dead: Bools, reach: int
) -> Crossings:
    """Crossings on the dead columns of a plane, ``dead`` (columns,), that are at most ``reach`` from a live one.

    ``images``, by the planes' names, of the plane and its :func:`other_planes`; pixels that were filled in do not
    count.
    """
    wanted = dead & _near_alive(dead, reach)
    parts: list[_Pairs] = []
    limited = False
    for tpc, planes in _volumes(detector, plane).items() if wanted.any() else ():
        pixels = [_measured(images[p.name], p, detector, tpc) for p in planes]
        third = planes.index(plane)
        rows, pairs = crossing_pairs(pixels, third)
        limited |= len(rows) > 0
        parts += _on_columns(pixels, third, pairs, detector, wanted)
    if not parts:
        return replace(Crossings.none(), limited=limited)
    best = _Pairs.concatenate(parts).by_site()
    n, choices = np.log10(1 + best.n), np.log10(1 + best.choices)
    columns = (best.likeness, best.overlap, n, best.explained, choices, best.charge)
    return Crossings(
        np.column_stack([best.column, best.row]), np.column_stack(columns).astype(np.float32), best.central, limited
    )


@dataclass(frozen=True)
class _Pairs:
    """Pairs (K,) of pixels and a dead column that they cross on, see :class:`Crossings`; two values (K, 2) for both."""

    column: Int64
    row: Int64
    likeness: Float32
    overlap: Float32
    explained: Float32
    choices: Int64
    charge: Float64
    central: Bools
    n: Int64

    def take(self, rows: Int64) -> "_Pairs":
        return _Pairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def by_site(self) -> "_Pairs":
        """The best pair of each site, ordered by row, then column, with the sum of ``n``, the largest ``overlap``, and
        whether one is central.
        """
        if not len(self.row):
            return self
        key = place_key(self.row, self.column)
        order = np.lexsort((-self.charge, -np.round(self.likeness, 6), key))
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        return replace(
            self.take(order[first]),
            overlap=np.maximum.reduceat(self.overlap[order], first),
            n=np.add.reduceat(self.n[order], first),
            central=np.logical_or.reduceat(self.central[order], first),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["_Pairs"]) -> "_Pairs":
        """All pairs of some parts, at least one."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


def _volumes(detector: Detector, plane: ReadoutPlane) -> dict[int, tuple[ReadoutPlane, ...]]:
    """The active TPCs of three planes in which a plane has wires."""
    return {tpc: planes for tpc, planes in detector.volumes.items() if plane in planes and len(planes) == N_PLANES}


def _measured(image: Pixels, plane: ReadoutPlane, detector: Detector, tpc: int) -> PlanePixels:
    pixels = plane_pixels(image, plane, detector, tpc, np.zeros(0, dtype=np.int64))
    return pixels.take(np.flatnonzero(image.infilled[pixels.pixel] == 0))


def _near_alive(dead: Bools, reach: int) -> Bools:
    """Whether a column (columns,) is at most ``reach`` from a live one."""
    alive = np.flatnonzero(~dead)
    if not len(alive):
        return np.zeros_like(dead)
    at = np.searchsorted(alive, np.arange(len(dead)))
    before, after = alive[np.maximum(at - 1, 0)], alive[np.minimum(at, len(alive) - 1)]
    column = np.arange(len(dead))
    return np.asarray(np.minimum(np.abs(column - before), np.abs(column - after)) <= reach)


def _on_columns(
    pixels: Sequence[PlanePixels],
    third: int,
    pairs: Iterable[tuple[Int64, Int64, Float64]],
    detector: Detector,
    wanted: Bools,
) -> Iterator[_Pairs]:
    """The best of the pairs of a TPC that cross on the wanted columns (columns,) of the third plane, some rows at a
    time; see :meth:`_Pairs.by_site`.
    """
    other = pixels[third]
    left, right = (p for number, p in enumerate(pixels) if number != third)
    column_of_wire = detector.channel_column[other.plane.channels]
    pulses = [_pulses(p) for p in (left, right, other)]
    for a, b, wire in pairs:
        row = left.row[a]
        lowest = np.ceil(wire - _TOLERANCE).astype(np.int64)
        near = [(lowest + offset, lowest + offset <= wire + _TOLERANCE) for offset in range(int(2 * _TOLERANCE) + 1)]
        explained = [np.zeros(len(p.row), dtype=np.float32) for p in (left, right)]
        for place, good in near:
            found = np.where(good, other.find(row, np.maximum(place, -1)), -1)
            here = np.flatnonzero(found >= 0)
            shared = _shared(pulses[0][:, a[here]], pulses[1][:, b[here]], pulses[2][:, found[here]])
            np.maximum.at(explained[0], a[here], shared)
            np.maximum.at(explained[1], b[here], shared)
        choices = [np.bincount(side, minlength=len(p.row)) for side, p in ((a, left), (b, right))]
        on_columns = []
        for place, good in near:
            inside = np.flatnonzero(good & (place >= 0) & (place < other.plane.n_wires))
            here = inside[wanted[column_of_wire[place[inside]]]]
            i, j = a[here], b[here]
            one, two = pulses[0][:, i], pulses[1][:, j]
            length = np.sqrt((one * one).sum(axis=0) * (two * two).sum(axis=0))
            found_here = _Pairs(
                column_of_wire[place[here]],
                row[here],
                (one * two).sum(axis=0) / np.maximum(length, 1e-9),
                _shared(one[_CORE], two[_CORE]),
                np.sort(np.column_stack([explained[0][i], explained[1][j]]), axis=1),
                np.sort(np.column_stack([choices[0][i], choices[1][j]]), axis=1),
                (left.charge[i] + right.charge[j]) / 2,
                np.abs(place[here] - wire[here]) <= _NEAREST,
                np.ones(len(here), dtype=np.int64),
            )
            on_columns.append(found_here)
        yield _Pairs.concatenate(on_columns).by_site()


def _pulses(pixels: PlanePixels) -> Float32:
    """Charge (5, M) of the wire of each pixel in the rows around it, 0 where there is none."""
    charge = np.append(np.maximum(pixels.charge, 0.0), 0.0).astype(np.float32)
    return np.stack([charge[pixels.find(pixels.row + step, pixels.wire)] for step in _PULSE])


def _shared(*pulses: Float32) -> Float32:
    """What pulses (S, K) share, over what any of them holds (K,)."""
    least, most = np.minimum.reduce(pulses).sum(axis=0), np.maximum.reduce(pulses).sum(axis=0)
    return np.asarray(least / np.maximum(most, 1e-9))
