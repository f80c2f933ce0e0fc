"""Takes the dates out of a ROOT file, so that the same content is the same bytes whenever it was written."""

import struct
from pathlib import Path
from typing import IO, Any

_BIG_FILE = 1_000_000
"""A file of at least this version has 64-bit positions in its header."""

_BIG = 1000
"""A key, directory or gap of a version above this has 64-bit positions."""

_DATE = struct.pack(">I", 1 << 22 | 1 << 17)
"""1 January 1995, where ROOT's count of years begins."""

_DATE_OF_KEY, _LENGTH_OF_KEY = 10, 14
_DATES_OF_DIRECTORY, _LISTS_OF_DIRECTORY = (2, 6), 10


def remove_dates(path: Path) -> None:
    """Set every date in a complete ROOT file with one directory to 1995, and clear the gaps between its records.

    Dates stand in the keys before all records, in their copies in the list of keys, and in the directory.
    """
    with path.open("r+b") as stream:
        (version,) = _read(stream, 4, ">I")
        begin, end, free, _, _, name_bytes = _read(stream, 8, ">iqqiii" if version >= _BIG_FILE else ">iiiiii")
        gaps = _gaps(stream, free, end)
        at = begin
        while at < end:
            if at in gaps:
                _write(stream, at, struct.pack(">i", at - gaps[at]) + bytes(gaps[at] - at - 4))
                at = gaps[at]
                continue
            _write(stream, at + _DATE_OF_KEY, _DATE)
            at += _read(stream, at, ">i")[0]
        directory = begin + name_bytes
        for place in _DATES_OF_DIRECTORY:
            _write(stream, directory + place, _DATE)
        (version,) = _read(stream, directory, ">h")
        *_, keys = _read(stream, directory + _LISTS_OF_DIRECTORY, ">iiqqq" if version > _BIG else ">iiiii")
        at = _after_key(stream, keys)
        (count,) = _read(stream, at, ">i")
        at += 4
        for _ in range(count):
            _write(stream, at + _DATE_OF_KEY, _DATE)
            at = _after_key(stream, at)


def _gaps(stream: IO[bytes], free: int, end: int) -> dict[int, int]:
    """Where the gaps between the records begin and where the records go on, by the list at ``free``."""
    at, out = _after_key(stream, free), {}
    after = -1
    while after < end:
        (version,) = _read(stream, at, ">h")
        form = ">qq" if version > _BIG else ">ii"
        first, last = _read(stream, at + 2, form)
        after = last + 1
        out[first] = after
        at += 2 + struct.calcsize(form)
    return out


def _after_key(stream: IO[bytes], at: int) -> int:
    length: int = _read(stream, at + _LENGTH_OF_KEY, ">h")[0]
    return at + length


def _read(stream: IO[bytes], at: int, form: str) -> tuple[Any, ...]:
    stream.seek(at)
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _write(stream: IO[bytes], at: int, what: bytes) -> None:
    stream.seek(at)
    stream.write(what)
