"""Whole jobs on events in memory: paths, order, runs and subruns, failures, reports."""

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from job_modules import ALL, CALLS, Look, PotReader, pot, status

from larmlreco.errors import InputError, LarmlrecoError
from larmlreco.framework import Analyzer, Event, EventID, Producer
from larmlreco.framework.assembly import ModuleError
from larmlreco.framework.event import Level
from larmlreco.framework.job import JobRunner
from larmlreco.framework.loop import Selection
from larmlreco.framework.testing import MemoryFile, MemoryOutput, memory_job
from larmlreco.products import PathState, Product, ProductKey, TriggerResults

OUT = {"out": {"module_type": "MemoryOutput", "fileName": "out.root"}}
TRIGGER = ProductKey("TriggerResults", "TriggerResults", "", "TEST")


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLS.clear()
    Look.seen.clear()
    PotReader.total.clear()


def events(*ids: str, **kwargs: Any) -> MemoryFile:
    return MemoryFile({id: {"raw": status(EventID.parse(id).event)} for id in ids}, **kwargs)


def job(
    physics: dict[str, Any], files: list[MemoryFile], outputs: dict[str, Any] | None = None, **more: Any
) -> JobRunner:
    keywords = {k: more.pop(k) for k in ("selection", "report_path") if k in more}
    return memory_job({"physics": physics, "outputs": outputs or {}, **more}, files, ALL, **keywords)


def output(runner: JobRunner, label: str = "out") -> MemoryOutput:
    found = runner.assembly.modules[label]
    assert isinstance(found, MemoryOutput)
    return found


def states(runner: JobRunner, label: str = "out") -> dict[str, dict[str, PathState]]:
    found = {}
    for id, products in output(runner, label).events.items():
        results = products[TRIGGER]
        assert isinstance(results, TriggerResults)
        found[str(id)] = dict(results.states)
    return found


def test_a_job_reads_makes_and_writes() -> None:
    file = events("1:1:1", "1:1:2")
    physics = {
        "producers": {
            "first": {"module_type": "Maker", "reads": ["raw"]},
            "second": {"module_type": "Maker", "reads": ["first", "raw::INPUT"]},
        },
        "analyzers": {"look": {"module_type": "Look", "reads": ["second"]}},
        "p": ["first", "second"],
        "e": ["look", "out"],
    }
    runner = job(physics, [file], OUT)
    report = runner.run()
    assert report.exit_status == 0
    assert Look.seen == [("1:1:1", [4]), ("1:1:2", [6])]
    written = output(runner)
    assert written.calls == ["open", "input memory", "event 1:1:1", "event 1:1:2", "subrun 1:1", "run 1", "close"]
    branches = [key.branch for key in written.events[EventID(1, 1, 2)]]
    assert branches == [
        "ChannelStatus_raw__INPUT",
        "ChannelStatus_first__TEST",
        "ChannelStatus_second__TEST",
        "TriggerResults_TriggerResults__TEST",
    ]
    assert file.closed
    assert (report.read, report.processed, report.passed, report.runs, report.subruns) == (2, 2, 2, 1, 1)


def test_a_rejecting_filter_ends_its_path_and_only_that() -> None:
    physics = {
        "producers": {
            "early": {"module_type": "Maker"},
            "late": {"module_type": "Maker"},
            "other": {"module_type": "Maker"},
        },
        "filters": {"odd": {"module_type": "PickEvents", "events": [1, 3]}},
        "pa": ["early", "odd", "late"],
        "pb": ["early", "!odd", "other"],
        "pc": ["-odd", "other"],
        "e": ["out"],
    }
    runner = job(physics, [events("1:1:1", "1:1:2")], OUT)
    report = runner.run()
    event_calls = [call for call in CALLS if call.endswith(("1:1:1", "1:1:2"))]
    assert event_calls == [
        *("early 1:1:1", "odd 1:1:1", "late 1:1:1", "other 1:1:1"),
        *("early 1:1:2", "odd 1:1:2", "other 1:1:2"),
    ]
    passed, failed = PathState.PASS, PathState.FAIL
    assert states(runner) == {
        "1:1:1": {"pa": passed, "pb": failed, "pc": passed},
        "1:1:2": {"pa": failed, "pb": passed, "pc": passed},
    }
    indices = [products[TRIGGER].index.tolist() for products in output(runner).events.values()]  # type: ignore[attr-defined]
    assert indices == [[2, 1, 1], [1, 2, 1]]
    assert [(p.name, p.passed, p.rejected) for p in report.paths] == [("pa", 1, 1), ("pb", 1, 1), ("pc", 2, 0)]


def test_outputs_and_analysers_select_events_and_products() -> None:
    physics = {
        "producers": {"make": {"module_type": "Maker"}},
        "filters": {"odd": {"module_type": "PickEvents", "events": [1, 3]}},
        "analyzers": {"look": {"module_type": "Look", "reads": ["make"], "SelectEvents": ["p"]}},
        "p": ["odd", "make"],
        "e": ["look", "good", "bad"],
    }
    outputs = {
        "good": {
            "module_type": "MemoryOutput",
            "fileName": "a",
            "SelectEvents": ["p"],
            "outputCommands": ["keep *_make_*_*"],
        },
        "bad": {"module_type": "MemoryOutput", "fileName": "b", "SelectEvents": ["!p"], "outputCommands": ["drop *"]},
    }
    runner = job(physics, [events("1:1:1", "1:1:2", "1:1:3")], outputs)
    report = runner.run()
    assert [id for id, _ in Look.seen] == ["1:1:1", "1:1:3"]
    good, bad = output(runner, "good").events, output(runner, "bad").events
    assert [(str(id), [k.branch for k in kept]) for id, kept in good.items()] == [
        ("1:1:1", ["ChannelStatus_make__TEST"]),
        ("1:1:3", ["ChannelStatus_make__TEST"]),
    ]
    assert bad == {EventID(1, 1, 2): {}}
    assert [(f.label, f.events) for f in report.outputs] == [("good", 2), ("bad", 1)]
    assert report.passed == 2


def test_only_kept_products_are_read() -> None:
    file = MemoryFile({"1:1:1": {"a": status(1), "b": status(2)}})
    outputs = {"out": OUT["out"] | {"outputCommands": ["keep *_a_*_*"]}}
    job({"e": ["out"]}, [file], outputs).run()
    assert [key.label for key in file.reads] == ["a"]


def test_events_of_an_earlier_process_are_selected_by_its_trigger_results() -> None:
    def results(state: PathState) -> dict[str, Any]:
        return {
            "TriggerResults::Reco1": TriggerResults.from_columns({"state": [state], "index": [0]}, {"paths": ["q"]})
        }

    file = MemoryFile({"1:1:1": results(PathState.PASS), "1:1:2": results(PathState.FAIL)}, history=["Reco1"])
    outputs = {"out": OUT["out"] | {"SelectEvents": ["Reco1:q"]}}
    runner = job({"e": ["out"]}, [file], outputs)
    runner.run()
    assert [id.event for id in output(runner).events] == [1]
    with pytest.raises(LarmlrecoError) as caught:
        job({"e": ["out"]}, [events("1:1:1")], outputs).run()
    assert str(caught.value) == (
        "outputs.out.SelectEvents: memory has no TriggerResults 'TriggerResults::Reco1', so the paths of the process "
        "'Reco1' are not known"
    )


def test_runs_and_subruns_begin_and_end() -> None:
    physics = {"producers": {"m": {"module_type": "Maker"}}, "p": ["m"]}
    files = [
        events("1:1:1", "1:2:1", subruns={(1, 3): {}}, path="one"),
        events("1:2:2", "2:0:1", path="two"),
    ]
    report = job(physics, files).run()
    assert [call.removeprefix("m ") for call in CALLS] == [
        "begin job",
        *("begin run 1", "begin subrun 1:1", "1:1:1", "end subrun 1:1", "begin subrun 1:2", "1:2:1", "end subrun 1:2"),
        *("begin subrun 1:3", "end subrun 1:3", "end run 1"),
        *("begin run 1", "begin subrun 1:2", "1:2:2", "end subrun 1:2", "end run 1"),
        *("begin run 2", "begin subrun 2:0", "2:0:1", "end subrun 2:0", "end run 2", "end job"),
    ]
    assert (report.runs, report.subruns) == (3, 5)


def test_products_of_subruns_are_read_put_written_and_summed() -> None:
    file = events("1:1:1", "1:2:1", subruns={(1, 1): {"generator": pot(1e18)}, (1, 2): {"generator": pot(3e18)}})
    physics = {
        "producers": {"mine": {"module_type": "SubRunMaker"}},
        "analyzers": {"pot": {"module_type": "PotReader"}},
        "p": ["mine"],
        "e": ["pot", "out"],
    }
    runner = job(physics, [file], OUT)
    report = runner.run()
    assert PotReader.total == [1e18, 3e18]
    assert report.pot == {"generator::INPUT": 4e18}
    assert [key.branch for key in output(runner).subruns[1, 2]] == [
        "POTSummary_generator__INPUT",
        "POTSummary_mine__TEST",
    ]
    physics["producers"]["mine"]["put"] = False
    with pytest.raises(ModuleError, match=r"mine \(SubRunMaker\) at end of subrun 1:1: did not put POTSummary, which"):
        job(physics, [file], OUT).run()


def test_a_subrun_that_comes_back_is_written_once() -> None:
    file = events("1:1:1", "1:2:1", "1:1:2", subruns={(1, 1): {"generator": pot(1.0)}})
    runner = job({"e": ["out"]}, [file], OUT)
    report = runner.run()
    assert output(runner).calls.count("subrun 1:1") == 1
    assert report.pot == {"generator::INPUT": 1.0}
    assert report.subruns == 2


@pytest.mark.parametrize(
    ("source", "selection", "processed"),
    [
        ({}, Selection(), [1, 2, 3, 4, 5]),
        ({"maxEvents": 2}, Selection(), [1, 2]),
        ({"maxEvents": 0}, Selection(), []),
        ({"skipEvents": 2}, Selection(), [3, 4, 5]),
        ({"skipEvents": 3, "maxEvents": 1}, Selection(), [4]),
        ({"skipEvents": 9}, Selection(), []),
        ({}, Selection(first=EventID(1, 1, 3)), [3, 4, 5]),
        ({"skipEvents": 1, "maxEvents": 1}, Selection(first=EventID(1, 1, 3)), [4]),
        ({}, Selection(only=frozenset([EventID(1, 1, 4), EventID(1, 1, 2)])), [2, 4]),
        ({"maxEvents": 1}, Selection(only=frozenset([EventID(1, 1, 4), EventID(1, 1, 2)])), [2]),
    ],
)
def test_selection_of_input_events(source: dict[str, int], selection: Selection, processed: list[int]) -> None:
    files = [events("1:1:1", "1:1:2", path="one"), events("1:1:3", "1:1:4", "1:1:5", path="two")]
    source = {"module_type": "MemoryInput"} | source
    runner = job({"e": ["out"]}, files, OUT, selection=selection, source=source)
    assert runner.run().read == len(processed)
    assert [id.event for id in output(runner).events] == processed


def test_a_second_file_is_not_opened_when_no_more_events_are_wanted() -> None:
    files = [events("1:1:1", "1:1:2", path="one"), events("1:1:3", path="two")]
    report = job({"e": ["out"]}, files, OUT, source={"module_type": "MemoryInput", "maxEvents": 2}).run()
    assert [file.path for file in report.inputs] == ["one"]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection(first=EventID(1, 1, 9)), "the event 1:1:9 to start with is not in memory"),
        (Selection(only=frozenset([EventID(1, 1, 1), EventID(7, 1, 1)])), "no event 7:1:1 in memory"),
    ],
)
def test_events_that_are_not_there(selection: Selection, text: str) -> None:
    runner = job({"e": ["out"]}, [events("1:1:1")], OUT, selection=selection)
    with pytest.raises(InputError) as caught:
        runner.run()
    assert str(caught.value) == text
    assert output(runner).calls[-1] == "close incomplete"
    assert runner.report.exit_status == 4


MAKE = {"producers": {"bad": {"module_type": "Maker", "fail_at": ["1:1:2"]}}, "p": ["bad"], "e": ["out"]}


def test_a_failing_event_ends_the_job() -> None:
    runner = job(MAKE, [events("1:1:1", "1:1:2", "1:1:3")], OUT)
    with pytest.raises(ModuleError) as caught:
        runner.run()
    assert str(caught.value) == "bad (Maker) at event 1:1:2: bad basket\nof bad"
    assert caught.value.exit_status == runner.report.exit_status == 4
    assert output(runner).calls == ["open", "input memory", "event 1:1:1", "close incomplete"]
    assert runner.report.errors == [str(caught.value)]
    assert not runner.report.outputs[0].complete


def test_failing_events_can_be_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    physics = MAKE | {"analyzers": {"look": {"module_type": "Look", "reads": ["bad"], "fail_at": ["1:1:3"]}}}
    physics |= {"e": ["out", "look", "failed"]}
    outputs = OUT | {"failed": {"module_type": "MemoryOutput", "fileName": "f", "SelectEvents": ["exception@p"]}}
    files = [events("1:1:1", "1:1:2", "1:1:3", "1:1:4")]
    runner = job(physics, files, outputs, services={"scheduler": {"on_error": "skip"}})
    report = runner.run()
    assert report.exit_status == 6
    assert report.skipped == [("1:1:2", "bad"), ("1:1:3", "look")]
    assert (report.read, report.processed) == (4, 2)
    assert [id.event for id in output(runner).events] == [1, 4]
    assert [id.event for id in output(runner, "failed").events] == [2]
    assert states(runner, "failed") == {"1:1:2": {"p": PathState.EXCEPTION}}
    assert output(runner).calls[-1] == "close"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ERROR events (1:1:2): bad (Maker) at event 1:1:2: bad basket"
    assert lines[-1] == "ERROR events (1:1:3): look (Look) at event 1:1:3: RuntimeError: no ink; the event is skipped"


class Damaged(MemoryFile):
    """The product ``raw`` of the second event cannot be read."""

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        if (entry, level) == (1, "event"):
            raise InputError("input memory: ChannelStatus_raw__INPUT, entry 1 is damaged")
        return super().read(entry, key, level)


def test_events_that_outputs_cannot_read_are_skipped_in_all_of_them() -> None:
    """Found only when the events are to be written: nothing of such an event is in any output."""
    ids = ["1:1:1", "1:1:2", "1:1:3"]
    physics = {"producers": {"bad": {"module_type": "Maker", "fail_at": ["1:1:3"]}}, "p": ["bad"]}
    physics |= {"e": ["some", "out", "failed"]}
    outputs = OUT | {
        "some": {"module_type": "MemoryOutput", "fileName": "s", "outputCommands": ["keep *", "drop *_raw_*_*"]},
        "failed": {"module_type": "MemoryOutput", "fileName": "f", "SelectEvents": ["exception@p"]},
    }
    files = [Damaged({id: {"raw": status(1)} for id in ids})]
    runner = job(physics, files, outputs, services={"scheduler": {"on_error": "skip"}})
    report = runner.run()
    assert report.exit_status == 6
    assert report.skipped == [("1:1:2", "out"), ("1:1:3", "bad")]
    assert [id.event for id in output(runner).events] == [1]
    assert [id.event for id in output(runner, "some").events] == [1]
    assert [id.event for id in output(runner, "failed").events] == [3]


def test_a_failed_event_that_cannot_be_read_is_not_written_either(capsys: pytest.CaptureFixture[str]) -> None:
    physics = {"producers": {"bad": {"module_type": "Maker", "fail_at": ["1:1:2"]}}, "p": ["bad"], "e": ["failed"]}
    outputs = {"failed": {"module_type": "MemoryOutput", "fileName": "f", "SelectEvents": ["exception@p"]}}
    files = [Damaged({id: {"raw": status(1)} for id in ["1:1:1", "1:1:2", "1:1:3"]})]
    runner = job(physics, files, outputs, services={"scheduler": {"on_error": "skip"}})
    report = runner.run()
    assert report.skipped == [("1:1:2", "bad")]
    assert output(runner, "failed").events == {}
    assert capsys.readouterr().err.splitlines()[-1] == (
        "ERROR events (1:1:2): failed (MemoryOutput) at event 1:1:2: input memory: ChannelStatus_raw__INPUT, entry 1 "
        "is damaged; it is not written as a failed event either"
    )


def test_an_output_that_fails_is_never_skipped() -> None:
    class Full(MemoryOutput):
        def write(self, event: Event) -> None:
            raise LarmlrecoError("disk full")

    values = {"outputs": {"out": {"module_type": "Full", "fileName": "x"}}, "physics": {"e": ["out"]}}
    runner = memory_job(values | {"services": {"scheduler": {"on_error": "skip"}}}, [events("1:1:1")], [Full])
    with pytest.raises(ModuleError, match=r"out \(Full\) at event 1:1:1: disk full"):
        runner.run()


@pytest.mark.parametrize(
    ("does", "text"),
    [
        (
            "forget",
            "did not put ChannelStatus 'promised', which it declared; an event that has none gets an empty product",
        ),
        ("read", "reads ChannelStatus other of the event, which it did not declare; declared: nothing"),
        (
            "put",
            "puts ChannelStatus 'unheard' into the event, which it did not declare; declared: ChannelStatus 'promised'",
        ),
        ("crash", "ZeroDivisionError: division by zero"),
    ],
)
def test_modules_are_held_to_their_declarations(does: str, text: str) -> None:
    physics = {"producers": {"s": {"module_type": "Sloppy", "does": does}}, "p": ["s"]}
    with pytest.raises(ModuleError) as caught:
        job(physics, [events("1:1:1")]).run()
    assert str(caught.value) == f"s (Sloppy) at event 1:1:1: {text}"
    assert caught.value.exit_status == 1


def test_a_filter_must_decide() -> None:
    physics = {"filters": {"f": {"module_type": "Undecided"}}, "p": ["f"]}
    with pytest.raises(ModuleError) as caught:
        job(physics, [events("1:1:1")]).run()
    assert str(caught.value) == (
        "f (Undecided) at event 1:1:1: TypeError: filter() returned None; expected True or False"
    )


def test_a_product_that_a_filter_prevented_says_so() -> None:
    physics = {
        "producers": {"make": {"module_type": "Maker"}},
        "filters": {"none": {"module_type": "PickEvents", "events": []}},
        "analyzers": {"look": {"module_type": "Look", "reads": ["make"]}},
        "p": ["none", "make"],
        "e": ["look"],
    }
    with pytest.raises(ModuleError) as caught:
        job(physics, [events("1:1:1")]).run()
    assert str(caught.value) == (
        "look (Look) at event 1:1:1: no ChannelStatus 'make' in this event; ChannelStatus there: raw::INPUT "
        "(path 'p' was ended by none)"
    )


def test_optional_products_may_be_absent() -> None:
    physics = {
        "producers": {"make": {"module_type": "Maker", "optional": ["raw", "nowhere"]}},
        "analyzers": {"look": {"module_type": "Look", "reads": ["make"]}},
        "p": ["make"],
        "e": ["look"],
    }
    job(physics, [MemoryFile({"1:1:1": {"raw": status(5)}, "1:1:2": {}})]).run()
    assert Look.seen == [("1:1:1", [6]), ("1:1:2", [1])]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_event_and_leaves_the_output_partial(which: signal.Signals) -> None:
    class Interrupt(Analyzer):
        def analyze(self, event: Event) -> None:
            if event.id.event == 2:
                os.kill(os.getpid(), which)

    values = {
        "physics": {"analyzers": {"stop": {"module_type": "Interrupt"}}, "e": ["stop", "out"]},
        "outputs": OUT,
    }
    before = signal.getsignal(which)
    runner = memory_job(values, [events("1:1:1", "1:1:2", "1:1:3")], [Interrupt])
    report = runner.run()
    assert report.exit_status == 130
    assert report.interrupted
    assert output(runner).calls == ["open", "input memory", "event 1:1:1", "event 1:1:2", "close incomplete"]
    assert signal.getsignal(which) is before


def test_a_second_interrupt_stops_at_once() -> None:
    class Interrupt(Analyzer):
        def analyze(self, event: Event) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("went on")

    values = {
        "physics": {"analyzers": {"stop": {"module_type": "Interrupt"}}, "e": ["stop", "out"]},
        "outputs": OUT,
    }
    runner = memory_job(values, [events("1:1:1")], [Interrupt])
    assert runner.run().exit_status == 130
    assert output(runner).calls == ["open", "input memory", "close incomplete"]


def test_messages_carry_label_and_event(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Talk(Producer):
        def begin_job(self) -> None:
            self.log.info("hello")

        def produce(self, event: Event) -> None:
            self.log.debug("details")
            self.log.warning("look here")

    physics = {"producers": {"a": {"module_type": "Talk"}, "b": {"module_type": "Talk"}}, "p": ["a", "b"]}
    message = {"level": "WARNING", "labels": {"b": "debug"}}
    memory_job({"physics": physics, "services": {"message": message}}, [events("1:1:7")], [Talk]).run()
    assert capsys.readouterr().err.splitlines() == [
        "INFO b: hello",
        "WARNING a (1:1:7): look here",
        "DEBUG b (1:1:7): details",
        "WARNING b (1:1:7): look here",
    ]
    log = tmp_path / "job.log"
    memory_job({"physics": physics, "services": {"message": {"file": str(log)}}}, [events("1:1:7")], [Talk]).run()
    assert capsys.readouterr().err == ""
    assert "WARNING a (1:1:7): look here" in log.read_text()
    assert logging.getLogger("larmlreco").handlers == []


def test_the_report_is_written_also_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    runner = job(MAKE, [events("1:1:1", "1:1:2")], OUT, report_path=str(path))
    with pytest.raises(ModuleError):
        runner.run()
    report = json.loads(path.read_text())
    assert report["exit_status"] == 4
    assert report["events"] == {"read": 2, "processed": 1, "passed": 1, "skipped": 0}
    assert report["errors"] == ["bad (Maker) at event 1:1:2: bad basket\nof bad"]
    assert report["inputs"] == [{"path": "memory", "events": 2, "complete": True}]
    assert report["outputs"] == [{"path": "out.root", "label": "out", "events": 1, "complete": False}]
    modules = {m["label"]: m for m in report["modules"]}
    assert list(modules) == ["source", "bad", "out"]
    assert modules["bad"]["calls"] == 2
    assert modules["bad"]["module_type"] == "Maker"
    assert modules["bad"]["max_ms"] >= modules["bad"]["mean_ms"] > 0
    assert report["versions"]["larmlreco"]


def test_the_summary_shows_time_and_memory() -> None:
    runner = job(MAKE, [events("1:1:1")], OUT)
    runner.run()
    lines = runner.summary().splitlines()
    assert lines[0] == "events: 1 read, 1 processed, 1 passed, 0 skipped; 1 runs, 1 subruns"
    assert lines[1] == "path p: 1 passed, 0 rejected"
    assert lines[2] == "output out: 1 events in out.root"
    assert lines[4].split("  ")[0] == "module"
    assert lines[4].split() == [
        "module",
        "type",
        "calls",
        "mean",
        "ms",
        "max",
        "ms",
        "total",
        "s",
        "peak",
        "growth",
        "MB",
    ]
    assert [line.split()[:3] for line in lines[5:8]] == [
        ["source", "MemoryInput", "1"],
        ["bad", "Maker", "1"],
        ["out", "MemoryOutput", "1"],
    ]
    assert lines[8].startswith("wall ")
    services = {"TimeTracker": {"printSummary": False}, "MemoryTracker": {"printSummary": False}}
    quiet = job(MAKE, [events("1:1:1")], OUT, services=services)
    quiet.run()
    assert len(quiet.summary().splitlines()) == 3


def test_an_incomplete_input_is_read_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    report = job({"e": ["out"]}, [events("1:1:1", complete=False)], OUT).run()
    assert report.read == 1
    assert capsys.readouterr().err == "WARNING events: memory is marked incomplete: its writer did not finish\n"


def test_what_runs_nowhere_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    physics = {
        "producers": {"used": {"module_type": "Maker"}, "idle": {"module_type": "Maker"}},
        "p": ["used"],
        "q": ["idle"],
        "trigger_paths": ["p"],
    }
    job(physics, [events("1:1:1")]).run()
    assert capsys.readouterr().err.splitlines() == [
        "WARNING job: module 'idle' is on no path and does not run",
        "WARNING job: path 'q' is in neither trigger_paths nor end_paths and does not run",
    ]


def test_a_file_without_events_is_no_error() -> None:
    runner = job({"e": ["out"]}, [events(), events("1:1:1", path="two")], OUT)
    assert runner.run().read == 1
    assert output(runner).calls[:3] == ["open", "input memory", "input two"]


def test_a_source_without_input() -> None:
    with pytest.raises(InputError, match="the source has no input"):
        job({"e": ["out"]}, [], OUT).run()


def test_provenance_and_models_reach_output_and_report() -> None:
    class Net(Producer):
        def produce(self, event: Event) -> None:
            self.context.register_model("net", "ab" * 32)

    values = {"physics": {"producers": {"net": {"module_type": "Net"}}, "p": ["net"], "e": ["out"]}, "outputs": OUT}
    runner = memory_job(values, [events("1:1:1")], [Net])
    report = runner.run()
    provenance = output(runner).context.job.provenance
    assert report.models == provenance.models == {"net": "ab" * 32}
    assert len(provenance.configuration_sha256) == 64
    assert "torch" not in provenance.versions or isinstance(provenance.versions["torch"], str)
    assert [p.key.branch for p in runner.job.produced] == ["TriggerResults_TriggerResults__TEST"]


def test_memory_stays_flat_over_many_events() -> None:
    class Big(Producer):
        def __init__(self, config: Any, context: Any) -> None:
            from larmlreco.products import ChannelStatus

            self.produces(ChannelStatus)

        def produce(self, event: Event) -> None:
            event.put(status(*range(20000)))

    def run(n: int) -> float:
        from larmlreco.framework.meter import peak_rss_mb

        values = {
            "source": {"module_type": "EmptyEvent", "maxEvents": n},
            "physics": {"producers": {"big": {"module_type": "Big"}}, "p": ["big"]},
        }
        memory_job(values, [], [Big]).run()
        return peak_rss_mb()

    before = run(50)
    assert run(1000) - before < 20
