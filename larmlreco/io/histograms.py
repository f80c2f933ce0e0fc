"""Writes histograms and tables to a ROOT file, one directory an owner, as ``TH1D``, ``TH2D`` and ``TTree``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import uproot
from uproot.writing.identify import to_TAxis, to_TH1x, to_TH2x

from larmlreco.io.root_writer import check_output_path, output_errors, partial_path


@runtime_checkable
class HistogramLike(Protocol):
    """A histogram: ``edges`` (bins + 1,) an axis, ``values`` and ``variances`` (bins + 2, ...) with the flows."""

    name: str
    title: str
    edges: list[npt.NDArray[np.float64]]
    values: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]
    entries: int


@runtime_checkable
class TableLike(Protocol):
    """A table: its columns as arrays (N,)."""

    name: str

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All rows, one array a column."""
        ...


def write_histograms(
    path: str | Path, contents: Mapping[str, Sequence[HistogramLike | TableLike]], *, complete: bool
) -> None:
    """Write what every owner (a module label) booked; as ``<path>.partial`` unless it is ``complete``.

    Raises ``OutputError`` if the file cannot be written.
    """
    check_output_path(path)
    partial = partial_path(path)
    with output_errors(path):
        with partial.open("w+b") as stream, uproot.recreate(stream, compression=uproot.ZSTD(3)) as file:
            for owner, booked in contents.items():
                directory = file.mkdir(owner)
                for item in booked:
                    if isinstance(item, HistogramLike):
                        directory[item.name] = _root_histogram(item)
                    else:
                        arrays = item.arrays()
                        directory.mktree(item.name, {name: array.dtype for name, array in arrays.items()})
                        directory[item.name].extend(arrays)
        if complete:
            partial.replace(path)


def _root_histogram(histogram: HistogramLike) -> Any:
    axes = [
        to_TAxis(name, "", len(edges) - 1, edges[0], edges[-1])
        for name, edges in zip(("xaxis", "yaxis"), histogram.edges, strict=False)
    ]
    # the sums that ROOT takes means and widths from, here from the middles of the bins
    inner = histogram.values[tuple(slice(1, -1) for _ in histogram.edges)]
    middles = np.meshgrid(*((e[1:] + e[:-1]) / 2 for e in histogram.edges), indexing="ij")
    variances = histogram.variances[tuple(slice(1, -1) for _ in histogram.edges)]
    sums = [inner.sum(), variances.sum()]
    for middle in middles:
        sums += [(inner * middle).sum(), (inner * middle**2).sum()]
    # ROOT counts bins with x fastest
    values, errors = histogram.values.T.ravel(), histogram.variances.T.ravel()
    if len(axes) == 1:
        return to_TH1x(histogram.name, histogram.title, values, histogram.entries, *sums, errors, axes[0])
    sums.append((inner * middles[0] * middles[1]).sum())
    return to_TH2x(histogram.name, histogram.title, values, histogram.entries, *sums, errors, *axes)
