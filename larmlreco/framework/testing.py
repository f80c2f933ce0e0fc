"""Modules and jobs in tests: on events in memory, without files."""

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from larmlreco.framework.event import Event, Level, Principal, Run, SubRun
from larmlreco.framework.ids import EventID
from larmlreco.framework.job import JobRunner
from larmlreco.framework.loop import Selection
from larmlreco.framework.module import (
    Analyzer,
    Filter,
    InputFile,
    Job,
    Module,
    ModuleContext,
    Output,
    Producer,
    Service,
    Source,
)
from larmlreco.framework.parameters import Origin, ParameterSet
from larmlreco.framework.plugins import Registry
from larmlreco.framework.provenance import Provenance
from larmlreco.products import InputTag, Product, ProductKey

P = TypeVar("P", bound=Product)


Products = Mapping[str | ProductKey, Product]
"""Products by tag (``"butcher"``, ``"gaushit::Reco1"``) or full name."""


def by_key(products: Products, input_process: str = "INPUT") -> dict[ProductKey, Product]:
    """Products by full name; a tag without a process is of ``input_process``."""
    held: dict[ProductKey, Product] = {}
    for name, product in products.items():
        if isinstance(name, str):
            tag = InputTag.parse(name)
            name = ProductKey(type(product).__name__, tag.label, tag.instance, tag.process or input_process)
        held[name] = product
    return held


def memory_principal(process: str, products: Products, level: Level = "event") -> Principal:
    """A principal whose input is ``products``."""
    held = by_key(products)
    history = sorted({key.process for key in held} - {process})
    return Principal(process, level, held, held.get, history)


class MemoryFile:
    """An input in memory, for :func:`memory_job`.

    ``events`` holds the products of every event by its id ``R:S:E``, ``subruns`` those of subruns by (run, subrun),
    ``runs`` those of runs by number; subruns and runs with events need not be named. Reads are counted in ``reads``.
    """

    def __init__(
        self,
        events: Mapping[str, Products],
        *,
        path: str = "memory",
        subruns: Mapping[tuple[int, int], Products] | None = None,
        runs: Mapping[int, Products] | None = None,
        history: Sequence[str] = ("INPUT",),
        undecodable: Mapping[str, str] | None = None,
        complete: bool = True,
    ) -> None:
        self.path = path
        self.complete = complete
        self.process_history = [SimpleNamespace(name=name) for name in history]
        self.event_ids = [tuple(vars(EventID.parse(text)).values()) for text in events]
        held_subruns: dict[tuple[int, int], Products] = {(r, s): {} for r, s, _ in self.event_ids}
        held_subruns.update(subruns or {})
        held_runs: dict[int, Products] = {run: {} for run, _ in held_subruns}
        held_runs.update(runs or {})
        self.subrun_ids: list[tuple[int, ...]] = list(held_subruns)
        self.run_ids: list[tuple[int, ...]] = [(run,) for run in held_runs]
        self._held: dict[Level, list[dict[ProductKey, Product]]] = {
            "event": [by_key(products) for products in events.values()],
            "subrun": [by_key(products) for products in held_subruns.values()],
            "run": [by_key(products) for products in held_runs.values()],
        }
        self._undecodable = undecodable or {}
        self.configurations: dict[str, str] = {}
        self.reads: list[ProductKey] = []
        self.closed = False

    def event_info(self, entry: int) -> tuple[bool, int]:
        """Simulated, without a time stamp."""
        return False, 0

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products of any entry."""
        return list(dict.fromkeys(key for held in self._held[level] for key in held))

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry."""
        self.reads.append(key)
        return self._held[level][entry].get(key)

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """As given for events."""
        return self._undecodable if level == "event" else {}

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


class MemoryOutput(Output):
    """An output that keeps what it gets, for :func:`memory_job`: the calls in order and the products kept."""

    def __init__(self, config: Output.Parameters, context: ModuleContext) -> None:
        super().__init__(config, context)
        self.calls: list[str] = []
        self.events: dict[EventID, dict[ProductKey, Product]] = {}
        self.subruns: dict[tuple[int, int], dict[ProductKey, Product]] = {}

    def open(self) -> None:
        """Remember the call."""
        self.calls.append("open")

    def input_opened(self, file: InputFile) -> None:
        """Remember the call."""
        self.calls.append(f"input {file.path}")

    def write(self, event: Event) -> None:
        """Keep the products that are there."""
        kept = {key: event.read(key) for key in self.kept(event.product_keys())}
        self.events[event.id] = {key: product for key, product in kept.items() if product is not None}
        self.calls.append(f"event {event.id}")

    def write_subrun(self, subrun: SubRun) -> None:
        """Keep the products that are there."""
        kept = {key: subrun.read(key) for key in self.kept(subrun.product_keys())}
        self.subruns[subrun.id] = {key: product for key, product in kept.items() if product is not None}
        self.calls.append(f"subrun {subrun.id[0]}:{subrun.id[1]}")

    def write_run(self, run: Run) -> None:
        """Remember the call."""
        self.calls.append(f"run {run.id}")

    def close(self, complete: bool) -> None:
        """Remember the call."""
        self.calls.append("close" if complete else "close incomplete")


def memory_job(
    values: Mapping[str, Any],
    files: Sequence[MemoryFile] = (),
    modules: Sequence[type[Module]] = (),
    *,
    origin: Origin = lambda key: None,
    selection: Selection | None = None,
    report_path: str | None = None,
) -> JobRunner:
    """A job over ``files`` whose ``module_type`` names may be classes of ``modules`` and ``MemoryOutput``.

    A job without ``source`` reads ``files``; ``process_name`` is ``TEST`` unless given.
    """

    class MemoryInput(Source):
        """The given files."""

        def files(self) -> Iterator[InputFile]:
            """In order."""
            return iter(files)

    values = {"process_name": "TEST", "source": {"module_type": "MemoryInput"}} | dict(values)
    registry = Registry([MemoryInput, MemoryOutput, *modules])
    return JobRunner(
        values, repr(values), origin=origin, registry=registry, selection=selection, report_path=report_path
    )


class ModuleHarness:
    """Make a module from a class and a table of parameters, and show it events.

    ``process`` names the process; ``services`` are given ready made. After construction ``module`` is the module.
    """

    def __init__(
        self,
        module_class: type[Module],
        parameters: Mapping[str, Any] | None = None,
        *,
        label: str = "tested",
        process: str = "TEST",
        services: Mapping[str, Service] | None = None,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        self.job = Job(process, Provenance(process, f"process_name: {process}\n"), device=device, threads=threads)
        self.job.services.update(services or {})
        context = ModuleContext(label, module_class.__name__, self.job)
        config: ParameterSet = module_class.Parameters.parse(parameters or {}, label, module_class.__name__)
        self.module = module_class(config, context)

    def process(
        self,
        products: Products | None = None,
        id: EventID | str = EventID(1, 1, 1),  # noqa: B008
        is_real_data: bool = False,
    ) -> "HarnessResult":
        """Show the module an event that holds ``products`` by tag (``"butcher"``, ``"gaushit::Reco1"``) or full name.

        A tag without a process is of the process ``INPUT``.
        """
        id = EventID.parse(id) if isinstance(id, str) else id
        principal = memory_principal(self.job.process, products or {})
        event = Event(principal, self.module.access, id, is_real_data)
        passed = True
        if isinstance(self.module, Producer):
            self.module.produce(event)
        elif isinstance(self.module, Filter):
            passed = bool(self.module.filter(event))
        elif isinstance(self.module, Analyzer):
            self.module.analyze(event)
        else:
            raise TypeError(
                f"{type(self.module).__name__} is a {self.module.kind}; expected producer, filter, analyzer"
            )
        missing = [p.key.branch for p in self.module.declared_produces if not principal.has_put(p.key)]
        if missing:
            raise AssertionError(f"declared but not put: {', '.join(missing)}")
        return HarnessResult(principal, self.module.context.label, passed)

    def run(self, number: int = 1, products: Products | None = None) -> Run:
        """A run to call ``begin_run`` and ``end_run`` with."""
        return Run(memory_principal(self.job.process, products or {}, "run"), self.module.access, number)

    def subrun(self, id: tuple[int, int] = (1, 1), products: Products | None = None) -> SubRun:
        """A subrun to call ``begin_subrun`` and ``end_subrun`` with."""
        return SubRun(memory_principal(self.job.process, products or {}, "subrun"), self.module.access, id)


class HarnessResult:
    """What the module put: ``get(type, instance)``; ``passed`` is a filter's verdict."""

    def __init__(self, principal: Principal, label: str, passed: bool) -> None:
        self.principal = principal
        self.passed = passed
        self._label = label

    def get(self, product_type: type[P], instance: str = "") -> P:
        """A product that the module put. Raises ``KeyError`` naming those it put."""
        key = self.principal.resolve(product_type.__name__, InputTag(self._label, instance, self.principal.process))
        product = self.principal.product(key) if key else None
        if not isinstance(product, product_type):
            put = ", ".join(k.branch for k in self.principal.product_keys() if k.process == self.principal.process)
            raise KeyError(f"no {product_type.__name__} {instance!r} was put; put: {put or 'nothing'}")
        return product
