"""What the truth of an event says of its particles: energies, directions, angles between them."""

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector
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


def decay_angles(
    place: Float64, particle: npt.NDArray[np.integer], ids: npt.NDArray[np.integer], particles: TrueParticles
) -> Float64:
    """Angles (K,) in degrees between the end of the parent and the start of particles by id (K,).

    ``place`` (N, 3) in cm and ``particle`` (N,) are the deposits and whose they are. Directions are those from the
    parent's deposits within 3 cm of the place of birth to it, and from it to the particle's own, by their means; NaN
    where there are none.
    """
    row = {number: i for i, number in enumerate(particles.id.tolist())}
    out = np.full(len(ids), np.nan)
    for k, number in enumerate(ids.tolist()):
        if number not in row:
            continue
        i = row[number]
        offset = place - np.array([particles.x[i], particles.y[i], particles.z[i]], dtype=np.float64)
        near = np.linalg.norm(offset, axis=1) <= DIRECTION_REACH_CM
        before, after = near & (particle == particles.parent[i]), near & (particle == number)
        if before.any() and after.any():
            one, other = -offset[before].mean(axis=0), offset[after].mean(axis=0)
            both = float(np.linalg.norm(one) * np.linalg.norm(other))
            if both > 0:
                out[k] = np.degrees(np.arccos(np.clip(one @ other / both, -1, 1)))
    return out


def ways(
    steps: TrueSteps, ids: npt.NDArray[np.integer], detector: Detector | None = None
) -> tuple[Float64, Float64, Float64, Float64]:
    """First and last place of the deposits of particles by id (K,), direction at the first (K, 3), length (K,) in cm.

    The direction leads to the mean of the deposits within 3 cm. With ``detector``, of one TPC, only what its images
    show counts, where it seems to be for charge freed at the trigger. NaN for a particle without deposits.
    """
    place = np.column_stack([steps.x, steps.y, steps.z]).astype(np.float64)
    seen = np.ones(len(steps), dtype=np.bool_)
    if detector is not None:
        place[:, 0] = detector.tick_to_x(steps.tick)
        seen = (steps.tick >= 0) & (steps.tick < detector.image_samples) & (steps.electrons > 0)
    rows = np.flatnonzero(seen)
    rows = rows[np.lexsort((steps.t[rows], steps.particle[rows]))]
    edges = [np.searchsorted(steps.particle[rows], ids, side=side) for side in ("left", "right")]
    start, end, direction = np.full((3, len(ids), 3), np.nan)
    length = np.full(len(ids), np.nan)
    for k, (first, after) in enumerate(zip(*edges, strict=True)):
        mine = place[rows[first:after]]
        if len(mine):
            start[k], end[k] = mine[0], mine[-1]
            length[k] = steps.dx[rows[first:after]].sum(dtype=np.float64)
            offset = mine - mine[0]
            mean = offset[np.linalg.norm(offset, axis=1) <= DIRECTION_REACH_CM].mean(axis=0)
            direction[k] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return start, end, direction, length
