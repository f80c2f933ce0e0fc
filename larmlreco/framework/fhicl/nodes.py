"""The typed parameter tree."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from larmlreco.framework.fhicl.canonical import quote


class Kind(Enum):
    """What a parameter is."""

    NIL = "nil"
    BOOL = "boolean"
    NUMBER = "number"
    COMPLEX = "complex"
    STRING = "string"
    SEQUENCE = "sequence"
    TABLE = "table"
    TABLE_ID = "table id"


class Protection(Enum):
    """What an override of a parameter does; the order is that of strictness."""

    NONE = 0
    IGNORE = 1
    ERROR = 2


class Node:
    """One parameter: its kind, its value, where it was set and how it is protected.

    ``value`` by kind: None; bool; the canonical number as str; two of these; the meaning of the string; list of Node;
    dict of Node by name; 40 hexadecimal digits. ``position`` is the place in the job's expanded text, -1 if the value
    does not come from it, and ``origin`` names such another place ("command line"). Containers may stand in several
    places of a tree at once (``@local::``); ``shared`` marks them, and they are copied before they are changed.
    """

    __slots__ = ("kind", "origin", "position", "protection", "shared", "value")

    def __init__(
        self,
        kind: Kind,
        value: Any,
        position: int = -1,
        protection: Protection = Protection.NONE,
        shared: bool = False,
        origin: str | None = None,
    ) -> None:
        self.kind = kind
        self.value = value
        self.position = position
        self.protection = protection
        self.shared = shared
        self.origin = origin

    def __repr__(self) -> str:
        return f"Node({self.kind.value}, {self.value!r})"

    @property
    def is_container(self) -> bool:
        """Whether it holds other parameters."""
        return self.kind is Kind.TABLE or self.kind is Kind.SEQUENCE

    def children(self) -> list["Node"]:
        """The parameters that it holds."""
        if self.kind is Kind.TABLE:
            return list(self.value.values())
        return list(self.value) if self.kind is Kind.SEQUENCE else []

    def used_at(self, position: int) -> "Node":
        """The same value set at another place, without the protection, which belongs to a name and not to a value."""
        self.shared = self.shared or self.is_container
        return Node(self.kind, self.value, position, Protection.NONE, self.shared)

    def placed_at(self, position: int) -> "Node":
        """The same value and protection, set at another place."""
        node = self.used_at(position)
        node.protection = self.protection
        return node

    def own(self) -> "Node":
        """A container whose own entries may be changed: itself, or a copy where it is shared."""
        if not self.shared:
            return self
        for child in self.children():
            child.shared = child.shared or child.is_container
        value = self.value.copy()
        return Node(self.kind, value, self.position, self.protection, False, self.origin)

    def atom_text(self) -> str:
        """Canonical text of a parameter that is no container."""
        if self.kind is Kind.STRING:
            return quote(self.value)
        if self.kind is Kind.NUMBER:
            return str(self.value)
        if self.kind is Kind.BOOL:
            return "true" if self.value else "false"
        if self.kind is Kind.NIL:
            return "@nil"
        if self.kind is Kind.COMPLEX:
            return f"({self.value[0]},{self.value[1]})"
        return f"@id::{self.value}"


def entries(node: Node) -> Iterator[tuple[str | int, Node]]:
    """The named or numbered parameters of a container, tables sorted by name."""
    if node.kind is Kind.TABLE:
        yield from sorted(node.value.items())
    else:
        yield from enumerate(node.value)
