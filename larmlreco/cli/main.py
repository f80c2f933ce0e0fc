"""``larmlreco <verb>``: finds the verb, runs it, turns errors into one or two lines and an exit status."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from larmlreco.errors import LarmlrecoError
from larmlreco.version import __version__

VERBS = {
    "run": "run a FHiCL job over events",
    "fhicl-dump": "print the expanded job in canonical form",
    "describe": "list the modules, or show one module's parameters and products",
    "ls": "list the products in a file",
    "config-dump": "show the configurations, versions and models that made a file",
    "simulate": "simulate events",
    "train": "train a network",
    "evaluate": "measure a network or a job against truth",
    "evaluation-page": "make a page of tables, plots and event pictures from evaluations",
    "export": "write a TorchScript archive from a checkpoint",
    "inspect": "show the model card of an archive",
    "display": "draw an event",
    "bench": "measure the speed of the sparse convolution engine",
}
"""Every verb and its one-line help; the verb ``a-b`` lies in ``larmlreco/cli/a_b.py``.

Such a file holds ``EXAMPLE`` (shown by ``--help``), ``add_arguments(parser)`` and ``run(args) -> int``.
"""

FAULT = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status, see :mod:`larmlreco.errors`."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="larmlreco",
        description="Machine-learning reconstruction for liquid-argon TPCs.",
        epilog="verbs:\n" + "\n".join(f"  {verb:16} {text}" for verb, text in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"larmlreco {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="verb")
    head = parser.parse_args(arguments[:1])
    module = importlib.import_module("larmlreco.cli." + head.verb.replace("-", "_"))
    verb_parser = argparse.ArgumentParser(
        prog=f"larmlreco {head.verb}",
        description=module.__doc__,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb_parser.add_argument("--debug", action="store_true", help="show a traceback when it fails")
    module.add_arguments(verb_parser)
    options = verb_parser.parse_args(arguments[1:])
    try:
        return int(module.run(options))
    except LarmlrecoError as error:
        if options.debug:
            traceback.print_exc()
        print(f"larmlreco {head.verb}: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"larmlreco {head.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        what = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"larmlreco {head.verb}: a fault of the program, {what}; --debug shows where", file=sys.stderr)
        return FAULT
