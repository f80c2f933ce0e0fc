"""Run a job whose analysers compare its products with truth, and print their figures.

The options and the exit status are those of larmlreco run; --json prints the figures of every evaluator, by label, as
one JSON object on standard output instead of tables.
"""

import argparse
import json
import math
from typing import Any

from larmlreco.cli import run as run_verb
from larmlreco.errors import ConfigurationError
from larmlreco.framework import fhicl
from larmlreco.framework.evaluation import Evaluator

EXAMPLE = "larmlreco evaluate -c evaluate_segmentation_uboone.fcl -s simulated.root"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    run_verb.add_arguments(parser)
    parser.add_argument("--truth", metavar="NPZ", help="truth beside the events, for the job's module TruthFromNpz")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the job and print what its evaluators found."""
    runner = run_verb.make_runner(args, lambda table: _use_truth(table, args))
    report = runner.run()
    evaluators = {label: m for label, m in runner.assembly.modules.items() if isinstance(m, Evaluator)}
    if not evaluators:
        raise ConfigurationError(
            f"{args.config} has no evaluator among its analyzers, so there is nothing to print; "
            "for example SegmentationEvaluator"
        )
    if args.json:
        print(json.dumps(_plain({label: evaluator.results() for label, evaluator in evaluators.items()}), indent=2))
    else:
        for label, evaluator in evaluators.items():
            print(f"== {label} ({type(evaluator).__name__})\n{evaluator.table()}")
    run_verb.tell(report)
    return report.exit_status


def _use_truth(table: fhicl.Table, args: argparse.Namespace) -> None:
    if args.truth is None:
        return
    producers = table.get("physics", {}).get("producers", {})
    labels = [label for label, values in producers.items() if values.get("module_type") == "TruthFromNpz"]
    if not labels:
        raise ConfigurationError(f"--truth {args.truth}: {args.config} has no producer with module_type TruthFromNpz")
    for label in labels:
        table.put(f"physics.producers.{label}.file", args.truth, "command line: --truth")


def _plain(value: Any) -> Any:
    """JSON has no NaN: a figure that is not known is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
