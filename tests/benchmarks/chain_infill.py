"""What infill changes in the voxels of the chain: ``python tests/benchmarks/chain_infill.py OUTPUT.root ...``.

OUTPUT.root: of ``run_full_uboone.fcl`` on simulated events with steps, and, to compare, of the same with
``physics.producers.flow.images: "images"``. Printed are, with errors from the spread over events: true energy that has
a voxel within 1 cm, voxels without true charge so near, voxels most of whose energy only two planes saw, classes that
are right, and true tracks of ten voxels and more all of whose voxels are in one piece (gaps below 4 voxels).
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.geometry import detector
from larmlreco.io import open_file
from larmlreco.labels import Semantic
from larmlreco.metrics.ratio import EventRatio
from larmlreco.products import InputTag, SemanticScores, TrueParticles, TrueSteps, Voxels
from larmlreco.sites import components, pairs_within
from larmlreco.truth.voxels import apparent_voxels, grid_of, labels_of_reconstructed

RADIUS, GAP, LEAST = 1.0, 4.0, 10  # cm, voxels, voxels


def index(voxels: Voxels) -> npt.NDArray[np.int64]:
    """Voxels (N, 3) on their grid."""
    return np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)


def add(
    figures: dict[str, EventRatio],
    voxels: Voxels,
    scores: SemanticScores,
    steps: TrueSteps,
    particles: TrueParticles,
) -> None:
    """Count an event."""
    mine, grid = detector(str(voxels.meta["detector"])), grid_of(voxels)
    found = labels_of_reconstructed(voxels, steps, particles, mine, "voxels")
    true, labels = apparent_voxels(steps, particles, mine, int(voxels.meta["tpc"]), grid, "voxels")
    distance, _ = cKDTree(index(voxels)).query(index(true))
    known = found.label >= 0
    figures["energy with a voxel"].add(
        float(true.energy[distance * grid.pitch <= RADIUS].sum()), float(true.energy.sum())
    )
    figures["voxels without charge"].add(int((~known).sum()), len(known))
    figures["seen by two planes"].add(int((voxels.two_planes > voxels.energy / 2).sum()), len(known))
    right = scores.scores.argmax(axis=1) == found.label
    figures["classes right"].add(int(right[known].sum()), int(known.sum()))
    tracks = np.isin(labels.label, (int(Semantic.HIP), int(Semantic.MIP)))
    for cluster in np.unique(labels.cluster[tracks]):
        places = index(voxels)[found.cluster == cluster]
        if (labels.cluster == cluster).sum() >= LEAST:
            piece = components(*pairs_within(places, GAP - 0.01), len(places))
            figures["tracks in one piece"].add(int(piece.max(initial=-1) == 0), 1)


def main(path: Path) -> None:
    """Print the figures of a file."""
    reader = open_file(str(path))
    kinds = {Voxels: "voxels", SemanticScores: "segmentation", TrueSteps: "largeant", TrueParticles: "largeant"}
    keys = [
        k for kind, label in kinds.items() for k in reader.keys("event") if k.matches(kind.__name__, InputTag(label))
    ]
    names = (
        "energy with a voxel",
        "voxels without charge",
        "seen by two planes",
        "classes right",
        "tracks in one piece",
    )
    figures = {name: EventRatio() for name in names}
    for entry in range(reader.n_events):
        voxels, scores, steps, particles = (reader.read(entry, key) for key in keys)
        assert isinstance(voxels, Voxels)
        assert isinstance(scores, SemanticScores)
        assert isinstance(steps, TrueSteps)
        assert isinstance(particles, TrueParticles)
        add(figures, voxels, scores, steps, particles)
    print(path)
    for name, ratio in figures.items():
        print(f"{name:22} {100 * ratio.value:6.2f} +- {100 * ratio.error:.2f} % of {ratio.as_dict()['count']:.0f}")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(Path(argument))
