"""Voxel images of true energy deposits, with the class and the cluster of every voxel.

A voxel takes the class that deposited most energy in it, ties to the lower one. Clusters follow arXiv 2007.03083: one
a particle, and a shower is one cluster for each of its connected pieces (neighbours share a face, an edge or a corner,
that is DBSCAN with a distance of 1.99 voxels and one point).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import ndtr

from larmlreco.geometry import Detector
from larmlreco.labels import SEMANTIC_NAMES, Semantic
from larmlreco.products import TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.products.base import Json
from larmlreco.sites import connected_pieces, offsets
from larmlreco.truth.pixels import particle_rows

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_REACH_SIGMA = 3.0
_NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class VoxelGrid:
    """``shape`` voxels along x, y, z with edges of ``pitch`` cm; ``origin`` (cm): the corner of voxel (0, 0, 0)."""

    shape: tuple[int, int, int]
    pitch: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class VoxelDeposits:
    """Energy in voxels by particle.

    ``index`` (N, 3): the voxels, in lexicographic order, each once. A row of ``voxel``, ``particle`` and ``energy``
    (M,) is the energy (MeV) of one particle (its row) in one voxel (its row in ``index``); every pair is there once.
    """

    index: Int32
    voxel: Int64
    particle: Int64
    energy: Float64

    def total(self) -> Float64:
        """Energy (N,) of every voxel."""
        return _sums(self.voxel, self.energy, len(self.index))


def voxel_deposits(
    position: npt.ArrayLike,
    energy: npt.ArrayLike,
    particle: npt.ArrayLike,
    grid: VoxelGrid,
    *,
    smear: float = 0.0,
    threshold: float = 0.0,
) -> VoxelDeposits:
    """Sum deposits into voxels.

    ``position`` (K, 3) cm, ``energy`` (K,) MeV, ``particle`` (K,) rows of the particles table; deposits outside the
    grid are dropped. With ``smear``, a Gaussian width in voxels, what a particle left in a voxel is spread from its
    centre of energy over the voxels around (shares below 1 % go to the others, so that all energy stays, but for what
    leaves the grid). Voxels with less than ``threshold`` MeV in all are dropped.
    """
    place = (np.asarray(position, dtype=np.float64).reshape(-1, 3) - grid.origin) / grid.pitch
    index = np.floor(place).astype(np.int64)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=1) & (np.asarray(energy) > 0)
    place, index = place[inside], index[inside]
    amount, owner = np.asarray(energy, dtype=np.float64)[inside], np.asarray(particle, dtype=np.int64)[inside]
    voxel, owner, amount, place = _pairs(_key(index, grid.shape), owner, amount, place)
    if smear > 0:
        voxel, owner, amount = _smeared(voxel, owner, amount, place, grid.shape, smear)
    keys, row = np.unique(voxel, return_inverse=True)
    if threshold > 0:
        bright = _sums(row, amount, len(keys)) >= threshold
        kept = bright[row]
        keys, row = keys[bright], (np.cumsum(bright) - 1)[row[kept]]
        owner, amount = owner[kept], amount[kept]
    return VoxelDeposits(_index(keys, grid.shape), row, owner, amount)


def voxel_labels(deposits: VoxelDeposits, semantic: npt.ArrayLike) -> Int32:
    """Class (N,) of every voxel, for the class of every particle (P,)."""
    n_classes = len(SEMANTIC_NAMES)
    of_pair = np.asarray(semantic, dtype=np.int64)[deposits.particle]
    energy = _sums(deposits.voxel * n_classes + of_pair, deposits.energy, len(deposits.index) * n_classes)
    best: Int64 = energy.reshape(-1, n_classes).argmax(axis=1)
    return best.astype(np.int32)


def voxel_clusters(
    deposits: VoxelDeposits, semantic: npt.ArrayLike, instance: npt.ArrayLike, label: Int32
) -> tuple[Int32, Int64]:
    """Cluster (N,) of every voxel, numbered from 0, and the row (N,) of the particle that the cluster belongs to.

    ``semantic`` and ``instance`` (P,): class of every particle, and the row of the particle whose cluster its deposits
    belong to; ``label`` (N,): class of the voxels. Of the instances of its class a voxel takes the one with most energy
    in it, ties to the lower row.
    """
    classes, instances = np.asarray(semantic, dtype=np.int64), np.asarray(instance, dtype=np.int64)
    mine = classes[deposits.particle] == label[deposits.voxel]
    voxel, owner, amount = deposits.voxel[mine], instances[deposits.particle[mine]], deposits.energy[mine]
    voxel, owner, amount, _ = _pairs(voxel, owner, amount, np.zeros((len(voxel), 0)))
    order = np.lexsort((owner, -amount, voxel))
    _, first = np.unique(voxel[order], return_index=True)
    best = owner[order[first]]
    piece = np.zeros(len(label), dtype=np.int64)
    shower = np.flatnonzero(label == Semantic.SHOWER)
    piece[shower] = connected_pieces(deposits.index[shower], best[shower])
    _, first, cluster = np.unique(np.stack([best, piece], axis=1), axis=0, return_index=True, return_inverse=True)
    return cluster.reshape(-1).astype(np.int32), best


def labelled_voxels(
    deposits: VoxelDeposits,
    grid: VoxelGrid,
    semantic: npt.ArrayLike,
    instance: npt.ArrayLike,
    ids: npt.NDArray[np.integer],
    target: str,
) -> tuple[Voxels, TrueLabels]:
    """Voxels with their true classes and clusters, for class, instance (rows) and id of every particle (P,).

    ``target``: branch name of the voxels.
    """
    columns = dict(zip("xyz", deposits.index.T, strict=True)) | {"energy": deposits.total(), "pitch": [grid.pitch]}
    origin = {f"origin_{axis}": [value] for axis, value in zip("xyz", grid.origin, strict=True)}
    label = voxel_labels(deposits, semantic)
    cluster, owner = voxel_clusters(deposits, semantic, instance, label)
    return (
        Voxels.from_columns(columns | origin, {"shape": list(grid.shape)}),
        TrueLabels(
            label=label, cluster=cluster, particle=ids[owner].astype(np.int32), meta=label_meta(target, "relabelled")
        ),
    )


def label_meta(target: str, label_set: str) -> dict[str, Json]:
    """``meta`` of the true labels of the product with the branch name ``target``."""
    return {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "labels": label_set, "target": target}


def voxels_of_steps(
    steps: TrueSteps,
    particles: TrueParticles,
    grid: VoxelGrid,
    target: str,
    *,
    smear: float = 0.0,
    threshold: float = 0.0,
) -> tuple[Voxels, TrueLabels]:
    """Voxels of true steps with their true classes and clusters; see :func:`voxel_deposits`.

    Raises ``ValueError`` for a step of an unknown particle.
    """
    rows = particle_rows(steps.particle, particles.id)
    position = np.stack([steps.x, steps.y, steps.z], axis=1)
    deposits = voxel_deposits(position, steps.de, rows, grid, smear=smear, threshold=threshold)
    instance = particle_rows(particles.instance, particles.id)
    return labelled_voxels(deposits, grid, particles.semantic, instance, particles.id, target)


def apparent_voxels(
    steps: TrueSteps, particles: TrueParticles, detector: Detector, tpc: int, grid: VoxelGrid, target: str
) -> tuple[Voxels, TrueLabels]:
    """Voxels of the steps that the images of a TPC can show, where they seem to be for charge freed at the trigger.

    That is where reconstructed points are, and what they are compared with; see :func:`voxels_of_steps`.
    """
    rows = particle_rows(steps.particle, particles.id)
    seen = (steps.tick >= 0) & (steps.tick < detector.image_samples) & (steps.electrons > 0)
    active = detector.tpcs[tpc].active
    if len(detector.tpcs) > 1 and active is not None:
        place = np.column_stack([steps.x, steps.y, steps.z])
        seen &= ((place >= active[:, 0]) & (place <= active[:, 1])).all(axis=1)
    apparent = np.column_stack([detector.tick_to_x(steps.tick, tpc), steps.y, steps.z])[seen]
    deposits = voxel_deposits(apparent, steps.de[seen], rows[seen], grid)
    instance = particle_rows(particles.instance, particles.id)
    return labelled_voxels(deposits, grid, particles.semantic, instance, particles.id, target)


def grid_of(voxels: Voxels) -> VoxelGrid:
    """The grid of an image of voxels; reads ``shape`` of its meta."""
    nx, ny, nz = map(int, voxels.meta["shape"])
    x, y, z = voxels.origin[0].astype(np.float64).tolist()
    return VoxelGrid((nx, ny, nz), float(voxels.pitch[0]), (x, y, z))


def labels_of_reconstructed(
    voxels: Voxels,
    steps: TrueSteps,
    particles: TrueParticles,
    detector: Detector,
    target: str,
    *,
    radius: float = 1.0,
) -> TrueLabels:
    """True class and cluster of reconstructed voxels: those of the nearest true voxel within ``radius`` cm.

    The true voxels are those of :func:`apparent_voxels` on the grid of ``voxels``. Of several that are equally near the
    one with most energy decides, then the first; voxels without one (ghosts) have -1. Reads ``shape`` and ``tpc`` of
    the voxels' meta; ``target``: their branch name. Raises ``ValueError`` for a step of an unknown particle.
    """
    grid = grid_of(voxels)
    true, labels = apparent_voxels(steps, particles, detector, int(voxels.meta["tpc"]), grid, target)
    nearest = nearest_voxels(
        np.column_stack([voxels.x, voxels.y, voxels.z]),
        np.column_stack([true.x, true.y, true.z]),
        true.energy,
        radius / grid.pitch,
    )
    return TrueLabels(
        label=np.append(labels.label, -1)[nearest],
        cluster=np.append(labels.cluster, -1)[nearest],
        particle=np.append(labels.particle, -1)[nearest],
        meta=labels.meta,
    )


def nearest_voxels(index: npt.ArrayLike, others: npt.ArrayLike, energy: npt.ArrayLike, radius: float) -> Int64:
    """Row (N,) of the voxel of ``others`` (M, 3), distinct, nearest to each voxel (N, 3) within ``radius`` voxels.

    -1: none. Of several equally near ones that with most energy (M,), then the first.
    """
    mine, theirs = (np.asarray(a, dtype=np.int64).reshape(-1, 3) for a in (index, others))
    out = np.full(len(mine), -1, dtype=np.int64)
    if not len(mine) or not len(theirs):
        return out
    tree = cKDTree(theirs)
    distance, _ = tree.query(mine, distance_upper_bound=radius * (1 + 1e-9))
    some = np.flatnonzero(np.isfinite(distance))
    found = tree.query_ball_point(mine[some], distance[some] + 1e-6, return_sorted=True)
    count = np.array([len(f) for f in found], dtype=np.int64)
    row = np.repeat(some, count)
    other = np.concatenate([np.asarray(f, dtype=np.int64) for f in found]) if len(some) else out[:0]
    order = np.lexsort((other, -np.asarray(energy, dtype=np.float64)[other], row))
    _, first = np.unique(row[order], return_index=True)
    out[some] = other[order[first]]
    return out


def _key(index: Int64, shape: tuple[int, int, int]) -> Int64:
    return (index[:, 0] * shape[1] + index[:, 1]) * shape[2] + index[:, 2]


def _index(key: Int64, shape: tuple[int, int, int]) -> Int32:
    _, ny, nz = shape
    return np.stack([key // (ny * nz), key // nz % ny, key % nz], axis=1).astype(np.int32)


def _sums(row: Int64, weight: Float64, count: int) -> Float64:
    return np.asarray(np.bincount(row, weight, count), dtype=np.float64)


def _pairs(voxel: Int64, owner: Int64, amount: Float64, place: Float64) -> tuple[Int64, Int64, Float64, Float64]:
    """Every (voxel, owner) once, with the sum of the amounts and the mean place by amount; ordered by both."""
    n_owners = int(owner.max()) + 1 if len(owner) else 1
    pair, row = np.unique(voxel * n_owners + owner, return_inverse=True)
    total = _sums(row, amount, len(pair))
    mean = np.stack([_sums(row, amount * p, len(pair)) / total for p in place.T], axis=1) if place.shape[1] else place
    return pair // n_owners, pair % n_owners, total, mean


def _smeared(
    voxel: Int64, owner: Int64, amount: Float64, place: Float64, shape: tuple[int, int, int], sigma: float
) -> tuple[Int64, Int64, Float64]:
    """Pairs after smearing; ``place`` (N, 3) in voxels."""
    index = _index(voxel, shape).astype(np.int64)
    reach = int(np.ceil(_REACH_SIGMA * sigma))
    steps = np.arange(-reach, reach + 1)
    low = (index[:, :, np.newaxis] + steps - place[:, :, np.newaxis]) / sigma
    along = ndtr(low + 1 / sigma) - ndtr(low)
    share = along[:, 0, :, None, None] * along[:, 1, None, :, None] * along[:, 2, None, None, :]
    share = share.reshape(len(index), len(steps) ** 3)
    share[share < _NEGLIGIBLE] = 0
    share /= share.sum(axis=1, keepdims=True)
    pair, step = np.nonzero(share)
    moved = index[pair] + offsets(reach, 3)[step]
    inside = ((moved >= 0) & (moved < shape)).all(axis=1)
    spread = amount[pair] * share[pair, step]
    voxel, owner, amount, _ = _pairs(
        _key(moved[inside], shape), owner[pair[inside]], spread[inside], np.zeros((int(inside.sum()), 0))
    )
    return voxel, owner, amount
