"""Semantic classes of pixels, voxels and hits, and their mappings to other schemes.

Class names travel with every model and every product; bare numbers mean nothing outside one scheme. The
canonical scheme is the order of Domine and Terao (arXiv 1903.05663) and of MicroBooNE's sparse SSNet.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt


class Semantic(IntEnum):
    """The five canonical classes; ``NO_LABEL`` marks what holds no true charge or was not classified."""

    NO_LABEL = -1
    HIP = 0
    MIP = 1
    SHOWER = 2
    DELTA = 3
    MICHEL = 4


SEMANTIC_NAMES: tuple[str, ...] = ("HIP", "MIP", "shower", "delta", "Michel")
"""Names of the canonical classes, in order."""

TRACK_SHOWER_NAMES: tuple[str, ...] = ("track", "shower")
"""Names of the two-class view of SSNet (PRD 99 092001)."""

SPINE_NAMES: tuple[str, ...] = ("shower", "track", "Michel", "delta", "low_energy", "ghost")
"""Classes of SPINE and PILArNet-M, in order."""

NUGRAPH2_NAMES: tuple[str, ...] = ("MIP", "HIP", "shower", "Michel", "diffuse")
"""Classes of NuGraph2, in order."""

SCHEMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "larmlreco": SEMANTIC_NAMES,
        "track_shower": TRACK_SHOWER_NAMES,
        "spine": SPINE_NAMES,
        "nugraph2": NUGRAPH2_NAMES,
    }
)
"""Known schemes by name."""


def scheme_of(class_names: Sequence[str]) -> str:
    """Name of the scheme with these classes, in order; "" for classes of no known scheme."""
    return next((name for name, classes in SCHEMES.items() if classes == tuple(class_names)), "")


_MAPPINGS: dict[tuple[str, str], dict[str, str]] = {
    ("larmlreco", "track_shower"): {
        "HIP": "track",
        "MIP": "track",
        "shower": "shower",
        "delta": "shower",
        "Michel": "shower",
    },
    ("larmlreco", "spine"): {
        "HIP": "track",
        "MIP": "track",
        "shower": "shower",
        "delta": "delta",
        "Michel": "Michel",
    },
    ("larmlreco", "nugraph2"): {
        "HIP": "HIP",
        "MIP": "MIP",
        "shower": "shower",
        "delta": "shower",
        "Michel": "Michel",
    },
    ("spine", "track_shower"): {
        "shower": "shower",
        "track": "track",
        "Michel": "shower",
        "delta": "shower",
        "low_energy": "shower",
    },
}


def scheme_mapping(source: str, target: str) -> npt.NDArray[np.int64]:
    """Class numbers of ``target`` for the class numbers of ``source``.

    Returns an array (classes of source,) int64; -1 where the target scheme has no such class.

    Raises ``ValueError`` for an unknown scheme or a pair without a mapping, naming the valid ones.
    """
    for name in (source, target):
        if name not in SCHEMES:
            raise ValueError(f"unknown class scheme {name!r}; valid: {', '.join(SCHEMES)}")
    if source == target:
        return np.arange(len(SCHEMES[source]), dtype=np.int64)
    if (source, target) not in _MAPPINGS:
        known = ", ".join(f"{a} to {b}" for a, b in _MAPPINGS)
        raise ValueError(f"no mapping from class scheme {source} to {target}; valid: {known}")
    pairs = _MAPPINGS[source, target]
    return np.array(
        [SCHEMES[target].index(pairs[name]) if name in pairs else -1 for name in SCHEMES[source]],
        dtype=np.int64,
    )


def map_labels(labels: npt.NDArray[np.integer], source: str, target: str) -> npt.NDArray[np.int32]:
    """Labels (N,) of one scheme in another; negative labels stay -1.

    Raises ``ValueError`` for a label outside the source scheme.
    """
    table = scheme_mapping(source, target)
    if labels.size and int(labels.max()) >= len(table):
        raise ValueError(
            f"label {int(labels.max())} is outside the scheme {source} with {len(table)} classes: "
            f"{', '.join(SCHEMES[source])}"
        )
    return np.where(labels < 0, -1, table[np.maximum(labels, 0)]).astype(np.int32)
