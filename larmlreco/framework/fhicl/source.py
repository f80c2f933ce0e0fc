"""The text of a job with its included files in place, and the way back from a position to file and line."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from larmlreco.errors import ConfigurationError
from larmlreco.resources import fcl_directory

SEARCH_VARIABLE = "FHICL_FILE_PATH"
_DIRECTIVE = "#include"


class FhiclError(ConfigurationError):
    """Text that is not FHiCL, or that FHiCL refuses; ``path`` and ``line`` say where."""

    def __init__(self, message: str, path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


@dataclass
class _Segment:
    """A stretch of the expanded text that comes from consecutive lines of one file."""

    path: str
    first_line: int
    start: int
    line_ends: list[int]  # of the whole file, in the expanded text: shared by its segments
    parent: int | None  # the segment whose first line includes this file


@dataclass
class Source:
    """Expanded text and where each stretch of it comes from."""

    text: str = ""
    _segments: list[_Segment] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def _segment(self, position: int) -> _Segment:
        if position >= len(self.text):
            return self._segments[-1]
        return self._segments[bisect_right(self._starts, position) - 1]

    def locate(self, position: int) -> tuple[str, int]:
        """File and line (from 1) of a position in the expanded text; its end is the last line of the job file."""
        segment = self._segment(position)
        before = bisect_right(segment.line_ends, segment.start)
        lines = bisect_right(segment.line_ends, position) - before
        if position >= len(self.text):
            lines = len(segment.line_ends) - before - 1
        return segment.path, max(1, segment.first_line + lines)

    def where(self, position: int) -> str:
        """``FILE:LINE`` of a position."""
        path, line = self.locate(position)
        return f"{path}:{line}"

    def annotation(self, position: int) -> str:
        """``FILE:LINE`` as fhicl-dump annotates it.

        After an ``#include`` its line counts the lines before the include a second time, except at the very start
        of the resumed text. Annotations are compared across programs, so they are the same here; messages use
        :meth:`where`.
        """
        segment = self._segment(position)
        lines = bisect_right(segment.line_ends, position) if position != segment.start else 0
        return f"{segment.path}:{segment.first_line + lines}"

    def fail(self, position: int, cause: str) -> NoReturn:
        """Raise FhiclError: file, line, cause, and the lines that lead to an included file; -1 is no position."""
        if position < 0:
            raise FhiclError(cause)
        path, line = self.locate(position)
        raise FhiclError(f"{path}:{line}: {cause}{self._trail(self._segment(position))}", path, line)

    def _trail(self, segment: _Segment) -> str:
        places = []
        while segment.parent is not None:
            segment = self._segments[segment.parent]
            places.append(f"{segment.path}:{segment.first_line}")
        return f"\n  included from {', from '.join(places)}" if places else ""


def search_directories(search_path: Sequence[Path | str] | None = None) -> list[str]:
    """Where included files are looked for: ``search_path``, else FHICL_FILE_PATH, else here; then our own jobs."""
    if search_path is None:
        directories = [entry for entry in os.environ.get(SEARCH_VARIABLE, "").split(":") if entry] or ["."]
    else:
        directories = [str(entry) for entry in search_path]
    return [*directories, str(fcl_directory())]


def find(name: str, directories: Sequence[str]) -> str | None:
    """The first regular file ``DIRECTORY/name``, spelled that way; None if there is none."""
    for directory in directories:
        path = f"{directory}/{name}"
        while "//" in path:
            path = path.replace("//", "/")
        if name and Path(path).is_file():
            return path
    return None


def read_job(name: str, search_path: Sequence[Path | str] | None = None) -> Source:
    """Read a job and all that it includes.

    The job itself is an absolute path, a path from here, or found like an included file. Raises FhiclError for a file
    that is absent or unreadable, a malformed ``#include``, and a file that includes itself.
    """
    directories = search_directories(search_path)
    path = name if Path(name).is_absolute() else find(name, [".", *directories])
    if path is None or not Path(path).is_file():
        raise FhiclError(f"{name}: no such job; looked in {', '.join(dict.fromkeys(['.', *directories]))}", name)
    return _Expander(directories).expand_file(path)


def read_text(text: str, name: str, search_path: Sequence[Path | str] | None = None) -> Source:
    """The same for text at hand; ``name`` stands for its file."""
    return _Expander(search_directories(search_path)).expand_text(text, name)


class _Expander:
    def __init__(self, directories: list[str]) -> None:
        self._directories = directories
        self._pieces: list[str] = []
        self._length = 0
        self._segments: list[_Segment] = []
        self._open: list[str] = []

    def expand_file(self, path: str) -> Source:
        self._file(path, None)
        return self._source()

    def expand_text(self, text: str, name: str) -> Source:
        self._lines(text, name, None)
        return self._source()

    def _source(self) -> Source:
        return Source("".join(self._pieces), self._segments, [segment.start for segment in self._segments])

    def _file(self, path: str, parent: int | None) -> None:
        real = os.path.realpath(path)
        if real in self._open:
            self._fail(parent, f"{path} includes itself")
        try:
            text = Path(path).read_bytes().decode("utf-8", errors="replace")
        except OSError as error:
            self._fail(parent, f"cannot read {path}: {error.strerror}", path)
        self._open.append(real)
        self._lines(text, path, parent)
        self._open.pop()

    def _lines(self, text: str, path: str, parent: int | None) -> None:
        line_ends: list[int] = []
        self._segments.append(_Segment(path, 1, self._length, line_ends, parent))
        for number, line in enumerate(split_lines(text), start=1):
            if not line.startswith(_DIRECTIVE):
                self._pieces.append(line + "\n")
                self._length += len(line) + 1
                line_ends.append(self._length)
                continue
            self._segments.append(_Segment(path, number, self._length, line_ends, parent))
            here = len(self._segments) - 1
            directive = line.rstrip(" \t\r\n")
            if len(directive) <= len(_DIRECTIVE) + 3 or directive[8:10] != ' "' or directive[-1] != '"':
                self._fail(here, f'malformed {directive!r}; valid: #include "FILE" at the start of a line, no more')
            name = directive[10:-1]
            found = find(name, self._directories)
            if found is None:
                self._fail(here, f'cannot find the included file "{name}" in {", ".join(self._directories)}')
            self._file(found, here)
            self._segments.append(_Segment(path, number + 1, self._length, line_ends, parent))

    def _fail(self, segment: int | None, cause: str, path: str | None = None) -> NoReturn:
        if segment is None:
            raise FhiclError(cause, path)
        source = Source("", self._segments, [])
        place = self._segments[segment]
        trail = source._trail(place)
        raise FhiclError(f"{place.path}:{place.first_line}: {cause}{trail}", place.path, place.first_line)


def split_lines(text: str) -> list[str]:
    """Lines that end at a line feed, a carriage return or both."""
    lines: list[str] = []
    for line in text.split("\n"):
        parts = line.split("\r")
        if len(parts) > 1 and parts[-1] == "":
            parts.pop()
        lines.extend(parts)
    if lines and lines[-1] == "" and text[-1:] in ("", "\n"):
        lines.pop()
    return lines
