"""Errors that a user can mend: one or two lines that say what, where and what would be valid.

Each class has the exit status of the command line:

0 done; 1 a module failed, or a fault of the program (anything else that is raised); 2 wrong usage (argparse);
3, 4, 5 as the classes here say; 6 done, but events failed and were skipped (:mod:`larmlreco.framework.report`);
130 interrupted.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LarmlrecoError(Exception):
    """Base of all errors with a message for the user."""

    exit_status = 1


class ConfigurationError(LarmlrecoError):
    """The job, a parameter, a module, a tag or an archive does not fit; raised before the first event."""

    exit_status = 3


class InputError(LarmlrecoError):
    """An input is missing, of the wrong kind, truncated or corrupt."""

    exit_status = 4


class OutputError(LarmlrecoError):
    """An output cannot be written; what was written lies beside it as ``.partial``."""

    exit_status = 5


def valid_choices(given: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest choice, then all of them."""
    names = sorted(choices)
    close = get_close_matches(given, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(names) or 'none'}"
