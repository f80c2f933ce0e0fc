"""The tree to text: canonical, or with the place where each parameter was set."""

import hashlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from larmlreco.framework.fhicl.nodes import Kind, Node, entries

_INDENT = "   "

Origin = Callable[[Node], str]
"""Gives ``FILE:LINE`` of a parameter, empty where it has none."""


class _Step(Enum):
    ATOM = 0
    OPEN = 1
    CLOSE = 2


class _Event(NamedTuple):
    step: _Step
    key: str | int
    node: Node
    depth: int
    siblings: int  # elements of the sequence that it lies in, 0 in a table

    @property
    def indent(self) -> str:
        return _INDENT * self.depth

    @property
    def prefix(self) -> str:
        bracket = "" if not self.node.is_container else "{" if self.node.kind is Kind.TABLE else "["
        return self.indent + ("" if isinstance(self.key, int) else f"{self.key}: ") + bracket

    @property
    def closing(self) -> str:
        return "}" if self.node.kind is Kind.TABLE else "]"

    def comma(self, size: int) -> str:
        return "," if isinstance(self.key, int) and self.key != size - 1 else ""


def _walk(root: Node, resolve: Callable[[Node], Node] = lambda node: node) -> Iterator[_Event]:
    """Everything below ``root`` in the order of the text; ``resolve`` may exchange a container for its equal."""
    stack: list[tuple[Iterator[tuple[str | int, Node]], _Event | None, int]] = [(entries(root), None, 0)]
    while stack:
        iterator, opened, siblings = stack[-1]
        depth = len(stack) - 1
        for key, node in iterator:
            if not node.is_container:
                yield _Event(_Step.ATOM, key, node, depth, siblings)
                continue
            event = _Event(_Step.OPEN, key, node, depth, siblings)
            yield event
            size = len(node.value) if node.kind is Kind.SEQUENCE else 0
            stack.append((entries(resolve(node)), event, size))
            break
        else:
            stack.pop()
            if opened is not None:
                yield opened._replace(step=_Step.CLOSE)


def canonical(root: Node) -> str:
    """Canonical text of a table's members: names sorted, one parameter a line, containers indented by three.

    As in art's own text, closing braces that directly follow an empty table are not indented.
    """
    pieces: list[str] = []
    after_empty_table = False
    for event in _walk(root):
        node = event.node
        if event.step is _Step.ATOM:
            pieces.append(f"{event.prefix}{node.atom_text()}{event.comma(event.siblings)}\n")
        elif event.step is _Step.OPEN:
            if node.kind is Kind.TABLE:
                after_empty_table = not node.value
            pieces.append(event.prefix + ("\n" if node.value else ""))
        else:
            indented = not after_empty_table if node.kind is Kind.TABLE else bool(node.value)
            pieces.append(f"{event.indent if indented else ''}{event.closing}{event.comma(event.siblings)}\n")
    return "".join(pieces)


def annotated(root: Node, origin: Origin) -> str:
    """Like :func:`canonical`, each parameter followed by ``# FILE:LINE``, or by ``# ""`` where that stays the same.

    For reading only: as in art's own text, the comma after a sequence inside a sequence is not always right.
    """
    pieces: list[str] = []
    last = current = ""
    for event in _walk(root, _first_equal_tables(root)):
        if event.step is _Step.CLOSE:
            size = len(event.node.value) if event.node.kind is Kind.SEQUENCE else event.siblings
            pieces.append(f"{event.indent}{event.closing}{event.comma(size)}\n")
            last = current
            continue
        current = origin(event.node)
        note = "" if not current else '  # ""' if current == last else f"  # {current}"
        if event.step is _Step.OPEN:
            pieces.append(f"{event.prefix}{note}\n")
        else:
            pieces.append(f"{event.prefix}{event.node.atom_text()}{event.comma(event.siblings)}{note}\n")
            last = current
    return "".join(pieces)


def prefix_annotated(root: Node, origin: Origin) -> str:
    """Like :func:`annotated`, with two lines ``#KEY|...|`` and ``#SRC|...|`` before each parameter."""
    pieces: list[str] = []
    names: list[str] = []
    open_names: list[str] = []  # of the tables entered
    for event in _walk(root, _first_equal_tables(root)):
        in_sequence = isinstance(event.key, int)
        if event.step is _Step.CLOSE:
            if event.node.kind is Kind.TABLE:
                open_names.pop()
            names.pop()
            size = len(event.node.value) if event.node.kind is Kind.SEQUENCE else event.siblings
            pieces.append(f"{event.indent}{event.closing}{event.comma(size)}\n")
            continue
        name = f"{names[-1]}[{event.key}]" if in_sequence else str(event.key)
        pieces.append(f"#KEY|{'.'.join([*open_names, name])}|\n#SRC|{origin(event.node)}|\n")
        if event.step is _Step.OPEN:
            names.append(name)
            if event.node.kind is Kind.TABLE:
                open_names.append(name)
            pieces.append(f"{event.prefix}\n")
        else:
            pieces.append(f"{event.prefix}{event.node.atom_text()}{event.comma(event.siblings)}\n")
    return "".join(pieces)


def _first_equal_tables(root: Node) -> Callable[[Node], Node]:
    """For each table the first one of the same content, in the order in which inner tables come before outer ones.

    art stores tables by content, so its annotations inside a table are those of the first equal table.
    """
    digests: list[list[bytes]] = [[]]
    first: dict[bytes, Node] = {}
    digest_of: dict[int, bytes] = {}
    for event in _walk(root):
        if event.step is _Step.OPEN:
            digests.append([])
            continue
        key = b"" if isinstance(event.key, int) else event.key.encode() + b":"
        if event.step is _Step.ATOM:
            digests[-1].append(key + event.node.atom_text().encode())
            continue
        content = b"\n".join([event.closing.encode(), *digests.pop()])
        digest = hashlib.sha1(content, usedforsecurity=False).digest().hex().encode()
        digests[-1].append(key + digest)
        if event.node.kind is Kind.TABLE:
            digest_of[id(event.node)] = digest
            first.setdefault(digest, event.node)
    return lambda node: first[digest_of[id(node)]] if node.kind is Kind.TABLE else node
