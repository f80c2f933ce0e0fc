"""Source of events that hold nothing, for jobs that make their own."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from larmlreco.errors import InputError
from larmlreco.framework import InputFile, ModuleContext, ParameterSet, Source, parameter
from larmlreco.framework.event import Level
from larmlreco.products import Product, ProductKey


class EmptyEvent(Source):
    """Events without products, numbered from a first one (art's EmptyEvent)."""

    class Parameters(ParameterSet):
        """Numbers of the events, with art's names."""

        maxEvents: int = parameter(1, doc="events to make, -1: without end (command line: -n)", minimum=-1)  # noqa: N815
        firstRun: int = parameter(1, doc="number of the first run", minimum=1)  # noqa: N815
        firstSubRun: int = parameter(0, doc="number of the first subrun of a run", minimum=0)  # noqa: N815
        firstEvent: int = parameter(1, doc="number of the first event of a subrun", minimum=1)  # noqa: N815
        numberEventsInRun: int | None = parameter(None, doc="events in a run; @nil: all", minimum=1)  # noqa: N815
        numberEventsInSubRun: int | None = parameter(None, doc="events in a subrun; @nil: all", minimum=1)  # noqa: N815
        resetEventOnSubRun: bool = parameter(True, doc="number the events of each subrun from firstEvent")  # noqa: N815

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config

    def files(self) -> Iterator[InputFile]:
        """One input without end; the event loop takes as many events as the job wants."""
        yield _Numbers(self._config)


class _Numbers:
    """Ids of events and nothing else."""

    path = "EmptyEvent"
    complete = True
    process_history = ()
    configurations: Mapping[str, str] = MappingProxyType({})
    subrun_ids: tuple[tuple[int, ...], ...] = ()
    run_ids: tuple[tuple[int, ...], ...] = ()

    def __init__(self, config: EmptyEvent.Parameters) -> None:
        self._config = config

    @property
    def event_ids(self) -> Iterator[tuple[int, int, int]]:
        """(run, subrun, event) without end."""
        c = self._config
        run, subrun, event, in_run, in_subrun = c.firstRun, c.firstSubRun, c.firstEvent, 0, 0
        while True:
            if in_run == c.numberEventsInRun:
                run, subrun, event, in_run, in_subrun = run + 1, c.firstSubRun, c.firstEvent, 0, 0
            elif in_subrun == c.numberEventsInSubRun:
                subrun, in_subrun = subrun + 1, 0
                event = c.firstEvent if c.resetEventOnSubRun else event
            yield run, subrun, event
            event, in_run, in_subrun = event + 1, in_run + 1, in_subrun + 1

    def event_info(self, entry: int) -> tuple[bool, int]:
        """Simulated, without a time stamp."""
        return False, 0

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """No products."""
        return []

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """Raises ``InputError``: there is nothing to read."""
        raise InputError(f"EmptyEvent has no {key.branch}")

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing to release."""
