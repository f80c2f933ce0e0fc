"""Michel finding as published, cluster by cluster with scikit-learn, and toy events. Imports nothing of the package."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import DBSCAN

MIP, SHOWER, MICHEL = 1, 2, 4


def plain_michels(
    voxels: np.ndarray, label: np.ndarray, michel_samples: int, mip_samples: int, eps: float = 2.8, radius: float = 15.0
) -> list[list[int]]:
    """Rows of the electrons that touch the end of a muon, each by its own loop over all pairs."""
    muon_rows, electron_rows = np.flatnonzero(label == MIP), np.flatnonzero(label == MICHEL)
    if len(muon_rows) == 0 or len(electron_rows) == 0:
        return []
    muons = DBSCAN(eps=eps, min_samples=mip_samples).fit_predict(voxels[muon_rows])
    electrons = DBSCAN(eps=eps, min_samples=michel_samples).fit_predict(voxels[electron_rows])
    clustered = voxels[muon_rows[muons >= 0]]
    found = []
    for number in range(electrons.max(initial=-1) + 1):
        mine = electron_rows[electrons == number]
        touching = []
        for e in mine:
            for m in muon_rows[np.abs(voxels[muon_rows] - voxels[e]).max(axis=1) <= 1]:
                if muons[list(muon_rows).index(m)] >= 0:
                    around = int((((clustered - voxels[m]) ** 2).sum(axis=1) <= radius**2).sum())
                    touching.append((around, int(((voxels[e] - voxels[m]) ** 2).sum()), int(m), int(e)))
        if not touching:
            continue
        attachment = min(touching)[2]
        muon = voxels[muon_rows[muons == muons[list(muon_rows).index(attachment)]]]
        rest = muon[((muon - voxels[attachment]) ** 2).sum(axis=1) > radius**2]
        if len(rest) and set(DBSCAN(eps=eps, min_samples=mip_samples).fit_predict(rest)) - {-1} == {0}:
            found.append(sorted(mine.tolist()))
    return sorted(found)


@dataclass
class Toy:
    """Distinct voxels (N, 3) with class and true Michel electron (N,), -1: none; later parts lose shared voxels."""

    voxels: np.ndarray
    label: np.ndarray
    michel: np.ndarray

    def without(self, gone: np.ndarray) -> "Toy":
        return Toy(self.voxels[~gone], self.label[~gone], self.michel[~gone])


def track(start: np.ndarray, direction: np.ndarray, length: float, wide: bool) -> np.ndarray:
    """Voxels along a straight line, one wide, or with their six neighbours."""
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    line = np.floor(start + np.arange(0, length, 0.25)[:, np.newaxis] * unit).astype(np.int64)
    if wide:
        steps = np.vstack([np.zeros((1, 3), int), np.eye(3, dtype=int), -np.eye(3, dtype=int)])
        line = (line[:, np.newaxis] + steps).reshape(-1, 3)
    return np.unique(line, axis=0)


def assemble(parts: list[tuple[np.ndarray, int, int]]) -> Toy:
    """A toy of parts (voxels, class, true Michel); a voxel belongs to the first part that has it."""
    voxels = np.concatenate([p[0] for p in parts])
    label = np.repeat([p[1] for p in parts], [len(p[0]) for p in parts])
    michel = np.repeat([p[2] for p in parts], [len(p[0]) for p in parts])
    _, first = np.unique(voxels, axis=0, return_index=True)
    first.sort()
    return Toy(voxels[first], label[first], michel[first])


def unit(random: np.random.Generator) -> np.ndarray:
    vector = random.normal(size=3)
    return vector / np.linalg.norm(vector)


def random_toy(random: np.random.Generator, wide: bool, muons: int = 3, stray: int = 3) -> Toy:
    """Muons that decay at their ends, and electrons that are none of theirs."""
    parts: list[tuple[np.ndarray, int, int]] = []
    for number in range(muons):
        end, direction = random.uniform(60, 240, 3), unit(random)
        parts.append((track(end - direction * 90, direction, 90, wide), MIP, -1))
        away = unit(random)
        away = away if away @ direction > -0.7 else -away
        parts.append((track(end, away, random.uniform(12, 40), wide), MICHEL, number))
    for _ in range(stray):
        parts.append((track(random.uniform(0, 300, 3), unit(random), random.uniform(3, 30), wide), MICHEL, -1))
    return assemble(parts)
