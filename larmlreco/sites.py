"""Sites of images (pixels, D = 2, or voxels, D = 3) as numbers, and the rows where they are found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Index = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class SiteBox:
    """A box of sites with its corner at ``low`` (D,) and ``shape`` (D,) sites; each has a number, in their order."""

    low: Int64
    shape: Int64

    @classmethod
    def around(cls, *groups: Index, margin: int = 0) -> "SiteBox":
        """The smallest box that holds all sites (N, D) of the groups, and ``margin`` more on all sides.

        Raises ``ValueError`` where there is no site.
        """
        some = [group for group in groups if len(group)]
        if not some:
            raise ValueError("a box around sites needs at least one of them")
        low = np.min([group.min(axis=0) for group in some], axis=0).astype(np.int64) - margin
        return cls(low, np.max([group.max(axis=0) for group in some], axis=0).astype(np.int64) + margin + 1 - low)

    def holds(self, sites: Index) -> npt.NDArray[np.bool_]:
        """Whether sites (N, D) lie in the box (N,)."""
        return np.asarray(((sites >= self.low) & (sites < self.low + self.shape)).all(axis=1))

    def keys(self, sites: Index) -> Int64:
        """Numbers (N,) of sites (N, D). Raises ``ValueError`` for one outside the box."""
        return np.asarray(np.ravel_multi_index(tuple((sites - self.low).T), tuple(self.shape)), dtype=np.int64)

    def sites(self, keys: Int64) -> Int64:
        """Sites (N, D) with these numbers (N,)."""
        return np.column_stack(np.unravel_index(keys, tuple(self.shape))).astype(np.int64) + self.low


def rows_of(wanted: Index, keys: Index) -> Int64:
    """Row (K,) in ``keys`` (N,) of each wanted number (K,), the first of equal ones; -1: it is not there."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    row = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[row] == wanted, row, -1)


def match_sites(wanted: Index, sites: Index) -> Int64:
    """Row (K,) in ``sites`` (N, D) of each wanted one (K, D), the first of equal ones; -1: it is not there."""
    if not len(wanted) or not len(sites):
        return np.full(len(wanted), -1, dtype=np.int64)
    box = SiteBox.around(wanted, sites)
    return rows_of(box.keys(wanted), box.keys(sites))
