"""Groups of pixels that weigh the same in the loss: the categories of SSNet's pixel-wise weights (PRD 99 092001, IV).

Its categories are the charge within 4 pixels of the vertex, and the charge of each particle; background within 2
pixels of charge and other background are two more, which sparse images do not have.
"""

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector
from larmlreco.products import Pixels, TrueParticles, TrueSteps
from larmlreco.truth.pixels import pixel_particles

VERTEX = 0
"""Group of the pixels around a vertex; those of particles begin at 1."""

VERTEX_RADIUS = 4
"""Pixels up to this far from the vertex, in wires and in rows, belong to it."""


def pixel_groups(
    pixels: Pixels, steps: TrueSteps, particles: TrueParticles, detector: Detector
) -> npt.NDArray[np.int32]:
    """Group (N,) of the pixels of one plane: the vertex, or the particle that left most charge, numbered from 1.

    Pixels without true charge share the group that follows; they have no label and do not count anyway.
    """
    particle = pixel_particles(pixels, steps, particles, detector)
    ids = np.unique(particle[particle >= 0])
    groups = np.where(particle < 0, len(ids), np.searchsorted(ids, particle)) + 1
    for column, row in _vertices(pixels, particles, detector):
        near = np.maximum(np.abs(pixels.column - column), np.abs(pixels.row - row)) <= VERTEX_RADIUS
        groups[near] = VERTEX
    return groups.astype(np.int32)


def _vertices(pixels: Pixels, particles: TrueParticles, detector: Detector) -> list[tuple[float, float]]:
    """Column and row of the places where primaries that are no cosmic muons begin."""
    plane = detector.plane(int(pixels.meta["tpc"]), int(pixels.meta["plane"]))
    first = (particles.parent == 0) & (particles.cosmic == 0)
    column = plane.wire_coordinate(particles.y[first], particles.z[first])
    tick = detector.x_to_tick(particles.x[first], plane.tpc, particles.t0[first])
    rows = np.asarray(tick) / int(pixels.meta["rebin"])
    return sorted(set(zip(np.asarray(column).tolist(), rows.tolist(), strict=True)))
