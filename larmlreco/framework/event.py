"""What a module sees of an event, a subrun or a run: products by type and tag.

A :class:`Principal` holds the products of one event (subrun, run): those of the input are read when first asked for,
those of this process are put by its modules. A module gets an :class:`Event` (:class:`SubRun`, :class:`Run`), a view
of the principal that holds the module to what it declared.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from larmlreco.errors import LarmlrecoError
from larmlreco.framework.ids import EventID
from larmlreco.products import InputTag, Product, ProductKey

P = TypeVar("P", bound=Product)
Level = Literal["event", "subrun", "run"]
"""What a product belongs to."""


class ProductNotFoundError(LarmlrecoError):
    """An event (subrun, run) lacks a product that a module asked for."""


class DeclarationError(LarmlrecoError):
    """A module reads or puts what it did not declare, or does not put what it declared."""


@dataclass(frozen=True)
class Consumption:
    """A product that a module declared to read, and what its maker should say of it (``facts``)."""

    type: str
    tag: InputTag
    optional: bool = False
    level: Level = "event"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Production:
    """A product that a module declared to put, and what is true of it in every event (``facts``)."""

    key: ProductKey
    level: Level = "event"
    facts: Mapping[str, Any] = field(default_factory=dict)


class Principal:
    """The products of one event, subrun or run.

    ``keys`` are those of the input and ``read`` reads one of them (``None``: this entry has none). ``history`` holds
    the names of the processes that made the input, the earliest first; a tag without a process means the latest
    process that has the product, this one before all.
    """

    def __init__(
        self,
        process: str,
        level: Level = "event",
        keys: Iterable[ProductKey] = (),
        read: Callable[[ProductKey], Product | None] = lambda key: None,
        history: Sequence[str] = (),
    ) -> None:
        self.process = process
        self.level = level
        self._input = tuple(keys)
        self._read = read
        self._order = {name: number for number, name in enumerate(history)}
        self._cache: dict[ProductKey, Product | None] = {}
        self._put: dict[ProductKey, Product] = {}
        self.remarks: list[str] = []

    def product_keys(self) -> list[ProductKey]:
        """All products: those of the input, then those put, in order."""
        return [*self._input, *self._put]

    def resolve(self, type_name: str, tag: InputTag) -> ProductKey | None:
        """The product that a tag means; ``None`` if there is none."""
        found = [key for key in self._put if key.matches(type_name, tag)]
        found += [key for key in self._input if key.matches(type_name, tag)]
        if len(found) < 2:
            return found[0] if found else None
        return max(
            found, key=lambda k: len(self._order) if k.process == self.process else self._order.get(k.process, -1)
        )

    def product(self, key: ProductKey) -> Product | None:
        """One product by its full name; ``None`` where this entry has none."""
        if key in self._put:
            return self._put[key]
        if key not in self._cache:
            self._cache[key] = self._read(key)
        return self._cache[key]

    def put(self, key: ProductKey, product: Product) -> None:
        """Add a product of this process. Raises ``DeclarationError`` if it is there already."""
        if key in self._put:
            raise DeclarationError(f"{key.branch} was put twice in one {self.level}")
        self._put[key] = product

    def has_put(self, key: ProductKey) -> bool:
        """Whether this process put that product."""
        return key in self._put


@dataclass(frozen=True)
class Access:
    """What a module may read and put; ``everything`` (outputs) reads all products."""

    label: str
    module_type: str
    consumes: tuple[Consumption, ...] = ()
    produces: tuple[Production, ...] = ()
    everything: bool = False


class DataView:
    """Products by type and tag, as one module may see them."""

    def __init__(self, principal: Principal, access: Access) -> None:
        self._principal = principal
        self._access = access

    @property
    def process(self) -> str:
        """Name of the process that runs."""
        return self._principal.process

    def get(self, product_type: type[P], tag: InputTag | str) -> P:
        """The product with that type and tag.

        Raises ``ProductNotFoundError`` naming the tags of that type that exist, ``DeclarationError`` if the module
        did not declare with ``consumes`` that it reads this.
        """
        product = self.find(product_type, tag)
        if product is None:
            raise ProductNotFoundError(self._missing(product_type.__name__, _tag(tag)))
        return product

    def find(self, product_type: type[P], tag: InputTag | str) -> P | None:
        """The product with that type and tag, ``None`` if there is none."""
        key = self._resolve(product_type, _tag(tag))
        if key is None:
            return None
        product = self._principal.product(key)
        if product is not None and not isinstance(product, product_type):
            raise TypeError(f"{key.branch} holds {type(product).__name__}, not {product_type.__name__}")
        return product

    def key(self, product_type: type[Product], tag: InputTag | str) -> ProductKey:
        """Full name of the product that a tag means, as links (:class:`Assns`) carry it; raises as :meth:`get`."""
        key = self._resolve(product_type, _tag(tag))
        if key is None:
            raise ProductNotFoundError(self._missing(product_type.__name__, _tag(tag)))
        return key

    def put(self, product: Product, instance: str = "") -> ProductKey:
        """Add a product of this module. Returns its full name.

        Raises ``DeclarationError`` for a product that the module did not declare with ``produces``, or put before.
        """
        for declared in self._access.produces:
            key = declared.key
            if (key.type, key.instance, declared.level) == (type(product).__name__, instance, self._principal.level):
                self._principal.put(key, product)
                return key
        known = ", ".join(
            _named(p.key.type, p.key.instance) for p in self._access.produces if p.level == self._principal.level
        )
        raise DeclarationError(
            f"puts {_named(type(product).__name__, instance)} into the {self._principal.level}, which it did not "
            f"declare; declared: {known or 'nothing'}"
        )

    def product_keys(self) -> list[ProductKey]:
        """Full names of all products."""
        return self._principal.product_keys()

    def read(self, key: ProductKey) -> Product | None:
        """For outputs: the product of a full name, ``None`` where there is none."""
        if not self._access.everything:
            raise DeclarationError("reads by full name, which only outputs do; use get with a declared tag")
        return self._principal.product(key)

    def _resolve(self, product_type: type[Product], tag: InputTag) -> ProductKey | None:
        name, access = product_type.__name__, self._access
        if not access.everything and not any(
            c.type == name and c.tag == tag and c.level == self._principal.level for c in access.consumes
        ):
            known = ", ".join(f"{c.type} {c.tag}" for c in access.consumes if c.level == self._principal.level)
            raise DeclarationError(
                f"reads {name} {tag} of the {self._principal.level}, which it did not declare; "
                f"declared: {known or 'nothing'}"
            )
        return self._principal.resolve(name, tag)

    def _missing(self, type_name: str, tag: InputTag) -> str:
        there = sorted(str(k.tag) for k in self._principal.product_keys() if k.type == type_name)
        text = f"no {type_name} {str(tag)!r} in this {self._principal.level}; {type_name} there: "
        return text + (", ".join(there) or "none") + "".join(f" ({remark})" for remark in self._principal.remarks)


def _tag(tag: InputTag | str) -> InputTag:
    return tag if isinstance(tag, InputTag) else InputTag.parse(tag)


def _named(type_name: str, instance: str) -> str:
    return f"{type_name} {instance!r}" if instance else type_name


class Run(DataView):
    """One run; ``id`` is its number."""

    def __init__(self, principal: Principal, access: Access, run: int) -> None:
        super().__init__(principal, access)
        self.id = run


class SubRun(DataView):
    """One subrun; ``id`` is (run, subrun)."""

    def __init__(self, principal: Principal, access: Access, id: tuple[int, int]) -> None:
        super().__init__(principal, access)
        self.id = id


class Event(DataView):
    """One event; ``is_real_data`` and ``time`` (art's 64-bit time stamp, 0: none) come from its record."""

    def __init__(
        self, principal: Principal, access: Access, id: EventID, is_real_data: bool = False, time: int = 0
    ) -> None:
        super().__init__(principal, access)
        self.id = id
        self.is_real_data = is_real_data
        self.time = time
