"""Opens a file of events, whatever its format."""

from pathlib import Path
from typing import Literal

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.io import layout
from larmlreco.io.larcv import LArCVReader, is_larcv
from larmlreco.io.npz import NpzReader
from larmlreco.io.reader import Reader
from larmlreco.io.root_reader import RootReader
from larmlreco.io.rootfile import is_remote, open_root, reading

ReaderChoice = Literal["auto", "uproot", "pyroot"]

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def open_file(path: str | Path, reader: ReaderChoice = "auto") -> Reader:
    """Open a file of our own layout, of art, of LArCV2, of PILArNet (HDF5), or an npz archive of wires.

    The content decides which.

    ``reader``: with ``uproot`` (``auto`` is that) files need no dictionaries; with ``pyroot`` ROOT reads them, for art
    files with the dictionaries of their classes.

    Raises ``InputError`` for a file that is missing, damaged, or none of these, ``ConfigurationError`` for ``pyroot``
    without ROOT.
    """
    if reader == "pyroot":
        return _open_with_pyroot(path)
    if not is_remote(path) and Path(path).is_file():
        with Path(path).open("rb") as stream:
            head = stream.read(len(_HDF5))
        if head.startswith(_ZIP):
            return NpzReader(path)
        if head == _HDF5:
            from larmlreco.io.pilarnet import PilarnetReader

            return PilarnetReader(path)
    file = open_root(path)
    with reading(path, "the list of objects"):
        names = list(dict.fromkeys(file.keys(recursive=False, cycle=False)))
    if layout.PROVENANCE in names or layout.STATUS in names:
        return RootReader(path, file)
    if is_larcv(names):
        return LArCVReader(path, file)
    if "Events" in names:
        from larmlreco.io.art import ArtFile

        return ArtFile(path, file)
    raise InputError(
        f"input {path} holds no events: it has {', '.join(names) or 'nothing'}; "
        "expected a tree Events (art, larmlreco) or image2d_*_tree, sparse3d_*_tree, particle_*_tree (LArCV2)"
    )


def _open_with_pyroot(path: str | Path) -> Reader:
    try:
        from larmlreco.io.pyroot import open_with_pyroot
    except ImportError as error:
        raise ConfigurationError(
            f'reader "pyroot" needs the Python module ROOT: {error}; valid: auto, uproot'
        ) from error
    return open_with_pyroot(path)
