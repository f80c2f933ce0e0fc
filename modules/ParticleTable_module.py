"""Analyser that prints the particles of every event."""

import numpy as np

from larmlreco.framework import Analyzer, Event, ModuleContext, ParameterSet, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import InputTag, MichelFlag, Michels, ParticleFlag, Particles

_HEADS = (
    f"{'':4}{'class':8}{'start x, y, z / cm':>22}{'end x, y, z / cm':>24}{'length/cm':>11}{'energy/MeV':>12}"
    f"{'dE/dx':>7}{'parent':>8}{'vertex':>8}  notes"
)
_NOTES = {
    ParticleFlag.CONTAINED: "contained",
    ParticleFlag.THROUGH: "through",
    ParticleFlag.OUTSIDE: "out of time",
    ParticleFlag.ENERGY_BY_RANGE: "energy by range",
}


class ParticleTable(Analyzer):
    """Print what was found in every event: the particles with most energy, and the Michel electrons."""

    class Parameters(ParameterSet):
        """Parameters of ParticleTable."""

        particles: InputTag = parameter("particles", doc="particles (Particles)")
        michels: InputTag | None = parameter("michels", doc="Michel electrons (Michels); @nil: none")
        images: list[str] = parameter([""], doc="instances to print, one after another")
        most: int = parameter(12, doc="particles to print of an event", minimum=1)
        least_energy: float = parameter(10.0, doc="energy from which particles are printed", unit="MeV")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._most, self._least = config.most, config.least_energy
        self._images = []
        for name in config.images:
            tag = config.michels
            michels = None
            if tag is not None:
                michels = self.consumes(Michels, InputTag(tag.label, name, tag.process))
            label, process = config.particles.label, config.particles.process
            self._images.append((self.consumes(Particles, InputTag(label, name, process)), michels))

    def analyze(self, event: Event) -> None:
        """Print the tables of one event."""
        for tag, michels_tag in self._images:
            particles = event.get(Particles, tag)
            known = particles.semantic[particles.energy >= self._least]
            counts = np.bincount(known[known >= 0], minlength=len(SEMANTIC_NAMES))
            found = ", ".join(f"{n} {name}" for name, n in zip(SEMANTIC_NAMES, counts.tolist(), strict=True))
            image = f" {tag.instance}" if tag.instance else ""
            print(f"\nevent {event.id}{image}: particles of at least {self._least:g} MeV: {found}\n{_HEADS}")
            order = np.argsort(-particles.energy, kind="stable")
            shown = [row for row in order.tolist() if particles.energy[row] >= self._least][: self._most]
            for row in shown:
                print(_line(particles, row))
            if len(known) > len(shown):
                print(f"     and {len(known) - len(shown)} more")
            if michels_tag is not None:
                for line in _michel_lines(event.get(Michels, michels_tag)):
                    print(line)


def _line(particles: Particles, row: int) -> str:
    places = [", ".join(f"{v:.0f}" for v in end[row].tolist()) for end in (particles.start, particles.end)]
    parent, vertex = (int(v[row]) for v in (particles.parent, particles.vertex))
    flags = int(particles.flags[row])
    notes = [text for flag, text in _NOTES.items() if flags & flag]
    if particles.measured[row] < 0.95:
        notes.append(f"{100 * particles.measured[row]:.0f} % measured")
    return (
        f"{row:4d} {SEMANTIC_NAMES[particles.semantic[row]]:7}{places[0]:>22}{places[1]:>24}"
        f"{particles.length[row]:11.1f}{particles.energy[row]:12.1f}{particles.dedx_start[row]:7.1f}"
        f"{parent if parent >= 0 else '-':>8}{vertex if vertex >= 0 else '-':>8}  {', '.join(notes)}"
    )


def _michel_lines(michels: Michels) -> list[str]:
    out = []
    for row in range(len(michels)):
        place = ", ".join(f"{v:.0f}" for v in michels.attachment[row].tolist())
        names = [str(flag.name).lower().replace("_", " ") for flag in MichelFlag if michels.flags[row] & flag]
        out.append(
            f"     Michel electron at {place} cm: {michels.energy[row]:.1f} MeV"
            f" + {michels.photon_energy[row]:.1f} MeV of photons, score {michels.score[row]:.2f} ({', '.join(names)})"
        )
    return out
