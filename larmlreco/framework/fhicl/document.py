"""What assignments, overrides, erasures and references do to the tree, in the order of the job's text."""

from difflib import get_close_matches
from typing import NoReturn

from larmlreco.errors import valid_choices
from larmlreco.framework.fhicl.nodes import Kind, Node, Protection
from larmlreco.framework.fhicl.source import Source

Path = tuple[str | int, ...]
"""A qualified name: ``a.b[2].c`` is ``("a", "b", 2, "c")``."""

_LONGEST_GAP = 1_000_000
_LONGEST_LIST = 20
_RANK = {Protection.NONE: 0, Protection.IGNORE: 1, Protection.ERROR: 2}
_WORD = {
    Protection.NONE: "no protection",
    Protection.IGNORE: "@protect_ignore",
    Protection.ERROR: "@protect_error",
}


def _near(name: str, table: dict[str, Node]) -> list[str]:
    """The names to tell a user who asked for another one: all, or in a long table only similar ones."""
    return list(table) if len(table) <= _LONGEST_LIST else get_close_matches(name, table)


def spell(path: Path) -> str:
    """``a.b[2].c`` of a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Document:
    """The parameters set so far. A prolog's names serve references only; setting one in the body replaces it whole."""

    def __init__(self, source: Source, root: Node | None = None) -> None:
        self.root = Node(Kind.TABLE, {}) if root is None else root
        self.in_prolog = False
        self._prolog_names: set[str] = set()
        self._source = source

    def result(self) -> dict[str, Node]:
        """The parameters of the body."""
        return {name: node for name, node in self.root.value.items() if name not in self._prolog_names}

    def assign(self, path: Path, protection: Protection, node: Node, position: int) -> None:
        """``PATH: value`` outside braces; creates what is missing on the way, a gap in a sequence becomes ``@nil``."""
        self.protect(path, protection, node, position)
        self._insert(path, node, position)

    def protect(self, path: Path, protection: Protection, node: Node, position: int) -> None:
        """Give a new value its protection; nothing inside may be protected less strictly, if at all."""
        if protection is Protection.NONE:
            return
        node.protection = protection
        open_nodes: list[tuple[Path, Node, Protection]] = [(path, node, protection)]
        while open_nodes:
            place, outer, required = open_nodes.pop()
            if outer.kind is Kind.TABLE:
                inner = list(outer.value.items())
            elif outer.kind is Kind.SEQUENCE:
                inner = list(enumerate(outer.value))
            else:
                continue
            for key, child in inner:
                if child.protection is not Protection.NONE and _RANK[child.protection] < _RANK[required]:
                    self._source.fail(
                        position,
                        f"{spell((*place, key))!r} has {_WORD[child.protection]} inside {spell(path)!r}, which has the "
                        f"stricter {_WORD[protection]}",
                    )
                strictest = max(required, child.protection, key=_RANK.__getitem__)
                open_nodes.append(((*place, key), child, strictest))

    def assign_in_table(
        self, table: dict[str, Node], name: str, protection: Protection, node: Node, position: int
    ) -> None:
        """``name: value`` inside braces."""
        self.protect((name,), protection, node, position)
        existing = table.get(name)
        if existing is not None:
            self._check_not_stricter((name,), node, existing, position)
            if self._is_locked((name,), existing, position):
                return
        table[name] = node

    def erase_in_table(self, table: dict[str, Node], name: str, position: int) -> None:
        """``name: @erase`` inside braces; an unknown name is no error."""
        existing = table.get(name)
        if existing is not None and not self._is_locked((name,), existing, position):
            del table[name]

    def splice_into_table(self, table: dict[str, Node], path: Path, position: int) -> None:
        """``@table::PATH`` inside braces."""
        for name, node in self._table(path, position).items():
            existing = table.get(name)
            if existing is not None:
                self._check_not_stricter((name,), node, existing, position)
                if self._is_locked((name,), existing, position):
                    continue
            table[name] = node.placed_at(position)

    def splice(self, path: Path, position: int) -> None:
        """``@table::PATH`` outside braces."""
        for name, node in list(self._table(path, position).items()):
            self._insert((name,), node.placed_at(position), position)

    def splice_into_sequence(self, sequence: list[Node], path: Path, position: int) -> None:
        """``@sequence::PATH`` in brackets."""
        node = self.find(path, position)
        if node.kind is not Kind.SEQUENCE:
            self._source.fail(position, f"@sequence::{spell(path)} is a {node.kind.value}, not a sequence")
        sequence.extend([element.used_at(position) for element in node.value])

    def _table(self, path: Path, position: int) -> dict[str, Node]:
        node = self.find(path, position)
        if node.kind is not Kind.TABLE:
            self._source.fail(position, f"@table::{spell(path)} is a {node.kind.value}, not a table")
        table: dict[str, Node] = node.value
        return table

    def find(self, path: Path, position: int) -> Node:
        """The parameter that a reference names; it must have been set before."""
        node = self.root
        for depth, part in enumerate(path):
            done = spell(path[:depth])
            if isinstance(part, int):
                if node.kind is not Kind.SEQUENCE:
                    self._reference_failed(path, position, f"{done!r} is a {node.kind.value}, not a sequence")
                if part >= len(node.value):
                    self._reference_failed(path, position, f"{done!r} has {len(node.value)} elements")
                node = node.value[part]
            else:
                if node.kind is not Kind.TABLE:
                    self._reference_failed(path, position, f"{done!r} is a {node.kind.value}, not a table")
                if part not in node.value:
                    cause = f"{done!r} has no {part!r}" if depth else f"{part!r} is not set before this line"
                    self._reference_failed(path, position, f"{cause}; {valid_choices(part, _near(part, node.value))}")
                node = node.value[part]
        return node

    def erase(self, path: Path, position: int) -> None:
        """``PATH: @erase`` outside braces; an unknown name is no error."""
        if not self.in_prolog and path[0] in self._prolog_names:
            return
        node = self.root
        for depth, part in enumerate(path):
            self._check_descent("erase", node, path, depth, position)
            if isinstance(part, int):
                if part >= len(node.value):
                    return
                if depth == len(path) - 1:
                    self._source.fail(position, f"cannot erase {spell(path)!r}: elements of a sequence stay")
            else:
                if part not in node.value:
                    return
                if self._is_locked(path[: depth + 1], node.value[part], position):
                    return
                if depth == len(path) - 1:
                    del node.value[part]
                    if node is self.root:
                        self._prolog_names.discard(part)
                    return
            node = self._descend(node, part)

    def _insert(self, path: Path, node: Node, position: int) -> None:
        first = path[0]
        assert isinstance(first, str)  # a qualified name begins with a name
        if self.in_prolog:
            self._prolog_names.add(first)
        elif first in self._prolog_names:
            del self.root.value[first]
            self._prolog_names.discard(first)
        outer = self.root
        locked = False
        for depth, part in enumerate(path):
            if outer.kind is Kind.NIL:
                outer.kind, outer.value = (Kind.SEQUENCE, []) if isinstance(part, int) else (Kind.TABLE, {})
                outer.position, outer.protection = -1, Protection.NONE
            self._check_descent("set", outer, path, depth, position)
            if isinstance(part, int):
                gap = part + 1 - len(outer.value)
                if gap > _LONGEST_GAP:
                    self._source.fail(
                        position, f"{spell(path[: depth + 1])!r} lies {gap} elements past the end of the sequence"
                    )
                outer.value.extend([Node(Kind.NIL, None) for _ in range(gap)])
            elif part not in outer.value:
                outer.value[part] = Node(Kind.NIL, None)
            locked |= self._is_locked(path[: depth + 1], outer.value[part], position)
            if depth < len(path) - 1:
                outer = self._descend(outer, part)
        last = path[-1]
        existing = outer.value[last]
        if existing.kind is not Kind.NIL:
            self._check_not_stricter(path, node, existing, position)
        if not locked:
            outer.value[last] = node

    def _check_descent(self, verb: str, outer: Node, path: Path, depth: int, position: int) -> None:
        expected = Kind.SEQUENCE if isinstance(path[depth], int) else Kind.TABLE
        if outer.kind is not expected:
            kinds = f"a {outer.kind.value}, not a {expected.value}"
            self._source.fail(position, f"cannot {verb} {spell(path)!r}: {spell(path[:depth])!r} is {kinds}")

    @staticmethod
    def _descend(outer: Node, part: str | int) -> Node:
        """The entry, made safe to change; nil has no content to share but becomes a container in place."""
        inner: Node = outer.value[part]
        inner = Node(Kind.NIL, None, inner.position, inner.protection) if inner.kind is Kind.NIL else inner.own()
        outer.value[part] = inner
        return inner

    def _is_locked(self, path: Path, existing: Node, position: int) -> bool:
        """Whether an override is to be ignored. Raises FhiclError where it is forbidden."""
        if existing.protection is Protection.ERROR:
            self._source.fail(position, f"{spell(path)!r} is protected by @protect_error{self._set_at(existing)}")
        return existing.protection is Protection.IGNORE

    def _check_not_stricter(self, path: Path, node: Node, existing: Node, position: int) -> None:
        if _RANK[node.protection] > _RANK[existing.protection]:
            self._source.fail(
                position,
                f"{spell(path)!r} cannot be given {_WORD[node.protection]} now: it exists with "
                f"{_WORD[existing.protection]}{self._set_at(existing)}",
            )

    def _set_at(self, node: Node) -> str:
        return f", set at {self._source.where(node.position)}" if node.position >= 0 else ""

    def _reference_failed(self, path: Path, position: int, cause: str) -> NoReturn:
        self._source.fail(position, f"cannot look up {spell(path)!r}: {cause}")
