"""Events of wires from npz archives."""

from larmlreco.framework import FileSource, InputFile, ModuleContext, parameter
from larmlreco.io.npz import NpzReader


class NpzInput(FileSource):
    """One event of wires an npz archive: ``Wires`` and, for the bad channels, ``ChannelStatus``."""

    class Parameters(FileSource.Parameters):
        """Parameters."""

        label: str = parameter("wires", doc="module label of the products")
        process: str = parameter("NPZ", doc="process name of the products")
        detector: str = parameter("protodunehd", doc="detector whose channels these are")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        super().__init__(config, context)
        self._config = config

    def open(self, path: str) -> InputFile:
        """Open one file."""
        config = self._config
        return NpzReader(path, label=config.label, process=config.process, detector_name=config.detector)
