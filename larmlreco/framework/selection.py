"""Which products an output keeps and which events it writes, in art's words."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.products import ProductKey
from larmlreco.products.trigger import PathState

_COMMAND = re.compile(r"(keep|drop)\s+(\S+)\s*\Z")
_WORD = re.compile(r"[A-Za-z0-9*?]*\Z")
_INSTANCE = re.compile(r"[A-Za-z0-9_*?]*\Z")


class ProductSelector:
    """``outputCommands``: ``keep`` or ``drop`` with ``*`` or ``Type_label_instance_process``; later ones win.

    A product that no command names is dropped, so a list begins with ``keep *`` or names all it keeps. ``*`` stands
    for any characters, ``?`` for one; an empty list is ``keep *``. Raises ``ConfigurationError`` for anything else.
    """

    def __init__(self, commands: Sequence[str], where: str) -> None:
        self._rules: list[tuple[bool, tuple[str, str, str, str]]] = []
        for command in commands or ["keep *"]:
            match = _COMMAND.match(command.strip())
            pattern = _pattern(match.group(2)) if match else None
            if match is None or pattern is None:
                raise ConfigurationError(
                    f'{where}: "{command}" is not an output command; expected "keep PATTERN" or "drop PATTERN" '
                    "where PATTERN is * or Type_label_instance_process, with wildcards * and ?"
                )
            self._rules.append((match.group(1) == "keep", pattern))
        self._known: dict[ProductKey, bool] = {}

    def keeps(self, key: ProductKey) -> bool:
        """Whether a product is kept."""
        if key not in self._known:
            verdict = False
            for keep, pattern in self._rules:
                parts = (key.type, key.label, key.instance, key.process)
                if all(fnmatchcase(part, glob) for part, glob in zip(parts, pattern, strict=True)):
                    verdict = keep
            self._known[key] = verdict
        return self._known[key]

    def kept(self, keys: Iterable[ProductKey]) -> list[ProductKey]:
        """Those of ``keys`` that are kept, in order."""
        return [key for key in keys if self.keeps(key)]


def _pattern(text: str) -> tuple[str, str, str, str] | None:
    if text == "*":
        return ("*", "*", "*", "*")
    parts = text.split("_", 2)
    if len(parts) != 3 or "_" not in parts[2]:
        return None
    instance, process = parts[2].rsplit("_", 1)
    if not all(map(_WORD.match, (parts[0], parts[1], process))) or not _INSTANCE.match(instance):
        return None
    return (parts[0], parts[1], instance, process)


@dataclass(frozen=True)
class _Criterion:
    """Fulfilled if one of ``paths`` (``every``: all of them) is in ``state``, and, if asked, none raised."""

    paths: tuple[str, ...]
    state: PathState
    every: bool
    no_exception: bool


class EventSelector:
    """``SelectEvents``: an event is taken if it fulfils one of the criteria; without any, every event is taken.

    ``path``: that trigger path passed; ``!path``: it failed; ``exception@path``: a module on it raised. Names may hold
    the wildcards ``*`` and ``?``: one of the paths suffices, but ``!p*`` demands that all of them failed. With
    ``&noexception`` at the end (not after ``exception@``) no path at all may have raised. ``PROCESS:path`` means a
    path of an earlier process, looked up in the ``TriggerResults`` of the input. The meaning is art's.
    """

    def __init__(self, criteria: Sequence[str], paths: Sequence[str], process: str, where: str) -> None:
        self._where = where
        self._here: list[_Criterion] = []
        self._earlier: dict[str, list[str]] = {}
        self.everything = not criteria
        for text in criteria:
            name, colon, rest = text.rpartition(":")
            if colon and name != process:
                self._earlier.setdefault(name, []).append(rest)
            else:
                self._here.append(_criterion(rest, paths, where))

    @property
    def processes(self) -> list[str]:
        """Earlier processes whose ``TriggerResults`` are needed."""
        return list(self._earlier)

    def accepts_failed(self, states: Mapping[str, PathState]) -> bool:
        """Whether an event in which a module raised is asked for with ``exception@``."""
        return _accepts([c for c in self._here if c.state == PathState.EXCEPTION], states)

    def accepts(
        self, states: Mapping[str, PathState], earlier: Mapping[str, Mapping[str, PathState]] | None = None
    ) -> bool:
        """Whether an event is taken; ``states`` are those of this process, ``earlier`` those of others, by name."""
        if self.everything or _accepts(self._here, states):
            return True
        for process, texts in self._earlier.items():
            theirs = (earlier or {}).get(process, {})
            if _accepts([_criterion(t, list(theirs), self._where) for t in texts], theirs):
                return True
        return False


def _criterion(text: str, paths: Sequence[str], where: str) -> _Criterion:
    wanted = "".join(text.split())
    name, ampersand, tail = wanted.partition("&")
    if ampersand and tail not in ("noexception", "noex"):
        raise ConfigurationError(f'{where}: "{text}" is not a criterion; after & only noexception may follow')
    negated = name.startswith("!")
    name = name.removeprefix("!")
    exception = name.startswith("exception@")
    name = name.removeprefix("exception@")
    if exception and (negated or ampersand):
        raise ConfigurationError(
            f'{where}: "{text}" is not a criterion; exception@ goes with neither ! nor &noexception'
        )
    matching = tuple(path for path in paths if fnmatchcase(path, name))
    if not matching and (negated or not any(c in name for c in "*?")):
        raise ConfigurationError(f'{where}: "{text}" names no trigger path; {valid_choices(name, paths)}')
    state = PathState.EXCEPTION if exception else PathState.FAIL if negated else PathState.PASS
    return _Criterion(matching, state, negated, bool(ampersand))


def _accepts(criteria: Iterable[_Criterion], states: Mapping[str, PathState]) -> bool:
    raised = PathState.EXCEPTION in states.values()
    for criterion in criteria:
        hits = [states.get(path) == criterion.state for path in criterion.paths]
        if (all(hits) if criterion.every else any(hits)) and not (criterion.no_exception and raised):
            return True
    return False
