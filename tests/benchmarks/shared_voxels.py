"""What limits the class of delta rays among voxels: ``python tests/benchmarks/shared_voxels.py STEPS.root [EVENTS]``.

STEPS.root: of a job with ``#include "simulate_voxels.fcl"`` and ``simulation.keep_steps: true``. A voxel is shared if
both tracks and delta rays left energy in it; its class is that of the larger part, which no image shows. Printed are
the errors of the shipped archive in shared and other voxels, and those of an observer that decides for shared voxels
only: it is told the true class of all others, the energies within two voxels and the kinetic energy of the delta ray.
It is made of boosted decision trees, in four parts by event, each trained on the other three.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from larmlreco.inference import load_archive
from larmlreco.io import open_file
from larmlreco.labels import Semantic
from larmlreco.products import TrueParticles, TrueSteps
from larmlreco.sites import match_sites, offsets
from larmlreco.truth.pixels import particle_rows
from larmlreco.truth.voxels import VoxelDeposits, VoxelGrid, voxel_deposits, voxel_labels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GRID = VoxelGrid((768, 768, 768), 0.3)
AROUND = offsets(2, 3)
KINETIC_ENERGIES = (2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 1e6)  # MeV
PARTS = 4


def shared_voxels(deposits: VoxelDeposits, semantic: Ints, label: Ints) -> npt.NDArray[np.bool_]:
    """Which voxels of either class hold energy of both tracks and delta rays."""
    classes = semantic[deposits.particle]
    both = np.isin(label, (Semantic.MIP, Semantic.DELTA))
    for one in (Semantic.MIP, Semantic.DELTA):
        both &= np.bincount(deposits.voxel[classes == one], minlength=len(label)) > 0
    return both


def owners(deposits: VoxelDeposits, mine: npt.NDArray[np.bool_]) -> Ints:
    """Row of the particle with most energy in each voxel (N,), of those deposits that count (M,); -1: none."""
    out = np.full(len(deposits.index), -1)
    order = np.argsort(deposits.energy[mine], kind="stable")
    out[deposits.voxel[mine][order]] = deposits.particle[mine][order]
    return out


def told(index: Ints, energy: Floats, label: Ints, shared: npt.NDArray[np.bool_]) -> Floats:
    """What the observer sees of each shared voxel: its surroundings, turned so that the track runs one way in all."""
    at = index[shared]
    row = match_sites((at[:, np.newaxis] + AROUND).reshape(-1, 3), index).reshape(len(at), -1)
    there = row >= 0
    seen = np.log10(np.where(there, energy[row], 0.0) + 0.01)
    unsure = there & shared[row]
    track, delta = (there & ~unsure & (label[row] == one) for one in (Semantic.MIP, Semantic.DELTA))
    weight = track + 0.5 * unsure
    _, vectors = np.linalg.eigh(np.einsum("nk,ka,kb->nab", weight, AROUND, AROUND))
    middle = (delta[..., np.newaxis] * AROUND).sum(axis=1)
    course = vectors[:, :, -1] * np.where((vectors[:, :, -1] * middle).sum(axis=1) < 0, -1, 1)[:, np.newaxis]
    sign, turn = np.where(course < 0, -1, 1), np.argsort(-np.abs(course), axis=1)
    steps = np.take_along_axis(AROUND * sign[:, np.newaxis], turn[:, np.newaxis], axis=2) + 2
    place = (steps * [25, 5, 1]).sum(axis=2)
    maps = np.zeros((4, *place.shape))
    for out, values in zip(maps, (seen, track, delta, unsure), strict=True):
        np.put_along_axis(out, place, values, axis=1)
    turned = (np.take_along_axis(v, turn, axis=1) for v in (np.abs(course), middle * sign))
    return np.concatenate([*maps, *turned], axis=1)


def archive_table(rows: Floats) -> None:
    """Errors of the archive; columns: label, found, shared, delta ray that owns the voxel, its energy, event."""
    label, found, shared, ray, kinetic, entry = rows.T
    for one in (Semantic.DELTA, Semantic.MIP):
        mine = label == one
        wrong = mine & (found != one)
        part = [100 * (wrong & (shared == s)).sum() / mine.sum() for s in (1, 0)]
        n_shared = (mine & (shared == 1)).sum()
        print(f"  {one.name}: {part[0]:.2f} in the {n_shared} shared voxels, {part[1]:.2f} in others")
    delta = label == Semantic.DELTA
    right, kinetic = found[delta] == Semantic.DELTA, kinetic[delta]
    _, ray = np.unique(np.column_stack([entry, ray])[delta], axis=0, return_inverse=True)
    nothing = np.bincount(ray.reshape(-1), right)[ray.reshape(-1)] == 0
    for low, high in pairwise(KINETIC_ENERGIES):
        these = (kinetic >= low) & (kinetic < high)
        print(
            f"  born with {low:g} to {high:g} MeV: {100 * these.mean():.1f} of the voxels, "
            f"{100 * right[these].mean():.1f} of them right, {100 * nothing[these].mean():.1f} in rays with none"
        )


def observer_table(seen: Floats, is_delta: npt.NDArray[np.bool_], part: Ints, n_delta: int, n_track: int) -> None:
    """Errors of the observer, for what it sees (N, C), the truth (N,) and the part of the events (N,)."""
    probability = np.zeros(len(is_delta))
    for one in range(PARTS):
        trees = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=300, max_leaf_nodes=15, random_state=1)
        trees.fit(seen[part != one], is_delta[part != one])
        probability[part == one] = trees.predict_proba(seen[part == one])[:, 1]
    for least in (0.2, 0.3, 0.4, 0.5, 0.6):
        lost = 100 * (is_delta & (probability < least)).sum() / n_delta
        taken = 100 * (~is_delta & (probability >= least)).sum() / n_track
        print(f"  delta from a probability of {least} on: DELTA {lost:.2f}, MIP {taken:.2f}")


def main(path: str, n_events: int) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    network = load_archive("segmentation_voxels.ts")
    reader = open_file(Path(path))
    keys = {key.type: key for key in reader.keys("event") if key.label == "largeant"}
    rows, surroundings, is_delta = [], [], []
    for entry in range(n_events):
        particles, steps = (reader.read(entry, keys[name]) for name in ("TrueParticles", "TrueSteps"))
        assert isinstance(particles, TrueParticles)
        assert isinstance(steps, TrueSteps)
        owner = particle_rows(steps.particle, particles.id)
        deposits = voxel_deposits(np.column_stack([steps.x, steps.y, steps.z]), steps.de, owner, GRID)
        index, energy = deposits.index.astype(np.int64), deposits.total()
        label = voxel_labels(deposits, particles.semantic)
        shared = shared_voxels(deposits, particles.semantic, label)
        ray = owners(deposits, particles.semantic[deposits.particle] == Semantic.DELTA)
        kinetic = np.append(particles.kinetic_energy, 0.0)[ray]
        coords = np.column_stack([np.zeros(len(index), np.int64), index])
        found = network(coords, energy[:, np.newaxis].astype(np.float32))["semantic"].argmax(axis=1)
        rows.append(np.column_stack([label, found, shared, ray, kinetic, np.full(len(index), entry)]))
        if shared.any():
            surroundings.append(np.column_stack([told(index, energy, label, shared), kinetic[shared]]))
            is_delta.append(label[shared] == Semantic.DELTA)
    everything = np.concatenate(rows)
    n_delta, n_track = ((everything[:, 0] == one).sum() for one in (Semantic.DELTA, Semantic.MIP))
    print(f"{n_events} events, {n_delta} voxels of delta rays, {n_track} of tracks")
    print("archive: part of the class that gets another one, %")
    archive_table(everything)
    print("observer of the shared voxels: what it loses of all voxels of the class, %")
    part = np.repeat(np.arange(len(is_delta)), [len(d) for d in is_delta]) % PARTS
    observer_table(np.concatenate(surroundings), np.concatenate(is_delta), part, n_delta, n_track)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 800)
