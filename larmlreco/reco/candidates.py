"""Candidates for 3D points: pixels of several planes in the same row whose wires cross inside the detector.

Charge that drifts reaches all planes of a TPC at the same time, so the pixels of one point lie in one row (LArFlow).
A candidate is a pixel of each of the three planes whose wires meet in a point, or pixels of two planes where the third
cannot have seen the charge: its wire there is dead or absent, or the charge fell below threshold and is seen only in
the row before or after.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector, ReadoutPlane, WirePlane, crossing
from larmlreco.products import Pixels

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

N_PLANES = 3

SEEN, DEAD, NEAR = 0, 1, 2
"""State of a plane in a candidate: a pixel; a wire that is dead or absent; charge only in a neighbouring row."""

_CHUNK_PAIRS = 1_000_000

FEATURES: tuple[tuple[str, str], ...] = (
    *((f"charge_{p}", "ADC") for p in range(N_PLANES)),
    *((f"charge_before_{p}", "ADC") for p in range(N_PLANES)),
    *((f"charge_after_{p}", "ADC") for p in range(N_PLANES)),
    *((f"candidates_{p}", "count") for p in range(N_PLANES)),
    *((f"dead_{p}", "flag") for p in range(N_PLANES)),
    ("residual", "wire"),
)
"""Columns of :func:`candidate_features`, each a name and a unit; the numbers are planes."""


@dataclass(frozen=True)
class CandidateSettings:
    """What makes a candidate.

    ``tolerance``: largest distance, in pitches of the third plane, between the crossing of two wires and the third.
    ``row_limit``: most pixels of a row and plane that are considered, those with most charge. ``pair_limit``: most
    pairs of pixels of two planes in an event; where there would be more, the limit of all rows is halved until there
    are not. Noise bursts, in which all wires fire at once, are so kept from filling the memory.
    """

    tolerance: float = 0.75
    row_limit: int = 512
    pair_limit: int = 8_000_000

    def __post_init__(self) -> None:
        if self.tolerance <= 0 or self.row_limit < 1 or self.pair_limit < 1:
            raise ValueError(f"tolerance and limits must be above 0; got {self}")


@dataclass(frozen=True)
class PlanePixels:
    """Pixels of a plane on its wires, ordered by row, then wire.

    ``pixel`` (M,): row in the image; where a channel reads several wires its pixels stand here once for each wire in
    this TPC. ``wire``, ``row``, ``charge`` (ADC), all (M,). ``alive`` (wires,): whether a wire is read out.
    """

    plane: WirePlane
    pixel: Int64
    wire: Int64
    row: Int64
    charge: Float64
    alive: Bools

    def take(self, rows: Int64) -> "PlanePixels":
        """Those rows, in their order."""
        return PlanePixels(self.plane, self.pixel[rows], self.wire[rows], self.row[rows], self.charge[rows], self.alive)

    @property
    def key(self) -> Int64:
        """One number a row, rising: row, then wire."""
        return place_key(self.row, self.wire)

    def find(self, row: Int64, wire: Int64) -> Int64:
        """Index (N,) of the pixel in rows (N,) on wires (N,); -1 where there is none."""
        key, wanted = self.key, place_key(row, wire)
        if not len(key):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        return np.where(key[at] == wanted, at, -1)


@dataclass(frozen=True)
class Candidates:
    """Candidates (K,), ordered by row, then the wires of plane 0, 1, 2; no two are alike.

    ``entry`` (K, 3): index in the :class:`PlanePixels` of each plane, -1 where the plane has not seen the charge;
    ``wire`` (K, 3): the wire, where it was not seen the one nearest to the crossing of the other two, or -1 beyond the
    plane; ``state`` (K, 3): ``SEEN``, ``DEAD`` or ``NEAR``; ``row``; ``y``, ``z`` (cm): nearest to all wires, by least
    squares; ``residual``: distance of the third wire from the crossing of the other two, in pitches, 0 for pairs.
    ``limited_rows`` (R,): rows in which pixels were left out, see :class:`CandidateSettings`.
    """

    entry: Int64
    wire: Int64
    state: Int64
    row: Int64
    y: Float64
    z: Float64
    residual: Float64
    limited_rows: Int64

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: Int64 | Bools) -> "Candidates":
        """Some of the candidates."""
        values = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "limited_rows"}
        return Candidates(**values, limited_rows=self.limited_rows)


def place_key(row: npt.NDArray[np.integer[Any]], wire: npt.NDArray[np.integer[Any]]) -> Int64:
    """One number for a row and a wire of a plane, ordered as they are; wires from -1 on, rows from -2^30."""
    return (row.astype(np.int64) << 32) + wire


def plane_pixels(
    pixels: Pixels, readout: ReadoutPlane, detector: Detector, tpc: int, dead_channels: Int64
) -> PlanePixels:
    """Pixels of an image on the wires that its plane has in a TPC.

    ``dead_channels`` (N,): channels without signal; those without electronics are dead anyway. Raises ``ValueError``
    where the plane has no wires in the TPC.
    """
    planes = [p for p in readout.wire_planes if p.tpc == tpc]
    if not planes:
        raise ValueError(f"the plane {readout.name} has no wires in TPC {tpc}")
    plane = planes[0]
    order = np.argsort(plane.channels, kind="stable")
    channel = readout.channels[pixels.column]
    first = np.searchsorted(plane.channels[order], channel, side="left")
    count = np.searchsorted(plane.channels[order], channel, side="right") - first
    pixel = np.repeat(np.arange(len(pixels)), count)
    wire = order[ranges(first, count)]
    row = pixels.row[pixel].astype(np.int64)
    by_place = np.argsort(place_key(row, wire), kind="stable")
    dead = np.isin(plane.channels, np.concatenate([dead_channels, detector.unread_channels]))
    charge = pixels.adc[pixel].astype(np.float64)
    return PlanePixels(plane, pixel[by_place], wire[by_place], row[by_place], charge[by_place], ~dead)


def find_candidates(planes: Sequence[PlanePixels], settings: CandidateSettings = CandidateSettings()) -> Candidates:
    """All candidates of the three planes of one TPC.

    Time and memory grow with the number of pairs of pixels in one row whose wires cross, which the settings bound.
    Raises ``ValueError`` for another number of planes.
    """
    if len(planes) != N_PLANES:
        raise ValueError(f"candidates need {N_PLANES} planes; got {len(planes)}")
    kept, limited = _limit(planes, settings)
    parts = [_of_rows(planes, chunk, settings.tolerance) for chunk in _chunks(planes, kept)]
    values = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(Candidates)
        if f.name != "limited_rows"
    }
    return Candidates(**values, limited_rows=limited)


def crossing_pairs(
    planes: Sequence[PlanePixels], third: int, settings: CandidateSettings = CandidateSettings()
) -> tuple[Int64, Iterator[tuple[Int64, Int64, Float64]]]:
    """Pairs of pixels in one row on the two planes beside the third whose wires cross within their ends.

    Rows (R,) in which pixels were left out, see the settings; and the pairs, some rows at a time, those of a row
    together: indices (K,) and (K,) in the planes with the lower and the higher number, and the wire of the third plane,
    not rounded, at which they cross (K,).
    """
    two = [p for p in range(N_PLANES) if p != third]
    kept, limited = _limit([planes[p] for p in two], settings)
    return limited, _pair_chunks(planes, two, kept)


def _pair_chunks(
    planes: Sequence[PlanePixels], two: Sequence[int], kept: Sequence[Int64]
) -> Iterator[tuple[Int64, Int64, Float64]]:
    left, right = (planes[p] for p in two)
    for chunk in _chunks([left, right], kept):
        a, b, wire = _crossings(planes, two, chunk)
        inside = np.flatnonzero(crossing(left.plane, left.wire[a], right.plane, right.wire[b])[2])
        yield a[inside], b[inside], wire[inside]


def _chunks(planes: Sequence[PlanePixels], kept: Sequence[Int64]) -> Iterator[list[Int64]]:
    """The indices ``kept`` in runs of rows with a number of pairs that fits into little memory; at least one run."""
    rows = [plane.row[k] for plane, k in zip(planes, kept, strict=True)]
    n_rows = max((int(r[-1]) + 1 for r in rows if len(r)), default=0)
    pairs = np.cumsum(_pairs_of_rows([np.bincount(r, minlength=n_rows) for r in rows]))
    chunk = pairs // _CHUNK_PAIRS
    last_rows = np.append(np.flatnonzero(np.diff(chunk)), n_rows)
    first = [0] * len(rows)
    for last in last_rows.tolist():
        stop = [int(np.searchsorted(r, last, side="right")) for r in rows]
        yield [k[i:j] for k, i, j in zip(kept, first, stop, strict=True)]
        first = stop


def _of_rows(planes: Sequence[PlanePixels], kept: Sequence[Int64], tolerance: float) -> Candidates:
    """The candidates of the pixels ``kept`` of each plane, ordered."""
    parts = list(_triplets(planes, kept, tolerance))
    for third in range(N_PLANES):
        parts.append(_pairs(planes, kept, third, tolerance))
    entry, wire, state, residual = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    row = np.max([np.append(plane.row, -1)[entry[:, p]] for p, plane in enumerate(planes)], axis=0)
    y, z = _places(planes, wire, state)
    found = Candidates(entry, wire, state, row, y, z, residual, np.zeros(0, dtype=np.int64))
    inside = np.flatnonzero(_inside(planes, found))
    last = (wire[:, 2] * 3**N_PLANES + state @ np.array([9, 3, 1]))[inside]
    return found.take(inside[np.lexsort((last, place_key(wire[:, 0], wire[:, 1])[inside], row[inside]))])


def _limit(planes: Sequence[PlanePixels], settings: CandidateSettings) -> tuple[list[Int64], Int64]:
    """Indices of the pixels of each plane that are considered, and the rows where some are not."""
    n_rows = max((int(p.row.max()) + 1 for p in planes if len(p.row)), default=0)
    counts = [np.bincount(p.row, minlength=n_rows) for p in planes]
    limit = settings.row_limit
    while limit > 1 and _pairs_of_rows([np.minimum(c, limit) for c in counts]).sum() > settings.pair_limit:
        limit //= 2
    kept = []
    for plane, count in zip(planes, counts, strict=True):
        strongest = np.lexsort((plane.wire, -plane.charge, plane.row))
        rank = np.arange(len(strongest)) - np.repeat(np.cumsum(count) - count, count)
        kept.append(np.sort(strongest[rank < limit]))
    limited = np.flatnonzero(np.any([count > limit for count in counts], axis=0)) if n_rows else np.zeros(0, np.int64)
    return kept, limited


def _pairs_of_rows(counts: Sequence[Int64]) -> Int64:
    """Pairs of pixels of two planes in every row, for numbers of pixels a row, by plane."""
    return np.asarray(sum(a * b for a, b in combinations(counts, 2)), dtype=np.int64)


Part = tuple[Int64, Int64, Int64, Float64]


def _triplets(planes: Sequence[PlanePixels], kept: Sequence[Int64], tolerance: float) -> Iterator[Part]:
    """Candidates seen on all planes: pairs of planes 0 and 1, and every pixel of plane 2 near their crossing."""
    a, b, wanted = _crossings(planes, (0, 1), kept[:2])
    third = planes[2].take(kept[2])
    row = planes[0].row[a]
    lowest = np.ceil(wanted - tolerance).astype(np.int64)
    for offset in range(int(np.floor(2 * tolerance)) + 1):
        wire = lowest + offset
        found = np.where(wire <= wanted + tolerance, third.find(row, np.maximum(wire, -1)), -1)
        here = np.flatnonzero(found >= 0)
        entry = np.column_stack([a[here], b[here], kept[2][found[here]]])
        wires = np.column_stack([planes[p].wire[entry[:, p]] for p in range(N_PLANES)])
        yield entry, wires, np.full(entry.shape, SEEN), wire[here] - wanted[here]


def _pairs(planes: Sequence[PlanePixels], kept: Sequence[Int64], third: int, tolerance: float) -> Part:
    """Candidates that the third plane has not seen: dead there, or charge in a neighbouring row only.

    A dead wire with a pixel, which was filled in, has seen it.
    """
    first, second = (p for p in range(N_PLANES) if p != third)
    a, b, wanted = _crossings(planes, (first, second), (kept[first], kept[second]))
    other = planes[third]
    row = planes[first].row[a]
    wire = np.floor(wanted + 0.5).astype(np.int64)
    on_plane = (wire >= 0) & (wire < other.plane.n_wires)
    wire[~on_plane] = -1
    dead = ~on_plane
    dead[on_plane] = ~other.alive[wire[on_plane]] & (other.find(row[on_plane], wire[on_plane]) < 0)
    quiet = np.flatnonzero(~dead & ~_any_near(other, row, wanted, tolerance))
    near = np.zeros(len(row), dtype=np.bool_)
    for step in (-1, 1):
        near[quiet] |= _any_near(other, row[quiet] + step, wanted[quiet], tolerance)
    here = np.flatnonzero(dead | near)
    entry = np.full((len(here), N_PLANES), -1, dtype=np.int64)
    entry[:, first], entry[:, second] = a[here], b[here]
    wires = np.empty_like(entry)
    wires[:, first], wires[:, second] = planes[first].wire[a[here]], planes[second].wire[b[here]]
    wires[:, third] = wire[here]
    state = np.full(entry.shape, SEEN)
    state[:, third] = np.where(dead[here], DEAD, NEAR)
    return entry, wires, state, np.zeros(len(here))


def _any_near(plane: PlanePixels, row: Int64, wanted: Float64, tolerance: float) -> Bools:
    """Whether a plane has a pixel in rows (N,) within the tolerance of wire coordinates (N,)."""
    key = plane.key
    low = np.searchsorted(key, place_key(row, np.ceil(wanted - tolerance).astype(np.int64)), side="left")
    high = np.searchsorted(key, place_key(row, np.floor(wanted + tolerance).astype(np.int64)), side="right")
    return np.asarray(high > low)


def _crossings(
    planes: Sequence[PlanePixels], two: Sequence[int], kept: Sequence[Int64]
) -> tuple[Int64, Int64, Float64]:
    """Pairs of the pixels ``kept`` (indices) of two planes in one row, and the wire coordinate on the third at which
    they cross.

    Where wires run through their whole plane only pairs that cross inside it, to a wire; else all.
    """
    left, right = (planes[p].take(rows) for p, rows in zip(two, kept, strict=True))
    low, high = _reach(left.plane, right.plane)
    key = right.key
    first = np.searchsorted(key, place_key(left.row, low[left.wire]), side="left")
    count = np.maximum(np.searchsorted(key, place_key(left.row, high[left.wire]), side="right") - first, 0)
    a = np.repeat(np.arange(len(left.row)), count)
    b = ranges(first, count)
    y, z = _meet(left.plane, left.plane.position(left.wire[a]), right.plane, right.plane.position(right.wire[b]))
    third = next(planes[t].plane for t in range(N_PLANES) if t not in two)
    return kept[0][a], kept[1][b], third.wire_coordinate(y, z)


def _reach(plane: WirePlane, other: WirePlane) -> tuple[Int64, Int64]:
    """First and last wire of another plane that the wires of a plane may cross."""
    last = np.full(plane.n_wires, other.n_wires - 1)
    if len(plane.sections) > 1 or len(other.sections) > 1:
        return np.zeros_like(last), last
    ends = [other.wire_coordinate(end[:, 1], end[:, 2]) for end in (plane.starts, plane.ends)]
    low = np.floor(np.minimum(*ends)).astype(np.int64)
    high = np.ceil(np.maximum(*ends)).astype(np.int64)
    return np.clip(low, 0, last), np.clip(high, 0, last)


def _meet(plane_a: WirePlane, at_a: Float64, plane_b: WirePlane, at_b: Float64) -> tuple[Float64, Float64]:
    """y and z (cm) where lines at these positions across the wires meet."""
    a, b = plane_a.normal, plane_b.normal
    determinant = a[0] * b[1] - a[1] * b[0]
    if abs(determinant) < 1e-9:
        raise ValueError(f"wires of the planes {plane_a.view} and {plane_b.view} are parallel and do not cross")
    return (at_a * b[1] - at_b * a[1]) / determinant, (at_b * a[0] - at_a * b[0]) / determinant


def _places(planes: Sequence[PlanePixels], wire: Int64, state: Int64) -> tuple[Float64, Float64]:
    """y and z nearest to the wires that were seen, by least squares, each in units of its pitch."""
    yy, yz, zz, y1, z1 = (np.zeros(len(wire)) for _ in range(5))
    for number, pixels in enumerate(planes):
        plane = pixels.plane
        ny, nz = plane.normal
        seen = state[:, number] == SEEN
        weight = seen / plane.pitch**2
        at = np.where(seen, plane.position(wire[:, number]), 0.0)
        yy += weight * ny * ny
        yz += weight * ny * nz
        zz += weight * nz * nz
        y1 += weight * ny * at
        z1 += weight * nz * at
    determinant = yy * zz - yz * yz
    return (zz * y1 - yz * z1) / determinant, (yy * z1 - yz * y1) / determinant


def _inside(planes: Sequence[PlanePixels], found: Candidates) -> Bools:
    """Whether the wires seen of a candidate cross within their ends: of three, those of two planes at least.

    Three wires that miss one another by the tolerance may have one of their crossings beyond an end.
    """
    good = np.zeros(len(found), dtype=np.bool_)
    for p, q in ((0, 1), (0, 2), (1, 2)):
        both = np.flatnonzero(~good & (found.state[:, p] == SEEN) & (found.state[:, q] == SEEN))
        good[both] |= crossing(planes[p].plane, found.wire[both, p], planes[q].plane, found.wire[both, q])[2]
    return good


def candidate_features(
    planes: Sequence[PlanePixels], found: Candidates, charge_scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """Features (K, 16) of candidates, in the order of :data:`FEATURES`; charge is multiplied by ``charge_scale``.

    Charge (ADC) of the pixel on each plane, and on the same wire one row before and after, 0 where there is none;
    how many candidates each pixel has, 0 without a pixel; whether each plane is dead there; the residual in pitches.
    """
    seen = found.entry >= 0
    out = np.zeros((len(found), len(FEATURES)), dtype=np.float32)
    for p, plane in enumerate(planes):
        of = np.flatnonzero(seen[:, p])
        entry = found.entry[of, p]
        out[of, p] = charge_scale * plane.charge[entry]
        count = np.bincount(entry, minlength=len(plane.row))
        out[of, 3 * N_PLANES + p] = count[entry]
        charge = charge_scale * np.append(plane.charge, 0.0)
        for place, step in ((1, -1), (2, 1)):
            beside = plane.find(plane.row + step, plane.wire)
            out[of, place * N_PLANES + p] = charge[beside[entry]]
    out[:, 4 * N_PLANES : 5 * N_PLANES] = found.state == DEAD
    out[:, 5 * N_PLANES] = found.residual
    return out


def candidate_coords(found: Candidates, planes: Sequence[PlanePixels]) -> Int64:
    """Voxels (K, 4) of candidates for the network: item 0, row, and y and z in units of two pitches of the last plane.

    Two pitches bring the candidates of one place, which differ in the wire of one plane, into one voxel.
    """
    edge = 2 * planes[-1].plane.pitch
    item = np.zeros(len(found), np.int64)
    return np.column_stack([item, found.row, np.rint(found.y / edge), np.rint(found.z / edge)]).astype(np.int64)


def ranges(first: Int64, count: Int64) -> Int64:
    """first, first + 1, ... of every count, one range after another."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
