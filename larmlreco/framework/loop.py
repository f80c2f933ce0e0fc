"""Takes the events of the inputs through the paths, with the beginnings and ends of runs and subruns."""

import logging
from collections.abc import Callable, Sized
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np

from larmlreco.errors import ConfigurationError, InputError, LarmlrecoError
from larmlreco.framework.assembly import Assembly, ModuleError
from larmlreco.framework.checks import ProductCheck
from larmlreco.framework.configuration import JobConfiguration
from larmlreco.framework.event import DeclarationError, Event, Level, Principal, Run, SubRun
from larmlreco.framework.ids import EventID
from larmlreco.framework.messages import CurrentEvent
from larmlreco.framework.meter import Meter
from larmlreco.framework.module import Filter, InputFile, Module, Producer
from larmlreco.framework.report import FileSummary, JobReport
from larmlreco.products import InputTag, POTSummary, Product, ProductKey
from larmlreco.products.trigger import PathState, TriggerResults
from larmlreco.progress import Progress

T = TypeVar("T")
A = ParamSpec("A")

TRIGGER_RESULTS = "TriggerResults"
"""Module label, and type, of the product that says what the trigger paths decided."""

_SOURCE = "source"


@dataclass(frozen=True)
class Selection:
    """Which events are processed: ``first`` starts there; ``only``: none but these (empty: no such limit)."""

    first: EventID | None = None
    only: frozenset[EventID] = frozenset()


@dataclass
class _Opened:
    """The input in progress: what it holds by level, and the subruns (runs) that were begun in it."""

    file: InputFile
    summary: FileSummary
    history: list[str]
    keys: dict[Level, list[ProductKey]]
    entries: dict[Level, dict[tuple[int, ...], int]]
    begun: set[tuple[int, ...]] = field(default_factory=set)


class EventLoop:
    """The events of one job. ``interrupted`` ends it after the event in progress."""

    def __init__(
        self,
        config: JobConfiguration,
        assembly: Assembly,
        selection: Selection,
        report: JobReport,
        current: CurrentEvent,
        *,
        skip_failures: bool,
        progress: Progress | None,
    ) -> None:
        self._config = config
        self._assembly = assembly
        self._selection = selection
        self._report = report
        self._current = current
        self._skip_failures = skip_failures
        self._progress = progress
        self._check = ProductCheck(config, assembly.modules)
        self._trigger_key = ProductKey("TriggerResults", TRIGGER_RESULTS, "", config.process)
        self._log = logging.getLogger("larmlreco.job.events")
        self._started = selection.first is None
        self._to_skip = assembly.skip
        self._found: set[EventID] = set()
        self._levels: list[tuple[Level, tuple[int, ...], Principal]] = []
        self.meter = Meter()
        self.interrupted = False
        for label in (_SOURCE, *assembly.modules):
            self.meter.book(label)

    def open_first(self) -> None:
        """Open the first input and check what the modules read against it."""
        self._files = self._opening(self._assembly.source.files)
        opened = self._next_input()
        if opened is None:
            raise InputError("the source has no input")
        self._first = opened

    def close_input(self) -> None:
        """Release an input that no event was read from."""
        self._first.file.close()

    def run(self) -> None:
        """Process all events, from the input that ``open_first`` opened."""
        opened: _Opened | None = self._first
        while opened is not None:
            try:
                for output in self._assembly.outputs:
                    guarded(output, f"with the input {opened.file.path}", output.input_opened, opened.file)
                more = self._input(opened)
            finally:
                opened.file.close()
            opened = self._next_input() if more else None
        if self._progress is not None and 0 < self._report.read < self._progress.total:
            self._progress.total = self._report.read
            self._progress.update(self._report.read)
        if not self.interrupted:
            self._check_all_found()

    def _next_input(self) -> _Opened | None:
        file = self._opening(lambda: next(self._files, None))
        if file is None:
            return None
        try:
            summary = FileSummary(file.path, _SOURCE, complete=file.complete)
            self._report.inputs.append(summary)
            if not file.complete:
                self._log.warning("%s is marked incomplete: its writer did not finish", file.path)
            self._check.input(file)
            self._check_selectors(file)
            entries: dict[Level, dict[tuple[int, ...], int]] = {"run": {}, "subrun": {}}
            for level, ids in (("run", file.run_ids), ("subrun", file.subrun_ids)):
                for number, id in enumerate(ids):
                    entries[level].setdefault(tuple(id), number)  # type: ignore[index]
            levels: tuple[Level, ...] = ("event", "subrun", "run")
            keys = {level: file.keys(level) for level in levels}
            history = [record.name for record in file.process_history]
            self._expect(file)
            return _Opened(file, summary, history, keys, entries)
        except BaseException:
            file.close()
            raise

    def _expect(self, file: InputFile) -> None:
        """Add an input to the number of events that the progress counts up to; none is shown where it has no end."""
        limit, ids = self._assembly.limit, file.event_ids
        if self._progress is None:
            return
        if isinstance(ids, Sized):
            total = self._progress.total + len(ids)
            self._progress.total = min(total, limit) if limit >= 0 else total
        elif limit >= 0:
            self._progress.total = limit
        else:
            self._progress = None

    def _opening(self, call: Callable[[], T]) -> T:
        """Call into the source; what it says for users, such as a missing file, needs no more words."""
        try:
            return call()
        except LarmlrecoError:
            raise
        except Exception as error:
            raise ModuleError(self._assembly.source, "opening its input", error) from error

    def _check_selectors(self, file: InputFile) -> None:
        for label, selector in self._assembly.selectors.items():
            for process in selector.processes:
                tag = InputTag(TRIGGER_RESULTS, "", process)
                if not any(key.matches("TriggerResults", tag) for key in file.keys("event")):
                    raise ConfigurationError(
                        f"{self._config.modules[label].key}.SelectEvents: {file.path} has no TriggerResults '{tag}', "
                        f"so the paths of the process {process!r} are not known"
                    )

    def _check_all_found(self) -> None:
        paths = [file.path for file in self._report.inputs]
        files = ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
        if not self._started:
            raise InputError(f"the event {self._selection.first} to start with is not in {files}")
        missing = sorted(self._selection.only - self._found)
        if missing and not self._limit_reached():
            raise InputError(f"no event {', '.join(map(str, missing))} in {files}")

    def _limit_reached(self) -> bool:
        return 0 <= self._assembly.limit <= self._report.read

    def _wanted(self, id: EventID) -> bool:
        if not self._started:
            self._started = id == self._selection.first
        if not self._started or (self._selection.only and id not in self._selection.only):
            return False
        if self._to_skip:
            self._to_skip -= 1
            self._found.add(id)
            return False
        return True

    def _input(self, opened: _Opened) -> bool:
        """Process one input; whether more inputs are wanted."""
        with_events: set[tuple[int, ...]] = set()
        more = True
        for entry, numbers in enumerate(opened.file.event_ids):
            id = EventID(*numbers)
            more = not (self.interrupted or self._limit_reached())
            if self._selection.only:
                more = more and not self._selection.only <= self._found
            if not more:
                break
            with_events.add((id.run, id.subrun))
            if self._wanted(id):
                if self._selection.only:
                    self._found.add(id)
                self._enter(opened, id.run, id.subrun)
                self._event(opened, entry, id)
        if self.interrupted:
            return False
        if more and self._started and not self._selection.only:
            for run, subrun in opened.entries["subrun"]:
                if (run, subrun) not in with_events:
                    self._enter(opened, run, subrun)
        self._leave(opened, 2)
        return not self._limit_reached() if more else False

    def _enter(self, opened: _Opened, run: int, subrun: int) -> None:
        """Begin a run and a subrun, unless they are in progress, after the end of those that are."""
        wanted: tuple[tuple[Level, tuple[int, ...]], ...] = (("run", (run,)), ("subrun", (run, subrun)))
        same = 0
        while same < len(self._levels) and self._levels[same][:2] == wanted[same]:
            same += 1
        self._leave(opened, len(self._levels) - same)
        for level, id in wanted[same:]:
            principal = self._principal(opened, level, opened.entries[level].get(id))
            self._levels.append((level, id, principal))
            self._each_module(level, id, principal, begin=True)
            if id not in opened.begun:
                if level == "run":
                    self._report.runs += 1
                else:
                    self._report.subruns += 1
                    self._sum_pot(principal)

    def _leave(self, opened: _Opened, number: int) -> None:
        """End the last ``number`` of the run and subrun in progress, and write their products once an input."""
        for _ in range(min(number, len(self._levels))):
            level, id, principal = self._levels.pop()
            self._each_module(level, id, principal, begin=False)
            if id not in opened.begun:
                opened.begun.add(id)
                for output in self._assembly.outputs:
                    where = f"at end of {level} {':'.join(map(str, id))}"
                    if level == "run":
                        run = Run(principal, output.access, id[0])
                        guarded(output, where, output.write_run, run)
                    else:
                        subrun = SubRun(principal, output.access, (id[0], id[1]))
                        guarded(output, where, output.write_subrun, subrun)

    def _each_module(self, level: Level, id: tuple[int, ...], principal: Principal, begin: bool) -> None:
        for module in self._assembly.modules.values():
            where = f"at {'begin' if begin else 'end'} of {level} {':'.join(map(str, id))}"

            def call(module: Module = module) -> None:
                if level == "run":
                    run = Run(principal, module.access, id[0])
                    module.begin_run(run) if begin else module.end_run(run)
                else:
                    subrun = SubRun(principal, module.access, (id[0], id[1]))
                    module.begin_subrun(subrun) if begin else module.end_subrun(subrun)
                if not begin:
                    _check_all_put(module, principal)

            with self.meter.measure(module.context.label, count=False):
                guarded(module, where, call)

    def _sum_pot(self, principal: Principal) -> None:
        for key in principal.product_keys():
            if key.type == POTSummary.__name__:
                product = principal.product(key)
                if isinstance(product, POTSummary):
                    tag = str(key.tag)
                    self._report.pot[tag] = self._report.pot.get(tag, 0.0) + float(product.total_pot.sum())

    def _principal(self, opened: _Opened, level: Level, entry: int | None) -> Principal:
        def read(key: ProductKey) -> Product | None:
            with self.meter.measure(_SOURCE, count=False):
                return None if entry is None else opened.file.read(entry, key, level)

        keys = opened.keys[level] if entry is not None else []
        return Principal(self._config.process, level, keys, read, opened.history)

    def _event(self, opened: _Opened, entry: int, id: EventID) -> None:
        self._current.id = id
        self._report.read += 1
        opened.summary.events += 1
        states = dict.fromkeys(self._config.paths, PathState.READY)
        decided = dict.fromkeys(self._config.paths, -1)
        where = f"at event {id}"
        principal = self._principal(opened, "event", entry)
        reading = self.meter.usage[_SOURCE]
        before = reading.total_s
        try:
            with self.meter.measure(_SOURCE):
                info = guarded(self._assembly.source, where, opened.file.event_info, entry)
            one = _One(principal, id, bool(info[0]), int(info[1]))
            self._trigger_paths(one, states, decided)
            self._put_trigger_results(one, states, decided)
            chosen = self._chosen(principal, states)
            for analyzer in self._assembly.analyzers:
                if analyzer.context.label in chosen:
                    event = one.view(analyzer)
                    with self.meter.measure(analyzer.context.label):
                        guarded(analyzer, where, analyzer.analyze, event)
            self._read_kept(one, chosen, where)
        except ModuleError as error:
            if not self._skip_failures:
                raise
            self._log.error("%s; the event is skipped", error)
            self._report.skipped.append((str(id), error.label))
            if PathState.EXCEPTION in states.values():
                self._put_trigger_results(one, states, decided)
                chosen = self._chosen(principal, states, failed=True)
                try:
                    self._read_kept(one, chosen, where)
                except ModuleError as second:
                    self._log.error("%s; it is not written as a failed event either", second)
                else:
                    self._write(one, chosen, where)
        else:
            self._write(one, chosen, where)
            self._report.processed += 1
            self._report.passed += not states or PathState.PASS in states.values()
        for summary in self._report.paths:
            summary.count(states[summary.name])
        # products are read inside the calls of modules, so a call of the source is all that was read in an event
        reading.max_s = max(reading.max_s, reading.total_s - before)
        self._current.id = None
        if self._progress is not None:
            self._progress.update(self._report.read)

    def _trigger_paths(self, one: "_One", states: dict[str, PathState], decided: dict[str, int]) -> None:
        verdicts: dict[str, bool] = {}
        for name, steps in self._config.paths.items():
            states[name] = PathState.PASS
            for position, step in enumerate(steps):
                decided[name] = position
                if step.label not in verdicts:
                    try:
                        verdicts[step.label] = self._modifier(step.label, one)
                    except ModuleError:
                        states[name] = PathState.EXCEPTION
                        raise
                if step.action != "-" and verdicts[step.label] == (step.action == "!"):
                    states[name] = PathState.FAIL
                    one.principal.remarks.append(f"path {name!r} was ended by {step.action}{step.label}")
                    break

    def _modifier(self, label: str, one: "_One") -> bool:
        module = self._assembly.modules[label]
        event = one.view(module)

        def call() -> bool:
            verdict = True
            if isinstance(module, Producer):
                module.produce(event)
            elif isinstance(module, Filter):
                verdict = module.filter(event)
                if not isinstance(verdict, bool | np.bool_):
                    raise TypeError(f"filter() returned {verdict!r}; expected True or False")
            _check_all_put(module, one.principal)
            return bool(verdict)

        with self.meter.measure(label):
            return guarded(module, f"at event {one.id}", call)

    def _put_trigger_results(self, one: "_One", states: dict[str, PathState], decided: dict[str, int]) -> None:
        if states:
            results = TriggerResults(
                state=np.array([int(state) for state in states.values()], dtype=np.int32),
                index=np.array(list(decided.values()), dtype=np.int32),
                meta={"paths": list(states)},
            )
            one.principal.put(self._trigger_key, results)

    def _chosen(self, principal: Principal, states: dict[str, PathState], failed: bool = False) -> set[str]:
        """Labels of the end-path modules that get the event; a failed event goes to those that ask for failures."""
        earlier: dict[str, dict[str, PathState]] = {}
        chosen = set()
        for label, selector in self._assembly.selectors.items():
            for process in selector.processes:
                if process not in earlier:
                    key = principal.resolve("TriggerResults", InputTag(TRIGGER_RESULTS, "", process))
                    product = principal.product(key) if key else None
                    earlier[process] = dict(product.states) if isinstance(product, TriggerResults) else {}
            if selector.accepts_failed(states) if failed else selector.accepts(states, earlier):
                chosen.add(label)
        return chosen

    def _read_kept(self, one: "_One", chosen: set[str], where: str) -> None:
        """Read what the outputs write, so that a damaged event fails before one of them has it."""
        for output in self._assembly.outputs:
            if output.context.label in chosen:
                event = one.view(output)
                with self.meter.measure(output.context.label, count=False):
                    for key in output.kept(event.product_keys()):
                        guarded(output, where, event.read, key)

    def _write(self, one: "_One", chosen: set[str], where: str) -> None:
        for output, summary in zip(self._assembly.outputs, self._report.outputs, strict=True):
            if output.context.label in chosen:
                event = one.view(output)
                with self.meter.measure(output.context.label):
                    guarded(output, where, output.write, event)
                summary.events += 1


@dataclass(frozen=True)
class _One:
    """The event in progress."""

    principal: Principal
    id: EventID
    is_real_data: bool
    time: int

    def view(self, module: Module) -> Event:
        return Event(self.principal, module.access, self.id, self.is_real_data, self.time)


def _check_all_put(module: Module, principal: Principal) -> None:
    missing = [p.key for p in module.declared_produces if p.level == principal.level and not principal.has_put(p.key)]
    if missing:
        names = ", ".join(f"{key.type} {key.instance!r}" if key.instance else key.type for key in missing)
        raise DeclarationError(f"did not put {names}, which it declared; an event that has none gets an empty product")


def guarded(module: Module, where: str, call: Callable[A, T], *args: A.args, **kwargs: A.kwargs) -> T:
    """Call into a module; whatever it raises becomes a ``ModuleError`` that names it and ``where``."""
    try:
        return call(*args, **kwargs)
    except ModuleError:
        raise
    except Exception as error:
        raise ModuleError(module, where, error) from error
