"""Images in tiles that a network sees one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def tile_numbers(coords: Sequence[npt.NDArray[np.integer[Any]]], edge: int) -> npt.NDArray[np.int64]:
    """Number (N,) of the tile that each pixel lies in, from 0 without gaps; used as the batch item of the pixel.

    ``coords``: the columns (N,) of each axis; ``edge``: pixels along the edge of a tile, 0: one tile for everything.
    """
    n = len(coords[0])
    if edge == 0 or n == 0:
        return np.zeros(n, dtype=np.int64)
    tiles = np.column_stack([np.asarray(axis, dtype=np.int64) // edge for axis in coords])
    return np.unique(tiles, axis=0, return_inverse=True)[1].reshape(n).astype(np.int64)
