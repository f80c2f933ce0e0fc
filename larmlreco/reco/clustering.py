"""From embeddings to clusters: proposal-free clustering (Koh et al., arXiv 2007.03083, after Neven et al., 1906.11109).

A voxel with embedding e belongs to a cluster with centre mu and margin sigma when its kernel score
p = exp(-|e - mu|^2 / (2 sigma^2)) is above a threshold. The published procedure looks at every voxel left for every
cluster; :func:`seeded_clusters` asks a tree of boxes for the voxels within the radius that the threshold means and
gives the same clusters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.reco.clustering_dbscan import connected_pieces, dbscan
from larmlreco.reco.clustering_index import PointTree, squared_distance, within

Index = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]

_MOST_SEEDS = 256
_MOST_PAIRS = 4_000_000
_LEAST_MARGIN = 1e-6


@dataclass(frozen=True)
class ClusteringOptions:
    """Options of :func:`seeded_clusters`.

    ``seed_threshold``: voxels with less seediness found no cluster. ``probability_threshold``: least kernel score of a
    member, in (0, 1). ``founder_threshold``: a voxel with a higher kernel score in a cluster that was found before
    founds none, so that what a kernel just misses of a long track is not cut off it; published: the same as
    ``probability_threshold``, which 1 stands for. ``min_size``: smaller clusters are dissolved. ``assign_all``: voxels
    left over join the cluster in which their kernel score is highest.
    """

    seed_threshold: float = 0.5
    probability_threshold: float = 0.5
    min_size: int = 1
    assign_all: bool = True
    founder_threshold: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.probability_threshold < 1:
            raise ValueError(f"probability_threshold must be above 0 and below 1; got {self.probability_threshold}")
        if not 0 < self.founder_threshold <= 1:
            raise ValueError(f"founder_threshold must be above 0 and at most 1; got {self.founder_threshold}")
        if self.min_size < 1:
            raise ValueError(f"min_size must be at least 1; got {self.min_size}")


def seeded_clusters(
    embedding: Floats, margin: Floats, seediness: Floats, options: ClusteringOptions
) -> tuple[Int64, Int64]:
    """Cluster (N,) of every voxel of one class, -1 for none, and the row (K,) of the voxel that seeded each cluster.

    The voxel with the highest seediness, ties to the lower row, founds a cluster at its embedding with its margin; all
    voxels left with a kernel score above the threshold are its members, and so is every voxel left at the very same
    embedding. This repeats until all voxels are taken or the seediness falls below ``seed_threshold``. Clusters are
    numbered in the order in which they were founded.

    ``embedding`` (N, D), ``margin`` (N,) and ``seediness`` (N,). Raises ``ValueError`` for lengths that differ, and for
    a value that is not finite, naming the output and the row.
    """
    points = _finite(embedding, "embedding")
    width, seed = _finite(margin, "margin"), _finite(seediness, "seediness")
    if points.ndim != 2 or not len(points) == len(width) == len(seed):
        raise ValueError(
            f"embedding {points.shape}, margin {width.shape} and seediness {seed.shape} must have equal numbers of rows"
        )
    label = np.full(len(points), -1, dtype=np.int64)
    if len(points) == 0:
        return label, np.zeros(0, dtype=np.int64)
    radius = -2.0 * math.log(options.probability_threshold) * (width * width)
    reach = radius
    if options.founder_threshold < options.probability_threshold:
        reach = -2.0 * math.log(options.founder_threshold) * (width * width)
    founders = _found(points, radius, reach, seed, options.seed_threshold, label)
    sizes = np.bincount(label[label >= 0], minlength=len(founders))
    large = sizes >= options.min_size
    number = np.append(np.where(large, np.cumsum(large) - 1, -1), -1)
    label, founders = number[label], founders[large]
    if options.assign_all and len(founders):
        rest = label < 0
        label[rest] = _best_kernel(points[rest], points[founders], width[founders])
    return label, founders


def _found(points: Float64, radius: Float64, reach: Float64, seed: Float64, threshold: float, label: Int64) -> Int64:
    """Fill ``label`` cluster by cluster; returns the founders' rows.

    ``radius`` (N,) and ``reach`` (N,): squared radii within which a cluster founded by a voxel takes members, and
    within which it lets no other voxel found one.

    Balls are asked for in batches that grow while their centres found clusters of their own: then the cost of asking is
    shared, and none is asked for in vain.
    """
    order = np.argsort(-seed, kind="stable")
    order = order[: int(np.count_nonzero(seed >= threshold))]
    tree = PointTree(points)
    founders: list[int] = []
    blocked = np.zeros(len(points), dtype=bool)
    at, batch = 0, 1
    most = max(1, min(_MOST_SEEDS, _MOST_PAIRS // len(points)))
    while at < len(order):
        ahead = order[at : at + 4 * batch + 64]
        free = np.flatnonzero((label[ahead] < 0) & ~blocked[ahead])[:batch]
        if len(free) == 0:
            at += len(ahead)
            continue
        at += int(free[-1]) + 1
        seeds = ahead[free]
        before = len(founders)
        ball, row = tree.balls(points[seeds], reach[seeds])
        ends = np.searchsorted(ball, np.arange(len(seeds) + 1))
        member = np.ones(len(row), dtype=bool)
        if reach is not radius:
            member = within(points[row] - points[seeds[ball]], radius[seeds[ball]])
        for number, founder in enumerate(seeds.tolist()):
            if label[founder] < 0 and not blocked[founder]:
                near = slice(ends[number], ends[number + 1])
                inside = row[near][member[near]]
                blocked[row[near]] = True
                label[inside[label[inside] < 0]] = len(founders)
                founders.append(founder)
        tree.remove(np.unique(row[label[row] >= before]))
        batch = min(2 * batch, most) if 2 * (len(founders) - before) >= len(seeds) else max(batch // 4, 1)
    return np.array(founders, dtype=np.int64)


def _best_kernel(points: Float64, centres: Float64, margins: Float64) -> Int64:
    """The centre (N,) with the highest kernel score of each point, ties to the lower one.

    The nearest centres are tried, twice as many each time, until those beyond them are too far for any margin. Margins
    are taken as at least 1e-6, so that a margin of 0 has an order too.
    """
    width = np.maximum(margins, _LEAST_MARGIN) ** 2
    tree = cKDTree(centres)
    best = np.zeros(len(points), dtype=np.int64)
    open_rows = np.arange(len(points))
    tried = min(8, len(centres))
    while len(open_rows):
        distance, centre = tree.query(points[open_rows], k=np.arange(1, tried + 1))
        centre.sort(axis=1)
        ratio = squared_distance(points[open_rows][:, np.newaxis] - centres[centre]) / width[centre]
        first = ratio.argmin(axis=1)
        rows = np.arange(len(open_rows))
        best[open_rows] = centre[rows, first]
        beyond = distance[:, -1] ** 2 * (1 - 1e-9) / width.max()
        done = (beyond > ratio[rows, first]) | (tried == len(centres))
        open_rows = open_rows[~done]
        tried = min(2 * tried, len(centres))
    return best


@dataclass(frozen=True)
class ClusteredVoxels:
    """Clusters of an event: ``cluster`` (N,) of every voxel, -1 for none; ``semantic`` (K,) and ``seed`` row (K,)."""

    cluster: Int64
    semantic: Int64
    seed: Int64


def cluster_voxels(
    voxels: Index,
    label: Index,
    groups: Sequence[Sequence[int]],
    outputs: tuple[Floats, Floats, Floats],
    options: ClusteringOptions,
    fragmented: Sequence[int] = (),
) -> ClusteredVoxels:
    """Clusters of the voxels (N, 3) of an event with class ``label`` (N,).

    Voxels of the classes of one group are clustered together, groups in order; a cluster's class is that of most of its
    voxels, ties to the lower. ``outputs`` are embedding (N, D), margin (N,) and seediness (N,). Clusters of a class in
    ``fragmented`` are split into their connected pieces, since the true fragments of a shower are connected. Where
    ``assign_all`` is set and no voxel of a group can found a cluster, its connected pieces are the clusters. The seed
    of a piece without the founder is its voxel with the highest seediness.

    Raises as :func:`seeded_clusters`.
    """
    embedding, margin, seediness = (
        _finite(array, name) for array, name in zip(outputs, ("embedding", "margin", "seediness"), strict=True)
    )

    def of_group(rows: Int64) -> tuple[Int64, Int64]:
        found, seed = seeded_clusters(embedding[rows], margin[rows], seediness[rows], options)
        if options.assign_all and len(seed) == 0:
            found = connected_pieces(voxels[rows], np.zeros(len(rows), dtype=np.int64))
            seed = _brightest(found, seediness[rows])
        torn = np.append(np.isin(_majority(found, label[rows], len(seed)), fragmented), False)
        piece = np.where(torn[found], connected_pieces(voxels[rows], found), -1)
        _, part = np.unique(np.column_stack([found, piece]), axis=0, return_inverse=True)
        part = part.reshape(-1) - int((found < 0).any())
        founder = _brightest(part, seediness[rows])
        founder[part[seed]] = seed
        return part, founder

    return _by_group(label, groups, of_group)


def dbscan_voxels(
    voxels: Index, label: Index, charge: Floats, groups: Sequence[Sequence[int]], eps: float, min_samples: int
) -> ClusteredVoxels:
    """Clusters of the voxels (N, 3) of an event by DBSCAN in each group of classes; the seed is the brightest voxel."""

    def of_group(rows: Int64) -> tuple[Int64, Int64]:
        found = dbscan(voxels[rows], eps, min_samples)
        return found, _brightest(found, charge[rows])

    return _by_group(label, groups, of_group)


def _by_group(
    label: Index, groups: Sequence[Sequence[int]], of_group: Callable[[Int64], tuple[Int64, Int64]]
) -> ClusteredVoxels:
    cluster = np.full(len(label), -1, dtype=np.int64)
    semantic, seeds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    made = 0
    for group in groups:
        rows = np.flatnonzero(np.isin(label, group))
        if len(rows) == 0:
            continue
        found, seed = of_group(rows)
        cluster[rows] = np.where(found >= 0, found + made, -1)
        semantic.append(_majority(found, label[rows], len(seed)))
        seeds.append(rows[seed])
        made += len(seed)
    return ClusteredVoxels(cluster, np.concatenate(semantic), np.concatenate(seeds))


def _brightest(cluster: Int64, value: Floats) -> Int64:
    """Row of the highest value of each cluster, ties to the lower row; clusters are numbered without gaps."""
    order = np.lexsort((-value.astype(np.float64), cluster))
    ordered = cluster[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    return np.asarray(order[first[ordered[first] >= 0]], dtype=np.int64)


def _majority(cluster: Int64, label: Index, n_clusters: int) -> Int64:
    """Most frequent label (n_clusters,) of each cluster, ties to the lower."""
    inside = cluster >= 0
    n_labels = int(label.max(initial=0)) + 1
    counts = np.bincount(cluster[inside] * n_labels + label[inside], minlength=n_clusters * n_labels)
    return np.asarray(counts.reshape(n_clusters, n_labels).argmax(axis=1), dtype=np.int64)


def _finite(array: Floats, name: str) -> Float64:
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        raise ValueError(f"the {name} of voxel {row} is not finite: {array[row]}")
    return np.asarray(array, dtype=np.float64)
