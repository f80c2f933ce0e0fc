"""Evaluator of particles."""

from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.geometry import detector
from larmlreco.labels import Semantic
from larmlreco.metrics.particles import Matches, ParticleMetrics, match_particles
from larmlreco.products import Assns, InputTag, ParticleFlag, Particles, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.reco.clustering_places import cluster_of_rows
from larmlreco.truth.kinematics import energies, ways
from larmlreco.truth.voxels import nearest_voxels

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


class ParticleEvaluator(Evaluator):
    """Compare particles with the true clusters: how many are found, their energy, length, start and direction.

    A particle matches a true cluster when each holds more than half of the energy of the other; the energy of a true
    voxel is held by the particle of the nearest reconstructed voxel, so charge that made no voxel counts as lost.
    Energies of contained tracks that were born inside are compared with the kinetic energy at birth, those of others
    but tracks with the deposited energy;
    lengths, ends and directions where true steps are given, those of tracks alone, ends of Michel electrons and deltas
    too.
    """

    class Parameters(ParameterSet):
        """Parameters of ParticleEvaluator."""

        particles: InputTag = parameter("particles", doc="particles (Particles)")
        clusters: InputTag = parameter("clusters", doc="links from their clusters to the voxels (Assns)")
        voxels: InputTag = parameter("voxels", doc="reconstructed voxels")
        truth: InputTag = parameter("truth", doc="their true labels (TrueLabels)")
        true_voxels: InputTag | None = parameter(
            None,
            doc="all true voxels, with their labels (Voxels, TrueLabels), on the same grid; @nil: voxels and truth",
        )
        true_particles: InputTag = parameter("largeant", doc="true particles")
        steps: InputTag | None = parameter(None, doc="true steps, for lengths, ends and directions; @nil: none")
        detector: str | None = parameter(
            None, doc="geometry of reconstructed voxels: true places are where they seem to be; @nil: true voxels"
        )
        radius: float = parameter(1.0, doc="largest distance of a true voxel from a reconstructed one", unit="cm")
        least_energy: float = parameter(5.0, doc="energy from which clusters and particles count", unit="MeV")
        least_extent: float = parameter(
            1.0, doc="extent along an axis from which true clusters count as long", unit="cm", minimum=0
        )
        images: list[str] = parameter([""], doc="instances to compare, each by itself")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        self._detector = None if config.detector is None else detector(config.detector)
        self._radius, self._true_voxels = config.radius, config.true_voxels
        self._images = {}
        for name in config.images:
            true_voxels, true_labels = config.true_voxels or config.voxels, config.true_voxels or config.truth
            self._images[name] = (
                self.consumes(Particles, tag(config.particles, name)),
                self.consumes(Assns, tag(config.clusters, name)),
                self.consumes(Voxels, tag(config.voxels, name)),
                self.consumes(TrueLabels, tag(config.truth, name)),
                self.consumes(Voxels, tag(true_voxels, name)),
                self.consumes(TrueLabels, tag(true_labels, name)),
            )
        self._particles = self.consumes(TrueParticles, config.true_particles)
        self._steps = None if config.steps is None else self.consumes(TrueSteps, config.steps)
        self._metrics = {name: ParticleMetrics(config.least_energy, config.least_extent) for name in config.images}
        self._lost: dict[str, tuple[int, int]] = {}

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        for name, tags in self._images.items():
            particles, links = event.get(Particles, tags[0]), event.get(Assns, tags[1])
            voxels, truth = event.get(Voxels, tags[2]), event.get(TrueLabels, tags[3])
            true_voxels, true_labels = event.get(Voxels, tags[4]), event.get(TrueLabels, tags[5])
            found = cluster_of_rows(links, len(voxels))
            found_there = found
            if self._true_voxels is not None:
                radius = self._radius / (float(voxels.pitch[0]) if len(voxels.pitch) else 1.0)
                nearest = nearest_voxels(_index(true_voxels), _index(voxels), voxels.energy, radius)
                found_there = np.append(found, -1)[nearest]
            matches = match_particles(
                true_labels.cluster,
                found_there,
                true_voxels.energy.astype(np.float64),
                found,
                truth.cluster,
                voxels.energy.astype(np.float64),
            )
            semantic, particle = np.full((2, len(matches.true_energy)), -1)
            known = np.flatnonzero(true_labels.cluster >= 0)
            semantic[true_labels.cluster[known]] = true_labels.label[known]
            particle[true_labels.cluster[known]] = true_labels.particle[known]
            measures, ends = self._measures(event, particles, matches, semantic, particle)
            found_class = particles.semantic[: len(matches.found_energy)]
            extent = _extents(true_voxels, true_labels.cluster, len(matches.true_energy))
            self._metrics[name].add(matches, semantic, found_class, extent, measures, ends)
            before = self._lost.get(str(event.id), (0, 0))
            large = matches.true_energy >= self._metrics[name].least_energy
            n_found = int(large[matches.true].sum())
            self._lost[str(event.id)] = before[0] + int(large.sum()) - n_found, before[1] + int(large.sum())

    def _measures(
        self, event: Event, particles: Particles, matches: Matches, semantic: Int64, particle: Int64
    ) -> tuple[dict[str, Float64], list[tuple[int, bool, float]]]:
        """Measures of the pairs, and whose ends are right."""
        true, found = matches.true, matches.found
        track = np.isin(semantic[true], (Semantic.HIP, Semantic.MIP))
        deposited = matches.true_energy[true]
        contained = (particles.flags[found] & ParticleFlag.CONTAINED) > 0
        true_particles = event.get(TrueParticles, self._particles)
        birth = energies(particle[true].astype(np.int32), true_particles)
        contained &= np.isin(particle[true], self._born_inside(true_particles))
        reference = np.where(track, np.where(contained, birth, np.nan), deposited)
        unknown = np.full(len(true), np.nan)
        out = {
            "energy": (particles.energy[found] - reference) / reference,
            "energy_charge": (particles.energy_charge[found] - deposited) / deposited,
            "length": unknown,
            "start_distance": unknown.copy(),
            "angle": unknown.copy(),
        }
        if self._steps is None:
            return out, []
        start, end, direction, length = ways(event.get(TrueSteps, self._steps), particle[true], self._detector)
        out["length"] = np.where(track, (particles.length[found] - length) / length, np.nan)
        ends = []
        for pair in np.flatnonzero((semantic[true] != Semantic.SHOWER) & np.isfinite(start).all(axis=1)).tolist():
            row = int(found[pair])
            apart = [float(np.linalg.norm(place[row] - start[pair])) for place in (particles.start, particles.end)]
            out["start_distance"][pair] = apart[0]
            if np.linalg.norm(end[pair] - start[pair]) > 1.0:
                ends.append((pair, apart[0] < apart[1], float(particles.start_score[row])))
            if track[pair] and apart[0] < apart[1]:
                cosine = float(particles.direction[row] @ direction[pair])
                out["angle"][pair] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return out, ends

    def _born_inside(self, particles: TrueParticles) -> Int64:
        """Ids of the particles that are born in the active volume, all where no geometry is known."""
        box = None if self._detector is None else self._detector.tpcs[0].active
        if box is None:
            return particles.id.astype(np.int64)
        place = np.column_stack([particles.x, particles.y, particles.z])
        inside = ((place >= box[:, 0]) & (place <= box[:, 1])).all(axis=1)
        return particles.id[inside].astype(np.int64)

    def wrong_parts(self) -> dict[str, float]:
        """Of each event the part of its true clusters that are not found."""
        return {event: lost / total for event, (lost, total) in self._lost.items() if total}

    def results(self) -> dict[str, Any]:
        """By instance: figures by true class, and what scores of the start are worth (``start_score``)."""
        return {
            name or "all": {**metrics.summary(), "start_score": metrics.reliability()}
            for name, metrics in self._metrics.items()
        }

    def table(self) -> str:
        """One table an instance."""
        return "\n".join(f"-- {name or 'particles'}\n{metrics.table()}" for name, metrics in self._metrics.items())


def _extents(voxels: Voxels, cluster: npt.NDArray[np.integer[Any]], n: int) -> Float64:
    """Extent (n,) of clusters along the axis along which it is largest, in cm; 0 without a voxel."""
    inside = cluster >= 0
    index = _index(voxels)[inside]
    low, high = np.full((n, 3), np.iinfo(np.int64).max), np.full((n, 3), -1)
    np.minimum.at(low, cluster[inside], index)
    np.maximum.at(high, cluster[inside], index)
    pitch = float(voxels.pitch[0]) if len(voxels.pitch) else 1.0
    return np.where(high[:, 0] >= 0, (high - low).max(axis=1, initial=0) + 1, 0) * pitch


def _index(voxels: Voxels) -> Int64:
    return np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
