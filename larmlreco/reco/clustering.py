"""From embeddings to clusters: proposal-free clustering (Koh et al., arXiv 2007.03083, after Neven et al., 1906.11109).

A voxel with embedding e belongs to a cluster with centre mu and margin sigma when its kernel score
p = exp(-|e - mu|^2 / (2 sigma^2)) is above a threshold. The published procedure looks at every voxel left for every
cluster; :func:`seeded_clusters` asks a tree of boxes for the voxels within the radius that the threshold means and
gives the same clusters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.labels import Semantic
from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.reco.clustering_faint import join_faint, without_faint
from larmlreco.reco.clustering_index import PointTree, squared_distance, within
from larmlreco.reco.clustering_showers import ShowerOptions, split_showers
from larmlreco.reco.clustering_tracks import TrackOptions, split_tracks
from larmlreco.sites import TOUCHING, connected_pieces

Index = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]

NETWORK_METHODS: tuple[str, ...] = ("network", "pieces")
"""Methods of :class:`ClassGroup` that need a network."""

METHODS: tuple[str, ...] = ("dbscan", "tracks", "showers", "deltas", *NETWORK_METHODS)
"""Methods of :class:`ClassGroup`."""

_LEAST_PIECE = 10
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


_DEFAULT = ClusteringOptions()


@dataclass(frozen=True)
class ShapeOptions:
    """How particles are told apart without a network: ``tracks``, ``showers``, and delta rays.

    ``faint_delta``: a piece of delta rays with less charge is part of the nearest one (:func:`join_faint`).
    ``absorb``: least charge of a cluster by class, with a reach of ``absorb_reach`` voxels between its pieces; fainter
    ones change their class (:func:`without_faint`).
    """

    tracks: TrackOptions = field(default_factory=TrackOptions)
    showers: ShowerOptions = field(default_factory=ShowerOptions)
    faint_delta: float = 1.5
    absorb: Mapping[int, float] = field(default_factory=dict)
    absorb_reach: float = 3.2


_SHAPES = ShapeOptions()


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
class ClassGroup:
    """Classes that are clustered together, and how.

    ``dbscan``: DBSCAN with ``eps`` (voxels) and ``min_samples``. ``tracks``: :func:`split_tracks`, a class by itself.
    ``showers``: :func:`split_showers`. ``deltas``: :func:`join_faint`, where faint pieces go ``eps`` far.
    ``network``: the published procedure, all voxels of the classes at once. ``pieces``: the same procedure in each
    cluster of DBSCAN of at least 10 voxels, so that the network only divides what touches.
    """

    classes: tuple[int, ...]
    method: str = "dbscan"
    eps: float = TOUCHING
    min_samples: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; valid: {', '.join(METHODS)}")


@dataclass(frozen=True)
class KernelOutputs:
    """A network's ``embedding`` (N, D), ``margin`` (N,) and ``seediness`` (N,).

    Raises ``ValueError`` for a value that is not finite, naming the output and the voxel.
    """

    embedding: Floats
    margin: Floats
    seediness: Floats

    def __post_init__(self) -> None:
        for name in ("embedding", "margin", "seediness"):
            _finite(getattr(self, name), name)

    def of(self, rows: Int64) -> "KernelOutputs":
        """The outputs of some voxels."""
        return KernelOutputs(self.embedding[rows], self.margin[rows], self.seediness[rows])


@dataclass(frozen=True)
class ClusteredVoxels:
    """Clusters of an event: ``cluster`` (N,) of every voxel, -1 for none; ``semantic`` (K,) and ``seed`` row (K,).

    ``founded`` (K,): whether a cluster was formed around its seed by a network.
    """

    cluster: Int64
    semantic: Int64
    seed: Int64
    founded: npt.NDArray[np.bool_]


def cluster_voxels(
    voxels: Index,
    label: Index,
    charge: Floats,
    groups: Sequence[ClassGroup],
    outputs: KernelOutputs | None = None,
    options: ClusteringOptions = _DEFAULT,
    fragmented: Sequence[int] = (),
    shapes: ShapeOptions = _SHAPES,
) -> ClusteredVoxels:
    """Clusters of the distinct voxels (N, 3) of an event with class ``label`` (N,) and ``charge`` (N,).

    Groups follow in order; a cluster's class is that of most of its voxels, ties to the lower. Network clusters of a
    class in ``fragmented`` are split into their connected pieces, since the true fragments of a shower are connected.
    Where ``assign_all`` is set and no voxel of a group can found a cluster, its connected pieces are the clusters. The
    seed is the founder of a network's cluster, the voxel with the highest seediness of a piece without it, and the
    brightest voxel of every other cluster.

    Raises ``ValueError`` for a group that needs a network's outputs where there are none, and as
    :func:`seeded_clusters`.
    """
    if shapes.absorb:
        label = without_faint(voxels, label, charge, shapes.absorb, shapes.absorb_reach)
    cluster = np.full(len(label), -1, dtype=np.int64)
    semantic, seeds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    founded = [np.zeros(0, dtype=bool)]
    made = 0
    for group in groups:
        rows = np.flatnonzero(np.isin(label, group.classes))
        if len(rows) == 0:
            continue
        if group.method in NETWORK_METHODS:
            if outputs is None:
                raise ValueError(f"the method {group.method} needs a network's outputs")
            found, seed = _by_network(voxels[rows], label[rows], group, outputs.of(rows), options, fragmented)
        else:
            if group.method == "tracks":
                found = split_tracks(voxels[rows], label[rows], shapes.tracks)
            elif group.method == "showers":
                tracks = voxels[np.isin(label, (Semantic.HIP, Semantic.MIP))]
                found = split_showers(voxels[rows], charge[rows], tracks, shapes.showers)
            elif group.method == "deltas":
                found = join_faint(voxels[rows], charge[rows], group.eps, shapes.faint_delta)
            else:
                found = dbscan(voxels[rows], group.eps, group.min_samples)
            seed = _brightest(found, charge[rows])
        cluster[rows] = np.where(found >= 0, found + made, -1)
        semantic.append(_majority(found, label[rows], len(seed)))
        seeds.append(rows[seed])
        founded.append(np.full(len(seed), group.method in NETWORK_METHODS))
        made += len(seed)
    return ClusteredVoxels(cluster, np.concatenate(semantic), np.concatenate(seeds), np.concatenate(founded))


def _by_network(
    voxels: Index,
    label: Index,
    group: ClassGroup,
    outputs: KernelOutputs,
    options: ClusteringOptions,
    torn: Sequence[int],
) -> tuple[Int64, Int64]:
    """Clusters (N,) of the voxels of a group and the row (K,) of each one's seed."""
    if group.method == "pieces":
        found, seed = divided_pieces(dbscan(voxels, group.eps, group.min_samples), outputs, options)
    else:
        found, seed = seeded_clusters(outputs.embedding, outputs.margin, outputs.seediness, options)
        if options.assign_all and len(seed) == 0:
            found = connected_pieces(voxels)
            seed = _brightest(found, outputs.seediness)
    split = np.append(np.isin(_majority(found, label, len(seed)), torn), False)
    piece = np.where(split[found], connected_pieces(voxels, found), -1)
    _, part = np.unique(np.column_stack([found, piece]), axis=0, return_inverse=True)
    part = part.reshape(-1) - int((found < 0).any())
    founder = _brightest(part, outputs.seediness)
    founder[part[seed]] = seed
    return part, founder


def divided_pieces(piece: Int64, outputs: KernelOutputs, options: ClusteringOptions) -> tuple[Int64, Int64]:
    """Clusters (N,), and the rows (K,) of their seeds, of pieces (N,), -1 for none, each divided by itself.

    Each piece gives the clusters that :func:`seeded_clusters` finds in it alone; a piece of fewer than 10 voxels, and
    one in which none is found, is one cluster. Clusters are numbered by piece.
    """
    sizes = np.bincount(piece[piece >= 0])
    large = np.flatnonzero((piece >= 0) & (np.append(sizes, 0)[piece] >= _LEAST_PIECE))
    part = np.zeros(len(piece), dtype=np.int64)
    founder = np.zeros(0, dtype=np.int64)
    if len(large):
        mine = outputs.of(large)
        width = np.asarray(mine.margin, dtype=np.float64)
        least = min(options.probability_threshold, options.founder_threshold)
        # Another coordinate, in which no kernel reaches from one piece to another.
        apart = 4.0 * (1.0 + float(width.max()) * math.sqrt(-2.0 * math.log(least)))
        embedding = np.column_stack([mine.embedding, piece[large] * apart])
        found, seed = seeded_clusters(embedding, width, mine.seediness, options)
        founder = large[seed]
        at_home = (found >= 0) & (piece[np.append(founder, -1)[found]] == piece[large])
        part[large] = np.where(at_home, found + 1, 0)
        if not options.assign_all:
            left = (part[large] == 0) & np.isin(piece[large], piece[founder])
            part[large[left]] = -1
    taken = (piece >= 0) & (part >= 0)
    _, number = np.unique(np.column_stack([piece, part])[taken], axis=0, return_inverse=True)
    cluster = np.full(len(piece), -1, dtype=np.int64)
    cluster[taken] = number.reshape(-1)
    seeds = _brightest(cluster, outputs.seediness)
    seeds[cluster[founder]] = founder
    return cluster, seeds


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
