"""The expanded job: look-up, origins, conversion from and to plain Python, dumps."""

import numbers
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isinf, isnan
from pathlib import Path
from typing import Any

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.fhicl import printer
from larmlreco.framework.fhicl.canonical import NAME, canonical_number, number_value, quote
from larmlreco.framework.fhicl.document import Document, spell
from larmlreco.framework.fhicl.document import Path as NodePath
from larmlreco.framework.fhicl.nodes import Kind, Node, Protection, entries
from larmlreco.framework.fhicl.parser import parse
from larmlreco.framework.fhicl.source import Source, read_job, read_text

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\[[0-9]+\])*(?:\.[A-Za-z_][A-Za-z0-9_]*(?:\[[0-9]+\])*)*\Z")
_KEY_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]+)\]")


class Table(Mapping[str, Any]):
    """An expanded job. As a mapping it gives plain Python values (see :meth:`to_python`) by name or ``a.b[2].c``."""

    def __init__(self, root: Node, source: Source) -> None:
        self._root = root
        self._source = source

    @property
    def root(self) -> Node:
        """The tree; it may be read, changes go through :meth:`put`."""
        return self._root

    def node(self, key: str) -> Node:
        """The typed parameter of a name such as ``a.b[2].c``. Raises KeyError, which says what there is instead."""
        node = self._root
        path = parse_key(key)
        for depth, part in enumerate(path):
            if node.kind is Kind.SEQUENCE and isinstance(part, int):
                if part < len(node.value):
                    node = node.value[part]
                    continue
                raise KeyError(f"{key}: {spell(path[:depth])!r} has {len(node.value)} elements")
            names = node.value if node.kind is Kind.TABLE else ()
            if part not in names:
                raise KeyError(f"{key}: {spell(path[: depth + 1])!r} is not set; {valid_choices(str(part), names)}")
            node = node.value[part]
        return node

    def __getitem__(self, key: str) -> Any:
        return _plain(self.node(key))

    def __contains__(self, key: object) -> bool:
        try:
            self.node(str(key))
        except (KeyError, ConfigurationError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._root.value))

    def __len__(self) -> int:
        return len(self._root.value)

    def __repr__(self) -> str:
        return f"Table({', '.join(self)})"

    def origin(self, key: str) -> str | None:
        """``FILE:LINE`` where a parameter was set last, for messages; None if it does not come from a text.

        A table that only an override of one of its members created has the origin of that member.
        """
        path = parse_key(key)
        enclosing = None
        for depth in range(1, len(path) + 1):
            node = self.node(spell(path[:depth]))
            enclosing = self._origin(node) or enclosing
        while node.is_container and node.children() and self._origin(node) is None:
            node = node.children()[0]
        return self._origin(node) or enclosing

    def _origin(self, node: Node) -> str | None:
        return self._source.where(node.position) if node.position >= 0 else node.origin

    def put(self, key: str, value: Any, origin: str | None = None) -> None:
        """Override one parameter as a line at the end of the job would, ``origin`` telling where it comes from.

        Raises FhiclError where the job protects the parameter with ``@protect_error``, and where the name leads
        through something that is no table; what the job protects with ``@protect_ignore`` stays.
        """
        node = _node(value, key, origin)
        Document(self._source, self._root).assign(parse_key(key), Protection.NONE, node, -1)

    def to_python(self) -> dict[str, Any]:
        """Dict, list, str, bool, None and complex; numbers are int where they are whole and below 1e19, else float."""
        plain: dict[str, Any] = _plain(self._root)
        return plain

    def dumps(self, annotate: bool = False) -> str:
        """Canonical text, which parses to the same parameters; or for reading only, with the origin of each one."""
        if not annotate:
            return printer.canonical(self._root)
        return printer.annotated(self._root, self._annotation)

    def dumps_prefix_annotated(self) -> str:
        """For reading by scripts, with the name and the origin of each parameter on two lines before it."""
        return printer.prefix_annotated(self._root, self._annotation)

    def _annotation(self, node: Node) -> str:
        return self._source.annotation(node.position) if node.position >= 0 else node.origin or ""


def load(path: Path | str, search_path: Sequence[Path | str] | None = None) -> Table:
    """Read a job with its included files and expand it.

    ``path`` is a path, or a name that is looked up like an included file: in the directories of ``search_path``, by
    default those of the variable FHICL_FILE_PATH, or here if that is not set; then among our own jobs. Raises
    FhiclError, which names file, line and cause.
    """
    return _expand(read_job(os.fspath(path), search_path), strict=True)


def loads(
    text: str, name: str = "<text>", search_path: Sequence[Path | str] | None = None, *, strict: bool = True
) -> Table:
    """The same for text at hand, ``name`` standing for its file in messages.

    With ``strict=False``, whatever :func:`dumps` writes is read back: FHiCL itself cannot read strings that hold
    characters beyond ASCII or that end in a backslash.
    """
    return _expand(read_text(text, name, search_path), strict)


def _expand(source: Source, strict: bool) -> Table:
    root = Node(Kind.TABLE, parse(source, strict).result())
    if "@id::" in source.text:
        open_nodes = [root]
        while open_nodes:
            node = open_nodes.pop()
            if node.kind is Kind.TABLE_ID:
                source.fail(node.position, f"no table with the id {node.value} is known")
            open_nodes.extend(node.children())
    return Table(root, source)


def from_python(values: Mapping[str, Any], origin: str | None = None) -> Table:
    """Plain Python (also paths, tuples and numpy values) as a table, to be dumped or overridden.

    Raises ConfigurationError for what FHiCL cannot hold: names that are no identifiers, NaN, control characters in
    strings, other types.
    """
    return Table(_node(values, "", origin), Source())


def dumps(table: Table | Mapping[str, Any], annotate: bool = False) -> str:
    """Canonical text of a table or of plain Python values."""
    return (table if isinstance(table, Table) else from_python(table)).dumps(annotate)


def to_python(table: Table) -> dict[str, Any]:
    """See :meth:`Table.to_python`."""
    return table.to_python()


def parse_key(key: str) -> NodePath:
    """``a.b[2].c`` as ``("a", "b", 2, "c")``. Raises ConfigurationError for what is no such name."""
    if not _KEY.match(key):
        raise ConfigurationError(f"{key!r} is not the name of a parameter; valid: names like a.b or a.b[2].c")
    return tuple(name or int(index) for name, index in _KEY_PART.findall(key))


def _plain(root: Node) -> Any:
    holder: list[Any] = []
    open_nodes: list[tuple[Any, str | int, Node]] = [(holder, 0, root)]
    while open_nodes:
        place, key, node = open_nodes.pop()
        value: Any
        if node.kind is Kind.TABLE:
            value = dict.fromkeys(sorted(node.value))
        elif node.kind is Kind.SEQUENCE:
            value = [None] * len(node.value)
        elif node.kind is Kind.NUMBER:
            value = number_value(node.value)
        elif node.kind is Kind.COMPLEX:
            value = complex(*(number_value(part) for part in node.value))
        else:
            value = node.value
        if place is holder:
            holder.append(value)
        else:
            place[key] = value
        if node.is_container:
            open_nodes.extend((value, inner_key, inner) for inner_key, inner in entries(node))
    return holder[0]


def _node(value: Any, name: str, origin: str | None) -> Node:
    """The tree of a plain value; ``name`` is for messages."""
    holder: list[Node] = []
    open_values: list[tuple[Node | None, str | int, Any, str]] = [(None, 0, value, name)]
    while open_values:
        parent, key, item, path = open_values.pop()
        if hasattr(item, "tolist"):
            item = item.tolist()
        if isinstance(item, Table):
            item = item.to_python()
        if isinstance(item, Mapping):
            node = Node(Kind.TABLE, {}, origin=origin)
            for inner in item:
                if not isinstance(inner, str) or not NAME.match(inner):
                    raise ConfigurationError(
                        f"{inner!r} in {path or 'the table'} cannot be a name; valid: a letter or _, then letters, "
                        "digits and _"
                    )
            open_values.extend((node, k, v, f"{path}.{k}" if path else k) for k, v in item.items())
        elif isinstance(item, list | tuple):
            node = Node(Kind.SEQUENCE, [None] * len(item), origin=origin)
            open_values.extend((node, i, v, f"{path}[{i}]") for i, v in enumerate(item))
        else:
            node = _atom(item, path, origin)
        if parent is None:
            holder.append(node)
        else:
            parent.value[key] = node
    return holder[0]


def _atom(value: Any, path: str, origin: str | None) -> Node:
    if value is None:
        return Node(Kind.NIL, None, origin=origin)
    if isinstance(value, bool):
        return Node(Kind.BOOL, value, origin=origin)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        quote(value)  # raises now, not when it is dumped
        return Node(Kind.STRING, value, origin=origin)
    if isinstance(value, numbers.Real):
        return Node(Kind.NUMBER, _number_text(value, path), origin=origin)
    if isinstance(value, numbers.Complex):
        value = complex(value)
        return Node(Kind.COMPLEX, (_number_text(value.real, path), _number_text(value.imag, path)), origin=origin)
    raise ConfigurationError(
        f"{path} is a {type(value).__name__}; valid: numbers, strings, booleans, None, lists and dicts of these"
    )


def _number_text(value: Any, path: str) -> str:
    if isinstance(value, numbers.Integral):
        text = canonical_number(str(int(value)))
    else:
        value = float(value)
        if isnan(value):
            raise ConfigurationError(f"{path} is not a number, which FHiCL cannot hold; valid: numbers and infinity")
        text = ("+infinity" if value > 0 else "-infinity") if isinf(value) else canonical_number(repr(value))
    assert text is not None  # Python spells numbers as FHiCL does
    return text
