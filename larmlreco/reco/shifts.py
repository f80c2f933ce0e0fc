"""Input of the network that regresses shifts between planes, and what its shifts say of candidates.

A wire crosses the middle height of its TPC at some z, its place. Wires of two planes that cross at height h above the
middle have places that lie h * (difference of their slopes) apart: so the shift from a pixel to its partner, counted
from the wire of the target with the same place, is a height, and the two shifts of one pixel must give the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import WirePlane
from larmlreco.reco.candidates import N_PLANES, SEEN, Candidates, PlanePixels, ranges

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

REACH = 5.0
"""A candidate whose wires lie this many spreads from what two shifts say is as probable as no partner."""


@dataclass(frozen=True)
class Frame:
    """Places along the beam that all planes of a TPC share.

    ``middle``: the height (cm) at which wires have their place; ``origin`` and ``unit`` (cm): place n spans z from
    ``origin`` + n * ``unit`` on; ``slopes`` (planes,): change of z with y along a wire; ``steps`` (planes,): distance
    (cm) in z from a wire to the next, below 0 where their numbers fall with z.
    """

    middle: float
    origin: float
    unit: float
    slopes: tuple[float, ...]
    steps: tuple[float, ...]

    def shift_per_height(self, source: int, target: int) -> float:
        """Wires of the target by which the partner of a pixel moves for a height of 1 cm."""
        return (self.slopes[source] - self.slopes[target]) / self.steps[target]


def frame_of(planes: Sequence[WirePlane]) -> Frame:
    """The places of the planes of a TPC, in units of the distance between wires of the last one.

    Raises ``ValueError`` for wires along the beam, which have no place, and for parallel planes.
    """
    for plane in planes:
        if abs(plane.normal[1]) < 1e-6:
            raise ValueError(f"wires of the plane {plane.view} run along the beam; shifts are along the beam")
    slopes = tuple(-plane.normal[0] / plane.normal[1] for plane in planes)
    if min(abs(a - b) for i, a in enumerate(slopes) for b in slopes[:i]) < 1e-6:
        raise ValueError("two of the planes have parallel wires, so no shift tells the height")
    steps = tuple(plane.pitch / plane.normal[1] for plane in planes)
    unit = abs(steps[-1])
    heights = np.concatenate([end[:, 1] for end in (planes[-1].starts, planes[-1].ends)])
    middle = float(heights.min() + heights.max()) / 2
    # A quarter of a place from the borders of the last plane's wires, so that rounding does not move them.
    origin = float(_z(planes[-1], np.zeros(1), middle)[0]) - 0.75 * unit
    return Frame(middle, origin, unit, slopes, steps)


def _z(plane: WirePlane, index: Float64, height: float) -> Float64:
    """z (cm) of wires, counted across the plane, at a height."""
    return np.asarray((plane.first + plane.pitch * index - plane.normal[0] * height) / plane.normal[1])


def _index(plane: WirePlane, wire: Int64) -> Float64:
    """Number of wires across the plane; those that are cut in the middle have one number for both parts."""
    return np.rint((plane.position(wire) - plane.first) / plane.pitch)


@dataclass(frozen=True)
class ShiftInput:
    """What the network sees: rows (R,), the pixels of all planes at each of their places.

    ``coords`` (R, 3): plane (of item 0), place, row; ``charge`` (R,): ADC; ``plane`` (R,) and ``entry`` (R,): the
    plane and the index in its :class:`~larmlreco.reco.candidates.PlanePixels`; ``z`` (R,): middle of the place (cm).
    """

    coords: Int64
    charge: Float64
    plane: Int64
    entry: Int64
    z: Float64


def shift_input(planes: Sequence[PlanePixels], frame: Frame) -> ShiftInput:
    """Rows of the network; a pixel of a plane whose wires are further apart than places stands at several of them."""
    parts = []
    for number, pixels in enumerate(planes):
        first, count = _places(pixels.plane, pixels.wire, frame)
        entry = np.repeat(np.arange(len(pixels.wire)), count)
        parts.append(
            (np.full(len(entry), number), ranges(first, count), entry, pixels.row[entry], pixels.charge[entry])
        )
    plane, place, entry, row, charge = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    coords = np.column_stack([plane, place, row]).astype(np.int64)
    return ShiftInput(coords, charge, plane, entry, place_z(place, frame))


def _places(plane: WirePlane, wire: Int64, frame: Frame) -> tuple[Int64, Int64]:
    """First place and number of places of wires: those from half a distance before to half a distance after them."""
    index = _index(plane, wire)
    edges = [np.floor((_z(plane, index + o, frame.middle) - frame.origin) / frame.unit) for o in (-0.5, 0.5)]
    first, last = np.minimum(*edges).astype(np.int64), np.maximum(*edges).astype(np.int64)
    return first, np.maximum(last - first, 1)


def wire_places(plane: WirePlane, wire: Int64, frame: Frame) -> Int64:
    """First place (N,) of wires (N,) of a plane."""
    return _places(plane, wire, frame)[0]


def place_z(place: Int64, frame: Frame) -> Float64:
    """z (cm) of the middle of places."""
    return np.asarray(frame.origin + (place + 0.5) * frame.unit)


def shift_between(z: Float64, plane: WirePlane, wire: Int64, frame: Frame) -> Float64:
    """Shift (N,) from z (N,) at the middle height, in wires of a plane, to wires (N,) of it."""
    return np.asarray((_z(plane, _index(plane, wire), frame.middle) - z) / frame.steps[plane.plane])


def shifted_wires(z: Float64, shift: Float64, plane: WirePlane, frame: Frame) -> Float64:
    """Wire coordinates (N,) on a plane to which shifts (N,) from z (N,) lead; they may lie beyond the plane."""
    return plane.wire_coordinate(frame.middle, z + shift * frame.steps[plane.plane])


@dataclass(frozen=True)
class Said:
    """What a network says of the pixels (M,) of one source plane.

    ``wire`` (M, 3): wire coordinate of the partner on each plane; ``matchable`` (M, 3): how probable it is that the
    partner is seen; both NaN for the plane itself.
    """

    wire: Float64
    matchable: Float64


def said_of_pixels(
    rows: ShiftInput,
    planes: Sequence[PlanePixels],
    frame: Frame,
    outputs: Mapping[str, npt.ArrayLike],
    views: Sequence[str],
) -> dict[int, Said]:
    """By source plane, what the outputs (R,) of the network say of its pixels: the mean over the rows of a pixel.

    ``outputs``: ``flow_<source>2<target>`` in wires and ``matchable_<source>2<target>``, probabilities; ``views`` are
    the names that they have for the planes. Planes without a direction are left out.
    """
    found = {}
    for source, pixels in enumerate(planes):
        size = len(pixels.wire)
        said = Said(np.full((size, N_PLANES), np.nan), np.full((size, N_PLANES), np.nan))
        mine = np.flatnonzero(rows.plane == source)
        count = np.bincount(rows.entry[mine], minlength=size)
        for target, other in enumerate(planes):
            name = f"{views[source]}2{views[target]}"
            if f"flow_{name}" not in outputs:
                continue
            shift = np.asarray(outputs[f"flow_{name}"], dtype=np.float64)[mine]
            seen = np.asarray(outputs[f"matchable_{name}"], dtype=np.float64)[mine]
            wire = shifted_wires(rows.z[mine], shift, other.plane, frame)
            said.wire[:, target] = np.bincount(rows.entry[mine], wire, size) / count
            said.matchable[:, target] = np.bincount(rows.entry[mine], seen, size) / count
            found[source] = said
    return found


def shift_scores(found: Candidates, said: Mapping[int, Said], spread: float) -> Float64:
    """Log-odds (K,) of candidates against "no partner" by what the network says of their pixels; NaN without any.

    Partners lie around what was said as a Laplace distribution of width ``spread`` (wires), as the loss assumes one,
    and "no partner" is as probable as two partners :data:`REACH` spreads off; whether a plane has seen the charge must
    suit ``matchable``. Of several source planes the mean counts.
    """
    total, count = np.zeros(len(found)), np.zeros(len(found))
    for source, what in said.items():
        here = np.flatnonzero(found.entry[:, source] >= 0)
        entry = found.entry[here, source]
        score = np.full(len(here), (N_PLANES - 1) * REACH)
        for target in range(N_PLANES):
            if target == source:
                continue
            score -= np.abs(found.wire[here, target] - what.wire[entry, target]) / spread
            seen = np.clip(what.matchable[entry, target], 0.01, 0.99)
            score += np.log(np.where(found.state[here, target] == SEEN, seen, 1 - seen))
        total[here] += score
        count[here] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
