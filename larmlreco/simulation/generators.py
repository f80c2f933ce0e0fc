"""Final states: multi-particle vertices, isolated particles and cosmic muons."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector
from larmlreco.simulation.geant import Primary, Volume
from larmlreco.simulation.response import DENSITY_G_CM3
from larmlreco.simulation.settings import CosmicSettings, IsolatedSettings, ParticleKind, VertexSettings

Float64 = npt.NDArray[np.float64]

_START_INSIDE_CM = 0.05
"""Cosmic muons start this far inside the argon, so that no rounding puts them outside."""

_MUON_RANGES = np.array(
    [
        *[(10, 0.9833), (14, 1.786), (20, 3.321), (30, 6.598), (40, 10.58), (80, 30.84), (100, 42.50), (140, 67.32)],
        *[(200, 106.3), (300, 172.5), (400, 238.5), (800, 493.4), (1000, 616.3), (1400, 855.2), (2000, 1202.0)],
        *[(3000, 1758.0), (4000, 2297.0), (8000, 4359.0), (10000, 5354.0)],
    ]
)
"""Kinetic energy (MeV) and CSDA range (g/cm2) of muons in liquid argon.

Groom, Mokhov, Striganov, At. Data Nucl. Data Tables 78 (2001) 183.
"""


def muon_energy(range_cm: float) -> float:
    """Kinetic energy (MeV) of a muon with this mean range in liquid argon (log-log interpolation of the table)."""
    energy, reach = np.log(_MUON_RANGES).T
    return float(np.exp(np.interp(np.log(range_cm * DENSITY_G_CM3), reach, energy)))


def vertex(settings: VertexSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """Particles from one random point, at t0 = 0."""
    low, high = np.add(volume.low, settings.border), np.subtract(volume.high, settings.border)
    at = random.uniform(low, high)
    out = []
    for _ in range(between(settings.multiplicity, random)):
        pdg, energy = _draw(settings.particles, random)
        direction = random.normal(size=3) + np.array([0.0, 0.0, settings.forward])
        out.append(Primary(pdg, random.uniform(*energy), _triple(at), _triple(direction)))
    return out


def isolated(settings: IsolatedSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """Single particles at random points of the argon, in random directions, at t0 = 0."""
    out = []
    for _ in range(between(settings.count, random)):
        pdg, energy = _draw(settings.particles, random)
        at = random.uniform(volume.argon_low, volume.argon_high)
        direction = random.normal(size=3)
        out.append(Primary(pdg, random.uniform(*energy), _triple(at), _triple(direction)))
    return out


def _draw(kinds: Mapping[str, ParticleKind], random: np.random.Generator) -> tuple[int, tuple[float, float]]:
    """PDG code of a particle of one of the kinds, and the range of its kinetic energy (MeV)."""
    kind = list(kinds.values())[random.integers(len(kinds))]
    pdg = int(kind.pdg[random.integers(len(kind.pdg))])
    return pdg, kind.kinetic_energy


def cosmics(settings: CosmicSettings, volume: Volume, detector: Detector, random: np.random.Generator) -> list[Primary]:
    """Muons that start on the border of the argon and point at a random point of the active volume.

    Their times are such that charge from that point arrives at a random sample of the readout.
    """
    arrival = settings.arrival or (0.0, float(detector.n_samples))
    count = between(settings.count, random)
    stopping = min(between(settings.stopping, random), count)
    out = []
    for i in range(count):
        target = random.uniform(volume.low, volume.high)
        direction = _downward(random)
        distance = _to_border(target, -direction, volume) - _START_INSIDE_CM
        if i < stopping:
            pdg, energy = -13, max(muon_energy(distance), settings.kinetic_energy[0])
        else:
            pdg, energy = (13, -13)[random.integers(2)], _power_law(settings, random)
        start = target - distance * direction
        t0 = (random.uniform(*arrival) - float(detector.x_to_tick(target[0]))) * detector.tick_period
        out.append(Primary(pdg, energy, _triple(start), _triple(direction), t0, 1))
    return out


def between(limits: tuple[int, int], random: np.random.Generator) -> int:
    """A number from the first to the second limit."""
    return int(random.integers(limits[0], limits[1] + 1))


def _triple(v: Float64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])


def _downward(random: np.random.Generator) -> Float64:
    """Unit vector with zenith angle distributed as cos^2 per solid angle; y points up."""
    cosine = random.uniform() ** (1 / 3)
    azimuth = random.uniform(0, 2 * np.pi)
    sine = np.sqrt(1 - cosine**2)
    return np.array([sine * np.cos(azimuth), -cosine, sine * np.sin(azimuth)])


def _to_border(start: Float64, direction: Float64, volume: Volume) -> float:
    """Distance (cm) from a point inside the argon to its border along a direction."""
    far = np.where(direction > 0, volume.argon_high, volume.argon_low)
    moving = direction != 0
    return float(((far - start)[moving] / direction[moving]).min())


def _power_law(settings: CosmicSettings, random: np.random.Generator) -> float:
    low, high = settings.kinetic_energy
    power = 1 - settings.spectrum
    if power == 0:
        return float(low * (high / low) ** random.uniform())
    return float((low**power + random.uniform() * (high**power - low**power)) ** (1 / power))
