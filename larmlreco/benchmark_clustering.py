"""Cost of forming clusters against the numbers of voxels and clusters, beside the published procedure and DBSCAN."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from larmlreco.reco.clustering import ClusteringOptions, seeded_clusters
from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.sites import TOUCHING

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Out = TypeVar("Out")

MOST_PLAIN = 200_000_000
"""Voxels times clusters above which the published procedure is not measured."""

_OPTIONS = ClusteringOptions()
_SIDE = 768
_LEAST_MARGIN = 1e-6


@dataclass(frozen=True)
class ClusteringCost:
    """Processor time in seconds of one thread; of the published procedure None where it was not measured.

    ``different``: voxels that the published procedure puts into another cluster.
    """

    voxels: int
    clusters: int
    fast_s: float
    published_s: float | None
    dbscan_s: float
    different: int | None

    def values(self) -> dict[str, Any]:
        """As printed."""
        return {key: value for key, value in vars(self).items() if value is not None}


def measure_clustering(n_voxels: int, n_clusters: int, rounds: int) -> ClusteringCost:
    """The best of so many rounds on voxels around so many centres; DBSCAN runs on straight tracks of as many voxels."""
    arrays = embedded_voxels(n_voxels, n_clusters)
    fast, (label, _) = _fastest(lambda: seeded_clusters(*arrays, _OPTIONS), rounds)
    published, different = None, None
    if n_voxels * n_clusters <= MOST_PLAIN:
        published, plain = _fastest(lambda: published_clusters(*arrays), rounds)
        different = int((plain != label).sum())
    tracks = straight_tracks(n_voxels, n_clusters)
    by_density, _ = _fastest(lambda: dbscan(tracks, TOUCHING, 1), rounds)
    return ClusteringCost(n_voxels, n_clusters, fast, published, by_density, different)


def embedded_voxels(n: int, k: int) -> tuple[Float64, Float64, Float64]:
    """Embedding (n, 3), margin (n,) and seediness (n,) around k centres, as a trained network gives them."""
    random = np.random.default_rng(n + k)
    width = 0.3 / np.cbrt(k) / 4
    centre = random.uniform(-0.95, 0.95, (k, 3))
    of = random.integers(0, k, n)
    points = np.clip(random.normal(centre[of], width), -1, 1)
    margin = 1.7 * width * np.exp(random.normal(0, 0.1, n))
    seed = np.exp(-((points - centre[of]) ** 2).sum(axis=1) / (2 * (1.7 * width) ** 2))
    return points, margin, np.clip(seed + random.normal(0, 0.02, n), 0, 1)


def straight_tracks(n: int, k: int) -> Int64:
    """Voxels (n, 3) of k straight lines through a cube of 768 voxels, which go on at the other side."""
    random = np.random.default_rng(n + k)
    direction = random.normal(size=(k, 3))
    direction /= np.abs(direction).max(axis=1, keepdims=True)
    of, step = np.arange(n) % k, np.arange(n) // k
    places = random.uniform(0, _SIDE, (k, 3))[of] + step[:, None] * direction[of]
    return np.floor(places).astype(np.int64) % _SIDE


def published_clusters(points: Float64, margin: Float64, seed: Float64) -> Int64:
    """Clusters (N,) by the published procedure on whole arrays: every cluster looks at every voxel left."""
    label = np.full(len(points), -1)
    reach = -2 * np.log(_OPTIONS.probability_threshold) * margin**2
    left = np.arange(len(points))
    founders: list[int] = []
    for founder in np.argsort(-seed, kind="stable").tolist():
        if seed[founder] < _OPTIONS.seed_threshold:
            break
        if label[founder] < 0:
            inside = ((points[left] - points[founder]) ** 2).sum(axis=1) < reach[founder]
            inside |= left == founder
            label[left[inside]] = len(founders)
            left = left[~inside]
            founders.append(founder)
    nearest = np.full(len(left), np.inf)
    for number, founder in enumerate(founders):
        away = ((points[left] - points[founder]) ** 2).sum(axis=1) / max(margin[founder], _LEAST_MARGIN) ** 2
        label[left[away < nearest]] = number
        nearest = np.minimum(nearest, away)
    return label


def _fastest(call: Callable[[], Out], rounds: int) -> tuple[float, Out]:
    """Least processor time (s) of so many calls, and what they return."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        out = call()
        taken.append(time.process_time() - start)
    return min(taken), out
