"""Producers that know where voxels are dead."""

from larmlreco.errors import ConfigurationError
from larmlreco.framework.module import ModuleContext, Producer
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.products import ChannelStatus, InputTag


class DeadVoxelParameters(ParameterSet):
    """Where voxels are dead: by the status of channels and a geometry, and in boxes."""

    channel_status: InputTag | None = parameter(None, doc="status of channels, to know which are dead")
    dead_channels: list[int] = parameter([], doc="more dead channels", minimum=0)
    geometry: str | None = parameter(None, doc="voxels: geometry of the channels; @nil: channels tell nothing")
    min_planes: int = parameter(2, doc="voxels: a voxel that fewer planes see is dead", minimum=1, maximum=3)
    dead_regions: list[list[float]] = parameter(
        [],
        doc="voxels: boxes where nothing is seen: low x, y, z and high x, y, z",
        unit="cm",
        check=lambda v: None if all(len(box) == 6 for box in v) else "six numbers a box",
    )


def status_input(producer: Producer, config: DeadVoxelParameters) -> InputTag | None:
    """The tag of the status of channels, which the producer now consumes where there is one."""
    if config.channel_status is not None:
        return producer.consumes(ChannelStatus, config.channel_status, optional=True)
    return None


def check_geometry(config: DeadVoxelParameters, context: ModuleContext) -> None:
    """Raise ``ConfigurationError`` where channels should tell which voxels are dead, and no geometry says how."""
    if config.geometry is None and (config.channel_status is not None or config.dead_channels):
        raise ConfigurationError(
            f"{context.label}.geometry: channels tell which voxels are dead through a geometry; "
            'expected its name, for example "microboone"'
        )
