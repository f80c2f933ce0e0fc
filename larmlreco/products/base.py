"""Columnar products: a frozen dataclass of numpy arrays whose fields document themselves.

A field is declared with :func:`array_field`; its data type, shape, unit and meaning are data, from which readers,
writers, displays and the documentation work. A product is checked when it is made: arrays are converted where
no value changes and refused otherwise.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

Json = Any
P = TypeVar("P", bound="Product")
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """What a field is: ``dtype``, ``unit``, ``doc``; ``rows`` names the group of fields of equal length.

    ``parts`` names the second axis of a two-dimensional field (N, parts); a string instead of a tuple names the
    key of ``meta`` that holds those names. ``fill`` is the value of a field that its maker leaves out.
    """

    dtype: np.dtype[Any]
    doc: str
    unit: str
    rows: str
    parts: tuple[str, ...] | str | None
    fill: float | None


def array_field(
    dtype: npt.DTypeLike,
    doc: str,
    *,
    unit: str = "",
    rows: str = "row",
    parts: tuple[str, ...] | str | None = None,
    fill: float | None = None,
) -> Any:
    """Declare a field of a product, see :class:`Column`."""
    what = Column(np.dtype(dtype), doc, unit, rows, parts, fill)
    if fill is None:
        return dataclasses.field(metadata={"column": what})
    return dataclasses.field(metadata={"column": what}, default=None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """Base of all event data products.

    ``meta`` holds what is true of all rows (class names, model hash, configuration hash, ...), JSON values only.
    Subclasses are dataclasses with ``frozen=True, eq=False, kw_only=True`` whose fields are made by
    :func:`array_field`. The number of rows, ``len(product)``, is that of the group ``row``.
    """

    meta: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    types: ClassVar[dict[str, type["Product"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Product.types[cls.__name__] = cls

    @classmethod
    def columns(cls) -> dict[str, Column]:
        """The declared fields by name."""
        return {f.name: f.metadata["column"] for f in dataclasses.fields(cls) if "column" in f.metadata}

    def __post_init__(self) -> None:
        lengths: dict[str, tuple[str, int]] = {}
        missing = []
        for name, what in self.columns().items():
            value = getattr(self, name)
            if value is None:
                missing.append((name, what))
                continue
            array = self._converted(name, what, value)
            object.__setattr__(self, name, array)
            first, length = lengths.setdefault(what.rows, (name, len(array)))
            if len(array) != length:
                raise ValueError(
                    f"{type(self).__name__}.{name} has {len(array)} rows where {first} has {length}; "
                    f"fields of the group {what.rows!r} have equal length"
                )
        for name, what in missing:
            length = lengths.get(what.rows, (name, 0))[1]
            shape = (length,) if what.parts is None else (length, len(self.part_names(name)))
            object.__setattr__(self, name, np.full(shape, what.fill, dtype=what.dtype))

    def _converted(self, name: str, what: Column, value: npt.ArrayLike) -> npt.NDArray[Any]:
        where = f"{type(self).__name__}.{name}"
        array = np.asarray(value)
        if array.size == 0 and array.ndim == 1 and what.parts is not None:
            array = np.zeros((0, len(self.part_names(name))), dtype=what.dtype)
        dimensions = 1 if what.parts is None else 2
        if array.ndim != dimensions:
            raise ValueError(f"{where} has shape {array.shape}; expected {dimensions} dimension(s)")
        if what.parts is not None and array.shape[1] != len(self.part_names(name)):
            raise ValueError(
                f"{where} has {array.shape[1]} columns; expected {', '.join(self.part_names(name)) or 'none'}"
            )
        if array.dtype != what.dtype:
            converted = array.astype(what.dtype)
            if what.dtype.kind in "iu" and not np.array_equal(converted, array):
                raise ValueError(f"{where} ({array.dtype}) holds values that {what.dtype} cannot")
            array = converted
        return np.ascontiguousarray(array)

    def part_names(self, name: str) -> tuple[str, ...]:
        """Names of the second axis of a two-dimensional field."""
        parts = self.columns()[name].parts
        if isinstance(parts, str):
            if parts not in self.meta:
                raise ValueError(f"{type(self).__name__} needs meta[{parts!r}], the names of the columns of {name}")
            return tuple(self.meta[parts])
        return parts or ()

    def __len__(self) -> int:
        for name, what in self.columns().items():
            if what.rows == "row":
                return len(getattr(self, name))
        return 0

    @classmethod
    def empty(cls: type[P], **meta: Json) -> P:
        """The product of an event that has none of it."""
        return cls.from_columns({}, meta)

    def to_columns(self) -> dict[str, npt.NDArray[Any]]:
        """One-dimensional arrays by branch name; a part of a two-dimensional field is ``<field>_<part>``."""
        out: dict[str, npt.NDArray[Any]] = {}
        for name, what in self.columns().items():
            array = getattr(self, name)
            if what.parts is None:
                out[name] = array
            else:
                for i, part in enumerate(self.part_names(name)):
                    out[f"{name}_{part}"] = np.ascontiguousarray(array[:, i])
        return out

    @classmethod
    def from_columns(cls: type[P], columns: Mapping[str, npt.ArrayLike], meta: Mapping[str, Json] | None = None) -> P:
        """The inverse of :meth:`to_columns`; a column that is left out is empty or has its fill value.

        Raises ``ValueError`` for a column that the product does not have, naming those it has.
        """
        meta = dict(meta or {})
        values: dict[str, npt.ArrayLike] = {}
        left = dict(columns)
        for name, what in cls.columns().items():
            if what.parts is None:
                if name in left:
                    values[name] = left.pop(name)
                elif what.fill is None or not columns:
                    values[name] = np.zeros(0, dtype=what.dtype)
                continue
            parts = what.parts if isinstance(what.parts, tuple) else tuple(meta.get(what.parts, ()))
            if isinstance(what.parts, str):
                meta.setdefault(what.parts, list(parts))
            present = [left.pop(f"{name}_{part}") for part in parts if f"{name}_{part}" in left]
            if len(present) == len(parts) and parts:
                values[name] = np.stack([np.asarray(p) for p in present], axis=1)
            elif present:
                raise ValueError(f"{cls.__name__}.{name} has {len(present)} of its {len(parts)} columns")
            elif what.fill is None or not columns:
                values[name] = np.zeros((0, len(parts)), dtype=what.dtype)
        if left:
            raise ValueError(
                f"{cls.__name__} has no column {', '.join(sorted(left))}; it has {', '.join(cls.columns())}"
            )
        return cls(**values, meta=meta)
