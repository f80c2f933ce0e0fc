"""Events from ROOT files (and npz archives of wires)."""

from typing import Literal

from larmlreco.framework import FileSource, InputFile, ModuleContext, parameter
from larmlreco.io import open_file


class RootInput(FileSource):
    """Events of art-ROOT files, of files that this package wrote, of LArCV2 files; the content decides.

    Local paths, or addresses of any protocol that uproot opens (``root://``, ``https://``).
    """

    class Parameters(FileSource.Parameters):
        """Parameters."""

        reader: Literal["auto", "uproot", "pyroot"] = parameter(
            "auto", doc="what reads the files: uproot (auto) without dictionaries, or ROOT with those that it finds"
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        super().__init__(config, context)
        self._reader = config.reader

    def open(self, path: str) -> InputFile:
        """Open one file."""
        return open_file(path, self._reader)
