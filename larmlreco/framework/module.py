"""Base classes of everything that a job is made of: producers, filters, analysers, outputs, sources, services.

A class says its parameters in a nested :class:`ParameterSet` named ``Parameters``, and its constructor says what it
reads and puts::

    class HitCounter(Producer):
        \"\"\"Count hits.\"\"\"

        class Parameters(ParameterSet):
            hits: InputTag = parameter("gaushit", doc="hits to count")

        def __init__(self, config: Parameters, context: ModuleContext) -> None:
            self._hits = self.consumes(Hits, config.hits)
            self.produces(Count)

        def produce(self, event: Event) -> None:
            event.put(Count(n=[len(event.get(Hits, self._hits))]))
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.event import Access, Consumption, Event, Level, Production, Run, SubRun
from larmlreco.framework.histograms import HistogramDirectory, HistogramService
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.framework.provenance import Provenance
from larmlreco.framework.selection import ProductSelector
from larmlreco.products import InputTag, Product, ProductKey

M = TypeVar("M", bound="Module")


class Job:
    """What all modules of a job share.

    ``device`` is what the job asked for (``cpu``, ``cuda``, ``cuda:N`` or ``auto``), ``threads`` the number of threads
    that a module may use in one event, ``process`` the name of this process, ``configuration`` the expanded job as
    nested dictionaries.
    """

    def __init__(
        self,
        process: str,
        provenance: Provenance,
        configuration: Mapping[str, Any] | None = None,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        self.process = process
        self.provenance = provenance
        self.configuration = configuration or {}
        self.device = device
        self.threads = threads
        self.services: dict[str, Service] = {}
        self.produced: list[Production] = []


class ModuleContext:
    """What the job gives a module when it is made."""

    def __init__(self, label: str, module_type: str, job: Job) -> None:
        self.label = label
        self.module_type = module_type
        self.job = job
        self.log = logging.getLogger(f"larmlreco.job.{label}")

    @property
    def process(self) -> str:
        """Name of this process."""
        return self.job.process

    @property
    def device(self) -> str:
        """Device that the job asked for: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``."""
        return self.job.device

    @property
    def threads(self) -> int:
        """Threads that a module may use in one event."""
        return self.job.threads

    @property
    def configuration_sha256(self) -> str:
        """Hash of the expanded job, for the ``meta`` of products."""
        return self.job.provenance.configuration_sha256

    def register_model(self, name: str, sha256: str) -> None:
        """Tell the provenance that this module uses a model."""
        self.job.provenance.register_model(name, sha256)

    def service(self, name: str) -> Any:
        """A service of the job. Raises ``ConfigurationError`` if the job does not configure it."""
        if name not in self.job.services:
            raise ConfigurationError(
                f"needs services.{name}, which the job does not configure; {valid_choices(name, self.job.services)}"
            )
        return self.job.services[name]

    @property
    def histograms(self) -> HistogramDirectory:
        """The directory of this module in the histogram file (``services.TFileService``, or ``-T``)."""
        service = self.service("TFileService")
        if not isinstance(service, HistogramService):
            raise ConfigurationError(f"services.TFileService is a {type(service).__name__}, which keeps no histograms")
        return service.directory(self.label)


class Module:
    """Base of all. ``kind`` says what it is; ``Parameters`` declares its parameters."""

    kind: ClassVar[str] = "module"
    Parameters: ClassVar[type[ParameterSet]] = ParameterSet
    context: ModuleContext
    declared_consumes: list[Consumption]
    declared_produces: list[Production]

    def __new__(cls: type[M], config: Any, context: ModuleContext) -> M:
        """Prepare the lists of declarations, so that constructors need not call the base's."""
        self = super().__new__(cls)
        self.context = context
        self.declared_consumes = []
        self.declared_produces = []
        return self

    def __init__(self, config: Any, context: ModuleContext) -> None:
        """A module without parameters and products."""

    @property
    def log(self) -> logging.Logger:
        """Logger whose lines carry the module label and the event id."""
        return self.context.log

    @property
    def access(self) -> Access:
        """What this module may read and put."""
        return Access(
            self.context.label,
            self.context.module_type,
            tuple(self.declared_consumes),
            tuple(self.declared_produces),
            isinstance(self, Output),
        )

    def consumes(
        self,
        product_type: type[Product],
        tag: InputTag | str,
        *,
        optional: bool = False,
        level: Level = "event",
        facts: Mapping[str, Any] | None = None,
    ) -> InputTag:
        """Declare, in the constructor, a product that this module reads. Returns the tag for ``event.get``.

        The job checks before the first event that a product that is not ``optional`` will be there, and where a module
        of the job makes it and says of one of these ``facts`` what it is, that it is the same.
        """
        tag = tag if isinstance(tag, InputTag) else InputTag.parse(tag)
        self.declared_consumes.append(Consumption(product_type.__name__, tag, optional, level, facts or {}))
        return tag

    def begin_job(self) -> None:
        """Before the first run."""

    def end_job(self) -> None:
        """After the last run, if the job did not fail."""

    def begin_run(self, run: Run) -> None:
        """A run begins. One that is spread over several files begins and ends in each of them."""

    def end_run(self, run: Run) -> None:
        """A run ended."""

    def begin_subrun(self, subrun: SubRun) -> None:
        """A subrun begins. One that is spread over several files begins and ends in each of them."""

    def end_subrun(self, subrun: SubRun) -> None:
        """A subrun ended."""


class Modifier(Module):
    """Base of producers and filters: modules that put products."""

    def produces(
        self,
        product_type: type[Product],
        instance: str = "",
        *,
        level: Level = "event",
        facts: Mapping[str, Any] | None = None,
    ) -> ProductKey:
        """Declare, in the constructor, a product that this module puts into every event (subrun, run).

        ``facts``: what is true of it in every event (the size of voxels, the scheme of classes), for modules that need
        to know before the first one. Returns its full name. Raises ``ConfigurationError`` if it is declared already.
        """
        key = ProductKey(product_type.__name__, self.context.label, instance, self.context.process)
        if any(p.key == key and p.level == level for p in self.declared_produces):
            raise ConfigurationError(f"declares that it puts {key.type} {instance!r} twice")
        self.declared_produces.append(Production(key, level, facts or {}))
        return key


class Producer(Modifier, ABC):
    """A module that adds products to every event."""

    kind = "producer"

    @abstractmethod
    def produce(self, event: Event) -> None:
        """Read what was declared, put everything that was declared."""


class Filter(Modifier, ABC):
    """A module that decides whether the path it is on goes on; it may add products too."""

    kind = "filter"

    @abstractmethod
    def filter(self, event: Event) -> bool:
        """Whether the event passes."""


class ObserverParameters(ParameterSet):
    """Parameters that every analyser has."""

    SelectEvents: list[str] = parameter(
        [], doc="trigger paths whose events are looked at: path, !path, *, exception@path; empty: all events"
    )


class Analyzer(Module, ABC):
    """A module that only reads.

    It gets the events that its parameter ``SelectEvents`` selects (see :class:`EventSelector`); every analyser has
    this parameter beside its own.
    """

    kind = "analyzer"

    @abstractmethod
    def analyze(self, event: Event) -> None:
        """Look at an event."""


class InputFile(Protocol):
    """What the event loop needs of an open input; the readers of ``larmlreco.io`` have it."""

    @property
    def path(self) -> str:
        """What was opened."""
        ...

    @property
    def event_ids(self) -> Iterable[tuple[int, ...]]:
        """(run, subrun, event) of every event, in order."""
        ...

    @property
    def subrun_ids(self) -> Iterable[tuple[int, ...]]:
        """(run, subrun) of every subrun record."""
        ...

    @property
    def run_ids(self) -> Iterable[tuple[int, ...]]:
        """(run,) of every run record."""
        ...

    @property
    def complete(self) -> bool:
        """False for a file whose writer did not finish."""
        ...

    @property
    def process_history(self) -> Sequence[Any]:
        """Processes that made the file, the earliest first; each has a ``name``."""
        ...

    @property
    def configurations(self) -> Mapping[str, str]:
        """FHiCL text of the configuration of each process, as far as the file holds it."""
        ...

    def event_info(self, entry: int) -> tuple[bool, int]:
        """(is real data, time stamp) of an event."""
        ...

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products that can be read."""
        ...

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry; ``None`` where this entry has none."""
        ...

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Branches that exist but cannot be decoded, with the reason."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class SourceLimits(ParameterSet):
    """Parameters that every source has; the event loop itself heeds them."""

    maxEvents: int = parameter(-1, doc="events to process, -1: all (command line: -n)", minimum=-1)  # noqa: N815
    skipEvents: int = parameter(0, doc="events to pass over first (command line: --nskip)", minimum=0)  # noqa: N815


class Source(Module, ABC):
    """Where events come from: inputs opened in turn.

    The event loop opens the first input before it checks the job, takes its events in order, closes it, and asks
    for the next. Every source has art's parameters ``maxEvents`` (-1: all) and ``skipEvents`` beside its own.
    """

    kind = "source"

    @abstractmethod
    def files(self) -> Iterator[InputFile]:
        """Open the inputs one after another, each only when it is asked for."""


class FileSource(Source):
    """Base of sources that read named files."""

    class Parameters(ParameterSet):
        """Parameters of every source that reads files, with art's names."""

        fileNames: list[str] = parameter(doc="files or addresses to read, in order (command line: -s, -S)")  # noqa: N815

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self.file_names = config.fileNames
        if not self.file_names:
            raise ConfigurationError("source.fileNames is empty; name at least one file, or use -s FILE")

    @abstractmethod
    def open(self, path: str) -> InputFile:
        """Open one file. Raises ``InputError`` if it is missing, of the wrong kind or corrupt."""

    def files(self) -> Iterator[InputFile]:
        """The files in order."""
        return map(self.open, self.file_names)


class Output(Module, ABC):
    """A module that writes events.

    The event loop calls ``open`` before the first event, then ``input_opened`` for every input, ``begin_*`` and
    ``end_*`` as for every module, ``write`` for each selected event, ``write_subrun`` and ``write_run`` when these end,
    and ``close`` at the end, with ``complete=False`` if the job failed or was interrupted. An output writes beside its
    final name and takes that name only in ``close(complete=True)``. The configuration, versions and models that belong
    into the file are ``self.context.job.provenance``; models may register as late as in their first event, so write
    them in ``close``.
    """

    kind = "output"

    class Parameters(ParameterSet):
        """Parameters of every output, with art's names."""

        fileName: str = parameter(doc="file to write (command line: -o)")  # noqa: N815
        outputCommands: list[str] = parameter(  # noqa: N815
            ["keep *"], doc="keep or drop Type_label_instance_process with wildcards; later ones win"
        )
        SelectEvents: list[str] = parameter(
            [], doc="trigger paths whose events are written: path, !path, *, exception@path; empty: all events"
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self.path = config.fileName
        self.selector = ProductSelector(config.outputCommands, f"outputs.{context.label}.outputCommands")

    def kept(self, keys: Iterable[ProductKey]) -> list[ProductKey]:
        """Those products that ``outputCommands`` keeps, in order."""
        return self.selector.kept(keys)

    def input_opened(self, file: InputFile) -> None:
        """An input was opened: its name, history and undecodable branches belong into the provenance."""

    @abstractmethod
    def open(self) -> None:
        """Begin to write. Raises ``OutputError`` if that cannot be."""

    @abstractmethod
    def write(self, event: Event) -> None:
        """Write what is ``kept`` of ``event.product_keys()``; ``event.read(key)`` gives the products."""

    def write_subrun(self, subrun: SubRun) -> None:
        """Write the products of a subrun that ended."""

    def write_run(self, run: Run) -> None:
        """Write the products of a run that ended."""

    @abstractmethod
    def close(self, complete: bool) -> None:
        """Finish the file and give it its name, or leave it as ``.partial`` marked incomplete."""


class Service(Module):
    """Something that modules share, configured as ``services.<Class>``.

    Services are made before the source and the modules, in the order of their names, and see the beginning and the
    end of the job, not those of runs. ``service_provider`` in the table names the class where it is not the key.
    """

    kind = "service"

    def close(self, complete: bool) -> None:
        """The job is over; ``complete`` is False if it failed or was interrupted."""
