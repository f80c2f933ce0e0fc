"""Modules in tests: one module on in-memory events, without a job file."""

from collections.abc import Mapping
from typing import Any, TypeVar

from larmlreco.framework.event import Event, Level, Principal, Run, SubRun
from larmlreco.framework.ids import EventID
from larmlreco.framework.module import Analyzer, Filter, Job, Module, ModuleContext, Producer, Service
from larmlreco.framework.parameters import ParameterSet
from larmlreco.framework.provenance import Provenance
from larmlreco.products import InputTag, Product, ProductKey

P = TypeVar("P", bound=Product)


def memory_principal(
    process: str, products: Mapping[str | ProductKey, Product], level: Level = "event", input_process: str = "INPUT"
) -> Principal:
    """A principal whose input is ``products`` by tag or full name; a tag without a process is of ``input_process``."""
    held: dict[ProductKey, Product] = {}
    for name, product in products.items():
        if isinstance(name, str):
            tag = InputTag.parse(name)
            name = ProductKey(type(product).__name__, tag.label, tag.instance, tag.process or input_process)
        held[name] = product
    history = sorted({key.process for key in held} - {process})
    return Principal(process, level, held, held.get, history)


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
        products: Mapping[str | ProductKey, Product] | None = None,
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

    def run(self, number: int = 1, products: Mapping[str | ProductKey, Product] | None = None) -> Run:
        """A run to call ``begin_run`` and ``end_run`` with."""
        return Run(memory_principal(self.job.process, products or {}, "run"), self.module.access, number)

    def subrun(
        self, id: tuple[int, int] = (1, 1), products: Mapping[str | ProductKey, Product] | None = None
    ) -> SubRun:
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
