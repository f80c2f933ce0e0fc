"""Takes the dates out of a ROOT file, so that the same content is the same bytes whenever it was written."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_BIG_FILE = 1_000_000
"""A file of at least this version has 64-bit positions in its header."""

_BIG = 1000
"""A key, directory or gap of a version above this has 64-bit positions."""

_GAP, _INFINITY = 1, 2_000_000_000
"""Version of an entry in the list of gaps, and the end of the last one or a part of it."""

_DATE = struct.pack(">I", 1 << 22 | 1 << 17)
"""1 January 1995, where ROOT's count of years begins."""

_DATE_OF_KEY, _LENGTH_OF_KEY = 10, 14
_DATES_OF_DIRECTORY, _LISTS_OF_DIRECTORY = (2, 6), 10


def remove_dates(path: Path) -> None:
    """Set every date in a complete ROOT file with one directory to 1995, and clear the gaps between its records.

    Dates stand in the keys before all records, in their copies in the list of keys, and in the directory. Raises
    ``ValueError``, before anything is changed, for a file whose records cannot be told from one another.
    """
    with path.open("r+b") as stream:
        for at, what in list(_changes(stream)):
            _write(stream, at, what)


def _changes(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Where to write what."""
    (version,) = _read(stream, 4, ">I")
    begin, end, free, _, _, name_bytes = _read(stream, 8, ">iqqiii" if version >= _BIG_FILE else ">iiiiii")
    gaps = _gaps(stream, free, end)
    at = begin
    while at < end:
        length = gaps.get(at, at) - at
        if length < 0:
            raise ValueError(f"the gap at byte {at} ends before it, at {at + length}")
        if length:
            # ROOT marks a gap by its length, negative; one of fewer than 4 bytes has no room for that
            yield at, (struct.pack(">i", -length) if length >= 4 else b"").ljust(length, b"\0")
        elif length := _left_over(stream, at, end):
            yield at, bytes(length)
        else:
            length = _read(stream, at, ">i")[0]
            if not _LENGTH_OF_KEY < length <= end - at:
                raise ValueError(f"no record begins at byte {at}: a length of {length} with {end - at} bytes left")
            yield at + _DATE_OF_KEY, _DATE
        at += length
    directory = begin + name_bytes
    for place in _DATES_OF_DIRECTORY:
        yield directory + place, _DATE
    (version,) = _read(stream, directory, ">h")
    *_, keys = _read(stream, directory + _LISTS_OF_DIRECTORY, ">iiqqq" if version > _BIG else ">iiiii")
    at = _after_key(stream, keys)
    (count,) = _read(stream, at, ">i")
    at += 4
    for _ in range(count):
        yield at + _DATE_OF_KEY, _DATE
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


def _left_over(stream: IO[bytes], at: int, end: int) -> int:
    """Length of what uproot left of an earlier list of gaps at ``at`` without saying so, 0 if a record is there.

    Where its list becomes shorter its record keeps its place, and what comes next begins behind the old end. What is
    left are the last entries of the earlier list, of which the last one reaches to infinity.
    """
    length = 0
    while at + length < end:
        (version,) = _read(stream, at + length, ">h")
        if version not in (_GAP, _GAP + _BIG):
            return 0
        form = ">qq" if version > _BIG else ">ii"
        first, last = _read(stream, at + length + 2, form)
        length += 2 + struct.calcsize(form)
        if last >= end and last % _INFINITY == 0:
            return length
        if not 0 < first <= last < end:
            return 0
    return 0


def _after_key(stream: IO[bytes], at: int) -> int:
    length: int = _read(stream, at + _LENGTH_OF_KEY, ">h")[0]
    return at + length


def _read(stream: IO[bytes], at: int, form: str) -> tuple[Any, ...]:
    if at >= 0:
        stream.seek(at)
        found = stream.read(struct.calcsize(form))
        if len(found) == struct.calcsize(form):
            return struct.unpack(form, found)
    raise ValueError(f"the file has no {struct.calcsize(form)} bytes at {at}")


def _write(stream: IO[bytes], at: int, what: bytes) -> None:
    stream.seek(at)
    stream.write(what)
