"""What the truth of an event says of its particles: energies, directions, angles between them."""

import numpy as np
import numpy.typing as npt

from larmlreco.products import TrueParticles, TrueSteps
from larmlreco.truth.pixels import step_instances

Float64 = npt.NDArray[np.float64]

DIRECTION_REACH_CM = 3.0
"""Deposits up to this far beyond the first one of a particle make its direction."""


def energies(particle: npt.NDArray[np.int32], particles: TrueParticles) -> Float64:
    """Kinetic energy at birth (N,), MeV, of particles by id (N,); NaN for -1 and for ids that are not there."""
    known = dict(zip(particles.id.tolist(), particles.kinetic_energy.tolist(), strict=True))
    ids, where = np.unique(particle, return_inverse=True)
    return np.array([known.get(i, np.nan) for i in ids.tolist()], dtype=np.float64)[where.reshape(particle.shape)]


def primary_directions(steps: TrueSteps, particles: TrueParticles) -> Float64:
    """Unit vectors (P, 3) of the primaries of the vertex that left charge.

    Truth from other programs has no momenta, so a direction leads from the place of birth to the mean of the first
    deposits, weighted by energy: those within 3 cm of the particle's first one, which for a photon lies where it
    converts.
    """
    primaries = particles.id[(particles.parent == 0) & (particles.cosmic == 0)]
    instance = step_instances(steps, particles)
    found = []
    for number in primaries.tolist():
        row = int(np.flatnonzero(particles.id == number)[0])
        born = np.array([particles.x[row], particles.y[row], particles.z[row]], dtype=np.float64)
        mine = instance == number
        at = np.column_stack([steps.x[mine], steps.y[mine], steps.z[mine]]).astype(np.float64) - born
        energy = steps.de[mine].astype(np.float64)
        if energy.sum() <= 0:
            continue
        distance = np.linalg.norm(at, axis=1)
        near = distance <= distance.min() + DIRECTION_REACH_CM
        mean = (at[near] * energy[near, np.newaxis]).sum(axis=0)
        if np.linalg.norm(mean) > 0:
            found.append(mean / np.linalg.norm(mean))
    return np.array(found).reshape(-1, 3)


def opening_angle(steps: TrueSteps, particles: TrueParticles) -> float:
    """Smallest angle between two primaries of the vertex, in degrees; NaN with fewer than two."""
    directions = primary_directions(steps, particles)
    if len(directions) < 2:
        return float("nan")
    cosine = directions @ directions.T
    pairs = cosine[np.triu_indices(len(directions), 1)]
    return float(np.degrees(np.arccos(np.clip(pairs.max(), -1, 1))))
