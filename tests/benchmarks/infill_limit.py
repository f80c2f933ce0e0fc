"""How well gaps of tracks among voxels can be filled in at all.

``python tests/benchmarks/infill_limit.py STEPS.root [EVENTS]``; STEPS.root: of a job with
``#include "simulate_voxels.fcl"`` and ``simulation.keep_steps: true``. As in evaluate_infill_voxels.fcl slabs hide
parts of thin images, here of up to 3 cm. Two observers know what no image shows.
One knows all places of a track's own steps in the gap; what it lacks are voxels that electrons freed by the track
reach. The other knows the steps outside to the last digit. It fits a curve to those on both sides of the gap, moves it
at random by as much as a track may be scattered, and takes for the probability of a voxel the part of the moved curves
that pass it, in the best of some settings. Printed are figures of short gaps as
:class:`larmlreco.metrics.infill.InfillMetrics` has them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.images.mask import random_slabs
from larmlreco.io import open_file
from larmlreco.labels import Semantic
from larmlreco.metrics.infill import HiddenImage, InfillMetrics
from larmlreco.products import TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.reco.dead import DeadBoxes, gap_widths

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PITCH, NARROW = 0.3, 10
REACHES, SCATTERS = (0.5, 1.0, 2.0), (0.03, 0.06, 0.12, 0.24)  # cm of track on each side; moved by so many voxels
DEGREE = 3
LEAST = 4  # steps on each side
FINE = 0.05  # of a voxel
MOVED = 50  # curves


class Observers:
    """Figures of both observers over events; images are thin voxels."""

    def __init__(self) -> None:
        self.own = InfillMetrics(NARROW, 0.5)
        self.outside = {(reach, scatter): InfillMetrics(NARROW, 0.5) for reach in REACHES for scatter in SCATTERS}

    def add(self, steps: TrueSteps, particles: TrueParticles, voxels: Voxels, labels: TrueLabels, seed: int) -> None:
        """Hide parts of an event and let both tell what was there."""
        random = np.random.default_rng(seed)
        sites = np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
        dead = DeadBoxes(*random_slabs(sites, 4, (1, NARROW), random))
        tracks = list(own_steps(steps, particles))
        crossed = np.unique(np.floor(np.concatenate([np.zeros((0, 3)), *tracks])).astype(np.int64), axis=0)
        self.own.add(observed(sites, voxels, labels, dead, crossed, np.ones(len(crossed))))
        for (reach, scatter), metrics in self.outside.items():
            passed = [np.zeros((0, 3), dtype=np.int64)]
            for track in tracks:
                inside = dead.contains(np.floor(track).astype(np.int64))
                for first, last in gaps(inside):
                    passed += moved(curve(track, inside, first, last, reach), scatter, random)
            cells, count = np.unique(np.concatenate(passed), axis=0, return_counts=True)
            metrics.add(observed(sites, voxels, labels, dead, cells, np.minimum(count / MOVED, 1.0)))


def own_steps(steps: TrueSteps, particles: TrueParticles) -> Iterator[Floats]:
    """Places (K, 3), in voxels, of the own steps of every track, in their order."""
    at = np.column_stack([steps.x, steps.y, steps.z]) / PITCH
    track = np.isin(particles.semantic, (int(Semantic.HIP), int(Semantic.MIP))) & (particles.instance == particles.id)
    for number in particles.id[track]:
        yield at[steps.particle == number]


def gaps(inside: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where a track's steps (K,) enter dead boxes and leave them again: first step within, first one outside."""
    change = np.flatnonzero(np.diff(inside.astype(np.int64), prepend=0, append=0))
    for first, last in change.reshape(-1, 2).tolist():
        if first > 0 and last < len(inside):
            yield first, last


def curve(at: Floats, inside: npt.NDArray[np.bool_], first: int, last: int, reach: float) -> Floats:
    """Places (F, 3), ``FINE`` apart, on the curve fitted to the steps around a gap, from its one end to the other.

    Steps (K, 3) that are ``inside`` (K,) of another gap do not count. None where there are too few steps on a side: the
    track begins or ends there.
    """
    start, end = at[first - 1], at[last]
    length = float(np.linalg.norm(end - start))
    sides = ((at[:first][~inside[:first]], start), (at[last:][~inside[last:]], end))
    near = [side[np.linalg.norm(side - edge, axis=1) <= reach / PITCH] for side, edge in sides]
    if length == 0 or min(map(len, near)) < LEAST:
        return np.zeros((0, 3))
    known = np.concatenate(near)
    along = (known - start) @ (end - start) / length**2
    fit = np.polynomial.polynomial.polyfit(along, known, DEGREE)
    return np.asarray(np.polynomial.polynomial.polyval(np.linspace(0, 1, int(length / FINE) + 2), fit).T)


def moved(line: Floats, scatter: float, random: np.random.Generator) -> Iterator[Ints]:
    """Voxels (K, 3) of each of the curves that were moved, most in their middle, not at their ends."""
    t = np.linspace(0, 1, len(line))[:, np.newaxis]
    for offset in random.normal(0, scatter, (MOVED if len(line) else 0, 1, 3)):
        yield np.unique(np.floor(line + 4 * t * (1 - t) * offset).astype(np.int64), axis=0)


def observed(
    sites: Ints, voxels: Voxels, labels: TrueLabels, dead: DeadBoxes, found: Ints, probability: Floats
) -> HiddenImage:
    """The image, and the dead ones of the voxels (K, 3) that an observer names."""
    inside = dead.contains(found)
    found = found[inside]
    return HiddenImage(
        sites=sites,
        energy=voxels.energy.astype(np.float64),
        track=np.isin(labels.label, (int(Semantic.HIP), int(Semantic.MIP))).astype(np.int64),
        cluster=labels.cluster.astype(np.int64),
        width=gap_widths(sites, dead),
        found=found,
        probability=probability[inside],
        found_energy=np.ones(len(found)),
        found_width=gap_widths(found, dead),
    )


def main(path: Path, n_events: int) -> None:
    """Print the figures of both observers."""
    reader, observers = open_file(str(path)), Observers()
    kinds = (TrueSteps, TrueParticles, Voxels, TrueLabels)
    keys = [k for kind in kinds for k in reader.keys("event") if k.type == kind.__name__ and k.label != "truthoriginal"]
    for entry in range(min(n_events, reader.n_events)):
        steps, particles, voxels, labels = (reader.read(entry, key) for key in keys)
        assert isinstance(steps, TrueSteps)
        assert isinstance(particles, TrueParticles)
        assert isinstance(voxels, Voxels)
        assert isinstance(labels, TrueLabels)
        observers.add(steps, particles, voxels, labels, entry)
    print("knows the track's own steps in the gap:", said(observers.own))
    for (reach, scatter), metrics in observers.outside.items():
        print(f"knows the steps outside, fit over {reach:g} cm, moved by {scatter:g} voxels:", said(metrics))


def said(metrics: InfillMetrics) -> str:
    """Figures of short gaps in per cent."""
    curves = metrics.summary()["curves"]["short gap"]
    pairs = list(zip(curves["precision"], curves["recall"], strict=True))
    precision, recall = max(pairs, key=lambda pair: min(pair))
    best = max((r for p, r in pairs if p >= 0.9), default=0.0)
    return f"{100 * precision:.1f} and {100 * recall:.1f}, recall where the precision is 90: {100 * best:.1f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10**9)
