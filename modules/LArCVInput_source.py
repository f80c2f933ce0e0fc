"""Images of planes and true particles from LArCV2 files."""

from larmlreco.framework import FileSource, InputFile
from larmlreco.io.larcv import LArCVReader


class LArCVInput(FileSource):
    """Images of planes (``Pixels``) and true particles (``TrueParticles``) of LArCV2 files.

    The label is the name of LArCV's producer without underscores, the instance of an image ``plane0``, ``plane1``, ...
    """

    def open(self, path: str) -> InputFile:
        """Open one file."""
        return LArCVReader(path)
