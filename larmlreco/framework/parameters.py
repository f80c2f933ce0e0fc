"""Typed, documented parameters of modules: declared as a class, checked before the first event.

A parameter is an annotated class attribute made by :func:`parameter`. Its type is one of ``bool``, ``int``,
``float``, ``complex``, ``str``, ``Path``, ``InputTag``, an ``Enum`` (written by name), ``Literal[...]``,
``list[T]``, ``tuple[T, ...]``, ``tuple[T, U]`` of fixed length, ``dict[str, T]``, ``Any`` (taken as it is), another
:class:`ParameterSet` (a nested table), or ``T | None`` (``@nil``).
"""

import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.products import InputTag

S = TypeVar("S", bound="ParameterSet")

Origin = Callable[[str], str | None]
"""Where the key of a full dotted name was written (``file:line``), as far as known."""


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclass(frozen=True)
class Parameter:
    """What a parameter is; ``annotation`` is its type, ``default`` is ``REQUIRED`` where there is none."""

    name: str
    annotation: Any
    default: Any
    doc: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...] | None
    check: Callable[[Any], str | None] | None
    example: Any

    @property
    def required(self) -> bool:
        """Whether the job must give it."""
        return isinstance(self.default, _Required)

    @property
    def default_text(self) -> str:
        """The default as it is written in FHiCL."""
        return _shown(self.default)

    @property
    def type_name(self) -> str:
        """The type as a user reads it."""
        return _type_name(self.annotation)

    @property
    def bounds(self) -> str:
        """The bounds or choices as a user reads them; "" without."""
        if self.choices is not None:
            return "one of " + ", ".join(map(_shown, self.choices))
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return "" if self.maximum is None else f"at most {self.maximum:g}"


@dataclass(frozen=True)
class _Declaration:
    default: Any
    doc: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...] | None
    check: Callable[[Any], str | None] | None
    example: Any


def parameter(
    default: Any = REQUIRED,
    *,
    doc: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
    check: Callable[[Any], str | None] | None = None,
    example: Any = None,
) -> Any:
    """Declare a parameter. Without ``default`` the job must give it.

    ``minimum``, ``maximum`` and ``choices`` hold for the value or, in a sequence, for every element. ``check`` gets
    the whole value and returns what was expected if it does not fit (``"an even number"``), else ``None``.
    ``default`` is written as in FHiCL: an input tag may be its text, a nested table a dictionary. ``example`` is a
    value of one without default with which ``larmlreco describe`` shows what the module reads and puts.
    """
    given = None if choices is None else tuple(choices)
    return _Declaration(default, doc, unit, minimum, maximum, given, check, example)


class ParameterSet:
    """A table of parameters; subclasses declare them with :func:`parameter`, instances hold the values.

    ``Parameters(rebin=4)`` makes one in Python, :meth:`parse` makes one from a table of the job.
    """

    def __init__(self, **values: Any) -> None:
        self._fill(values, type(self).__qualname__, type(self).__qualname__, lambda _: None)

    @classmethod
    def parse(cls: type[S], values: Mapping[str, Any], key: str, owner: str, origin: Origin = lambda _: None) -> S:
        """Check ``values`` and convert them. ``key`` is the full dotted name of the table in the job.

        Raises ``ConfigurationError`` for an unknown or missing key or a value of a wrong type or outside its bounds,
        naming ``owner``, the key, where it was written, and what would be valid.
        """
        self = cls.__new__(cls)
        self._fill(values, key, owner, origin)
        return self

    @classmethod
    def declared(cls) -> dict[str, Parameter]:
        """The declared parameters by name, those of base classes first."""
        found: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__):
            declarations = {k: v for k, v in vars(base).items() if isinstance(v, _Declaration)}
            if declarations:
                hints = typing.get_type_hints(base)
                found |= {
                    k: Parameter(
                        k,
                        hints.get(k, Any),
                        d.default,
                        d.doc,
                        d.unit,
                        d.minimum,
                        d.maximum,
                        d.choices,
                        d.check,
                        d.example,
                    )
                    for k, d in declarations.items()
                }
        return found

    def _fill(self, values: Mapping[str, Any], key: str, owner: str, origin: Origin) -> None:
        declared = self.declared()
        for name in values:
            if name not in declared:
                raise ConfigurationError(
                    f"{_at(f'{key}.{name}', origin)}: {owner} has no parameter {name!r}; "
                    f"{valid_choices(name, declared)}"
                )
        for name, what in declared.items():
            full = f"{key}.{name}"
            if name in values:
                value = values[name]
            elif isinstance(what.default, _Required):
                raise ConfigurationError(
                    f"{_at(key, origin)}: {owner} needs the parameter {name!r} ({what.type_name}"
                    f"{', in ' + what.unit if what.unit else ''}): {what.doc}"
                )
            else:
                value = what.default
            self.__dict__[name] = _converted(value, what, what.annotation, full, owner, origin)
            complaint = what.check(self.__dict__[name]) if what.check else None
            if complaint:
                raise _wrong(value, complaint, full, owner, origin)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"parameters cannot be changed: {name}")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.__dict__.items())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__)))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{k}={v!r}' for k, v in self)})"


def _at(key: str, origin: Origin) -> str:
    where = origin(key)
    return f"{key} ({where})" if where else key


def _wrong(value: object, expected: str, key: str, owner: str, origin: Origin) -> ConfigurationError:
    return ConfigurationError(f"{_at(key, origin)}: {owner} expects {expected}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A value as it is written in FHiCL, shortened."""
    if value is None:
        return "@nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table" if value else "{}"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(_shown, value[:4]))
        return f"[{shown}{', ...' if len(value) > 4 else ''}]"
    if isinstance(value, str | InputTag | Path):
        return f'"{value}"'
    if isinstance(value, Enum):
        return f'"{value.name}"'
    return str(value)


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    complex: "a complex number",
    str: "text",
    Path: "a path",
    InputTag: "an input tag",
    Any: "any value",
    type(None): "@nil",
}


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (Union, types.UnionType)


def _type_name(annotation: Any) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_union(annotation):
        return " or ".join(_type_name(a) for a in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(_shown, arguments))
    if origin is dict:
        return f"a table of {_plural(arguments[1])}"
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return f"a sequence of {_plural(arguments[0])}"
    if origin is tuple:
        return "[" + ", ".join(_type_name(a) for a in arguments) + "]"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "one of " + ", ".join(f'"{m.name}"' for m in annotation)
    if isinstance(annotation, type) and issubclass(annotation, ParameterSet):
        return "a table"
    return str(annotation)


_PLURALS = {
    bool: "true and false",
    int: "integers",
    float: "numbers",
    complex: "complex numbers",
    str: "texts",
    Path: "paths",
    InputTag: "input tags",
    Any: "values",
}


def _plural(annotation: Any) -> str:
    if annotation in _PLURALS:
        return _PLURALS[annotation]
    name = _type_name(annotation)
    for article in ("a ", "an "):
        if name.startswith(article):
            head, _, tail = name[len(article) :].partition(" ")
            return f"{head}s {tail}".strip()
    return name


def _converted(value: Any, what: Parameter, annotation: Any, key: str, owner: str, origin: Origin) -> Any:
    def fail(expected: str) -> ConfigurationError:
        return _wrong(value, expected, key, owner, origin)

    kind, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_union(annotation):
        if value is None and type(None) in arguments:
            return None
        others = [a for a in arguments if a is not type(None)]
        for other in others[:-1]:
            try:
                return _converted(value, what, other, key, owner, origin)
            except ConfigurationError:
                continue
        if len(others) == 1:
            return _converted(value, what, others[0], key, owner, origin)
        try:
            return _converted(value, what, others[-1], key, owner, origin)
        except ConfigurationError:
            raise fail(_type_name(annotation)) from None
    if isinstance(annotation, type) and issubclass(annotation, ParameterSet):
        if isinstance(value, annotation):
            return value
        if not isinstance(value, Mapping):
            raise fail("a table")
        return annotation.parse(value, key, owner, origin)
    if kind is dict:
        if not isinstance(value, Mapping):
            raise fail(_type_name(annotation))
        return {k: _converted(v, what, arguments[1], f"{key}.{k}", owner, origin) for k, v in value.items()}
    if kind in (list, tuple):
        if not isinstance(value, list | tuple):
            raise fail(_type_name(annotation))
        if kind is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise fail(f"{len(arguments)} values {_type_name(annotation)}")
            elements = arguments
        else:
            elements = (arguments[0],) * len(value)
        made = [
            _converted(v, what, a, f"{key}[{i}]", owner, origin)
            for i, (v, a) in enumerate(zip(value, elements, strict=True))
        ]
        return tuple(made) if kind is tuple else made
    made = _atom(value, annotation, fail)
    if what.choices is not None and made not in what.choices:
        hint = valid_choices(str(made), map(str, what.choices))
        raise ConfigurationError(f"{_at(key, origin)}: {owner} does not know {_shown(value)}; {hint}")
    if isinstance(made, int | float) and not isinstance(made, bool):
        low = what.minimum is not None and not made >= what.minimum
        high = what.maximum is not None and not made <= what.maximum
        if low or high:
            raise fail(f"{_type_name(annotation)} {'of ' if what.minimum is None else ''}{what.bounds}")
    return made


def _atom(value: Any, annotation: Any, fail: Callable[[str], ConfigurationError]) -> Any:
    expected = _type_name(annotation)
    if annotation is Any:
        return value
    if typing.get_origin(annotation) is Literal:
        if any(value == a and type(value) is type(a) for a in typing.get_args(annotation)):
            return value
        raise fail(expected)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        if isinstance(value, annotation):
            return value
        if isinstance(value, str) and value in annotation.__members__:
            return annotation[value]
        raise fail(expected)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is bool and isinstance(value, bool):
        return value
    if annotation is int and number and (isinstance(value, int) or (math.isfinite(value) and value == int(value))):
        return int(value)
    if annotation is float and number:
        return float(value)
    if annotation is complex and (number or isinstance(value, complex)):
        return complex(value)
    if annotation is str and isinstance(value, str):
        return value
    if annotation is Path and isinstance(value, str | Path):
        return Path(value)
    if annotation is InputTag and isinstance(value, InputTag):
        return value
    if annotation is InputTag and isinstance(value, str):
        try:
            return InputTag.parse(value)
        except ValueError:
            raise fail("an input tag label[:instance[:process]]") from None
    raise fail(expected)
