"""Simulate events in liquid argon with Geant4: wires, hits and dead channels, or voxels, with their truth.

The table ``simulation`` of the job says what, its key ``image`` whether wires or voxels. Event i depends on the seed
and on i alone, so that a large sample can be split into jobs with --first; the same command makes the same bytes.
Needs the package extra [sim] and Geant4's data sets.
"""

import argparse

EXAMPLE = "larmlreco simulate -c fcl/simulate_segmentation_uboone.fcl -o sim.root -n 100 --seed 1"

_SUBRUN = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-c", "--config", required=True, metavar="JOB.fcl", help="configuration with a simulation table"
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT.root", help="ROOT file to write")
    parser.add_argument("-n", "--events", required=True, type=_count, metavar="N", help="number of events")
    parser.add_argument(
        "--seed", required=True, type=_seed, metavar="S", help="0 to 2^63 - 1; another seed, other events"
    )
    parser.add_argument("--first", type=_count, default=0, metavar="K", help="number of the first event (default: 0)")


def _count(text: str) -> int:
    return _integer(text, 2**31 - 2)


def _seed(text: str) -> int:
    return _integer(text, 2**63 - 1)


def _integer(text: str, largest: int) -> int:
    value = int(text)
    if not 0 <= value <= largest:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {largest}")
    return value


def run(options: argparse.Namespace) -> int:
    """Simulate; event i of the sample has the number i + 1."""
    from larmlreco.errors import ConfigurationError
    from larmlreco.framework import fhicl
    from larmlreco.framework.provenance import Provenance
    from larmlreco.io.layout import Process
    from larmlreco.io.root_writer import RootWriter, check_output_path
    from larmlreco.progress import Progress
    from larmlreco.simulation.event import PROCESS
    from larmlreco.simulation.job import make_simulation
    from larmlreco.version import __version__

    table = fhicl.load(options.config)
    values = table.to_python()
    if "simulation" not in values:
        raise ConfigurationError(f"{options.config} has no table 'simulation'; it has {', '.join(values) or 'nothing'}")
    run, make = make_simulation(values["simulation"], "larmlreco simulate", table.origin)
    check_output_path(options.output)
    # The seed belongs to what made the file, and is no part of the job's table.
    made = Provenance(PROCESS, f"seed: {options.seed}\n{table.dumps()}")
    process = Process(PROCESS, __version__, made.configuration, made.configuration_sha256, made.versions)
    events = range(options.first, options.first + options.events)
    with make() as simulation:
        simulation.check(events)
        with RootWriter(options.output, process, undated=True) as writer:
            progress = Progress(len(events), "events")
            for done, number in enumerate(events, 1):
                writer.write((run, _SUBRUN, number + 1), simulation.event(options.seed, number).products())
                progress.update(done)
    print(f"{options.output}: {options.events} events")
    return 0
