"""One simulated event: particles, deposits, signals, products."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.argon import recombined_electrons, survival
from larmlreco.errors import ConfigurationError
from larmlreco.geometry import Detector, detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import ChannelStatus, Hits, Product, ProductKey, TrueParticles, TrueSteps, Wires
from larmlreco.simulation.geant import Deposits, Geant4, Primary, Tracks, Volume
from larmlreco.simulation.generators import Content, cosmics
from larmlreco.simulation.hits import find_hits
from larmlreco.simulation.response import PlaneSignal, dead_blocks, plane_signal
from larmlreco.simulation.settings import ReadoutSettings, SimulationSettings
from larmlreco.truth.pixels import plane_arrivals
from larmlreco.truth.semantic import classify

PROCESS = "Sim"
"""Process name of simulated products."""

_DEAD = 1
LARGEST_SEED = 2**31 - 1
"""Geant4's random engine takes a positive long; 31 bits are the same everywhere."""


@dataclass(frozen=True)
class SimulatedEvent:
    """Products of one event."""

    wires: Wires
    hits: Hits
    status: ChannelStatus
    steps: TrueSteps
    particles: TrueParticles

    def products(self) -> dict[ProductKey, Product]:
        """The products under the names that they have in a file."""
        named = (
            ("butcher", self.wires),
            ("gaushit", self.hits),
            ("chstatus", self.status),
            ("largeant", self.steps),
            ("largeant", self.particles),
        )
        return {ProductKey(type(p).__name__, label, "", PROCESS): p for label, p in named}


class Simulation:
    """Events of one configuration; event i depends on the seed and on i alone, so a run can be split into jobs.

    A context manager: Geant4's process ends with it. Raises ``ConfigurationError`` for a detector whose wires wrap, and
    where :class:`~larmlreco.simulation.geant.Geant4` does.
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.detector = detector(settings.detector)
        if any(plane.wrapped for plane in self.detector.planes):
            raise ConfigurationError(
                f"simulation.detector: the wires of {settings.detector} wrap around its planes; "
                "expected a detector whose wires do not; valid: microboone, sbnd"
            )
        active = np.array([tpc.active for tpc in self.detector.tpcs if tpc.active is not None])
        self._settings = settings
        self._volume = Volume(_corner(active[..., 0].min(axis=0)), _corner(active[..., 1].max(axis=0)), settings.margin)
        self._content = Content(settings, self._volume)
        self._geant4 = Geant4(self._volume, step_cm=settings.step, cut_cm=settings.cut)

    def __enter__(self) -> "Simulation":
        return self

    def __exit__(self, *_: object) -> None:
        self._geant4.close()

    def check(self, events: range) -> None:
        """Raise ``InputError`` when a file that the events need does not have them all."""
        self._content.check(events)

    def event(self, seed: int, number: int) -> SimulatedEvent:
        """Event ``number`` (from 0) of the run with this seed."""
        sequences = np.random.SeedSequence(entropy=(seed, number)).spawn(3)
        content, tracking, readout = (np.random.default_rng(s) for s in sequences)
        primaries = self._content.draw(number, content)
        primaries += cosmics(self._settings.cosmics, self._volume, self.detector, content)
        deposits, tracks = self._geant4.track(primaries, int(tracking.integers(1, LARGEST_SEED)))
        steps = true_steps(deposits, primaries, tracks, self.detector, self._settings.readout.lifetime)
        wires, hits, status = respond(steps, self.detector, self._settings.readout, readout)
        return SimulatedEvent(wires, hits, status, steps, true_particles(tracks, primaries))


def respond(
    steps: TrueSteps, detector: Detector, settings: ReadoutSettings, random: np.random.Generator
) -> tuple[Wires, Hits, ChannelStatus]:
    """Wires, hits and dead channels for true steps in a detector whose wires do not wrap."""
    scale = random.uniform(*settings.noise_scale)
    noise = [scale * n for n in settings.noise]
    signals, dead_channels = [], []
    for plane in detector.planes:
        dead = dead_blocks(plane.n_wires, random.uniform(*settings.dead_fraction), random)
        dead |= np.isin(plane.channels, detector.unread_channels)
        gain = random.normal(1.0, settings.gain_spread, plane.n_wires)
        arriving = plane_arrivals(steps, detector, plane, settings.charge)
        signals.append(plane_signal(arriving, detector.n_samples, dead, gain, noise[plane.plane], settings, random))
        dead_channels.append(plane.channels[dead])
    channel = np.sort(np.concatenate(dead_channels))
    status = ChannelStatus.from_columns({"channel": channel, "status": np.full(len(channel), _DEAD)})
    wires = make_wires(signals, detector)
    return wires, find_hits(wires, detector, noise), status


def true_particles(tracks: Tracks, primaries: Sequence[Primary]) -> TrueParticles:
    """Particles with their class, instance, and their primary's t0."""
    parent_row = np.where(tracks.parent > 0, tracks.rows(tracks.parent), -1)
    semantic, instance = classify(tracks.pdg, parent_row, tracks.process, tracks.kinetic_energy, model=tracks.model)
    processes, process = np.unique(np.array(tracks.process, dtype=str), return_inverse=True)
    primary = tracks.primary() - 1
    return TrueParticles.from_columns(
        {
            "id": tracks.id,
            "pdg": tracks.pdg,
            "parent": tracks.parent,
            "process": process,
            "kinetic_energy": tracks.kinetic_energy,
            "x": tracks.position[:, 0],
            "y": tracks.position[:, 1],
            "z": tracks.position[:, 2],
            "t": tracks.time,
            "t0": np.array([p.t0 for p in primaries], dtype=np.float64)[primary],
            "semantic": semantic,
            "instance": tracks.id[instance],
            "cosmic": np.array([p.cosmic for p in primaries], dtype=np.int64)[primary],
        },
        {"processes": processes.tolist(), "class_names": list(SEMANTIC_NAMES)},
    )


def true_steps(
    deposits: Deposits, primaries: Sequence[Primary], tracks: Tracks, detector: Detector, lifetime_ms: float
) -> TrueSteps:
    """Steps with the electrons that reach the anode and the sample at which they arrive."""
    primary = tracks.primary()[tracks.rows(deposits.particle)]
    t0 = np.array([p.t0 for p in primaries], dtype=np.float64)[primary - 1]
    x, y, z = deposits.position.T
    tpc = detector.tpc_of(x, y, z)
    anode = np.array([tpc.anode_x for tpc in detector.tpcs])
    drift_us = np.abs(x - anode[tpc]) / detector.drift_speed
    electrons = recombined_electrons(deposits.energy, deposits.length, detector.electric_field)
    return TrueSteps.from_columns(
        {
            "x": x,
            "y": y,
            "z": z,
            "t": deposits.time,
            "de": deposits.energy,
            "dx": deposits.length,
            "electrons": np.where(tpc >= 0, electrons * survival(drift_us, lifetime_ms), 0.0),
            "tick": detector.x_to_tick(x, tpc, t0 + deposits.time),
            "particle": deposits.particle,
        }
    )


def make_wires(signals: Sequence[PlaneSignal], detector: Detector) -> Wires:
    """The ``Wires`` product of the signals of all planes of a detector, by TPC, plane, then wire."""
    parts: dict[str, list[npt.ArrayLike]] = {name: [] for name in Wires.columns()}
    total = 0
    for signal, plane in zip(signals, detector.planes, strict=True):
        wires, row = np.unique(signal.wire, return_inverse=True)
        values = {
            "channel": plane.channels[wires],
            "plane": np.full(len(wires), plane.plane),
            "view": np.full(len(wires), plane.view_number),
            "n_samples": np.full(len(wires), detector.n_samples),
            "roi_wire": row + total,
            "roi_begin": signal.begin,
            "roi_length": signal.length,
            "adc": signal.adc,
        }
        for name, value in values.items():
            parts[name].append(value)
        total += len(wires)
    return Wires.from_columns({name: np.concatenate(values) for name, values in parts.items()})


def _corner(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
