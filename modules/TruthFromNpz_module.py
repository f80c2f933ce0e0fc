"""Producer that brings truth into events from an archive beside them."""

from pathlib import Path

from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.io.truth_npz import TruthArchive
from larmlreco.products import ChannelStatus, TrueParticles, TrueSteps


class TruthFromNpz(Producer):
    """Put the true steps and particles of the event with the same run, subrun and number in a NumPy archive.

    The dead channels that the archive names become ``ChannelStatus``.
    """

    class Parameters(ParameterSet):
        """Parameters of TruthFromNpz."""

        file: Path = parameter(doc="archive (.npz) with the truth of the events")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._archive = TruthArchive(config.file)
        self._status = self._archive.channel_status()
        self.produces(TrueSteps)
        self.produces(TrueParticles)
        self.produces(ChannelStatus)

    def produce(self, event: Event) -> None:
        """Put the truth of one event."""
        steps, particles = self._archive.read(event.id.run, event.id.subrun, event.id.event)
        event.put(steps)
        event.put(particles)
        event.put(self._status)
