"""Runs a job from its expanded configuration to its report."""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from larmlreco.errors import LarmlrecoError
from larmlreco.framework.assembly import Assembly, built_in
from larmlreco.framework.configuration import parse_job
from larmlreco.framework.event import Production
from larmlreco.framework.loop import TRIGGER_RESULTS, EventLoop, Selection, guarded
from larmlreco.framework.messages import CurrentEvent, messages
from larmlreco.framework.meter import peak_rss_mb
from larmlreco.framework.module import Job, Module, Output
from larmlreco.framework.parameters import Origin
from larmlreco.framework.plugins import Registry
from larmlreco.framework.provenance import Provenance
from larmlreco.framework.report import EXIT_EVENTS_SKIPPED, EXIT_INTERRUPTED, FileSummary, JobReport, PathSummary
from larmlreco.products import ProductKey
from larmlreco.progress import Progress


class JobRunner:
    """One job. ``run`` makes its modules, checks everything, and takes the events through its paths.

    ``values`` is the expanded job as nested dictionaries, ``text`` the same as canonical FHiCL for the provenance,
    ``origin`` says where a key was written. After ``run`` the modules lie in ``assembly``, the counts in ``report``.
    """

    assembly: Assembly

    def __init__(
        self,
        values: Mapping[str, Any],
        text: str,
        *,
        origin: Origin = lambda key: None,
        registry: Registry | None = None,
        selection: Selection | None = None,
        report_path: str | None = None,
        show_progress: bool = False,
    ) -> None:
        self._config = parse_job(values, origin)
        self._registry = registry
        self._selection = selection or Selection()
        self._report_path = report_path
        self._show_progress = show_progress
        self._scheduler = built_in(self._config, "scheduler")
        self._message = built_in(self._config, "message")
        self._show_time: bool = built_in(self._config, "TimeTracker").printSummary
        self._show_memory: bool = built_in(self._config, "MemoryTracker").printSummary
        provenance = Provenance(self._config.process, text)
        self.job = Job(self._config.process, provenance, values, self._scheduler.device, self._scheduler.num_threads)
        self.report = JobReport(self._config.process, provenance.configuration_sha256)
        self._log = logging.getLogger("larmlreco.job.job")
        self._loop: EventLoop | None = None
        self._to_close: list[Output] = []
        self._begun = False
        self._interrupted = False

    def run(self) -> JobReport:
        """Process the events.

        Raises what made the job fail (``ModuleError`` from a module); what was written then lies as ``.partial``, and
        the job report is written all the same. An interrupted job returns its report, with the exit status 130.
        """
        wall, cpu = time.perf_counter(), time.process_time()
        with messages(self._message) as current, self._signals():
            try:
                self._run(current)
            except KeyboardInterrupt:
                self._interrupted = True
            except LarmlrecoError as error:
                self.report.errors.append(str(error))
                self.report.exit_status = error.exit_status
                raise
            except Exception as error:
                self.report.errors.append(f"{type(error).__name__}: {error}")
                self.report.exit_status = 1
                raise
            finally:
                current.id = None
                self._close_incomplete()
                self._finish_report(time.perf_counter() - wall, time.process_time() - cpu)
        return self.report

    def summary(self) -> str:
        """The summary for people, with the columns that TimeTracker and MemoryTracker ask for."""
        return self.report.table(self._show_time, self._show_memory)

    def _run(self, current: CurrentEvent) -> None:
        registry = Registry() if self._registry is None else self._registry
        assembly = self.assembly = Assembly(self._config, registry, self.job)
        report = self.report
        report.types = {"source": self._config.source.module_type}
        report.types |= {label: entry.module_type for label, entry in self._config.modules.items()}
        report.paths = [PathSummary(name) for name in self._config.paths]
        report.outputs = [FileSummary(o.path, o.context.label, complete=False) for o in assembly.outputs]
        for label in self._config.unused:
            self._log.warning("module %r is on no path and does not run", label)
        for name in self._config.ignored_paths:
            self._log.warning("path %r is in neither trigger_paths nor end_paths and does not run", name)
        self.job.produced = [p for module in assembly.modules.values() for p in module.declared_produces]
        if self._config.paths:
            key = ProductKey("TriggerResults", TRIGGER_RESULTS, "", self._config.process)
            self.job.produced.append(Production(key))
        progress = Progress(0, "events") if self._show_progress else None
        self._loop = loop = EventLoop(
            self._config,
            assembly,
            self._selection,
            report,
            current,
            skip_failures=self._scheduler.on_error == "skip",
            progress=progress,
        )
        report.usage = loop.meter.usage
        loop.open_first()
        self._start(assembly, loop)
        loop.run()
        if loop.interrupted:
            self._interrupted = True
            return
        for module in self._modules(assembly):
            guarded(module, "at end of job", module.end_job)
        while self._to_close:
            output = self._to_close[0]
            guarded(output, "closing its file", output.close, complete=True)
            del self._to_close[0]
            next(f for f in report.outputs if f.label == output.context.label).complete = True
        for name, service in list(self.job.services.items()):
            guarded(service, "at end of job", service.close, complete=True)
            del self.job.services[name]

    def _start(self, assembly: Assembly, loop: EventLoop) -> None:
        self._begun = True
        try:
            for module in self._modules(assembly):
                guarded(module, "at begin of job", module.begin_job)
            for output in assembly.outputs:
                guarded(output, "opening its file", output.open)
                self._to_close.append(output)
        except BaseException:
            loop.close_input()
            raise

    def _modules(self, assembly: Assembly) -> Iterator[Module]:
        yield from self.job.services.values()
        yield assembly.source
        yield from assembly.modules.values()

    def _close_incomplete(self) -> None:
        """Leave what was written as ``.partial``; that this fails too must not hide why."""
        for output in self._to_close:
            try:
                output.close(complete=False)
            except Exception as error:
                self._log.error("closing %s: %s", output.path, error)
        for service in self.job.services.values() if self._begun else ():
            try:
                service.close(complete=False)
            except Exception as error:
                self._log.error("closing services.%s: %s", service.context.label, error)

    def _finish_report(self, wall_s: float, cpu_s: float) -> None:
        report = self.report
        if self._interrupted:
            report.interrupted = True
            report.exit_status = EXIT_INTERRUPTED
        elif report.skipped and not report.exit_status:
            report.exit_status = EXIT_EVENTS_SKIPPED
        report.wall_s, report.cpu_s, report.peak_rss_mb = wall_s, cpu_s, peak_rss_mb()
        report.versions, report.models = self.job.provenance.versions, self.job.provenance.models
        if not self._report_path:
            return
        try:
            report.write(self._report_path)
        except LarmlrecoError as error:
            if not report.errors:
                raise
            self._log.error("%s", error)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM ends the job after the event in progress, the second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self._interrupted or self._loop is None:
                raise KeyboardInterrupt
            self._interrupted = self._loop.interrupted = True
            self._log.warning("interrupted: the event in progress is finished; interrupt again to stop at once")

        with ExitStack() as stack:
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, stop))
            yield
