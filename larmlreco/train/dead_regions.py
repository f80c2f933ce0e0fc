"""Random dead regions in images, made for training: blocks of wires on planes; slabs and boxes among voxels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

KINDS = ("slab", "box", "tilted")
"""Dead regions among voxels: between two planes perpendicular to an axis; a box; between two planes parallel to an
axis, as dead wires make them."""


@dataclass(frozen=True)
class Slabs:
    """Dead are the sites with ``0 <= normal . site - offset < width`` for one of the slabs, on a plane or in a volume.

    ``normal`` (R, D), ``offset`` (R,), ``width`` (R,) in sites.
    """

    normal: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]

    def widths(self, coords: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Width (K,) of the slab that holds each site (K, D), the widest of several; 0 for a live one."""
        depth = coords.astype(np.float64) @ self.normal.T - self.offset
        inside = (depth >= 0) & (depth < self.width)
        return np.asarray(np.where(inside, self.width, 0.0).max(axis=1, initial=0.0), dtype=np.float64)


@dataclass(frozen=True)
class Boxes:
    """Dead are the sites with ``low <= site < low + edge`` (R, D) for one of the boxes, as wide as its least edge."""

    low: Int64
    edge: Int64

    def widths(self, coords: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Width (K,) of the box that holds each site (K, D), the widest of several; 0 for a live one."""
        out = np.zeros(len(coords))
        for low, edge in zip(self.low, self.edge, strict=True):
            inside = ((coords >= low) & (coords < low + edge)).all(axis=1)
            out[inside] = np.maximum(out[inside], float(edge.min()))
        return out


@dataclass(frozen=True)
class RandomRegions:
    """Slabs and boxes together: a :class:`larmlreco.reco.dead.DeadRegion`."""

    slabs: Slabs
    boxes: Boxes

    def widths(self, coords: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Width (K,) in sites of the region that holds each site (K, D), the widest of several; 0 for a live one."""
        return np.maximum(self.slabs.widths(coords), self.boxes.widths(coords))

    def contains(self, coords: Int64) -> Bools:
        """Whether sites (K, D) are dead (K,)."""
        return self.widths(coords) > 0


@dataclass(frozen=True)
class RegionSettings:
    """What :func:`random_regions` makes: ``least`` to ``most`` regions an image, up to ``most_width`` sites wide.

    Widths w have the probability 1/w, since most gaps are narrow. Raises ``ConfigurationError`` for numbers below 1 or
    ``most`` below ``least``.
    """

    least: int = 1
    most: int = 3
    most_width: int = 12

    def __post_init__(self) -> None:
        if self.least < 1 or self.most_width < 1 or self.most < self.least:
            raise ConfigurationError(
                f"dead regions: least and most_width must be at least 1 and most at least as large as least; got {self}"
            )


def random_regions(
    coords: npt.NDArray[np.integer], settings: RegionSettings, random: np.random.Generator
) -> RandomRegions:
    """Dead regions around sites (N, D) drawn from those of an image, N > 0.

    On a plane (D = 2) blocks of wires (axis 0). Among voxels one of :data:`KINDS`; the edges of a box are drawn one by
    one, up to three times the width.
    """
    dimension = coords.shape[1]
    n = int(random.integers(settings.least, settings.most + 1))
    anchors = coords[random.integers(0, len(coords), n)].astype(np.int64)
    normals, offsets, widths, lows, edges = [], [], [], [], []
    for anchor in anchors:
        width = _width(settings.most_width, random)
        kind = KINDS[int(random.integers(0, len(KINDS)))] if dimension == 3 else "slab"
        if kind == "box":
            edge = width + random.integers(0, 2 * width + 1, dimension)
            edge[random.integers(0, dimension)] = width
            lows.append(anchor - random.integers(0, edge))
            edges.append(edge)
            continue
        normal = np.zeros(dimension)
        if kind == "tilted":
            first, second = random.permutation(dimension)[:2]
            angle = random.uniform(0, np.pi)
            normal[first], normal[second] = np.cos(angle), np.sin(angle)
        else:
            normal[0 if dimension == 2 else int(random.integers(0, dimension))] = 1.0
        normals.append(normal)
        offsets.append(float(anchor @ normal) - random.uniform(0, width))
        widths.append(float(width))
    return RandomRegions(
        Slabs(np.array(normals).reshape(-1, dimension), np.array(offsets), np.array(widths)),
        Boxes(np.array(lows, np.int64).reshape(-1, dimension), np.array(edges, np.int64).reshape(-1, dimension)),
    )


def _width(most: int, random: np.random.Generator) -> int:
    """A width from 1 to ``most`` with the probability of w proportional to 1/w."""
    widths = np.arange(1, most + 1)
    return int(random.choice(widths, p=(1 / widths) / (1 / widths).sum()))
