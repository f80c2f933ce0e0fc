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
from larmlreco.reco.candidates import N_PLANES, PlanePixels, any_near, crossing_pairs, place_key, plane_pixels

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CROSSING_FEATURES: tuple[str, ...] = ("crossing", "free_crossing", "crossing_charge")
"""Columns of :attr:`Crossings.features`."""

_TOLERANCE = 0.75  # wires between a crossing and a wire for which it counts, that of LArFlow's candidates
_NEAREST = 0.5


@dataclass(frozen=True)
class Crossings:
    """Places on dead wires of a plane where pixels of the other two cross: ``sites`` (K, 2), column and row, distinct.

    ``features`` (K, 3): ``crossing``: the smaller over the larger charge of the two pixels of a pair, of the pair for
    which that is largest; ``free_crossing``: that over 1 + n for either pixel, n: its crossings that meet charge on
    this plane (in a TPC, and of a channel that reads several wires, on one of them), of the pair for which it is
    largest, since charge that has a place already is rather not here too; and the mean charge (ADC) of the two pixels
    of the latter pair. ``central`` (K,): a pair crosses at most half a wire from here. ``limited``: pixels were left
    out, see :class:`larmlreco.reco.candidates.CandidateSettings`.
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
    met = _Pairs.concatenate(parts)
    if not len(met.column):
        return replace(Crossings.none(), limited=limited)
    key = place_key(met.row, met.column)
    order = np.lexsort((met.charge, -met.free, key))
    met = met.take(order)
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    balance = np.maximum.reduceat(met.balance, first)
    return Crossings(
        np.column_stack([met.column, met.row])[first],
        np.column_stack([balance, met.free[first], met.charge[first]]).astype(np.float32),
        np.logical_or.reduceat(met.central, first),
        limited,
    )


@dataclass(frozen=True)
class _Pairs:
    """Pairs (K,) of pixels and a dead column that they cross on, see :class:`Crossings`."""

    column: Int64
    row: Int64
    balance: Float64
    free: Float64
    charge: Float64
    central: Bools

    def take(self, rows: Int64) -> "_Pairs":
        return _Pairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def concatenate(cls, parts: Sequence["_Pairs"]) -> "_Pairs":
        none = cls(*(np.zeros(0, kind) for kind in (np.int64, np.int64, float, float, float, np.bool_)))
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in (none, *parts)]) for f in fields(cls)})


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
    """Those of the pairs of a TPC that cross on the wanted columns (columns,) of the third plane, some at a time."""
    other = pixels[third]
    left, right = (p for number, p in enumerate(pixels) if number != third)
    column_of_wire = detector.channel_column[other.plane.channels]
    for a, b, wire in pairs:
        row = left.row[a]
        met = any_near(other, row, wire, _TOLERANCE)
        taken = [np.bincount(side[met], minlength=len(p.row)) for side, p in ((a, left), (b, right))]
        lowest = np.ceil(wire - _TOLERANCE).astype(np.int64)
        for offset in range(int(np.floor(2 * _TOLERANCE)) + 1):
            place = lowest + offset
            inside = np.flatnonzero((place <= wire + _TOLERANCE) & (place >= 0) & (place < other.plane.n_wires))
            here = inside[wanted[column_of_wire[place[inside]]]]
            i, j = a[here], b[here]
            charges = left.charge[i], right.charge[j]
            balance = np.clip(np.minimum(*charges) / np.maximum(np.maximum(*charges), 1e-9), 0.0, 1.0)
            yield _Pairs(
                column_of_wire[place[here]],
                row[here],
                balance,
                balance / ((1 + taken[0][i]) * (1 + taken[1][j])),
                (charges[0] + charges[1]) / 2,
                np.abs(place[here] - wire[here]) <= _NEAREST,
            )
