"""Space points to voxels with energy, each linked to its points.

Several points may use one pixel: places along a wire that a plane cannot tell apart, and ghosts. Its charge is then
shared among them, so that the charge of an event is counted once and not once a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.argon import W_MEV, recombination, survival
from larmlreco.geometry import Detector

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Index = npt.NDArray[np.integer[Any]]

PASSES = 10
"""Passes of :func:`shared_charge`: more of them change the energy of voxels by less than the noise does."""


def shared_charge(pixel: Index, charge: npt.ArrayLike, weight: npt.ArrayLike, passes: int = PASSES) -> Float64:
    """Charge (P,) of points whose pixels share theirs, in the units of ``charge``.

    ``pixel`` (P, planes): row of the point's pixel on each plane, -1: none known, then the charge there is the point's
    own; ``charge`` (P, planes): charge of those pixels, 0 or less: the plane saw none; ``weight`` (P,): how charge is
    shared to begin with, above 0.

    Every plane sees the whole charge of a point, so the points of a pixel should add up to it on all planes. From the
    mean over its planes, weighted, the charge of a point is multiplied in every pass by the mean over its planes of
    what a pixel holds over what its points have (Richardson and Lucy's deconvolution: charge stays positive, and the
    sum over points and planes is that of the pixels). A point that the planes do not agree on fades. A point without
    charge has 0.
    """
    values = np.asarray(charge, dtype=np.float64)
    rows = np.asarray(pixel, dtype=np.int64)
    n, n_planes = values.shape
    seen = values > 0
    point, plane = np.nonzero(seen)
    own = np.where(rows >= 0, rows * n_planes + np.arange(n_planes), -1 - np.arange(n * n_planes).reshape(n, n_planes))
    _, cell = np.unique(own[point, plane], return_inverse=True)
    held = values[point, plane]
    planes = np.maximum(seen.sum(axis=1), 1)
    share = np.asarray(weight, dtype=np.float64) * values.clip(min=0).sum(axis=1) / planes
    for _ in range(passes):
        total = np.bincount(cell, share[point])
        ratio = held / np.maximum(total[cell], 1e-30)
        share *= np.bincount(point, ratio, n) / planes
    return np.asarray(share)


@dataclass(frozen=True)
class ChargeScale:
    """From charge at the wires to energy.

    ``electrons``: electrons of a unit of charge; ``field``: kV/cm; ``dedx``: MeV/cm at which recombination is taken,
    for all charge alike; ``lifetime``: that of electrons in ms, 0: none is lost; ``correction``: factor for what
    thresholds and the sharing of charge leave out.
    """

    electrons: float
    field: float
    dedx: float
    lifetime: float = 0.0
    correction: float = 1.0

    @property
    def mev(self) -> float:
        """Energy (MeV) of a unit of charge that has not drifted."""
        return self.correction * self.electrons * W_MEV / float(recombination(self.dedx, self.field))

    def energy(self, charge: Float64, drift_us: Float64) -> Float64:
        """Energy (N,) in MeV of charge (N,) that has drifted for times (N,) in us; negative times count as 0."""
        return charge * self.mev / survival(np.maximum(drift_us, 0), self.lifetime)


@dataclass(frozen=True)
class PointGrid:
    """Voxels of a TPC: ``shape`` of them along x, y, z with edges of ``pitch`` cm, beginning at ``origin`` (cm)."""

    origin: tuple[float, float, float]
    shape: tuple[int, int, int]
    pitch: float


def point_grid(detector: Detector, tpc: int, pitch: float) -> PointGrid:
    """The grid that holds all points that the wires of a TPC can give.

    Along x it reaches over the samples of the images, with times counted from the trigger: charge that came earlier or
    later lies beyond the anode or the cathode. In y and z it covers the wires and the active volume.
    """
    volume = detector.tpcs[tpc]
    x = np.sort(detector.tick_to_x(np.array([-0.5, detector.image_samples - 0.5]), tpc))
    windows = np.concatenate([plane.windows for plane in volume.planes])
    sides = [x, *((windows[:, axis, 0].min(), windows[:, axis, 1].max()) for axis in (0, 1))]
    low, high = np.array(sides, dtype=np.float64).T
    if volume.active is not None:
        low[1:] = np.minimum(low[1:], volume.active[1:, 0])
        high[1:] = np.maximum(high[1:], volume.active[1:, 1])
    low[1:] -= pitch
    high[1:] += pitch
    nx, ny, nz = np.ceil((high - low) / pitch - 1e-6).astype(int).tolist()
    x0, y0, z0 = low.tolist()
    return PointGrid((x0, y0, z0), (nx, ny, nz), pitch)


@dataclass(frozen=True)
class PointVoxels:
    """Voxels made of points.

    ``index`` (V, 3) in lexicographic order, each once, and ``energy`` (V,) in MeV; ``voxel`` and ``point`` (M,): pairs
    of a voxel and a point that has charge in it, by voxel, then point; ``share`` (M,): energy of the pair; ``outside``:
    points that lie in no voxel of the grid.
    """

    index: Int64
    energy: Float64
    voxel: Int64
    point: Int64
    share: Float64
    outside: int


def cell_size(detector: Detector, tpc: int, row: float) -> tuple[float, float, float]:
    """Distances (cm) along x, y, z of neighbouring places that points of a TPC can have.

    ``row``: length of a row of the images; in y and z the smallest distance along that axis of wires of one plane.
    """
    planes = detector.tpcs[tpc].planes
    y, z = (min(p.pitch / abs(p.normal[axis]) for p in planes if abs(p.normal[axis]) > 0.1) for axis in (0, 1))
    return row, y, z


def point_voxels(
    position: npt.ArrayLike,
    energy: npt.ArrayLike,
    grid: PointGrid,
    cell: Sequence[float] = (0.0, 0.0, 0.0),
    threshold: float = 0.0,
) -> PointVoxels:
    """Put points (P, 3) in cm with energies (P,) in MeV into voxels.

    A point stands for charge in a ``cell`` around it, its size along x, y, z in cm: it fills the voxels whose middles
    lie within, in equal parts; along an axis where there is none, that in which it lies. So tracks have no holes where
    cells are longer than voxels. Voxels with less than ``threshold`` MeV in all are dropped. Raises ``ValueError`` for
    a place or an energy that is not finite.
    """
    place = np.asarray(position, dtype=np.float64).reshape(-1, 3)
    amount = np.asarray(energy, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(place).all(axis=1) & np.isfinite(amount)))
    if len(bad):
        raise ValueError(
            f"point {bad[0]} has a place or an energy that is not finite: {place[bad[0]]}, {amount[bad[0]]}"
        )
    scaled = (place - grid.origin) / grid.pitch
    first, count = _filled(scaled, 0.5 * np.asarray(cell, dtype=np.float64) / grid.pitch)
    number = count.prod(axis=1)
    point = np.repeat(np.arange(len(place)), number)
    within = np.arange(len(point)) - np.repeat(np.cumsum(number) - number, number)
    _, cy, cz = count[point].T
    filled = first[point] + np.column_stack([within // (cy * cz), within // cz % cy, within % cz])
    inside = ((filled >= 0) & (filled < grid.shape)).all(axis=1)
    outside = len(place) - len(np.unique(point[inside]))
    point, filled = point[inside], filled[inside]
    share = (amount / number)[point]
    _, ny, nz = grid.shape
    keys, voxel = np.unique((filled[:, 0] * ny + filled[:, 1]) * nz + filled[:, 2], return_inverse=True)
    total = np.bincount(voxel, share, len(keys))
    kept = total >= threshold
    row = np.cumsum(kept) - 1
    pair = np.flatnonzero(kept[voxel])
    pair = pair[np.lexsort((point[pair], voxel[pair]))]
    keys, total = keys[kept], total[kept]
    return PointVoxels(
        index=np.column_stack([keys // (ny * nz), keys // nz % ny, keys % nz]),
        energy=total.astype(np.float64),
        voxel=row[voxel[pair]],
        point=point[pair],
        share=share[pair],
        outside=outside,
    )


def _filled(scaled: Float64, half: Float64) -> tuple[Int64, Int64]:
    """First voxel and number of voxels (P, 3) along each axis whose middles lie within ``half`` (3,) of places."""
    first = np.ceil(scaled - half - 0.5).astype(np.int64)
    count = np.ceil(scaled + half - 0.5).astype(np.int64) - first
    return np.where(count > 0, first, np.floor(scaled).astype(np.int64)), np.maximum(count, 1)


def links_through(voxel: Int64, point: Int64, rows: Index) -> Int64:
    """Pairs (K, 2) of voxel and row, each once and in order, for pairs (M,) of voxel and point.

    ``rows`` (P, planes): rows of another product that belong to the points, -1: none.
    """
    there = np.asarray(rows, dtype=np.int64)[point]
    pairs = np.column_stack([np.repeat(voxel, there.shape[1]), there.reshape(-1)])
    return np.unique(pairs[pairs[:, 1] >= 0], axis=0)


def part_with(found: PointVoxels, marked: npt.NDArray[np.bool_]) -> Float64:
    """Part (V,) of the energy of every voxel that is of points (P,) that are marked, 0 to 1."""
    n = len(found.energy)
    some = np.bincount(found.voxel, found.share * marked[found.point], n)
    return np.asarray(some / np.maximum(np.bincount(found.voxel, found.share, n), 1e-30))


def tpc_of_instance(detector: Detector, instance: str) -> int:
    """Number of the TPC whose products have this instance: ``tpc2``, or the only one for an empty name.

    Raises ``ValueError``, naming the valid ones.
    """
    names: Sequence[str] = [
        f"tpc{tpc.index}" if len(detector.tpcs) > 1 else "" for tpc in detector.tpcs if tpc.active is not None
    ]
    if instance not in names:
        raise ValueError(f"{detector.name} has no TPC {instance!r}; valid: {', '.join(map(repr, names))}")
    return next(tpc.index for tpc in detector.tpcs if instance in ("", f"tpc{tpc.index}"))
