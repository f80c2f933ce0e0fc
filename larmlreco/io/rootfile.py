"""Opens ROOT files for reading and turns whatever a damaged one provokes into errors with one line."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uproot

from larmlreco.errors import InputError, LarmlrecoError

_BIG_FILE_VERSION = 1_000_000
"""A file whose header has at least this version has 64-bit positions in it."""


def is_remote(path: str | Path) -> bool:
    """Whether a path is an address (``root://``, ``https://``, ...)."""
    return "://" in str(path)


def open_root(path: str | Path) -> Any:
    """Open a ROOT file over any protocol of uproot and return its top directory (``uproot.ReadOnlyDirectory``).

    Nothing is cached by uproot: readers keep what they need. Raises ``InputError`` for a file that is missing, cannot
    be read, is empty, is not ROOT or has no readable list of objects.
    """
    options: dict[str, Any] = {"array_cache": None}
    if not is_remote(path):
        _check_local(Path(path))
    elif str(path).startswith(("http://", "https://")):
        options["handler"] = uproot.source.http.HTTPSource  # the one of fsspec needs two more packages
    try:
        return uproot.open({str(path): None}, **options)
    except ImportError as error:
        scheme = str(path).split("://")[0]
        raise InputError(f"input {path}: the protocol {scheme} needs another package: {first_line(error)}") from error
    except Exception as error:
        cut = "" if is_remote(path) else _local_truncation(Path(path))
        if cut:
            raise InputError(f"input {path} is truncated: {cut}") from error
        if is_remote(path):
            raise InputError(f"input {path} cannot be opened: {first_line(error)}") from error
        raise InputError(f"input {path}: its list of objects is damaged: {first_line(error)}") from error


def _check_local(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except FileNotFoundError as error:
        raise InputError(f"input {path} does not exist") from error
    except OSError as error:
        raise InputError(f"input {path}: {error.strerror or error}") from error
    if not head:
        raise InputError(f"input {path} is empty; expected a ROOT file")
    if head != b"root":
        raise InputError(f"input {path} is not a ROOT file: it begins with {head!r}, not b'root'")


def truncation(file: Any) -> str:
    """How a file is shorter than its header says, "" if it is not."""
    return _shortage(file.file.source.num_bytes, file.file.fEND)


def _local_truncation(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20:
        return f"it has {len(head)} bytes"
    version, _, end = struct.unpack(">4x3I4x", head)
    if version >= _BIG_FILE_VERSION:
        (end,) = struct.unpack(">12xQ", head)
    return _shortage(path.stat().st_size, end)


def _shortage(present: int | None, expected: int) -> str:
    return f"it has {present} of {expected} bytes" if present is not None and present < expected else ""


@contextlib.contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Raise ``InputError`` that names the file and ``what`` (a tree, a branch, an entry) for any failure inside."""
    try:
        yield
    except (LarmlrecoError, MemoryError):
        raise
    except Exception as error:
        cut = "" if is_remote(path) else _local_truncation(Path(path))
        if cut:
            raise InputError(f"input {path} is truncated: {cut}; {what} cannot be read") from error
        raise InputError(f"input {path}: {what} cannot be read, the file is damaged: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
