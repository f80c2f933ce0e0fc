"""Run a job whose analysers compare its products with truth, and print their figures.

The options and the exit status are those of larmlreco run; --json prints the figures of every evaluator, by label, as
one JSON object on standard output instead of tables. --save keeps the figures and pictures of events in a folder, from
which larmlreco evaluation-page makes tables and plots. --gains and --tiles repeat the job with charges scaled, and with
images cut into tiles.
"""

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from larmlreco.cli import run as run_verb
from larmlreco.errors import ConfigurationError
from larmlreco.framework import EventID, fhicl
from larmlreco.framework.evaluation import Evaluator
from larmlreco.framework.job import JobRunner

EXAMPLE = "larmlreco evaluate -c evaluate_segmentation_uboone.fcl -s simulated.root --save evaluation/mpv --sample MPV"

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    run_verb.add_arguments(parser)
    parser.add_argument("--truth", metavar="NPZ", help="truth beside the events, for the job's module TruthFromNpz")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep figures and event pictures in this folder")
    parser.add_argument("--sample", default="", metavar="NAME", help="what the events are, for the tables: MPV, 1e1p")
    parser.add_argument("--draw", type=int, default=2, metavar="N", help="with --save: worst events to draw (2)")
    parser.add_argument(
        "--gains", type=float, nargs="+", default=[], metavar="G", help="with --save: factors on the charge to try"
    )
    parser.add_argument(
        "--tiles", type=int, nargs="+", default=[], metavar="N", help="with --save: edges of tiles to try; 0: no tiles"
    )


def run(args: argparse.Namespace) -> int:
    """Run the job and print what its evaluators found."""
    if (args.gains or args.tiles) and args.save is None:
        raise ConfigurationError("--gains and --tiles keep their figures in a folder; say which: --save FOLDER")
    if min([1.0, *args.gains]) <= 0 or min([0, *args.tiles]) < 0:
        raise ConfigurationError("--gains must be above 0 and --tiles at least 0")
    runner = run_verb.make_runner(args, lambda table: _use_truth(table, args))
    report = runner.run()
    evaluators = _evaluators(runner)
    if not evaluators:
        raise ConfigurationError(
            f"{args.config} has no evaluator among its analyzers, so there is nothing to print; "
            "for example SegmentationEvaluator"
        )
    if args.json:
        from larmlreco.evaluation.record import plain

        print(json.dumps(plain(_results(runner)), indent=2))
    else:
        for label, evaluator in evaluators.items():
            print(f"== {label} ({type(evaluator).__name__})\n{evaluator.table()}")
    if args.save is not None and report.exit_status == 0:
        _save(args, runner)
    run_verb.tell(report)
    return report.exit_status


def _evaluators(runner: JobRunner) -> dict[str, Evaluator]:
    return {label: m for label, m in runner.assembly.modules.items() if isinstance(m, Evaluator)}


def _results(runner: JobRunner) -> dict[str, Any]:
    return {label: evaluator.results() for label, evaluator in _evaluators(runner).items()}


def _save(args: argparse.Namespace, runner: JobRunner) -> None:
    """The record of the job, its scans and its pictures."""
    from larmlreco.archive import read_archive
    from larmlreco.evaluation.record import Evaluation
    from larmlreco.resources import archive_path

    report = runner.report
    producers = runner.job.configuration["physics"].get("producers", {}).values()
    archives = [archive_path(values["archive"]) for values in producers if values.get("archive")]
    cards = {path.name: read_archive(path)[0].to_dict() for path in archives}
    scans = {}
    if args.gains:
        scans["gain"] = _scan(args, args.gains, _scale_charge)
    if args.tiles:
        scans["tile"] = _scan(args, args.tiles, _cut_into_tiles)
    Evaluation(
        sample=args.sample,
        config=Path(args.config).name,
        inputs=tuple(Path(file.path).name for file in report.inputs),
        events=report.processed,
        results=_results(runner),
        cards=cards,
        scans=scans,
        milliseconds={label: usage.mean_ms for label, usage in report.usage.items()},
        peak_rss_mb=report.peak_rss_mb,
        pictures=_pictures(args, runner),
    ).save(args.save)


def _pictures(args: argparse.Namespace, runner: JobRunner) -> list[Any]:
    """Worst and typical events of the first evaluator that ranks them, from a second run over these alone."""
    from larmlreco.evaluation.pictures import chosen_events, draw_events
    from larmlreco.evaluation.record import Picture

    ranked = {label: parts for label, e in _evaluators(runner).items() if (parts := e.wrong_parts())}
    if not ranked:
        return []
    label, wrong = next(iter(ranked.items()))
    truth = str(runner.job.configuration["physics"]["analyzers"][label].get("truth", "truth")).partition(":")[0]
    chosen = chosen_events(wrong, args.draw)
    pictures = [
        Picture(f"{kind}_{number}.png", event, wrong[event], kind)
        for kind, events in chosen.items()
        for number, event in enumerate(events, start=1)
    ]
    if not pictures:
        return []
    args.save.mkdir(parents=True, exist_ok=True)
    events_file = args.save / "drawn_events.root"
    again = copy.copy(args)
    again.only = [EventID.parse(picture.event) for picture in pictures]
    again.output, again.nevts, again.nskip, again.estart = [str(events_file)], None, None, None
    try:
        run_verb.make_runner(again, lambda table: _use_truth(table, args)).run()
        draw_events(events_file, {picture.event: args.save / picture.file for picture in pictures}, truth)
    finally:
        events_file.unlink(missing_ok=True)
    return pictures


def _scan(args: argparse.Namespace, values: Sequence[T], change: Callable[[fhicl.Table, T], None]) -> list[Any]:
    """Figures of the job repeated with every value, without outputs."""
    again = copy.copy(args)
    again.output, again.job_report = [], None
    found = []
    for value in values:

        def change_table(table: fhicl.Table, value: T = value) -> None:
            _use_truth(table, args)
            change(table, value)

        runner = run_verb.make_runner(again, change_table)
        runner.run()
        found.append({"value": value, "results": _results(runner)})
    return found


def _segmentations(table: fhicl.Table, option: str, *types: str) -> dict[str, Any]:
    producers = table.get("physics", {}).get("producers", {})
    found = {label: values for label, values in producers.items() if values.get("module_type") in types}
    if not found:
        raise ConfigurationError(f"{option}: the job has no producer with module_type {' or '.join(types)}")
    return found


def _scale_charge(table: fhicl.Table, gain: float) -> None:
    """A detector whose charges are larger by a factor: images cut at the same ADC are cut at less of our charge.

    Images of voxels come with the events, so that nothing is cut anew.
    """
    where = "command line: --gains"
    for label, values in _segmentations(table, "--gains", "SparseSegmentation", "VoxelSegmentation").items():
        if values["module_type"] == "VoxelSegmentation":
            table.put(f"physics.producers.{label}.energy_scale", gain * float(values.get("energy_scale", 1.0)), where)
            continue
        images = str(values.get("images", "images")).partition(":")[0]
        made = table["physics"]["producers"].get(images, {})
        table.put(f"physics.producers.{label}.charge_scale", gain * float(values.get("charge_scale", 1.0)), where)
        table.put(f"physics.producers.{images}.threshold", float(made.get("threshold", 10.0)) / gain, where)


def _cut_into_tiles(table: fhicl.Table, edge: int) -> None:
    for label in _segmentations(table, "--tiles", "SparseSegmentation", "VoxelSegmentation"):
        table.put(f"physics.producers.{label}.tile", edge, "command line: --tiles")


def _use_truth(table: fhicl.Table, args: argparse.Namespace) -> None:
    if args.truth is None:
        return
    producers = table.get("physics", {}).get("producers", {})
    labels = [label for label, values in producers.items() if values.get("module_type") == "TruthFromNpz"]
    if not labels:
        raise ConfigurationError(f"--truth {args.truth}: {args.config} has no producer with module_type TruthFromNpz")
    for label in labels:
        table.put(f"physics.producers.{label}.file", args.truth, "command line: --truth")
