"""Voxels and space points as one thing: places on a grid that hold charge; and clusters of places as products."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, SemanticScores, SpacePoints, TrueLabels, Voxels

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]

CANONICAL: dict[str, Any] = {"scheme": "larmlreco"}
"""What must be true of labels that clusters are made by."""


@dataclass(frozen=True)
class Places:
    """Distinct voxels that the rows of a product lie in.

    ``index`` (V, 3) voxels in the order of the first rows in them; ``charge`` (V,), summed over the rows; ``of_row``
    (N,) voxel of every row; ``first`` (V,) first row in every voxel; ``position`` (N, 3) of the rows and ``origin``
    (3,) of the grid in cm, ``pitch`` in cm; ``row_charge`` (N,).
    """

    index: Int64
    charge: Float64
    of_row: Int64
    first: Int64
    position: Float64
    row_charge: Float64
    origin: Float64
    pitch: float

    @classmethod
    def of(cls, product: Voxels | SpacePoints, pitch: float) -> "Places":
        """The places of voxels, or of space points on a grid of ``pitch`` cm."""
        return cls.of_voxels(product) if isinstance(product, Voxels) else cls.of_points(product, pitch)

    @classmethod
    def of_voxels(cls, voxels: Voxels) -> "Places":
        """The places of a voxel image; its charge is energy in MeV. Raises ``ValueError`` for energy that is NaN."""
        index = np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
        pitch = float(voxels.pitch[0]) if len(voxels.pitch) else 1.0
        origin = voxels.origin[0].astype(np.float64) if len(voxels.origin) else np.zeros(3)
        return cls._of(index, voxels.energy.astype(np.float64), origin + (index + 0.5) * pitch, origin, pitch)

    @classmethod
    def of_points(cls, points: SpacePoints, pitch: float) -> "Places":
        """The places of space points on a grid of ``pitch`` cm with a corner at 0.

        A point's charge (ADC) is the mean over the planes that saw some. Raises ``ValueError`` for a point whose place
        or charge is not finite.
        """
        position = np.column_stack([points.x, points.y, points.z]).astype(np.float64)
        bad = ~np.isfinite(position).all(axis=1)
        if bad.any():
            raise ValueError(f"the place of point {int(np.flatnonzero(bad)[0])} is not finite")
        seen = np.count_nonzero(points.charge, axis=1)
        charge = points.charge.sum(axis=1, dtype=np.float64) / np.maximum(seen, 1)
        return cls._of(np.floor(position / pitch).astype(np.int64), charge, position, np.zeros(3), pitch)

    @classmethod
    def _of(cls, index: Int64, charge: Float64, position: Float64, origin: Float64, pitch: float) -> "Places":
        bad = np.flatnonzero(~np.isfinite(charge))
        if len(bad):
            raise ValueError(f"the charge of row {bad[0]} is not finite: {charge[bad[0]]}")
        _, first, inverse = np.unique(index, axis=0, return_index=True, return_inverse=True)
        of_row = np.argsort(np.argsort(first))[inverse.reshape(-1)]
        first = np.sort(first)
        total = np.bincount(of_row, charge, len(first)).astype(np.float64)
        return cls(index[first], total, of_row, first, position, charge, origin, pitch)

    def label(self, rows: Index) -> Int64:
        """Class (V,) of every voxel from those of the rows (N,): most charge decides, ties to the lower; -1: none."""
        known = np.flatnonzero(rows >= 0)
        n = int(rows.max(initial=-1)) + 1
        if n == 0:
            return np.full(len(self.first), -1, dtype=np.int64)
        weight = np.maximum(self.row_charge[known], 0) + 1e-12
        sums = np.bincount(self.of_row[known] * n + rows[known], weight, len(self.first) * n).reshape(-1, n)
        return np.where(sums.sum(axis=1) > 0, sums.argmax(axis=1), -1)

    def clusters(
        self, of_voxel: Index, semantic: Index, seed: Index, score: npt.ArrayLike, meta: dict[str, Any]
    ) -> tuple[Clusters, Int64]:
        """Clusters of voxels (V,), -1 for none, as a product, and the cluster (N,) of every row.

        For the K clusters: class (K,), voxel of the founder (K,) and score (K,).
        """
        of_row = np.asarray(of_voxel, dtype=np.int64)[self.of_row]
        inside = of_row >= 0
        k = len(semantic)
        row = self.first[seed]
        x, y, z = self.position[row].T if k else np.zeros((3, 0))
        made = Clusters.from_columns(
            {
                "semantic": semantic,
                "n": np.bincount(of_row[inside], minlength=k),
                "charge": np.bincount(of_row[inside], self.row_charge[inside], k),
                "score": score,
                "seed": row,
                "seed_x": x,
                "seed_y": y,
                "seed_z": z,
            },
            meta,
        )
        return made, of_row


def image_shape(product: Voxels | SpacePoints) -> Int64 | None:
    """Voxels (3,) of an image along its axes; ``None`` for points, and where nobody says."""
    shape = product.meta.get("shape")
    return None if shape is None or isinstance(product, SpacePoints) else np.array(shape, dtype=np.int64)


def canonical_labels(labels: SemanticScores | TrueLabels) -> npt.NDArray[np.int32]:
    """Labels (N,) in the canonical scheme. Raises ``ConfigurationError`` for labels of another one."""
    target, scheme = labels.meta.get("target"), labels.meta.get("scheme")
    if scheme != CANONICAL["scheme"]:
        raise ConfigurationError(
            f"the labels of {target} are of the scheme {scheme!r}; expected 'larmlreco': {', '.join(SEMANTIC_NAMES)}"
        )
    return labels.label


def labels_of_rows(labels: SemanticScores | TrueLabels, branch: str, n_rows: int) -> npt.NDArray[np.int32]:
    """Labels (N,) of the N rows of ``branch`` in the canonical scheme.

    Raises ``ConfigurationError`` for labels of another scheme, or of something else than these rows.
    """
    target = labels.meta.get("target", branch)
    if target != branch or len(labels) != n_rows:
        raise ConfigurationError(f"expected labels of the {n_rows} rows of {branch}; got {len(labels)} of {target}")
    return canonical_labels(labels)


def members(of_row: Index, left: str, right: str) -> Assns:
    """Links from clusters to the rows (N,) in them, by cluster, then row; ``left`` and ``right`` are their branches."""
    rows = np.flatnonzero(of_row >= 0)
    rows = rows[np.argsort(of_row[rows], kind="stable")]
    return Assns.from_columns({"left": of_row[rows], "right": rows}, {"left": left, "right": right})


def cluster_of_rows(links: Assns, n_rows: int) -> Int64:
    """The inverse of :func:`members`: cluster (n_rows,) of every row, -1 for none."""
    out = np.full(n_rows, -1, dtype=np.int64)
    out[links.right] = links.left
    return out


def hits_of_clusters(of_row: Index, row: Index, hit: Index, left: str, right: str) -> Assns:
    """Links from clusters to hits, each once, through pairs (K,) of row and hit; negative hits are none."""
    pairs = np.column_stack([np.asarray(of_row)[row], hit])
    pairs = np.unique(pairs[(pairs >= 0).all(axis=1)].reshape(-1, 2), axis=0)
    return Assns.from_columns({"left": pairs[:, 0], "right": pairs[:, 1]}, {"left": left, "right": right})
