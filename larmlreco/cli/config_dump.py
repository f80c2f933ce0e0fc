"""Show what made a file, process by process: version, packages, models, inputs, and the expanded configuration.

What is not configuration stands behind #, so that the output for one process is FHiCL again.
"""

import argparse

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework import fhicl
from larmlreco.framework.fhicl import FhiclError
from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_reader import provenance_of

EXAMPLE = "larmlreco config-dump img.root --process Images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", help="a file or address of events of any format that jobs read")
    parser.add_argument("--process", help="only this process")


def run(args: argparse.Namespace) -> int:
    """Print what the file says."""
    file = open_file(args.file)
    try:
        processes = list(provenance_of(file).processes)
    finally:
        file.close()
    if args.process is not None:
        names = [process.name for process in processes]
        processes = [process for process in processes if process.name == args.process]
        if not processes:
            raise ConfigurationError(
                f"{args.file} has no process {args.process!r}; {valid_choices(args.process, names)}"
            )
    print("\n\n".join("\n".join(description(process)) for process in processes))
    return 0


def description(process: Process) -> list[str]:
    """The lines that the verb prints of one process."""
    lines = [f"# process {process.name}"]
    if process.version:
        lines.append(f"# version: {process.version}")
    if process.parameter_set_id:
        lines.append(f"# configuration id: {process.parameter_set_id}")
    lines += [f"# package {name}: {version}" for name, version in process.versions.items()]
    lines += [f"# model {name}: SHA-256 {digest}" for name, digest in process.models.items()]
    lines += [f"# input: {path}" for path in process.inputs]
    lines += [f"# not kept: {name}: {reason}" for name, reason in process.not_kept.items()]
    lines.append(_canonical(process.configuration) or "# the file holds no configuration of this process")
    return lines


def _canonical(configuration: str) -> str:
    """The configuration in canonical form; art keeps it as one long line."""
    try:
        return fhicl.loads(configuration).dumps().rstrip()
    except FhiclError:
        return configuration.rstrip()
