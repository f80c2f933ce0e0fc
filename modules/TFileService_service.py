"""Histograms of all modules in one ROOT file."""

from larmlreco.framework import ModuleContext, ParameterSet, Service, parameter
from larmlreco.framework.histograms import HistogramDirectory, HistogramService
from larmlreco.io.histograms import write_histograms
from larmlreco.io.root_writer import check_output_path


class TFileService(Service, HistogramService):
    """Histograms and tables of all modules in one ROOT file, one directory a module label."""

    class Parameters(ParameterSet):
        """Parameters."""

        fileName: str = parameter(doc="file to write (command line: -T)")  # noqa: N815

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        source = context.job.configuration.get("source", {})
        check_output_path(config.fileName, source.get("fileNames", []))
        self._path = config.fileName
        self._directories: dict[str, HistogramDirectory] = {}

    def directory(self, label: str) -> HistogramDirectory:
        """The directory of a module label, made when first asked for."""
        return self._directories.setdefault(label, HistogramDirectory(label))

    def close(self, complete: bool) -> None:
        """Write the file; an incomplete one is named ``<fileName>.partial``."""
        contents = {label: list(directory.contents.values()) for label, directory in self._directories.items()}
        write_histograms(self._path, contents, complete=complete)
