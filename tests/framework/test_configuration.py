"""A job taken apart: what is refused before any module is made, and in which words."""

from typing import Any

import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework.configuration import Step, parse_job

PHYSICS: dict[str, Any] = {
    "producers": {"make": {"module_type": "Maker", "n": 3}, "more": {"module_type": "Maker"}},
    "filters": {"cut": {"module_type": "Cut"}},
    "analyzers": {"look": {"module_type": "Look"}},
}
OUTPUTS = {"out": {"module_type": "RootOutput", "fileName": "x.root"}}


def parse(physics: dict[str, Any] | None = None, **more: Any) -> Any:
    values = {"process_name": "Reco", "physics": PHYSICS | (physics or {}), "outputs": OUTPUTS} | more
    return parse_job(values, {"physics.p": "job.fcl:9", "physics.producers.make": "job.fcl:3"}.get)


def test_paths_sort_themselves() -> None:
    job = parse({"p": ["make", "!cut", "more"], "q": ["-cut"], "e": ["look"], "f": ["out", "look"]})
    assert job.paths == {"p": [Step("make"), Step("cut", "!"), Step("more")], "q": [Step("cut", "-")]}
    assert job.end == ["look", "out"]
    assert list(job.modules) == ["make", "cut", "more", "look", "out"]
    assert job.modules["make"].values == {"n": 3}
    assert job.modules["make"].key == "physics.producers.make"
    assert job.unused == []


def test_trigger_paths_and_end_paths_choose_and_order() -> None:
    paths = {"p": ["make"], "q": ["more"], "r": ["cut"], "e": ["look"], "f": ["out"]}
    job = parse(paths | {"trigger_paths": ["q", "p"], "end_paths": ["f"]})
    assert list(job.paths) == ["q", "p"]
    assert job.end == ["out"]
    assert job.unused == ["cut", "look"]
    assert job.ignored_paths == ["r", "e"]


def test_a_job_without_paths_and_source() -> None:
    job = parse_job({"process_name": "P"})
    assert (job.paths, job.end, job.source.module_type) == ({}, [], "EmptyEvent")
    assert parse({"p": [], "trigger_paths": ["p"]}).paths == {"p": []}


@pytest.mark.parametrize(
    ("physics", "more", "text"),
    [
        (
            {},
            {"phyics": {}},
            "phyics: unknown in a job; did you mean 'physics'? valid: outputs, physics, ",
        ),
        ({}, {"process_name": "a_b"}, "process_name: 'a_b' is not a process name; expected letters and digits"),
        ({}, {"process_name": 3}, "process_name: 3 is not a process name"),
        ({}, {"process_name": None}, "the job has no process_name; expected letters and digits, for example"),
        ({}, {"source": {"fileNames": []}}, "source: needs module_type, the name of a class as text"),
        ({}, {"source": 3}, "source: expected a table, got 3"),
        ({}, {"services": {"message": 3}}, "services.message: expected a table, got 3"),
        (
            {"p": ["mak"]},
            {},
            "physics.p (job.fcl:9): no module 'mak'; did you mean 'make'? valid: cut, look, make, more, out",
        ),
        (
            {"p": ["make", "look"]},
            {},
            "physics.p (job.fcl:9): mixes modules that put products (make) with modules",
        ),
        (
            {"p": ["!make"]},
            {},
            "physics.p (job.fcl:9): '!make' has '!' but is of the kind producer; only filters have",
        ),
        ({"e": ["-out"]}, {}, "physics.e: '-out' has '-' but is of the kind output"),
        ({"p": ["cut", "!cut"]}, {}, "physics.p (job.fcl:9): names the module 'cut' twice"),
        (
            {"p": "make"},
            {},
            "physics.p (job.fcl:9): expected a path, a sequence of module labels; beside paths, ",
        ),
        (
            {"prodcers": {}},
            {},
            "physics.prodcers: expected a path, a sequence of module labels; beside paths, did",
        ),
        ({"p": ["make"], "trigger_paths": ["q"]}, {}, "physics.trigger_paths: no path 'q'; valid: p"),
        ({"e": ["look"], "trigger_paths": ["e"]}, {}, "physics.trigger_paths: 'e' belongs into end_paths"),
        ({"p": ["make"], "end_paths": ["p"]}, {}, "physics.end_paths: 'p' belongs into trigger_paths"),
        (
            {"producers": {"a_b": {"module_type": "Maker"}}},
            {},
            "physics.producers.a_b: 'a_b' is not a module label; expected letters and digits, no underscore",
        ),
        (
            {"filters": {"make": {"module_type": "Cut"}}},
            {},
            "physics.filters.make: the label 'make' is taken by physics.producers.make; labels are unique in a job",
        ),
        (
            {"producers": {"make": {"module_typ": "Maker"}}},
            {},
            "physics.producers.make (job.fcl:3): needs module_type, the name of a class as text; did you",
        ),
        ({"producers": {"make": 3}}, {}, "physics.producers.make (job.fcl:3): expected a table, got 3"),
        ({"producers": {"source": {"module_type": "M"}}}, {}, "the label 'source' has a meaning of its own"),
    ],
)
def test_refusals(physics: dict[str, Any], more: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(physics, **more)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
