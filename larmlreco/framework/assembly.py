"""Makes the services, the source and the modules of a job from its configuration."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from larmlreco.errors import ConfigurationError, LarmlrecoError
from larmlreco.framework.configuration import Entry, JobConfiguration, at
from larmlreco.framework.messages import MessageParameters
from larmlreco.framework.module import (
    Analyzer,
    Filter,
    Job,
    Module,
    ModuleContext,
    ObserverParameters,
    Output,
    Producer,
    Service,
    Source,
    SourceLimits,
)
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.framework.plugins import Registry
from larmlreco.framework.selection import EventSelector

_KINDS: dict[str, type[Module]] = {
    "producer": Producer,
    "filter": Filter,
    "analyzer": Analyzer,
    "output": Output,
    "source": Source,
    "service": Service,
}
_HOMES = {
    "producer": "physics.producers",
    "filter": "physics.filters",
    "analyzer": "physics.analyzers",
    "output": "outputs",
    "source": "source",
    "service": "services",
}
_DEVICE = re.compile(r"(cpu|auto|cuda(:\d+)?)\Z")


def _unknown_device(value: str) -> str | None:
    return None if _DEVICE.match(value) else "cpu, cuda, cuda:N or auto"


class SchedulerParameters(ParameterSet):
    """``services.scheduler``."""

    on_error: Literal["stop", "skip"] = parameter(
        "stop", doc="what a failing event does: stop ends the job, skip goes on without the event"
    )
    num_threads: int = parameter(1, doc="threads that a module may use in one event (--threads)", minimum=1)
    device: str = parameter("cpu", doc="where networks run: cpu, cuda, cuda:N, auto (--device)", check=_unknown_device)


class TrackerParameters(ParameterSet):
    """``services.TimeTracker`` and ``services.MemoryTracker``."""

    printSummary: bool = parameter(True, doc="whether the summary at the end has these columns")  # noqa: N815


BUILT_IN: Mapping[str, type[ParameterSet]] = {
    "scheduler": SchedulerParameters,
    "message": MessageParameters,
    "TimeTracker": TrackerParameters,
    "MemoryTracker": TrackerParameters,
}
"""Services that the job runner itself provides."""


class ModuleError(LarmlrecoError):
    """A module failed: names its label, its type and where; the exit status is that of the cause."""

    def __init__(self, module: Module | Entry, where: str, cause: BaseException) -> None:
        self.label = module.label if isinstance(module, Entry) else module.context.label
        module_type = module.module_type if isinstance(module, Entry) else module.context.module_type
        shown = "\n".join(str(cause).strip().splitlines()[:2])
        if not isinstance(cause, LarmlrecoError):
            shown = f"{type(cause).__name__}: {shown}" if shown else type(cause).__name__
        super().__init__(f"{self.label} ({module_type}) {where}: {shown}")
        self.exit_status = cause.exit_status if isinstance(cause, LarmlrecoError) else 1


def built_in(config: JobConfiguration, name: str) -> Any:
    """Parameters of a service that the job runner provides, those of its class in ``BUILT_IN``."""
    return BUILT_IN[name].parse(config.services.get(name, {}), f"services.{name}", f"the service {name}", config.origin)


class Assembly:
    """Everything a job is made of.

    ``modules`` are those on paths, by label; ``analyzers`` and ``outputs`` those of the end paths in order;
    ``selectors`` say which events the latter get; ``limit`` and ``skip`` are the source's ``maxEvents`` and
    ``skipEvents``. Raises ``ConfigurationError`` or, from a constructor, ``ModuleError``.
    """

    def __init__(self, config: JobConfiguration, registry: Registry, job: Job) -> None:
        self._config = config
        self._registry = registry
        self._job = job
        self._criteria: dict[str, list[str]] = {}
        for name, table in config.services.items():
            if name not in BUILT_IN:
                values = dict(table)
                provider = str(values.pop("service_provider", name))
                job.services[name] = self._make(Entry(name, f"services.{name}", "service", provider, values))
        self.limit, self.skip = -1, 0
        self.source: Source = self._make(config.source)
        self.modules: dict[str, Module] = {label: self._make(entry) for label, entry in config.modules.items()}
        end = [self.modules[label] for label in config.end]
        self.analyzers = [module for module in end if isinstance(module, Analyzer)]
        self.outputs = [module for module in end if isinstance(module, Output)]
        self.selectors = {label: self._selector(label) for label in config.end}
        self._check_output_names()

    def _make(self, entry: Entry) -> Any:
        where = at(entry.key, self._config.origin)
        kind = _KINDS[entry.kind]
        found = self._registry.load(entry.module_type, where, entry.kind)
        if not issubclass(found, kind):
            raise ConfigurationError(
                f"{where}: {entry.module_type} is a {found.kind}, not a {entry.kind}; "
                f"it belongs into {_HOMES[found.kind]}"
            )
        owner = entry.module_type if entry.label in (entry.module_type, "source") else None
        owner = owner or f"{entry.label} ({entry.module_type})"
        values = dict(entry.values)
        if kind is Source:
            limits = self._apart(SourceLimits, found, values, entry.key, owner)
            self.limit, self.skip = limits.maxEvents, limits.skipEvents
        if kind is Analyzer:
            self._criteria[entry.label] = self._apart(ObserverParameters, found, values, entry.key, owner).SelectEvents
        config: Any = found.Parameters.parse(values, entry.key, owner, self._config.origin)
        if kind is Output:
            self._criteria[entry.label] = config.SelectEvents
        try:
            return found(config, ModuleContext(entry.label, entry.module_type, self._job))
        except Exception as error:
            raise ModuleError(entry, f"in {where}", error) from error

    def _apart(
        self, common: type[ParameterSet], found: type[Module], values: dict[str, Any], key: str, owner: str
    ) -> Any:
        """Parse the parameters that all of a kind have; a class may declare one again, with another default."""
        declared = found.Parameters.declared()
        given = {}
        for name in common.declared():
            if name in declared and name not in values and not declared[name].required:
                given[name] = declared[name].default
            elif name in values:
                given[name] = values[name] if name in declared else values.pop(name)
        return common.parse(given, key, owner, self._config.origin)

    def _selector(self, label: str) -> EventSelector:
        where = at(f"{self._config.modules[label].key}.SelectEvents", self._config.origin)
        return EventSelector(self._criteria[label], list(self._config.paths), self._config.process, where)

    def _check_output_names(self) -> None:
        taken: dict[str, str] = {}
        for output in self.outputs:
            label = output.context.label
            other = taken.setdefault(output.path, label)
            if other != label:
                raise ConfigurationError(f"outputs.{label}.fileName: outputs.{other} writes {output.path!r} too")
