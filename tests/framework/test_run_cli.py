"""``larmlreco run`` and ``describe`` from the command line, with files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uproot

from larmlreco import modules
from larmlreco.cli.main import main
from larmlreco.io import open_file

MODULE = '''
"""A module of the test."""
import time
import numpy as np
from larmlreco.errors import InputError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.products import ChannelStatus, InputTag


class Numbers(Producer):
    """Put the number of the event.

    It fails where it is told to.
    """

    class Inner(ParameterSet):
        depth: float = parameter(2.5, doc="how deep", unit="cm", minimum=0)

    class Parameters(ParameterSet):
        fail_at: list[int] = parameter([], doc="numbers of events to fail in")
        crash: bool = parameter(False, doc="whether a failure is a fault of the program")
        wait: float = parameter(0, doc="time to spend", unit="s")
        before: InputTag | None = parameter(None, doc="what to read")
        inner: "Numbers.Inner" = parameter({}, doc="a table")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        if config.before is not None:
            self.consumes(ChannelStatus, config.before, optional=True)
        self.produces(ChannelStatus, "number")

    def begin_job(self) -> None:
        self.log.info("threads %d, device %s", self.context.threads, self.context.device)

    def produce(self, event: Event) -> None:
        time.sleep(self._config.wait)
        if event.id.event in self._config.fail_at:
            raise RuntimeError("boom") if self._config.crash else InputError("bad event")
        event.put(ChannelStatus(channel=np.array([event.id.event]), status=np.array([4])), "number")
'''

PLOT = '''
"""A module of the test."""
from larmlreco.framework import Analyzer, Event, ModuleContext, ParameterSet
from larmlreco.products import ChannelStatus


class PlotNumbers(Analyzer):
    """Histogram of the numbers."""

    def __init__(self, config: ParameterSet, context: ModuleContext) -> None:
        self.consumes(ChannelStatus, "numbers:number")
        self._histogram = context.histograms.histogram1d("n", "numbers", 10, 0, 10)
        self._table = context.histograms.table("rows", {"n": "i4"})

    def analyze(self, event: Event) -> None:
        n = event.get(ChannelStatus, "numbers:number").channel
        self._histogram.fill(n)
        self._table.fill(n=n)
'''

JOB = """
process_name: Made
source: { module_type: EmptyEvent maxEvents: 5 firstSubRun: 1 }
physics: {
  producers: { numbers: { module_type: Numbers } }
  p: [ numbers ]
  e: [ out ]
}
outputs: { out: { module_type: RootOutput fileName: "made.root" } }
"""

COPY = """
process_name: Copy
source: { module_type: RootInput fileNames: [ "made.root" ] }
physics: { e: [ out ] }
outputs: { out: { module_type: RootOutput fileName: "copy.root" } }
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "Numbers_module.py").write_text(MODULE)
    (plugins / "PlotNumbers_module.py").write_text(PLOT)
    (tmp_path / "job.fcl").write_text(JOB)
    (tmp_path / "copy.fcl").write_text(COPY)
    monkeypatch.setenv("LARMLRECO_PLUGIN_PATH", str(plugins))
    monkeypatch.delenv("FHICL_FILE_PATH", raising=False)
    monkeypatch.chdir(tmp_path)


def write_job(name: str, *more: str) -> None:
    Path(name).write_text(JOB + "\n".join(more) + "\n")


def numbers(path: str) -> list[int]:
    reader = open_file(path)
    try:
        return [event for _, _, event in reader.event_ids]
    finally:
        reader.close()


def test_a_job_writes_and_its_output_is_the_next_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-c", "job.fcl"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "events: 5 read, 5 processed, 5 passed, 0 skipped; 1 runs, 1 subruns"
    assert numbers("made.root") == [1, 2, 3, 4, 5]
    assert main(["run", "-c", "copy.fcl", "-o", "again.root", "-n", "2", "--nskip", "1"]) == 0
    assert numbers("again.root") == [2, 3]
    assert not Path("copy.root").exists()
    reader = open_file("again.root")
    assert {key.branch for key in reader.keys()} == {  # noqa: SIM118
        "ChannelStatus_numbers_number_Made",
        "TriggerResults_TriggerResults__Made",
    }
    assert [record.name for record in reader.process_history] == ["Made", "Copy"]
    assert "maxEvents: 2" in reader.configurations["Copy"]
    reader.close()


def test_input_files_from_the_command_line() -> None:
    for first, name in ((1, "a.root"), (11, "b.root")):
        write_job("part.fcl", f"source.firstEvent: {first}", "source.maxEvents: 2")
        assert main(["run", "-c", "part.fcl", "-o", name]) == 0
    assert main(["run", "-c", "copy.fcl", "-s", "a.root", "-s", "b.root"]) == 0
    assert numbers("copy.root") == [1, 2, 11, 12]
    Path("list.txt").write_text("# both\nb.root\n\na.root  # the first\n")
    assert main(["run", "-c", "copy.fcl", "-S", "list.txt"]) == 0
    assert numbers("copy.root") == [11, 12, 1, 2]
    assert main(["run", "-c", "copy.fcl", "-S", "list.txt", "-e", "1:1:1"]) == 0
    assert numbers("copy.root") == [1, 2]
    assert main(["run", "-c", "copy.fcl", "-S", "list.txt", "--only", "1:1:2", "--only", "1:1:11"]) == 0
    assert numbers("copy.root") == [11, 2]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["-s", "nope.root"], 4, "nope.root"),
        (["-S", "nope.txt"], 4, "-S nope.txt: cannot read the list: No such file or directory"),
        (["-S", "empty.txt"], 4, "-S empty.txt: the list names no file; expected one name a line"),
        (["-S", "copy.root"], 4, "-S copy.root: cannot read the list"),
        (["-s", "garbage.root"], 4, "garbage.root"),
        (["-e", "1:1:9"], 4, "the event 1:1:9 to start with is not in made.root"),
        (["--only", "1:1:9"], 4, "no event 1:1:9 in made.root"),
        (["-o", "no/where.root"], 5, "no/where.root"),
        (["-o", "made.root"], 5, "made.root"),
        (
            ["--device", "gpu"],
            3,
            "services.scheduler.device (command line: --device): the service scheduler expects",
        ),
        (["-j", "no/report.json"], 5, "cannot write the job report no/report.json: No such file or directory"),
    ],
)
def test_what_cannot_be(arguments: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-c", "job.fcl"]) == 0
    Path("empty.txt").write_text("# nothing\n")
    Path("garbage.root").write_text("garbage")
    capsys.readouterr()
    assert main(["run", "-c", "copy.fcl", *arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("larmlreco run: ")]
    assert len(lines) == 1
    assert text in lines[0]
    if "-j" not in arguments:
        assert not Path("copy.root").exists()
    assert numbers("made.root") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: -c/--config"),
        (["-c", "job.fcl", "-e", "1:1"], "'1:1' is not an event id; expected RUN:SUBRUN:EVENT, for example 1:1:5"),
        (["-c", "job.fcl", "-n", "many"], "'many': expected an integer, at least -1"),
        (["-c", "job.fcl", "--threads", "0"], "'0': expected an integer, at least 1"),
    ],
)
def test_wrong_usage(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", *arguments])
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_errors_in_the_job_name_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_job("bad.fcl", "physics.producers.numbers.fial_at: [3]")
    assert main(["run", "-c", "bad.fcl"]) == 3
    assert capsys.readouterr().err == (
        "larmlreco run: physics.producers.numbers.fial_at (./bad.fcl:10): numbers (Numbers) has no parameter "
        "'fial_at'; did you mean 'fail_at'? valid: before, crash, fail_at, inner, wait\n"
    )
    assert main(["run", "-c", "job.fcl", "-s", "x.root"]) == 3
    assert "source.fileNames (command line: -s): EmptyEvent has no parameter 'fileNames'" in capsys.readouterr().err


def test_a_failing_event_ends_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    write_job("bad.fcl", "physics.producers.numbers.fail_at: [3]")
    assert main(["run", "-c", "bad.fcl"]) == 4
    err = capsys.readouterr().err
    assert "larmlreco run: numbers (Numbers) at event 1:1:3: bad event\n" in err
    assert "Traceback" not in err
    assert not Path("made.root").exists()
    reader = open_file("made.root.partial")
    assert not reader.complete
    assert [event for _, _, event in reader.event_ids] == [1, 2]
    reader.close()
    write_job("bad.fcl", "physics.producers.numbers.fail_at: [3]", "physics.producers.numbers.crash: true")
    assert main(["run", "-c", "bad.fcl", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "larmlreco run: numbers (Numbers) at event 1:1:3: RuntimeError: boom\n" in err
    assert "Traceback" in err


def test_skipped_events_are_listed_and_in_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    write_job("skip.fcl", "physics.producers.numbers.fail_at: [2, 4]", "services.scheduler.on_error: skip")
    assert main(["run", "-c", "skip.fcl", "-j", "report.json"]) == 6
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].startswith("events: 5 read, 3 processed, 3 passed, 2 skipped")
    assert captured.err.splitlines()[-1] == (
        "larmlreco run: 2 of 5 events failed and were skipped: 1:1:2 (numbers), 1:1:4 (numbers)"
    )
    assert numbers("made.root") == [1, 3, 5]
    report = json.loads(Path("report.json").read_text())
    assert report["exit_status"] == 6
    assert report["skipped_events"] == [
        {"event": "1:1:2", "module": "numbers"},
        {"event": "1:1:4", "module": "numbers"},
    ]
    assert report["outputs"][0] == {"path": "made.root", "label": "out", "events": 3, "complete": True}


def test_histograms_are_written_where_the_command_line_says() -> None:
    write_job(
        "plot.fcl",
        "physics.analyzers.plot: { module_type: PlotNumbers }",
        "physics.e: [ plot ]",
    )
    assert main(["run", "-c", "plot.fcl", "-T", "hist.root"]) == 0
    with uproot.open("hist.root") as file:
        assert file["plot/n"].values().tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0, 0]
        assert file["plot/rows"]["n"].array().tolist() == [1, 2, 3, 4, 5]
    assert main(["run", "-c", "plot.fcl"]) == 3


def test_options_reach_modules_and_the_provenance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-c", "job.fcl", "--threads", "3", "--device", "cuda:1", "-n", "1"]) == 0
    assert "INFO numbers: threads 3, device cuda:1" in capsys.readouterr().err
    reader = open_file("made.root")
    text = reader.configurations["Made"]
    reader.close()
    assert 'device: "cuda:1"' in text
    assert "num_threads: 3" in text
    assert "maxEvents: 1" in text


def test_the_job_report_tells_of_a_job_that_does_not_fit() -> None:
    write_job("bad.fcl", "physics.p: [ nothing ]")
    assert main(["run", "-c", "bad.fcl", "-j", "report.json", "-T", "hist.root"]) == 3
    report = json.loads(Path("report.json").read_text())
    assert report["exit_status"] == 3
    assert report["errors"] == [
        "physics.p (./bad.fcl:10): no module 'nothing'; valid: numbers, out",
    ]
    write_job("bad.fcl", "physics.producers.numbers.fial_at: [3]")
    assert main(["run", "-c", "bad.fcl", "-j", "report.json", "-T", "hist.root"]) == 3
    assert json.loads(Path("report.json").read_text())["events"]["read"] == 0
    assert main(["run", "-c", "absent.fcl", "-j", "report.json"]) != 0
    assert not list(Path().glob("*.partial"))


def test_a_report_that_cannot_be_written_does_not_hide_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    write_job("bad.fcl", "physics.producers.numbers.fail_at: [3]")
    assert main(["run", "-c", "bad.fcl", "-j", "no/report.json"]) == 4
    err = capsys.readouterr().err
    assert "larmlreco run: numbers (Numbers) at event 1:1:3: bad event\n" in err
    assert "ERROR job: cannot write the job report no/report.json: No such file or directory\n" in err


def test_which_output(capsys: pytest.CaptureFixture[str]) -> None:
    two = 'outputs.two: { module_type: RootOutput fileName: "two.root" SelectEvents: [ "!p" ] }'
    write_job("two.fcl", two, "physics.e: [ out, two ]")
    assert main(["run", "-c", "two.fcl", "-o", "x.root"]) == 3
    assert "-o x.root: the job has the outputs out, two; say which one: -o out:x.root" in capsys.readouterr().err
    assert main(["run", "-c", "two.fcl", "-o", "two:y.root"]) == 0
    assert numbers("made.root") == [1, 2, 3, 4, 5]
    assert numbers("y.root") == []


def test_a_job_without_outputs_gets_one() -> None:
    Path("none.fcl").write_text(
        "process_name: Made physics: { producers: { numbers: { module_type: Numbers } } p: [ numbers ] end_paths: [] }"
    )
    assert main(["run", "-c", "none.fcl", "-n", "3", "-o", "given.root"]) == 0
    assert numbers("given.root") == [1, 2, 3]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_leaves_a_partial_file(which: signal.Signals) -> None:
    write_job("slow.fcl", "physics.producers.numbers.wait: 0.05", "source.maxEvents: 1000")
    command = [sys.executable, "-m", "larmlreco", "run", "-c", "slow.fcl", "-j", "report.json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not Path("made.root.partial").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(which)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "made.root.partial is not complete" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("larmlreco run: interrupted after ")
    assert not Path("made.root").exists()
    report = json.loads(Path("report.json").read_text())
    assert (report["exit_status"], report["interrupted"]) == (130, True)
    assert numbers("made.root.partial") == list(range(1, report["events"]["read"] + 1))


def test_describe_lists_what_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    Path("plugins/Broken_module.py").write_text("import nothing_of_that_name")
    assert main(["describe"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["Numbers"].split()[1] == "producer"
    assert lines["Numbers"].endswith("Numbers_module.py        Put the number of the event.".strip()[-28:])
    assert lines["EmptyEvent"].split()[1] == "source"
    assert lines["RootOutput"].split()[1] == "output"
    assert "cannot be imported: ModuleNotFoundError" in lines["Broken"]


def test_describe_shows_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "Numbers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Numbers: producer, ")
    assert lines[2:5] == ["Put the number of the event.", "", "It fails where it is told to."]
    assert lines[6:] == [
        "parameters:",
        "  fail_at  (a sequence of integers, default [])",
        "      numbers of events to fail in",
        "  crash  (true or false, default false)",
        "      whether a failure is a fault of the program",
        "  wait  (a number, s, default 0)",
        "      time to spend",
        "  before  (an input tag or @nil, default @nil)",
        "      what to read",
        "  inner  (a table, default {})",
        "      a table",
        "  inner.depth  (a number, cm, at least 0, default 2.5)",
        "      how deep",
        "consumes: nothing, with the defaults",
        "produces, with the defaults:",
        "  ChannelStatus 'number'",
    ]
    assert main(["describe", "Numbers", "before: raw"]) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "consumes, with these parameters:",
        "  ChannelStatus 'raw' (optional)",
        "produces, with these parameters:",
        "  ChannelStatus 'number'",
    ]


def test_describe_shows_every_module_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(Path(modules.__file__).parent.glob("[A-Z]*_*.py"))
    for name in (path.stem.rsplit("_", 1)[0] for path in names):
        assert main(["describe", name]) == 0, capsys.readouterr().err
        assert "parameters:" in capsys.readouterr().out


def test_describe_shows_what_all_of_a_kind_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "PlotNumbers"]) == 0
    out = capsys.readouterr().out
    assert "  SelectEvents  (a sequence of texts, default [])" in out
    assert "  ChannelStatus 'numbers:number'" in out
    assert main(["describe", "EmptyEvent"]) == 0
    assert "  maxEvents  (an integer, at least -1, default 1)" in capsys.readouterr().out
    assert main(["describe", "RootOutput"]) == 0
    assert "  fileName  (text, required)" in capsys.readouterr().out
    assert main(["describe", "scheduler"]) == 0
    assert '  on_error  (one of "stop", "skip", default "stop")' in capsys.readouterr().out


def test_describe_shows_products_of_a_module_with_required_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "SparseImageMaker"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("consumes, for example with detector: microboone:")
    assert lines[start + 1] == "  Wires 'butcher'"
    assert lines[start + 2 : start + 4] == ["produces, for example with detector: microboone:", "  Pixels 'U'"]
    assert main(["describe", "TruthFromNpz"]) == 0
    shown = "consumes, produces: shown by larmlreco describe TruthFromNpz 'file: ...'"
    assert capsys.readouterr().out.splitlines()[-1] == shown


def test_describe_of_an_unknown_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "Nubmers"]) == 3
    assert capsys.readouterr().err.startswith(
        "larmlreco describe: no module type 'Nubmers'; did you mean 'Numbers'? valid:"
    )
