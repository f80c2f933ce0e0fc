"""What the modules of a job read is checked before the first event."""

from typing import Any

import pytest
from job_modules import ALL, CALLS, pot, status

from larmlreco.errors import ConfigurationError, LarmlrecoError
from larmlreco.framework.testing import MemoryFile, memory_job
from larmlreco.products import TriggerResults


def maker(*reads: str, **more: Any) -> dict[str, Any]:
    return {"module_type": "Maker", "reads": list(reads)} | more


def refused(physics: dict[str, Any], *files: MemoryFile, **more: Any) -> str:
    CALLS.clear()
    inputs = files or (MemoryFile({"1:1:1": {"raw": status(1), "raw:x:Reco1": status(2)}}, history=["Reco1", "INPUT"]),)
    origin = {"physics.producers.a.reads[0]": "job.fcl:5", "process_name": "job.fcl:1"}.get
    with pytest.raises(LarmlrecoError) as caught:
        memory_job({"physics": physics} | more, inputs, ALL, origin=origin).run()
    assert not [call for call in CALLS if "1:1:1" in call]
    assert caught.value.exit_status == 3
    assert all(file.closed for file in inputs[:1])
    return str(caught.value)


def test_no_such_product() -> None:
    assert refused({"producers": {"a": maker("rwa")}, "p": ["a"]}) == (
        "physics.producers.a.reads[0] (job.fcl:5): a (Maker) reads ChannelStatus 'rwa', which neither memory nor a "
        "module before it has; did you mean 'raw'? valid: raw, raw:x"
    )
    assert refused({"producers": {"a": maker("raw::Reco2")}, "p": ["a"]}).endswith(
        "before it has; did you mean 'raw:x:Reco1'? valid: raw::INPUT, raw:x:Reco1"
    )
    file = MemoryFile({"1:1:1": {"pot": pot(1.0)}})
    assert refused({"producers": {"a": maker("raw")}, "p": ["a"]}, file).endswith(
        "which neither memory nor a module before it has; no ChannelStatus there, but POTSummary pot::INPUT"
    )
    assert refused({"producers": {"a": maker("raw")}, "p": ["a"]}, MemoryFile({"1:1:1": {}})).endswith(
        "no ChannelStatus there, but no product at all"
    )


def test_products_of_modules_before_are_offered() -> None:
    physics = {"producers": {"a": maker("fist"), "first": maker()}, "p": ["first", "a"]}
    assert refused(physics).endswith("did you mean 'first'? valid: first, raw, raw:x")


def test_a_product_that_comes_later() -> None:
    assert refused({"producers": {"a": maker("b"), "b": maker()}, "p": ["a", "b"]}) == (
        "physics.producers.a.reads[0] (job.fcl:5): a (Maker) reads ChannelStatus 'b', which 'b' makes later on "
        "path 'p'; put 'b' before 'a'"
    )


def test_optional_products_that_come_later_are_refused_too() -> None:
    physics = {"producers": {"a": maker(optional=["b"]), "b": maker()}, "p": ["a", "b"]}
    assert "which 'b' makes later on path 'p'; put 'b' before 'a'" in refused(physics)


def test_a_circle() -> None:
    physics = {"producers": {"a": maker("c"), "b": maker("a"), "c": maker("b")}, "p": ["a", "b", "c"]}
    assert refused(physics).endswith("but the modules read from one another in a circle: c <- b <- a")
    assert refused({"producers": {"a": maker("a")}, "p": ["a"]}).endswith("ChannelStatus 'a', which it makes itself")


def test_a_product_of_another_path() -> None:
    physics = {"producers": {"a": maker("b"), "b": maker()}, "p": ["b"], "q": ["a"]}
    assert refused(physics).endswith(
        "which 'b' makes on path 'p', not on path 'q'; put 'b' before 'a' on that path too"
    )


def test_a_product_that_the_label_does_not_make() -> None:
    physics = {"producers": {"a": maker("b:x"), "b": maker(instance="y")}, "p": ["b", "a"]}
    assert refused(physics).endswith("which 'b' does not make; it makes ChannelStatus b:y:TEST")


def test_a_product_of_a_module_on_no_path() -> None:
    assert refused({"producers": {"a": maker("b"), "b": maker()}, "p": ["a"]}).endswith(
        "but 'b' is on no path of the job"
    )


def test_a_product_that_cannot_be_decoded() -> None:
    file = MemoryFile({"1:1:1": {}}, undecodable={"recob::Thing_raw__Reco1.": "no streamer"})
    assert refused({"producers": {"a": maker("raw")}, "p": ["a"]}, file).endswith(
        "which memory holds as recob::Thing_raw__Reco1. but cannot be decoded: no streamer"
    )


def test_the_same_label_again_reads_the_earlier_process() -> None:
    file = MemoryFile({"1:1:1": {"a::Reco1": status(4)}}, history=["Reco1"])
    physics = {"producers": {"a": maker("a"), "b": maker("a")}, "p": ["a", "b"]}
    memory_job({"physics": physics}, [file], ALL).run()
    named = {"producers": {"a": maker("b::Reco1"), "b": maker()}, "p": ["a", "b"]}
    memory_job({"physics": named}, [MemoryFile({"1:1:1": {"b::Reco1": status(4)}}, history=["Reco1"])], ALL).run()


def test_end_paths_see_all_trigger_paths() -> None:
    physics = {
        "producers": {"a": maker(), "b": maker()},
        "analyzers": {"look": {"module_type": "Look", "reads": ["a", "b"]}},
        "p": ["a"],
        "q": ["b"],
        "e": ["look"],
    }
    memory_job({"physics": physics}, [MemoryFile({"1:1:1": {}})], ALL).run()


def test_products_of_subruns_are_apart() -> None:
    physics = {"analyzers": {"pot": {"module_type": "PotReader"}}, "e": ["pot"]}
    assert refused(physics, MemoryFile({"1:1:1": {"generator": pot(1.0)}})) == (
        "physics.analyzers.pot: pot (PotReader) reads POTSummary 'generator' of the subrun, which neither memory nor a "
        "module before it has; no POTSummary there, but no product at all"
    )


def test_later_inputs_are_checked_when_they_are_opened() -> None:
    files = [MemoryFile({"1:1:1": {"raw": status(1)}}, path="one"), MemoryFile({"1:1:2": {}}, path="two")]
    runner = memory_job({"physics": {"producers": {"a": maker("raw")}, "p": ["a"]}}, files, ALL)
    with pytest.raises(
        ConfigurationError, match=r"reads ChannelStatus 'raw', which neither two nor a module before it"
    ):
        runner.run()
    assert runner.report.read == 1
    assert all(file.closed for file in files)


def test_the_process_must_be_new() -> None:
    file = MemoryFile({"1:1:1": {}}, history=["Gen", "TEST"])
    assert refused({}, file) == (
        "process_name (job.fcl:1): 'TEST' is already in the history of memory (Gen, TEST); choose another"
    )


def test_trigger_results_can_be_read_on_end_paths() -> None:
    from larmlreco.framework import Analyzer, Event, ModuleContext, ParameterSet

    seen = []

    class Verdict(Analyzer):
        def __init__(self, config: ParameterSet, context: ModuleContext) -> None:
            self.consumes(TriggerResults, "TriggerResults")

        def analyze(self, event: Event) -> None:
            seen.append(dict(event.get(TriggerResults, "TriggerResults").states))

    physics = {"producers": {"a": maker()}, "analyzers": {"v": {"module_type": "Verdict"}}, "p": ["a"], "e": ["v"]}
    memory_job({"physics": physics}, [MemoryFile({"1:1:1": {}})], [*ALL, Verdict]).run()
    assert seen == [{"p": 1}]
    runner = memory_job({"physics": physics | {"p": []}}, [MemoryFile({"1:1:1": {}})], [*ALL, Verdict])
    with pytest.raises(
        ConfigurationError, match="reads TriggerResults 'TriggerResults', but the job has no trigger path"
    ):
        runner.run()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"physics": {"producers": {"a": {"module_type": "Makr"}}, "p": ["a"]}},
            "physics.producers.a: no module type 'Makr'; did you mean 'Maker'? valid: ",
        ),
        (
            {"physics": {"producers": {"a": {"module_type": "PickEvents", "events": []}}, "p": ["a"]}},
            "physics.producers.a: PickEvents is a filter, not a producer; it belongs into physics.filters",
        ),
        (
            {"physics": {"producers": {"a": maker(raeds=[])}, "p": ["a"]}},
            "physics.producers.a.raeds: a (Maker) has no parameter 'raeds'; did you mean 'reads'? valid: fail_at, ",
        ),
        (
            {"source": {"module_type": "MemryInput"}},
            "source: no source class 'MemryInput'; did you mean 'MemoryInput'? valid: ",
        ),
        (
            {"source": {"module_type": "MemoryInput", "maxEvents": "a"}},
            "source.maxEvents: MemoryInput expects an integer, ",
        ),
        ({"source": {"module_type": "MemoryInput", "n": 1}}, "source.n: MemoryInput has no parameter 'n'"),
        ({"services": {"Nothing": {}}}, "services.Nothing: no service class 'Nothing'; valid: "),
        (
            {"services": {"scheduler": {"on_eror": "skip"}}},
            "services.scheduler.on_eror: the service scheduler has no parameter 'on_eror'; did you mean 'on_error'?",
        ),
        (
            {"services": {"scheduler": {"device": "gpu"}}},
            'services.scheduler.device: the service scheduler expects cpu, cuda, cuda:N or auto, got "gpu"',
        ),
        (
            {"services": {"message": {"level": "loud"}}},
            'services.message.level: the service message expects one of debug, info, warning, error, got "loud"',
        ),
        (
            {"physics": {"analyzers": {"l": {"module_type": "Look", "SelectEvents": ["x"]}}, "e": ["l"]}},
            'physics.analyzers.l.SelectEvents: "x" names no trigger path; valid: none',
        ),
        (
            {"physics": {"analyzers": {"l": {"module_type": "Look", "SelectEvents": 3}}, "e": ["l"]}},
            "physics.analyzers.l.SelectEvents: l (Look) expects a sequence of texts, got 3",
        ),
        (
            {
                "physics": {"e": ["x", "y"]},
                "outputs": {
                    "x": {"module_type": "MemoryOutput", "fileName": "same"},
                    "y": {"module_type": "MemoryOutput", "fileName": "same"},
                },
            },
            "outputs.y.fileName: outputs.x writes 'same' too",
        ),
    ],
)
def test_modules_that_do_not_fit(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        memory_job(values, [MemoryFile({"1:1:1": {}})], ALL).run()
    assert text in str(caught.value)


def test_a_missing_service_names_the_module() -> None:
    from larmlreco.framework import Analyzer, Event, ModuleContext, ParameterSet

    class Plot(Analyzer):
        def __init__(self, config: ParameterSet, context: ModuleContext) -> None:
            context.histograms.histogram1d("n", "hits", 10, 0, 10)

        def analyze(self, event: Event) -> None:
            """Nothing."""

    physics = {"analyzers": {"plot": {"module_type": "Plot"}}, "e": ["plot"]}
    with pytest.raises(LarmlrecoError) as caught:
        memory_job({"physics": physics}, [MemoryFile({"1:1:1": {}})], [Plot]).run()
    assert caught.value.exit_status == 3
    assert str(caught.value) == (
        "plot (Plot) in physics.analyzers.plot: needs services.TFileService, which the job does not configure; "
        "valid: none"
    )


def test_a_constructor_that_fails_names_the_module() -> None:
    from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer

    class Broken(Producer):
        def __init__(self, config: ParameterSet, context: ModuleContext) -> None:
            raise KeyError("geometry")

        def produce(self, event: Event) -> None:
            """Nothing."""

    physics = {"producers": {"b": {"module_type": "Broken"}}, "p": ["b"]}
    with pytest.raises(LarmlrecoError, match=r"b \(Broken\) in physics.producers.b: KeyError: 'geometry'"):
        memory_job({"physics": physics}, [MemoryFile({"1:1:1": {}})], [Broken]).run()
