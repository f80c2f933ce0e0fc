"""One simulated event of voxels: particles, deposits, images and their truth (arXiv 1903.05663, section II)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from larmlreco.products import Product, ProductKey, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.simulation.event import LARGEST_SEED, PROCESS, true_particles
from larmlreco.simulation.geant import Deposits, Geant4, Tracks, Volume
from larmlreco.simulation.generators import Content
from larmlreco.simulation.settings import VoxelImageSettings, VoxelSimulationSettings
from larmlreco.truth.semantic import classify
from larmlreco.truth.voxels import VoxelGrid, label_meta, labelled_voxels, voxel_deposits, voxel_labels

VOXELS, TRUTH, ORIGINAL = "voxels", "truth", "truthoriginal"
"""Labels of the images, their true labels (relabelled set), and those of the original set."""


@dataclass(frozen=True)
class SimulatedVoxels:
    """Products of one event; ``images`` by instance name: voxels, their true labels, and those of the original set."""

    images: Mapping[str, tuple[Voxels, TrueLabels, TrueLabels]]
    particles: TrueParticles
    steps: TrueSteps | None

    def products(self) -> dict[ProductKey, Product]:
        """The products under the names that they have in a file."""
        out: dict[ProductKey, Product] = {}
        for name, image in self.images.items():
            for label, product in zip((VOXELS, TRUTH, ORIGINAL), image, strict=True):
                out[ProductKey(type(product).__name__, label, name, PROCESS)] = product
        truth: list[Product] = [self.particles] if self.steps is None else [self.particles, self.steps]
        return out | {ProductKey(type(p).__name__, "largeant", "", PROCESS): p for p in truth}


class VoxelSimulation:
    """Events of one configuration; event i depends on the seed and on i alone, so a run can be split into jobs.

    A context manager: Geant4's process ends with it. Raises where :class:`~larmlreco.simulation.geant.Geant4` does.
    """

    def __init__(self, settings: VoxelSimulationSettings) -> None:
        self._settings = settings
        edge = settings.size * settings.pitch
        self._grid = VoxelGrid((settings.size,) * 3, settings.pitch)
        self._volume = Volume((0.0, 0.0, 0.0), (edge, edge, edge), settings.margin)
        self._content = Content(settings, self._volume)
        self._geant4 = Geant4(self._volume, step_cm=settings.step, cut_cm=settings.cut)

    def __enter__(self) -> "VoxelSimulation":
        return self

    def __exit__(self, *_: object) -> None:
        self._geant4.close()

    def check(self, events: range) -> None:
        """Raise ``InputError`` when a file that the events need does not have them all."""
        self._content.check(events)

    def event(self, seed: int, number: int) -> SimulatedVoxels:
        """Event ``number`` (from 0) of the run with this seed."""
        settings = self._settings
        sequences = np.random.SeedSequence(entropy=(seed, number)).spawn(2)
        content, tracking = (np.random.default_rng(s) for s in sequences)
        primaries = self._content.draw(number, content)
        deposits, tracks = self._geant4.track(primaries, int(tracking.integers(1, LARGEST_SEED)))
        images = {name: voxel_image(deposits, tracks, self._grid, s, name) for name, s in settings.images.items()}
        steps = plain_steps(deposits) if settings.keep_steps else None
        return SimulatedVoxels(images, true_particles(tracks, primaries), steps)


def voxel_image(
    deposits: Deposits, tracks: Tracks, grid: VoxelGrid, settings: VoxelImageSettings, name: str
) -> tuple[Voxels, TrueLabels, TrueLabels]:
    """Voxels of deposits, their true labels and clusters, and their true labels of the original set."""
    parent = np.where(tracks.parent > 0, tracks.rows(tracks.parent), -1)
    relabelled, instance = classify(tracks.pdg, parent, tracks.process, tracks.kinetic_energy, model=tracks.model)
    original, _ = classify(
        tracks.pdg, parent, tracks.process, tracks.kinetic_energy, model=tracks.model, label_set="original"
    )
    inside = voxel_deposits(
        deposits.position,
        deposits.energy,
        tracks.rows(deposits.particle),
        grid,
        smear=settings.smear,
        threshold=settings.threshold,
    )
    target = ProductKey("Voxels", VOXELS, name, PROCESS).branch
    voxels, truth = labelled_voxels(inside, grid, relabelled, instance, tracks.id, target)
    return voxels, truth, TrueLabels(label=voxel_labels(inside, original), meta=label_meta(target, "original"))


def plain_steps(deposits: Deposits) -> TrueSteps:
    """Steps without drift and recombination."""
    return TrueSteps.from_columns(
        dict(zip("xyz", deposits.position.T, strict=True))
        | {"t": deposits.time, "de": deposits.energy, "dx": deposits.length, "particle": deposits.particle}
    )
