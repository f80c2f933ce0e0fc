"""Where a detector sees nothing: dead wires of a plane, dead boxes, and voxels that too few planes see."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.geometry import Detector

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.integer[Any]]


class DeadRegion(Protocol):
    """Where nothing is seen."""

    def contains(self, coords: Int64) -> Bools:
        """Whether sites (K, D) are dead (K,)."""


@dataclass(frozen=True)
class DeadWires:
    """Dead wires of a plane image: ``dead`` (n_wires,) by the first coordinate; rows lie in [0, ``n_rows``), 0: any."""

    dead: Bools
    n_rows: int = 0

    def contains(self, coords: Int64) -> Bools:
        """Whether pixels (K, 2), wire and row, are dead (K,)."""
        wire = coords[:, 0]
        inside = (wire >= 0) & (wire < len(self.dead))
        if self.n_rows:
            inside &= (coords[:, 1] >= 0) & (coords[:, 1] < self.n_rows)
        return np.asarray(inside & np.append(self.dead, False)[np.where(inside, wire, -1)])


@dataclass(frozen=True)
class DeadBoxes:
    """Boxes of dead sites: ``low`` and ``high`` (B, D), both included."""

    low: Int64
    high: Int64

    def contains(self, coords: Int64) -> Bools:
        """Whether sites (K, D) lie in a box (K,)."""
        found = np.zeros(len(coords), dtype=np.bool_)
        axes = [np.ascontiguousarray(axis) for axis in coords.T]
        for low, high in zip(self.low, self.high, strict=True):
            inside = np.ones(len(coords), dtype=np.bool_)
            for axis, first, last in zip(axes, low, high, strict=True):
                inside &= (axis >= first) & (axis <= last)
            found |= inside
        return found


@dataclass(frozen=True)
class DeadVoxels:
    """Voxels of a detector that too few of its planes see; made by :func:`dead_voxels`.

    ``tpc`` (nx,): row in ``dead`` of the TPC that a voxel's x lies in, -1: none; ``dead`` (TPCs, ny, nz). ``any_x``:
    all voxels are those of the first row, whatever their x.
    """

    tpc: Int64
    dead: Bools
    any_x: bool = False

    def contains(self, coords: Int64) -> Bools:
        """Whether voxels (K, 3) are dead (K,); those outside the detector are not."""
        shape = np.array([len(self.tpc), *self.dead.shape[1:]])
        places = coords * np.array([0, 1, 1]) if self.any_x else coords
        inside = np.flatnonzero(((places >= 0) & (places < shape)).all(axis=1))
        x, y, z = places[inside].T
        found = np.zeros(len(coords), dtype=np.bool_)
        found[inside] = (self.tpc[x] >= 0) & self.dead[self.tpc[x], y, z]
        return found


@dataclass(frozen=True)
class DeadAnywhere:
    """What is dead in any of several regions."""

    regions: tuple[DeadRegion, ...]

    def contains(self, coords: Int64) -> Bools:
        """Whether sites (K, D) are dead (K,)."""
        found = np.zeros(len(coords), dtype=np.bool_)
        for region in self.regions:
            found |= region.contains(coords)
        return found


def dead_boxes(low: npt.ArrayLike, high: npt.ArrayLike, origin: npt.ArrayLike, pitch: float) -> DeadBoxes:
    """Boxes with corners ``low`` and ``high`` (B, 3) in cm as voxels: dead are those whose middle lies inside.

    ``origin`` (3,): corner of voxel (0, 0, 0), in cm; ``pitch``: edge of a voxel, in cm.
    """
    corners = [np.asarray(corner, dtype=np.float64).reshape(-1, 3) for corner in (low, high)]
    first, last = ((corner - np.asarray(origin, dtype=np.float64)) / pitch - 0.5 for corner in corners)
    return DeadBoxes(np.ceil(first).astype(np.int64), np.floor(last).astype(np.int64))


def dead_voxels(
    detector: Detector,
    dead_channels: Index,
    origin: npt.ArrayLike,
    pitch: float,
    min_planes: int = 2,
    tpc: int | None = None,
) -> DeadVoxels:
    """Voxels of which fewer than ``min_planes`` planes have a live wire nearest to their middle.

    ``dead_channels`` (N,), beside those without electronics; ``origin`` (3,): corner of voxel (0, 0, 0), in cm;
    ``pitch``: edge of a voxel, in cm. Voxels outside the active volumes are not dead; with ``tpc`` given all voxels are
    of that TPC whatever their x, as those of charge that came at another time than the trigger. Raises ``InputError``
    for a channel or a TPC outside the geometry.
    """
    detector.check_channels(dead_channels, "dead channels")
    alive = np.ones(detector.n_channels + 1, dtype=np.bool_)
    alive[np.concatenate([np.asarray(dead_channels, dtype=np.int64), detector.unread_channels])] = False
    alive[-1] = False
    start = np.asarray(origin, dtype=np.float64)
    if tpc is not None and not 0 <= tpc < len(detector.tpcs):
        raise InputError(f"{detector.name} has the TPCs 0 to {len(detector.tpcs) - 1}; the voxels are of TPC {tpc}")
    wanted = detector.tpcs if tpc is None else detector.tpcs[tpc : tpc + 1]
    tpcs = [(volume, volume.active) for volume in wanted if volume.active is not None]
    if not tpcs:
        return DeadVoxels(np.full(1, -1), np.zeros((1, 1, 1), dtype=np.bool_))
    high = np.max([active[:, 1] for _, active in tpcs], axis=0)
    shape = np.maximum(np.ceil((high - start) / pitch - 1e-6).astype(np.int64), 1)
    x, y, z = (first + (np.arange(n) + 0.5) * pitch for first, n in zip(start, shape, strict=True))
    of_x = np.full(shape[0], -1, dtype=np.int64)
    dead = np.zeros((len(tpcs), shape[1], shape[2]), dtype=np.bool_)
    for number, (volume, active) in enumerate(tpcs):
        of_x[(x > active[0, 0]) & (x < active[0, 1])] = number
        rows, columns = ((a > active[i, 0]) & (a < active[i, 1]) for i, a in ((1, y), (2, z)))
        seen = np.zeros((int(rows.sum()), int(columns.sum())), dtype=np.int64)
        for plane in volume.planes:
            wire = plane.nearest_wire(y[rows][:, np.newaxis], z[columns])
            seen += alive[np.append(plane.channels, detector.n_channels)[wire]]
        dead[number][np.ix_(rows, columns)] = seen < min_planes
    return DeadVoxels(of_x if tpc is None else np.zeros(1, dtype=np.int64), dead, tpc is not None)


class DeadVoxelFinder:
    """Tells where voxels are dead in an event: in boxes, and where dead channels leave too few planes.

    ``boxes`` (B, 2, 3): low and high corners in cm; ``geometry`` of the channels, or ``None``; ``min_planes``: a voxel
    that fewer planes see is dead. What the channels of an event tell is kept for the next one.
    """

    def __init__(self, boxes: npt.ArrayLike, geometry: Detector | None, min_planes: int) -> None:
        self._boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 3)
        self._geometry = geometry
        self._min_planes = min_planes
        self._seen: tuple[tuple[bytes, bytes, float, int | None], DeadVoxels] | None = None

    def find(
        self, channels: Int64, origin: npt.ArrayLike, pitch: float, boxes: npt.ArrayLike = (), tpc: int | None = None
    ) -> DeadRegion:
        """Where voxels are dead with these dead channels (N,) and, besides, in these boxes; see :func:`dead_voxels`."""
        both = np.concatenate([self._boxes, np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 3)])
        region: DeadRegion = dead_boxes(both[:, 0], both[:, 1], origin, pitch)
        if self._geometry is None:
            return region
        what = (channels.tobytes(), np.asarray(origin, dtype=np.float64).tobytes(), pitch, tpc)
        if self._seen is None or self._seen[0] != what:
            self._seen = what, dead_voxels(self._geometry, channels, origin, pitch, self._min_planes, tpc)
        return DeadAnywhere((region, self._seen[1]))


def gap_widths(coords: Index, dead: DeadRegion, most: int = 100) -> Int64:
    """Width (K,) in sites of the dead region around sites (K, D): the least number of dead ones in a row along an axis.

    0 for a site that is not dead; runs end at ``most``.
    """
    sites = np.asarray(coords, dtype=np.int64)
    width = np.where(dead.contains(sites), most, 0)
    for axis in range(sites.shape[1]):
        run = np.where(width > 0, 1, 0)
        for sign in (-1, 1):
            going = np.flatnonzero(run)
            for step in range(1, most):
                ahead = sites[going]
                ahead[:, axis] += sign * step
                going = going[dead.contains(ahead)]
                if not len(going):
                    break
                run[going] += 1
        width = np.minimum(width, run)
    return width
