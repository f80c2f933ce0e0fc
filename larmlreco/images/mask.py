"""Parts of images taken away on purpose, to see how well they are filled in again."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from larmlreco.products import Pixels, Voxels

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Image = TypeVar("Image", Pixels, Voxels)

_TRIES = 50


def random_runs(alive: Bools, fraction: float, widths: tuple[int, int], random: np.random.Generator) -> Bools:
    """Columns (C,) of a plane to mask: runs of ``widths`` (least, most) live columns until they are that fraction.

    ``alive`` (C,). Runs touch neither one another nor dead columns, so that every gap is as wide as it was drawn; where
    no more fit, there are fewer.
    """
    masked = np.zeros(len(alive), dtype=np.bool_)
    wanted = fraction * int(alive.sum())
    failed = 0
    while masked.sum() < wanted and failed < _TRIES:
        width = int(random.integers(widths[0], widths[1] + 1))
        if width + 2 > len(alive):
            failed += 1
            continue
        first = int(random.integers(1, len(alive) - width))
        around = slice(first - 1, first + width + 1)
        if alive[around].all() and not masked[around].any():
            masked[first : first + width] = True
            failed = 0
        else:
            failed += 1
    return masked


def random_slabs(
    index: npt.NDArray[np.integer[Any]], count: int, widths: tuple[int, int], random: np.random.Generator
) -> tuple[Int64, Int64]:
    """First and last voxel (R, 3) of ``count`` slabs through the box that holds the voxels ``index`` (N, 3).

    A slab is perpendicular to an axis, begins anywhere in the box, is ``widths`` (least, most) voxels wide, and reaches
    past all voxels. (Slabs around given voxels would hide what runs along them far too often.) Without voxels there are
    none.
    """
    if not len(index):
        return np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
    low = np.repeat(index.min(axis=0, keepdims=True).astype(np.int64) - 1, count, axis=0)
    high = np.repeat(index.max(axis=0, keepdims=True).astype(np.int64) + 1, count, axis=0)
    for slab in range(count):
        axis = int(random.integers(0, 3))
        width = int(random.integers(widths[0], widths[1] + 1))
        first = int(random.integers(low[slab, axis] + 1, high[slab, axis]))
        low[slab, axis], high[slab, axis] = first, first + width - 1
    return low, high


def rows_of(image: Image, rows: Int64 | Bools) -> Image:
    """An image with some of its rows, in their order."""
    names = [name for name, what in image.columns().items() if what.rows == "row"]
    return replace(image, **{name: getattr(image, name)[rows] for name in names})
