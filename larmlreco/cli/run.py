"""Run a FHiCL job over events.

Exit status: 0 done; 1 a module failed; 2 wrong usage; 3 the job, a parameter, a tag or an archive does not fit (before
the first event); 4 an input is missing or corrupt; 5 an output cannot be written; 6 done, but events failed and were
skipped (services.scheduler.on_error: skip); 130 interrupted. After a failure or an interrupt what was written lies in
OUT.partial.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework import EventID, fhicl
from larmlreco.framework.job import JobRunner
from larmlreco.framework.loop import Selection
from larmlreco.framework.report import EXIT_INTERRUPTED, JobReport

EXAMPLE = "larmlreco run -c run_images_uboone.fcl -s input.root -o images.root -n 10"

T = TypeVar("T")

_SKIPPED_SHOWN = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "-c", "--config", required=True, metavar="JOB.fcl", help="the job; a path, or on FHICL_FILE_PATH"
    )
    parser.add_argument("-s", "--source", action="append", default=[], metavar="IN", help="input file; may be repeated")
    parser.add_argument("-S", "--source-list", metavar="LIST", help="file with the names of input files, one a line")
    parser.add_argument("-o", "--output", action="append", default=[], metavar="[LABEL:]OUT", help="output file")
    parser.add_argument("-T", "--TFileName", metavar="HIST", help="histogram file (services.TFileService)")
    parser.add_argument("-n", "--nevts", type=_count(-1), metavar="N", help="events to process; -1: all")
    parser.add_argument("--nskip", type=_count(0), metavar="K", help="events to pass over first")
    parser.add_argument("-e", "--estart", type=_event_id, metavar="R:S:E", help="event to start with")
    parser.add_argument(
        "--only", type=_event_id, action="append", default=[], metavar="R:S:E", help="only this event; may be repeated"
    )
    parser.add_argument("--threads", type=_count(1), metavar="T", help="threads that a module may use in one event")
    parser.add_argument("--device", metavar="DEVICE", help="where networks run: cpu, cuda, cuda:N or auto")
    parser.add_argument("-j", "--job-report", metavar="JSON", help="write what the job did as JSON")


def _argument(text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _event_id(text: str) -> EventID:
    return _argument(text, EventID.parse)


def _count(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise ValueError(f"{text!r}: expected an integer, at least {least}")
        return int(text)

    return lambda text: _argument(text, read)


def run(args: argparse.Namespace) -> int:
    """Run the job."""
    runner = make_runner(args)
    report = runner.run()
    print(runner.summary())
    tell(report)
    return report.exit_status


def make_runner(args: argparse.Namespace, change: Callable[[fhicl.Table], None] = lambda table: None) -> JobRunner:
    """The job of the command line, ready to run; ``change`` may alter it first."""
    table = fhicl.load(args.config)
    override(table, args)
    change(table)

    def origin(key: str) -> str | None:
        try:
            return table.origin(key)
        except (KeyError, ConfigurationError):
            return None

    values = table.to_python()
    try:
        return JobRunner(
            values,
            table.dumps(),
            origin=origin,
            selection=Selection(args.estart, frozenset(args.only)),
            report_path=args.job_report,
            show_progress=True,
        )
    except ConfigurationError as error:
        if args.job_report:
            process = str(values.get("process_name", ""))
            JobReport(process, errors=[str(error)], exit_status=error.exit_status).write(args.job_report)
        raise


def tell(report: JobReport) -> None:
    """Say on stderr why the exit status is not 0."""
    if report.exit_status == EXIT_INTERRUPTED:
        left = ", ".join(f"{f.path}.partial" for f in report.outputs if not f.complete)
        text = f"interrupted after {report.read} events"
        print(f"larmlreco run: {text}" + (f"; {left} is not complete" if left else ""), file=sys.stderr)
    elif report.skipped:
        shown = [f"{event} ({label})" for event, label in report.skipped[:_SKIPPED_SHOWN]]
        if len(report.skipped) > len(shown):
            shown.append(f"and {len(report.skipped) - len(shown)} more, all in the job report (-j)")
        print(
            f"larmlreco run: {len(report.skipped)} of {report.read} events failed and were skipped: {', '.join(shown)}",
            file=sys.stderr,
        )


def override(table: fhicl.Table, args: argparse.Namespace) -> None:
    """Bring the options of the command line into the job."""
    files = [*args.source, *(_listed(args.source_list) if args.source_list else [])]
    if files:
        where = "command line: -s" if args.source else "command line: -S"
        if "source" not in table:
            table.put("source.module_type", "RootInput", where)
        table.put("source.fileNames", files, where)
    for value, key, option in (
        (args.nevts, "source.maxEvents", "-n"),
        (args.nskip, "source.skipEvents", "--nskip"),
        (args.threads, "services.scheduler.num_threads", "--threads"),
        (args.device, "services.scheduler.device", "--device"),
        (args.TFileName, "services.TFileService.fileName", "-T"),
    ):
        if value is None:
            continue
        if key.startswith("source.") and "source" not in table:
            table.put("source.module_type", "EmptyEvent", f"command line: {option}")
        table.put(key, value, f"command line: {option}")
    for output in args.output:
        _override_output(table, output)


def _override_output(table: fhicl.Table, option: str) -> None:
    where = "command line: -o"
    outputs = list(table["outputs"]) if "outputs" in table else []
    label, colon, path = option.partition(":")
    if not colon or label not in outputs:
        label, path = "", option
    if not label and len(outputs) > 1:
        raise ConfigurationError(
            f"-o {option}: the job has the outputs {', '.join(outputs)}; say which one: -o {outputs[0]}:{option}"
        )
    if not outputs:
        _add_output(table, path, where)
        return
    table.put(f"outputs.{label or outputs[0]}.fileName", path, where)


def _add_output(table: fhicl.Table, path: str, where: str) -> None:
    """Give a job without outputs one, as art does: ``out1`` on an end path of its own."""
    physics = table.get("physics", {})
    taken = [n for n, v in physics.items() if isinstance(v, dict) and "out1" in v] + [
        n for n in physics if n == "outpath1"
    ]
    if taken:
        raise ConfigurationError(
            f"-o {path}: the job has no outputs, and one cannot be added because physics.{taken[0]} has that name"
        )
    table.put("outputs.out1", {"module_type": "RootOutput", "fileName": path}, where)
    table.put("physics.outpath1", ["out1"], where)
    if "end_paths" in physics:
        table.put("physics.end_paths", [*physics["end_paths"], "outpath1"], where)


def _listed(path: str) -> list[str]:
    """Names in a list of files; empty lines and what follows ``#`` do not count."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"-S {path}: cannot read the list: {reason}") from error
    names = [line.partition("#")[0].strip() for line in lines]
    names = [name for name in names if name]
    if not names:
        raise InputError(f"-S {path}: the list names no file; expected one name a line")
    return names
