"""Cost of forming clusters against voxels and clusters: ``python tests/benchmarks/clustering_cost.py [PLOT.png]``.

Beside the fast procedure stand the published one, which looks at every voxel left for every cluster (on whole arrays),
and DBSCAN of as many voxels in space. A figure is processor time in seconds, the best of three, on one thread.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from larmlreco.reco.clustering import ClusteringOptions, seeded_clusters
from larmlreco.reco.clustering_dbscan import TOUCHING, dbscan

Floats = npt.NDArray[np.float64]
CASES = [(n, k) for k in (20, 200, 2000) for n in (3_000, 10_000, 30_000, 100_000, 300_000) if n >= 10 * k]
OPTIONS = ClusteringOptions()


def timed(call: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def embeddings(n: int, k: int) -> tuple[Floats, Floats, Floats]:
    """Voxels around k centres, as a trained network places them, with some that stray."""
    random = np.random.default_rng(n + k)
    width = 0.3 / np.cbrt(k) / 4
    centre = random.uniform(-0.95, 0.95, (k, 3))
    of = random.integers(0, k, n)
    points = np.clip(random.normal(centre[of], width), -1, 1)
    margin = 1.7 * width * np.exp(random.normal(0, 0.1, n))
    seed = np.exp(-((points - centre[of]) ** 2).sum(axis=1) / (2 * (1.7 * width) ** 2))
    return points, margin, np.clip(seed + random.normal(0, 0.02, n), 0, 1)


def plain(points: Floats, margin: Floats, seed: Floats) -> npt.NDArray[np.int64]:
    """The published procedure on whole arrays."""
    label = np.full(len(points), -1)
    radius = -2 * np.log(OPTIONS.probability_threshold) * margin**2
    left = np.arange(len(points))
    made = 0
    for founder in np.argsort(-seed, kind="stable"):
        if seed[founder] < OPTIONS.seed_threshold:
            break
        if label[founder] >= 0:
            continue
        inside = ((points[left] - points[founder]) ** 2).sum(axis=1) < radius[founder]
        inside |= left == founder
        label[left[inside]] = made
        left = left[~inside]
        made += 1
    return label


def main(plot: str | None) -> None:
    """Print one line a case, and draw them."""
    rows = []
    print(f"{'voxels':>8}{'clusters':>10}{'fast':>9}{'published':>11}{'DBSCAN':>9}")
    for n, k in CASES:
        arrays = embeddings(n, k)
        side = max(int(np.sqrt(n)), 10)
        space = np.unique(np.random.default_rng(n).integers(0, side, (n, 3)), axis=0)
        slow = timed(lambda a=arrays: plain(*a)) if n * k <= 2e8 else float("nan")
        row = timed(lambda a=arrays: seeded_clusters(*a, OPTIONS)), slow, timed(lambda s=space: dbscan(s, TOUCHING, 1))
        rows.append((n, k, *row))
        print(f"{n:8}{k:10}{row[0]:9.3f}{row[1]:11.3f}{row[2]:9.3f}", flush=True)
    if plot is not None:
        draw(rows, plot)


def draw(rows: list[tuple[float, ...]], path: str) -> None:
    """Time against voxels, a colour for each number of clusters."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.5))
    table = np.array(rows)
    for number, k in enumerate(np.unique(table[:, 1])):
        mine = table[table[:, 1] == k]
        for column, name, style in ((2, "fast", "-o"), (3, "published", "--s")):
            axes.loglog(mine[:, 0], mine[:, column], style, color=f"C{number}", label=f"{name}, {int(k)} clusters")
    n, first = np.unique(table[:, 0], return_index=True)
    axes.loglog(n, table[first, 4], ":^", color="black", label="DBSCAN in space")
    axes.set_xlabel("voxels")
    axes.set_ylabel("processor time (s), one core")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
