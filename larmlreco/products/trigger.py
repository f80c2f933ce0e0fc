"""What the trigger paths of a process decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from larmlreco.products.base import Int32, Product, array_field


class PathState(IntEnum):
    """State of a trigger path, with art's numbers (``art::hlt::HLTState``)."""

    READY = 0
    PASS = 1
    FAIL = 2
    EXCEPTION = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class TriggerResults(Product):
    """One row a trigger path. ``meta``: ``paths``, their names, in order."""

    state: Int32 = array_field("i4", "0 not run, 1 passed, 2 rejected by a filter, 3 a module raised")
    index: Int32 = array_field("i4", "position on the path of the module that decided; -1: none ran", fill=-1)

    @property
    def states(self) -> Mapping[str, PathState]:
        """State by name of the path."""
        return {name: PathState(int(state)) for name, state in zip(self.meta["paths"], self.state, strict=True)}
