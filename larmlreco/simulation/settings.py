"""Parameters of the simulation, as ``larmlreco simulate`` reads them from the table ``simulation`` of a job."""

import re

from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.truth.spread import ChargeResponse


def _ordered(values: tuple[float, float]) -> str | None:
    return None if values[0] <= values[1] else "a range from low to high"


def _planes(values: tuple[float, ...]) -> str | None:
    return None if len(values) == 3 else "three numbers, one a plane"


def _instances(images: dict[str, object]) -> str | None:
    return None if images and all(re.fullmatch(r"[A-Za-z0-9]+", n) for n in images) else "names of letters and digits"


class ParticleKind(ParameterSet):
    """A kind of particle at a vertex."""

    pdg: list[int] = parameter(doc="PDG codes, equally likely")
    kinetic_energy: tuple[float, float] = parameter(doc="range, uniform", unit="MeV", minimum=0, check=_ordered)


class VertexSettings(ParameterSet):
    """Particles from one point at t0 = 0."""

    multiplicity: tuple[int, int] = parameter([2, 4], doc="number of particles", minimum=0, check=_ordered)
    particles: dict[str, ParticleKind] = parameter(
        {
            "mu": {"pdg": [13, -13], "kinetic_energy": [50, 1000]},
            "pi": {"pdg": [211, -211], "kinetic_energy": [50, 1000]},
            "p": {"pdg": [2212], "kinetic_energy": [50, 400]},
            "e": {"pdg": [11], "kinetic_energy": [50, 1000]},
            "gamma": {"pdg": [22], "kinetic_energy": [50, 1000]},
        },
        doc="kinds of particles, equally likely",
        check=lambda kinds: None if kinds else "at least one kind",
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
        doc="kinds of particles, equally likely",
        check=lambda kinds: None if kinds else "at least one kind",
    )


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


class SimulationSettings(ParameterSet):
    """The table ``simulation``."""

    image: str = parameter("wires", doc="what the events are recorded with", choices=("wires",))
    detector: str = parameter("microboone", doc="a detector with one TPC")
    run: int = parameter(1, doc="run number of the events", minimum=1)
    vertex: VertexSettings = parameter({}, doc="particles of an interaction")
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


class VoxelSimulationSettings(ParameterSet):
    """The table ``simulation`` for events of voxels (arXiv 1903.05663, section II)."""

    image: str = parameter("voxels", doc="what the events are recorded with", choices=("voxels",))
    run: int = parameter(1, doc="run number of the events", minimum=1)
    size: int = parameter(768, doc="voxels along an edge of the cube", minimum=8, maximum=4096)
    pitch: float = parameter(0.3, doc="edge of a voxel", unit="cm", minimum=0.01, maximum=10)
    vertices: tuple[int, int] = parameter([1, 1], doc="number of vertices", minimum=0, check=_ordered)
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
