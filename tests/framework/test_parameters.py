"""Typed parameters: defaults, conversion, and the text of every complaint."""

import math
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework import ParameterSet, parameter
from larmlreco.products import InputTag


class Colour(Enum):
    RED = 1
    BLUE = 2


class Cut(ParameterSet):
    low: float = parameter(0, doc="lower bound", unit="cm")
    high: float = parameter(doc="upper bound", unit="cm")


class Everything(ParameterSet):
    flag: bool = parameter(False, doc="a flag")
    count: int = parameter(6, doc="a count", minimum=1, maximum=10)
    ratio: float = parameter(0.5, doc="a ratio", minimum=0)
    phase: complex = parameter(1j, doc="a phase")
    name: str = parameter("x", doc="a name", choices=["x", "yellow", "z"])
    path: Path = parameter("a/b", doc="a path")
    tag: InputTag = parameter("gaushit::Reco1", doc="a tag")
    optional_tag: InputTag | None = parameter(None, doc="an optional tag")
    colour: Colour = parameter("RED", doc="a colour")
    mode: Literal["fast", "slow"] = parameter("fast", doc="a mode")
    numbers: list[float] = parameter([1, 2], doc="numbers", minimum=0)
    box: tuple[float, float, float] = parameter([0, 0, 1], doc="a box")
    tags: tuple[InputTag, ...] = parameter([], doc="tags")
    weights: dict[str, float] = parameter({}, doc="weights")
    cuts: list[Cut] = parameter([], doc="cuts")
    cut: Cut = parameter({"high": 2}, doc="a cut")
    either: int | str = parameter("auto", doc="a number or a word")
    free: Any = parameter({"a": 1}, doc="anything")
    even: int = parameter(2, doc="an even number", check=lambda v: None if v % 2 == 0 else "an even number")


def parse(values: dict[str, Any]) -> Everything:
    origin = {"physics.producers.p.count": "job.fcl:7", "physics.producers.p.cout": "job.fcl:8"}.get
    return Everything.parse(values, "physics.producers.p", "p (Maker)", origin)


def test_defaults_are_converted() -> None:
    values = parse({})
    assert values.tag == InputTag("gaushit", "", "Reco1")
    assert values.colour is Colour.RED
    assert values.path == Path("a/b")
    assert values.numbers == [1.0, 2.0]
    assert all(isinstance(v, float) for v in values.numbers)
    assert values.box == (0.0, 0.0, 1.0)
    assert (values.cut.low, values.cut.high) == (0.0, 2.0)
    assert values.optional_tag is None
    assert values == Everything()


def test_given_values_are_converted() -> None:
    values = parse(
        {
            "flag": True,
            "count": 3.0,
            "ratio": 2,
            "phase": 3,
            "optional_tag": "a:b",
            "tags": ["a", "b:c:D"],
            "weights": {"u": 1},
            "cuts": [{"high": 3}],
            "either": 4,
            "mode": "slow",
        }
    )
    assert values.flag is True
    assert values.count == 3
    assert isinstance(values.count, int)
    assert values.phase == 3 + 0j
    assert values.optional_tag == InputTag("a", "b")
    assert values.tags == (InputTag("a"), InputTag("b", "c", "D"))
    assert values.weights == {"u": 1.0}
    assert values.cuts == [Cut(high=3)]
    assert values.either == 4
    assert parse({"ratio": math.inf}).ratio == math.inf


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"cout": 3},
            "physics.producers.p.cout (job.fcl:8): p (Maker) has no parameter 'cout'; did you mean 'count'? valid: ",
        ),
        ({"count": "3"}, 'physics.producers.p.count (job.fcl:7): p (Maker) expects an integer, got "3"'),
        ({"count": 11}, "expects an integer 1 to 10, got 11"),
        ({"count": 2.5}, "expects an integer, got 2.5"),
        ({"count": True}, "expects an integer, got true"),
        ({"count": None}, "expects an integer, got @nil"),
        ({"ratio": -1}, "physics.producers.p.ratio: p (Maker) expects a number at least 0, got -1"),
        ({"ratio": math.nan}, "expects a number at least 0, got nan"),
        ({"flag": 1}, "expects true or false, got 1"),
        ({"name": "yelow"}, "p (Maker) does not know \"yelow\"; did you mean 'yellow'? valid: x, yellow, z"),
        ({"tag": "a b"}, 'expects an input tag label[:instance[:process]], got "a b"'),
        ({"colour": "GREEN"}, 'expects one of "RED", "BLUE", got "GREEN"'),
        ({"mode": "medium"}, 'expects one of "fast", "slow", got "medium"'),
        ({"numbers": 3}, "expects a sequence of numbers, got 3"),
        ({"numbers": [1, "a"]}, 'physics.producers.p.numbers[1]: p (Maker) expects a number, got "a"'),
        ({"numbers": [1, -2]}, "physics.producers.p.numbers[1]: p (Maker) expects a number at least 0, got -2"),
        ({"box": [1, 2]}, "expects 3 values [a number, a number, a number], got [1, 2]"),
        ({"weights": {"u": "a"}}, 'physics.producers.p.weights.u: p (Maker) expects a number, got "a"'),
        ({"weights": 1}, "expects a table of numbers, got 1"),
        ({"cut": {"low": 1}}, "physics.producers.p.cut: p (Maker) needs the parameter 'high' (a number, in cm): upper"),
        (
            {"cut": {"high": 1, "lo": 2}},
            "physics.producers.p.cut.lo: p (Maker) has no parameter 'lo'; did you mean 'low'?",
        ),
        ({"cut": 3}, "expects a table, got 3"),
        ({"cuts": [{"high": "a"}]}, "physics.producers.p.cuts[0].high: p (Maker) expects a number"),
        ({"either": [1]}, "expects an integer or text, got [1]"),
        ({"even": 3}, "expects an even number, got 3"),
    ],
)
def test_complaints(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(values)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_status == 3


def test_parameters_of_a_base_class_come_first_and_can_be_declared_again() -> None:
    class Base(ParameterSet):
        first: int = parameter(1, doc="first")
        second: int = parameter(2, doc="second")

    class Derived(Base):
        second: int = parameter(3, doc="second, otherwise")
        third: int = parameter(4, doc="third")

    assert list(Derived.declared()) == ["first", "second", "third"]
    assert Derived().second == 3


def test_parameters_cannot_be_changed() -> None:
    values = Everything()
    with pytest.raises(AttributeError, match="parameters cannot be changed: count"):
        values.count = 4
