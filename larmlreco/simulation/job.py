"""From the table ``simulation`` of a job to a simulation."""

from collections.abc import Callable, Mapping
from typing import Any

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.parameters import Origin
from larmlreco.simulation.event import Simulation
from larmlreco.simulation.settings import SimulationSettings, VoxelSimulationSettings
from larmlreco.simulation.voxel_event import VoxelSimulation

_KEY = "simulation"
IMAGES = ("wires", "voxels")


def make_simulation(
    table: Any, owner: str, origin: Origin = lambda _: None
) -> tuple[int, Callable[[], Simulation | VoxelSimulation]]:
    """Run number, and what starts Geant4 for the simulation that a table asks for with its key ``image``.

    Raises ``ConfigurationError`` for a table that does not fit.
    """
    image = table.get("image", "wires") if isinstance(table, Mapping) else "wires"
    if image not in IMAGES:
        raise ConfigurationError(f"{_KEY}.image: {owner} does not know {image!r}; {valid_choices(str(image), IMAGES)}")
    if image == "voxels":
        voxels = VoxelSimulationSettings.parse(table, _KEY, owner, origin)
        return voxels.run, lambda: VoxelSimulation(voxels)
    wires = SimulationSettings.parse(table, _KEY, owner, origin)
    return wires.run, lambda: Simulation(wires)
