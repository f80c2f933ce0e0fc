"""Proposal-free clustering as published, voxel by voxel, and DBSCAN by definition. Imports nothing of the package."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def squared(a: Vector, b: Vector) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += (x - y) * (x - y)
    return total


def kernel(point: Vector, centre: Vector, margin: float) -> float:
    distance = squared(point, centre)
    if distance == 0.0:
        return 1.0
    return math.exp(-distance / (2.0 * margin * margin)) if margin * margin > 0.0 else 0.0


def plain_clusters(
    embedding: Sequence[Vector],
    margin: Sequence[float],
    seediness: Sequence[float],
    seed_threshold: float,
    probability_threshold: float,
    min_size: int = 1,
    assign_all: bool = False,
    founder_threshold: float = 1.0,
) -> tuple[list[int], list[int]]:
    """Cluster of every voxel (-1: none) and the founders, by looking at every voxel left for every cluster."""
    left = list(range(len(embedding)))
    clusters: list[tuple[int, list[int]]] = []
    while True:
        best = -1
        for i in left:
            known = any(kernel(embedding[i], embedding[f], margin[f]) > founder_threshold for f, _ in clusters)
            if not known and (best < 0 or seediness[i] > seediness[best]):
                best = i
        if best < 0 or seediness[best] < seed_threshold:
            break
        members = [i for i in left if kernel(embedding[i], embedding[best], margin[best]) > probability_threshold]
        clusters.append((best, members))
        taken = set(members)
        left = [i for i in left if i not in taken]
    kept = [(founder, members) for founder, members in clusters if len(members) >= min_size]
    label = [-1] * len(embedding)
    for number, (_, members) in enumerate(kept):
        for i in members:
            label[i] = number
    if assign_all and kept:
        for i in range(len(label)):
            if label[i] < 0:
                # The highest kernel score is the least distance in units of the margin, without underflow.
                ratios = [squared(embedding[i], embedding[f]) / max(margin[f], 1e-6) ** 2 for f, _ in kept]
                label[i] = ratios.index(min(ratios))
    return label, [founder for founder, _ in kept]


def plain_dbscan(places: Sequence[Vector], eps: float, min_samples: int) -> list[int]:
    """DBSCAN by its definition: grow each cluster from its first core."""
    n = len(places)
    near = [[j for j in range(n) if math.sqrt(squared(places[i], places[j])) <= eps] for i in range(n)]
    label = [-1] * n
    made = 0
    for i in range(n):
        if label[i] >= 0 or len(near[i]) < min_samples:
            continue
        label[i] = made
        stack = [i]
        while stack:
            at = stack.pop()
            if len(near[at]) < min_samples:
                continue
            for j in near[at]:
                if label[j] < 0:
                    label[j] = made
                    stack.append(j)
        made += 1
    return label
