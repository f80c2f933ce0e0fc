"""Final states: vertices, isolated particles, stopping and cosmic muons, neutrinos, and those of a file."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from larmlreco.argon import DENSITY_G_CM3
from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.geometry import Detector
from larmlreco.io.hepevt import FinalStateParticle, HepEvtFile
from larmlreco.masses import kinetic_energy
from larmlreco.simulation.geant import Primary, Volume
from larmlreco.simulation.neutrino import interaction
from larmlreco.simulation.settings import (
    ContentSettings,
    CosmicSettings,
    FinalStateFile,
    IsolatedSettings,
    NeutrinoSettings,
    ParticleKind,
    StoppingSettings,
    VertexSettings,
)

Float64 = npt.NDArray[np.float64]
T = TypeVar("T")

_TRIES = 10

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


class Content:
    """Draws the particles of events.

    Raises ``ConfigurationError`` for a required kind of particle that the vertex does not have, ``InputError`` for a
    file of final states that cannot be read.
    """

    def __init__(self, settings: ContentSettings, volume: Volume) -> None:
        self._settings = settings
        self._volume = volume
        self._vertices = [settings.vertex, *settings.alternatives.values()]
        for made in self._vertices:
            for name in made.required:
                if name not in made.particles:
                    raise ConfigurationError(
                        f"simulation: a vertex requires the kind {name!r}; {valid_choices(name, made.particles)}"
                    )
        file = settings.final_states.file
        self._final_states = HepEvtFile(file) if file else None

    def check(self, events: range) -> None:
        """Raise ``InputError`` when the file of final states ends before the last of these events."""
        if self._final_states is not None and len(events):
            self._final_states.event(events[-1])

    def draw(self, number: int, random: np.random.Generator) -> list[Primary]:
        """Particles of event ``number``. Raises ``InputError`` beyond the end of the file of final states."""
        settings, volume = self._settings, self._volume
        out = []
        for _ in range(between(settings.vertices, random)):
            out += vertex(_by_weight(self._vertices, [v.share for v in self._vertices], random), volume, random)
        out += isolated(settings.isolated, volume, random)
        out += stopping(settings.stopping, volume, random)
        for _ in range(between(settings.neutrinos.count, random)):
            out += neutrino(settings.neutrinos, volume, random)
        if self._final_states is not None:
            out += _from_file(self._final_states.event(number), settings.final_states, volume, random)
        return out


def vertex(settings: VertexSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """Particles from one random point, at t0 = 0."""
    at = _inside(volume, settings.border, random)
    out = []
    left = {name: kind.most or math.inf for name, kind in settings.particles.items()}
    required = list(settings.required)
    for _ in range(between(settings.multiplicity, random)):
        open_kinds = [name for name in settings.particles if left[name] > 0]
        if not open_kinds:
            break
        weights = [settings.particles[name].weight for name in open_kinds]
        name = required.pop(0) if required else _by_weight(open_kinds, weights, random)
        left[name] -= 1
        kind = settings.particles[name]
        pdg = _one_of(kind.pdg, random)
        direction = random.normal(size=3) + np.array([0.0, 0.0, settings.forward])
        out.append(Primary(pdg, _energy(kind, pdg, random), _triple(at), _triple(direction)))
    return out


def isolated(settings: IsolatedSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """Single particles at random points of the argon, in random directions, at t0 = 0."""
    kinds = list(settings.particles.values())
    out = []
    for _ in range(between(settings.count, random)):
        kind = _by_weight(kinds, [k.weight for k in kinds], random)
        pdg = _one_of(kind.pdg, random)
        at = random.uniform(volume.argon_low, volume.argon_high)
        direction = random.normal(size=3)
        out.append(Primary(pdg, _energy(kind, pdg, random), _triple(at), _triple(direction)))
    return out


def stopping(settings: StoppingSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """Muons that stop in the active volume, from all directions, at t0 = 0."""
    out = []
    for _ in range(between(settings.count, random)):
        pdg = _one_of(settings.pdg, random)
        target = random.uniform(volume.low, volume.high)
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        longest = _to_border(target, -direction, volume) - _START_INSIDE_CM
        length = min(random.uniform(*settings.length), longest)
        out.append(Primary(pdg, muon_energy(length), _triple(target - length * direction), _triple(direction)))
    return out


def neutrino(settings: NeutrinoSettings, volume: Volume, random: np.random.Generator) -> list[Primary]:
    """What leaves the nucleus when a neutrino along the beam (z) meets it at a random point, at t0 = 0."""
    at = _triple(_inside(volume, settings.border, random))
    for _ in range(_TRIES):
        channel = _by_weight(list(settings.channels), list(settings.channels.values()), random)
        made = interaction(channel, _one_of(settings.pdg, random), random.uniform(*settings.energy), random)
        if made:
            return [Primary(pdg, kinetic_energy(pdg, float(np.linalg.norm(p))), at, _triple(p)) for pdg, p in made]
    raise ConfigurationError(
        f"simulation.neutrinos: no channel of {', '.join(settings.channels)} is open at {settings.energy} MeV; "
        "raise the energy"
    )


def _from_file(
    particles: Sequence[FinalStateParticle], settings: FinalStateFile, volume: Volume, random: np.random.Generator
) -> list[Primary]:
    shift = np.zeros(3)
    if settings.place == "random" and particles:
        shift = _inside(volume, settings.border, random) - particles[0].position
    out = []
    for p in particles:
        size = float(np.linalg.norm(p.momentum))
        if size > 0:
            start = _triple(p.position + shift)
            out.append(Primary(p.pdg, math.hypot(size, p.mass) - p.mass, start, _triple(p.momentum), p.time))
    return out


def _inside(volume: Volume, border: float, random: np.random.Generator) -> Float64:
    """A random point (3,) of the active volume, ``border`` cm away from its sides."""
    return np.asarray(random.uniform(np.add(volume.low, border), np.subtract(volume.high, border)))


def _by_weight(choices: Sequence[T], weights: Sequence[float], random: np.random.Generator) -> T:
    """One of the choices; those without weight only where none has any."""
    if len(set(weights)) == 1:
        return choices[int(random.integers(len(choices)))]
    share = np.array(weights) / sum(weights)
    return choices[int(random.choice(len(choices), p=share))]


def _one_of(codes: Sequence[int], random: np.random.Generator) -> int:
    return codes[int(random.integers(len(codes)))]


def _energy(kind: ParticleKind, pdg: int, random: np.random.Generator) -> float:
    """Kinetic energy (MeV) of a particle of a kind."""
    if kind.momentum is not None:
        return kinetic_energy(pdg, random.uniform(*kind.momentum))
    if kind.kinetic_energy is None:
        raise ValueError("a kind of particle has neither kinetic energy nor momentum")
    return random.uniform(*kind.kinetic_energy)


def cosmics(settings: CosmicSettings, volume: Volume, detector: Detector, random: np.random.Generator) -> list[Primary]:
    """Muons that start on the border of the argon and point at a random point of the active volume.

    Their times are such that charge from that point arrives at a random sample of the readout.
    """
    arrival = settings.arrival or (0.0, float(detector.n_samples))
    count = between(settings.count, random)
    n_stopping = min(between(settings.stopping, random), count)
    out = []
    for i in range(count):
        target = random.uniform(volume.low, volume.high)
        direction = _downward(random)
        distance = _to_border(target, -direction, volume) - _START_INSIDE_CM
        if i < n_stopping:
            pdg, energy = -13, max(muon_energy(distance), settings.kinetic_energy[0])
        else:
            pdg, energy = (13, -13)[random.integers(2)], _power_law(settings, random)
        start = target - distance * direction
        tpc = np.maximum(detector.tpc_of(*target.reshape(3, 1)), 0)
        t0 = (random.uniform(*arrival) - float(detector.x_to_tick(target[0], tpc[0]))) * detector.tick_period
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
