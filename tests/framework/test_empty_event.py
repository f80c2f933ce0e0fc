"""The source of empty events numbers them as art's does."""

from typing import Any

import pytest

from larmlreco.framework.testing import MemoryOutput, memory_job


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ({}, ["1:0:1"]),
        ({"maxEvents": 3, "firstRun": 7, "firstSubRun": 2, "firstEvent": 5}, ["7:2:5", "7:2:6", "7:2:7"]),
        ({"maxEvents": 4, "numberEventsInSubRun": 2}, ["1:0:1", "1:0:2", "1:1:1", "1:1:2"]),
        (
            {"maxEvents": 4, "numberEventsInSubRun": 2, "resetEventOnSubRun": False},
            ["1:0:1", "1:0:2", "1:1:3", "1:1:4"],
        ),
        (
            {"maxEvents": 4, "numberEventsInRun": 3, "numberEventsInSubRun": 2},
            ["1:0:1", "1:0:2", "1:1:1", "2:0:1"],
        ),
        ({"maxEvents": 2, "skipEvents": 1}, ["1:0:2", "1:0:3"]),
    ],
)
def test_numbers(source: dict[str, Any], ids: list[str]) -> None:
    values = {
        "source": {"module_type": "EmptyEvent"} | source,
        "physics": {"e": ["out"]},
        "outputs": {"out": {"module_type": "MemoryOutput", "fileName": "x"}},
    }
    runner = memory_job(values)
    runner.run()
    output = runner.assembly.modules["out"]
    assert isinstance(output, MemoryOutput)
    assert [str(id) for id in output.events] == ids
