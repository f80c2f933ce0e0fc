"""What modules say of their products before the first event fits what others need."""

from typing import Any

import pytest
from job_modules import status

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.framework.testing import MemoryFile, memory_job
from larmlreco.products import ChannelStatus, InputTag


class Sized(Producer):
    """Says a size and a scheme of what it makes, and needs them of what it reads."""

    class Parameters(ParameterSet):
        reads: InputTag = parameter("raw", doc="what to read")
        size: float = parameter(0.3, doc="size of the product")
        needs: dict[str, Any] = parameter({}, doc="facts of what it reads")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._tag = self.consumes(ChannelStatus, config.reads, facts=config.needs)
        self.produces(ChannelStatus, facts={"pitch": config.size, "scheme": "ours"})

    def produce(self, event: Event) -> None:
        event.put(event.get(ChannelStatus, self._tag))


def run(needs: dict[str, Any], reads: str = "first") -> None:
    producers = {
        "first": {"module_type": "Sized", "size": 0.3 * (1 + 1e-7)},
        "second": {"module_type": "Sized", "reads": reads, "needs": needs},
    }
    file = MemoryFile({"1:1:1": {"raw": status(1)}})
    memory_job({"physics": {"producers": producers, "p": ["first", "second"]}}, [file], [Sized]).run()


@pytest.mark.parametrize("needs", [{}, {"pitch": 0.3}, {"scheme": "ours"}, {"pitch": 0.3, "unsaid": 7}])
def test_what_fits_or_is_not_said_runs(needs: dict[str, Any]) -> None:
    run(needs)


def test_a_product_of_the_input_says_nothing() -> None:
    run({"pitch": 0.5}, reads="raw")


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (
            {"pitch": 0.5},
            r"second .Sized. reads ChannelStatus 'first', which 'first' makes with pitch 0.3.*; it needs pitch",
        ),
        ({"scheme": "theirs"}, "which 'first' makes with scheme ours; it needs scheme theirs"),
    ],
)
def test_what_does_not_fit_is_named(needs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(needs)
