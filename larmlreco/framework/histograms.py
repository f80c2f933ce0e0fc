"""Histograms and small tables that modules fill and a service (``TFileService``) writes at the end of the job."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import LarmlrecoError


class Histogram:
    """Counts in one or two dimensions, with under- and overflow as ROOT counts them.

    ``edges`` has one array (bins + 1,) an axis; ``values`` and ``variances`` have the shape (bins + 2, ...), float64;
    entry 0 is the underflow, the last one the overflow.
    """

    def __init__(self, name: str, title: str, axes: list[tuple[int, float, float]]) -> None:
        for bins, low, high in axes:
            if bins < 1 or not low < high:
                raise ValueError(
                    f"histogram {name!r} has {bins} bins from {low} to {high}; expected bins > 0, low < high"
                )
        self.name = name
        self.title = title
        self.edges = [np.linspace(low, high, bins + 1) for bins, low, high in axes]
        shape = tuple(bins + 2 for bins, _, _ in axes)
        self.values = np.zeros(shape)
        self.variances = np.zeros(shape)
        self.entries = 0

    def fill(self, *values: npt.ArrayLike, weight: npt.ArrayLike = 1.0) -> None:
        """Add values, one array (N,) or number an axis; NaN counts as overflow."""
        if len(values) != len(self.edges):
            raise ValueError(f"histogram {self.name!r} has {len(self.edges)} axes, got {len(values)} values")
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in values))
        index = tuple(
            np.searchsorted(edges, column, side="right").clip(0, len(edges))
            for edges, column in zip(self.edges, columns, strict=True)
        )
        weights = np.broadcast_to(np.asarray(weight, dtype=float), columns[0].shape)
        np.add.at(self.values, index, weights)
        np.add.at(self.variances, index, weights**2)
        self.entries += columns[0].size


class Table:
    """Rows of numbers, for figures that are drawn after the job; ``columns`` gives the data type by name."""

    def __init__(self, name: str, columns: Mapping[str, npt.DTypeLike]) -> None:
        self.name = name
        self.columns = {key: np.dtype(kind) for key, kind in columns.items()}
        self._chunks: list[dict[str, npt.NDArray[Any]]] = []

    def fill(self, **values: npt.ArrayLike) -> None:
        """Add rows: an array (N,) or a number for every column."""
        if values.keys() != self.columns.keys():
            raise ValueError(
                f"table {self.name!r} has the columns {', '.join(self.columns)}; got {', '.join(values) or 'none'}"
            )
        made = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values[k], dtype=d)) for k, d in self.columns.items()))
        self._chunks.append({key: array.copy() for key, array in zip(self.columns, made, strict=True)})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All rows, one array (N,) a column."""
        return {
            key: np.concatenate([np.zeros(0, dtype=kind), *(chunk[key] for chunk in self._chunks)])
            for key, kind in self.columns.items()
        }


class HistogramDirectory:
    """The histograms and tables of one module, by name."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.contents: dict[str, Histogram | Table] = {}

    def histogram1d(self, name: str, title: str, bins: int, low: float, high: float) -> Histogram:
        """Book a histogram of ``bins`` equal bins from ``low`` to ``high``."""
        return self._booked(Histogram(name, title, [(bins, low, high)]))

    def histogram2d(self, name: str, title: str, x: tuple[int, float, float], y: tuple[int, float, float]) -> Histogram:
        """Book a histogram in two dimensions; an axis is (bins, low, high)."""
        return self._booked(Histogram(name, title, [x, y]))

    def table(self, name: str, columns: Mapping[str, npt.DTypeLike]) -> Table:
        """Book a table with the given data type of each column."""
        made = Table(name, columns)
        self._add(made)
        return made

    def _booked(self, made: Histogram) -> Histogram:
        self._add(made)
        return made

    def _add(self, made: Histogram | Table) -> None:
        if made.name in self.contents:
            raise LarmlrecoError(f"{self.label} books {made.name!r} twice in the histogram file")
        self.contents[made.name] = made


class HistogramService(ABC):
    """What a service that keeps histograms offers."""

    @abstractmethod
    def directory(self, label: str) -> HistogramDirectory:
        """The directory of a module label, made when first asked for."""
