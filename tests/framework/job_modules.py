"""Modules that the tests of the job runner put together."""

from typing import ClassVar

import numpy as np

from larmlreco.errors import InputError
from larmlreco.framework import (
    Analyzer,
    Event,
    Filter,
    ModuleContext,
    ParameterSet,
    Producer,
    Run,
    SubRun,
    parameter,
)
from larmlreco.products import ChannelStatus, InputTag, POTSummary


def status(*channels: int) -> ChannelStatus:
    return ChannelStatus.from_columns({"channel": channels, "status": np.ones(len(channels))})


class Common(ParameterSet):
    reads: list[InputTag] = parameter([], doc="products to read")
    optional: list[InputTag] = parameter([], doc="products to read where they are")
    instance: str = parameter("", doc="instance of what it puts")
    fail_at: list[str] = parameter([], doc="events to fail in")


CALLS: list[str] = []
"""Calls of all modules, in order; a test clears it."""


class Maker(Producer):
    """Put the sum of the channels read, and one."""

    Parameters = Common

    def __init__(self, config: Common, context: ModuleContext) -> None:
        self._config = config
        self._label = context.label
        for tag in config.reads:
            self.consumes(ChannelStatus, tag)
        for tag in config.optional:
            self.consumes(ChannelStatus, tag, optional=True)
        self.produces(ChannelStatus, config.instance)

    def produce(self, event: Event) -> None:
        CALLS.append(f"{self._label} {event.id}")
        if str(event.id) in self._config.fail_at:
            raise InputError(f"bad basket\nof {self._label}\nand more")
        total = 1 + sum(int(event.get(ChannelStatus, tag).channel.sum()) for tag in self._config.reads)
        for tag in self._config.optional:
            found = event.find(ChannelStatus, tag)
            total += 0 if found is None else int(found.channel.sum())
        event.put(status(total), self._config.instance)

    def begin_job(self) -> None:
        CALLS.append(f"{self._label} begin job")

    def end_job(self) -> None:
        CALLS.append(f"{self._label} end job")

    def begin_run(self, run: Run) -> None:
        CALLS.append(f"{self._label} begin run {run.id}")

    def end_run(self, run: Run) -> None:
        CALLS.append(f"{self._label} end run {run.id}")

    def begin_subrun(self, subrun: SubRun) -> None:
        CALLS.append(f"{self._label} begin subrun {subrun.id[0]}:{subrun.id[1]}")

    def end_subrun(self, subrun: SubRun) -> None:
        CALLS.append(f"{self._label} end subrun {subrun.id[0]}:{subrun.id[1]}")


class Sloppy(Producer):
    """Declare one thing, do another."""

    class Parameters(ParameterSet):
        """Parameters."""

        does: str = parameter("forget", doc="forget, read, put, crash")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._does = config.does
        self.produces(ChannelStatus, "promised")

    def produce(self, event: Event) -> None:
        if self._does == "read":
            event.get(ChannelStatus, "other")
        if self._does == "put":
            event.put(status(), "unheard")
        if self._does == "crash":
            raise ZeroDivisionError("division by zero")


class PickEvents(Filter):
    """Pass the events of a list."""

    class Parameters(ParameterSet):
        """Parameters."""

        events: list[int] = parameter(doc="numbers of the events that pass")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._events = config.events
        self._label = context.label

    def filter(self, event: Event) -> bool:
        CALLS.append(f"{self._label} {event.id}")
        return event.id.event in self._events


class Undecided(Filter):
    """A filter without verdict."""

    def filter(self, event: Event) -> bool:
        return None  # type: ignore[return-value]


class Look(Analyzer):
    """Remember what it reads."""

    class Parameters(Common):
        """Parameters."""

    seen: ClassVar[list[tuple[str, list[int]]]] = []

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        for tag in config.reads:
            self.consumes(ChannelStatus, tag)

    def analyze(self, event: Event) -> None:
        if str(event.id) in self._config.fail_at:
            raise RuntimeError("no ink")
        self.seen.append((str(event.id), [int(event.get(ChannelStatus, t).channel.sum()) for t in self._config.reads]))


class PotReader(Analyzer):
    """Read the protons on target of subruns."""

    total: ClassVar[list[float]] = []

    def __init__(self, config: ParameterSet, context: ModuleContext) -> None:
        self.consumes(POTSummary, "generator", level="subrun")

    def begin_subrun(self, subrun: SubRun) -> None:
        self.total.append(float(subrun.get(POTSummary, "generator").total_pot.sum()))

    def analyze(self, event: Event) -> None:
        """Nothing."""


class SubRunMaker(Producer):
    """Put a product into every subrun."""

    class Parameters(ParameterSet):
        """Parameters."""

        put: bool = parameter(True, doc="whether it does")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._put = config.put
        self.produces(POTSummary, level="subrun")

    def produce(self, event: Event) -> None:
        """Nothing."""

    def end_subrun(self, subrun: SubRun) -> None:
        if self._put:
            subrun.put(pot(2.0))


def pot(value: float) -> POTSummary:
    return POTSummary.from_columns(
        {"total_pot": [value], "total_good_pot": [value], "total_spills": [1], "good_spills": [1]}
    )


ALL = [Maker, Sloppy, PickEvents, Undecided, Look, PotReader, SubRunMaker]
