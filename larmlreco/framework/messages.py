"""Messages of a job on stderr (or in a file): level, module label and event id before the text."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from larmlreco.errors import OutputError
from larmlreco.framework.ids import EventID
from larmlreco.framework.parameters import ParameterSet, parameter

LEVELS = ("debug", "info", "warning", "error")
_ROOT = "larmlreco"
_JOB = "larmlreco.job."


def _unknown_level(value: str) -> str | None:
    return None if value.lower() in LEVELS else f"one of {', '.join(LEVELS)}"


def _unknown_levels(values: Mapping[str, str]) -> str | None:
    return next((complaint for complaint in map(_unknown_level, values.values()) if complaint), None)


class MessageParameters(ParameterSet):
    """``services.message``."""

    level: str = parameter("info", doc="lowest level that is shown: debug, info, warning, error", check=_unknown_level)
    labels: dict[str, str] = parameter({}, doc="level by module label, before the general one", check=_unknown_levels)
    file: Path | None = parameter(None, doc="file for the messages; @nil: stderr")


class CurrentEvent(logging.Filter):
    """Adds the module label and the event in progress to every message."""

    def __init__(self) -> None:
        super().__init__()
        self.id: EventID | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Set ``record.where``."""
        name = record.name
        label = name.removeprefix(_JOB) if name.startswith(_JOB) else name.removeprefix(f"{_ROOT}.")
        record.where = label if self.id is None else f"{label} ({self.id})"
        return True


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # not subscriptable before Python 3.11
    _StreamHandler = logging.StreamHandler


class _Stream(_StreamHandler):
    """Writes to what stderr is now, so that a redirection holds."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def messages(config: MessageParameters) -> Iterator[CurrentEvent]:
    """Send the messages of the package where the job wants them, for the length of the job."""
    handler: logging.Handler
    if config.file is None:
        handler = _Stream()
    else:
        try:
            handler = logging.FileHandler(config.file, mode="w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"services.message.file: cannot write {config.file}: {error.strerror}") from error
    current = CurrentEvent()
    handler.addFilter(current)
    handler.setFormatter(logging.Formatter("%(levelname)s %(where)s: %(message)s"))
    root = logging.getLogger(_ROOT)
    loggers = {root: config.level} | {logging.getLogger(_JOB + k): v for k, v in config.labels.items()}
    before = {logger: logger.level for logger in loggers}
    propagate = root.propagate
    for logger, level in loggers.items():
        logger.setLevel(level.upper())
    root.addHandler(handler)
    root.propagate = False
    try:
        yield current
    finally:
        root.propagate = propagate
        root.removeHandler(handler)
        handler.close()
        for logger, was in before.items():
            logger.setLevel(was)
