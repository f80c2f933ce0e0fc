"""Parameters of the simulation, as ``larmlreco simulate`` reads them from the table ``simulation`` of a job."""

import math
import re

from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.masses import mass
from larmlreco.simulation.neutrino import CHANNELS
from larmlreco.truth.spread import ChargeResponse


def _ordered(values: tuple[float, float]) -> str | None:
    return None if values[0] <= values[1] else "a range from low to high"


def _positive(values: tuple[float, float] | None) -> str | None:
    return None if values is None or 0 <= values[0] <= values[1] else "a range from low to high, not below 0"


def _planes(values: tuple[float, ...]) -> str | None:
    return None if len(values) == 3 else "three numbers, one a plane"


def _instances(images: dict[str, object]) -> str | None:
    return None if images and all(re.fullmatch(r"[A-Za-z0-9]+", n) for n in images) else "names of letters and digits"


class ParticleKind(ParameterSet):
    """A kind of particle; its kinetic energy or its momentum is drawn from a range."""

    pdg: list[int] = parameter(
        doc="PDG codes, equally likely", check=lambda codes: None if codes else "at least one code"
    )
    kinetic_energy: tuple[float, float] | None = parameter(None, doc="range, uniform", unit="MeV", check=_positive)
    momentum: tuple[float, float] | None = parameter(
        None, doc="range, uniform; in place of kinetic_energy", unit="MeV/c", check=_positive
    )
    weight: float = parameter(1.0, doc="how likely the kind is, relative to the others", minimum=0)
    most: int = parameter(0, doc="most particles of this kind from a vertex; 0: no limit", minimum=0)


def _one_range(kinds: dict[str, ParticleKind]) -> str | None:
    if not kinds:
        return "at least one kind"
    both = [name for name, kind in kinds.items() if (kind.kinetic_energy is None) == (kind.momentum is None)]
    if both:
        return f"either kinetic_energy or momentum for {both[0]}"
    unknown = [code for kind in kinds.values() if kind.momentum for code in kind.pdg if not math.isfinite(mass(code))]
    return f"kinetic_energy for PDG code {unknown[0]}, whose mass is not known" if unknown else None


class VertexSettings(ParameterSet):
    """Particles from one point at t0 = 0."""

    share: float = parameter(1.0, doc="how likely this vertex is, relative to the alternatives", minimum=0)
    multiplicity: tuple[int, int] = parameter([2, 4], doc="number of particles", minimum=0, check=_ordered)
    required: list[str] = parameter([], doc="kinds that the first particles are of, one each")
    particles: dict[str, ParticleKind] = parameter(
        {
            "mu": {"pdg": [13, -13], "kinetic_energy": [50, 1000]},
            "pi": {"pdg": [211, -211], "kinetic_energy": [50, 1000]},
            "p": {"pdg": [2212], "kinetic_energy": [50, 400]},
            "e": {"pdg": [11], "kinetic_energy": [50, 1000]},
            "gamma": {"pdg": [22], "kinetic_energy": [50, 1000]},
        },
        doc="kinds of particles",
        check=_one_range,
    )
    border: float = parameter(10.0, doc="least distance of the vertex from the border", unit="cm", minimum=0)
    forward: float = parameter(
        0.7, doc="directions are those of a unit Gaussian vector shifted by this along the beam; 0: isotropic"
    )


class IsolatedSettings(ParameterSet):
    """Single particles at random places of the argon, also around the active volume; all directions are alike."""

    count: tuple[int, int] = parameter([0, 0], doc="number of particles", minimum=0, check=_ordered)
    particles: dict[str, ParticleKind] = parameter(
        {
            "e": {"pdg": [11], "kinetic_energy": [50, 1000]},
            "mu": {"pdg": [13], "kinetic_energy": [50, 1000]},
            "antimu": {"pdg": [-13], "kinetic_energy": [50, 1000]},
            "p": {"pdg": [2212], "kinetic_energy": [50, 400]},
        },
        doc="kinds of particles",
        check=_one_range,
    )


class StoppingSettings(ParameterSet):
    """Muons whose mean range ends at a random place of the active volume, for Michel electrons."""

    count: tuple[int, int] = parameter([0, 0], doc="number of muons", minimum=0, check=_ordered)
    pdg: list[int] = parameter([13, -13], doc="13: mu-, -13: mu+; equally likely")
    length: tuple[float, float] = parameter(
        [30.0, 200.0],
        doc="range of the way to that place, uniform; at most from the border",
        unit="cm",
        check=_positive,
    )


class NeutrinoSettings(ParameterSet):
    """Final states of neutrinos on nucleons of argon, from simple kinematics."""

    count: tuple[int, int] = parameter([0, 0], doc="number of interactions", minimum=0, check=_ordered)
    pdg: list[int] = parameter([14], doc="neutrinos, equally likely", choices=(12, -12, 14, -14))
    energy: tuple[float, float] = parameter(
        [300.0, 2500.0], doc="range of the neutrino's energy, uniform", unit="MeV", check=_positive
    )
    channels: dict[str, float] = parameter(
        {"ccqe": 0.5, "ccres": 0.4, "ncres": 0.1},
        doc="how likely each channel is, relative to the others",
        check=lambda c: None if c and set(c) <= set(CHANNELS) else f"channels of {', '.join(CHANNELS)}",
    )
    border: float = parameter(10.0, doc="least distance of the vertex from the border", unit="cm", minimum=0)


class FinalStateFile(ParameterSet):
    """Final states of another generator."""

    file: str = parameter("", doc="HEPEVT text file; event i of the run takes its event i; empty: none")
    place: str = parameter(
        "file",
        doc="where the particles start: where the file says, or with its first particle at a random place",
        choices=("file", "random"),
    )
    border: float = parameter(10.0, doc="least distance of a random place from the border", unit="cm", minimum=0)


class ContentSettings(ParameterSet):
    """What particles an event has."""

    vertices: tuple[int, int] = parameter([1, 1], doc="number of vertices", minimum=0, check=_ordered)
    vertex: VertexSettings = parameter({}, doc="particles of a vertex")
    alternatives: dict[str, VertexSettings] = parameter({}, doc="other vertices, of which each may be drawn instead")
    isolated: IsolatedSettings = parameter({}, doc="isolated particles")
    stopping: StoppingSettings = parameter({}, doc="stopping muons")
    neutrinos: NeutrinoSettings = parameter({}, doc="neutrino interactions")
    final_states: FinalStateFile = parameter({}, doc="final states from a file")


class CosmicSettings(ParameterSet):
    """Muons from above: they point at a random place in the active volume, zenith angles as cos^2."""

    count: tuple[int, int] = parameter([3, 6], doc="number of muons", minimum=0, check=_ordered)
    stopping: tuple[int, int] = parameter(
        [1, 2], doc="how many of them are mu+ whose range ends at that place", minimum=0, check=_ordered
    )
    kinetic_energy: tuple[float, float] = parameter(
        [300.0, 10000.0], doc="range of those that need not stop", unit="MeV", minimum=1, check=_ordered
    )
    spectrum: float = parameter(1.7, doc="power p of their spectrum E^-p", minimum=0)
    arrival: tuple[float, float] | None = parameter(
        None,
        doc="range of the sample at which charge from that place arrives, uniform; @nil: the whole readout",
        unit="tick",
    )


class ReadoutSettings(ParameterSet):
    """Drift, response after deconvolution, noise and zero suppression."""

    sigma_ticks: tuple[float, ...] = parameter(
        [2.8, 2.8, 2.2], doc="width of a point charge's pulse a plane", unit="tick", minimum=0.5, check=_planes
    )
    longitudinal_diffusion: float = parameter(6.4, doc="MicroBooNE, arXiv 2104.06551", unit="cm2/s", minimum=0)
    transverse_diffusion: float = parameter(9.8, doc="MicroBooNE's value", unit="cm2/s", minimum=0)
    electrons_per_adc: float = parameter(200.0, doc="electrons of a pulse of 1 ADC tick", minimum=1e-3)
    lifetime: float = parameter(0.0, doc="electron lifetime; 0: no electron is lost", unit="ms", minimum=0)
    gain_spread: float = parameter(0.0, doc="relative spread of the gain of channels", minimum=0, maximum=0.3)
    noise: tuple[float, ...] = parameter(
        [0.9, 0.8, 0.5], doc="noise of a sample, a plane", unit="ADC", minimum=1e-6, check=_planes
    )
    noise_scale: tuple[float, float] = parameter(
        [1.0, 1.0], doc="range of a factor on the noise, drawn for every event", minimum=0, check=_ordered
    )
    noise_correlation: float = parameter(
        1.0, doc="Gaussian width over which noise is smoothed in time", unit="tick", minimum=0
    )
    roi_threshold: float = parameter(4.0, doc="ROIs are samples above this many times the noise", minimum=0)
    roi_padding: int = parameter(6, doc="samples kept before and after", unit="tick", minimum=0)
    dead_fraction: tuple[float, float] = parameter(
        [0.08, 0.09],
        doc="part of a plane's wires that is dead, drawn for every event",
        minimum=0,
        maximum=0.9,
        check=_ordered,
    )

    @property
    def charge(self) -> ChargeResponse:
        """What the truth needs to know of it."""
        return ChargeResponse(
            self.sigma_ticks, self.longitudinal_diffusion, self.transverse_diffusion, self.electrons_per_adc
        )


class SimulationSettings(ContentSettings):
    """The table ``simulation`` for events of wires."""

    image: str = parameter("wires", doc="what the events are recorded with", choices=("wires",))
    detector: str = parameter("microboone", doc="a detector whose wires do not wrap: microboone, sbnd")
    run: int = parameter(1, doc="run number of the events", minimum=1)
    cosmics: CosmicSettings = parameter({}, doc="cosmic muons")
    margin: tuple[float, float, float] = parameter(
        [20.0, 20.0, 40.0], doc="argon around the active volume in x, y, z", unit="cm", minimum=0.1
    )
    step: float = parameter(0.1, doc="longest Geant4 step in the active volume", unit="cm", minimum=1e-3)
    cut: float = parameter(0.07, doc="Geant4's production cut for secondaries, in range", unit="cm", minimum=1e-4)
    readout: ReadoutSettings = parameter({}, doc="drift and electronics")


class VoxelImageSettings(ParameterSet):
    """One way to make voxels of the deposits."""

    smear: float = parameter(
        0.0, doc="Gaussian width over which energy is spread, 0: thin, as deposited", unit="voxel", minimum=0, maximum=3
    )
    threshold: float = parameter(0.0, doc="voxels with less energy are dropped", unit="MeV", minimum=0)


class VoxelSimulationSettings(ContentSettings):
    """The table ``simulation`` for events of voxels (arXiv 1903.05663, section II)."""

    image: str = parameter("voxels", doc="what the events are recorded with", choices=("voxels",))
    run: int = parameter(1, doc="run number of the events", minimum=1)
    size: int = parameter(768, doc="voxels along an edge of the cube", minimum=8, maximum=4096)
    pitch: float = parameter(0.3, doc="edge of a voxel", unit="cm", minimum=0.01, maximum=10)
    vertex: VertexSettings = parameter({"forward": 0.0}, doc="particles of a vertex")
    isolated: IsolatedSettings = parameter({"count": [1, 3]}, doc="isolated particles")
    margin: tuple[float, float, float] = parameter(
        [20.0, 20.0, 20.0], doc="argon around the cube in x, y, z", unit="cm", minimum=0.1
    )
    step: float = parameter(0.1, doc="longest Geant4 step in the cube", unit="cm", minimum=1e-3)
    cut: float = parameter(0.07, doc="Geant4's production cut for secondaries, in range", unit="cm", minimum=1e-4)
    images: dict[str, VoxelImageSettings] = parameter(
        {"thin": {}}, doc="images to make, by the instance name of their products", check=_instances
    )
    keep_steps: bool = parameter(False, doc="whether to write the true steps too")
