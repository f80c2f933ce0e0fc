"""Many labelled images in few arrays: compact in memory and on disk."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.train.images import LabelledImage


class ImageStore:
    """An :class:`~larmlreco.train.images.ImageSet` in four arrays.

    ``coords`` (M, D) int32, ``features`` (M, C) float32 and ``labels`` (M,) int8 hold the rows of all images one after
    another; image i is rows ``offsets[i]`` to ``offsets[i + 1]``.
    """

    def __init__(
        self,
        coords: npt.NDArray[np.int32],
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int8],
        offsets: npt.NDArray[np.int64],
    ) -> None:
        self.coords = coords
        self.features = features
        self.labels = labels
        self.offsets = offsets

    @classmethod
    def collect(cls, images: Iterable[LabelledImage]) -> "ImageStore":
        """Put images into one store; those without rows are left out, nothing can be learned from them."""
        kept = [image for image in images if len(image.coords)]
        if not kept:
            none = np.zeros(1, dtype=np.int64)
            return cls(np.zeros((0, 2), np.int32), np.zeros((0, 1), np.float32), np.zeros(0, np.int8), none)
        sizes = [len(image.coords) for image in kept]
        return cls(
            np.concatenate([image.coords for image in kept]).astype(np.int32),
            np.concatenate([image.features for image in kept]).astype(np.float32),
            np.concatenate([image.labels for image in kept]).astype(np.int8),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    @classmethod
    def concatenate(cls, stores: Iterable["ImageStore"]) -> "ImageStore":
        """One store of the images of several."""
        kept = [store for store in stores if len(store)]
        if not kept:
            return cls.collect([])
        sizes = np.concatenate([np.diff(store.offsets) for store in kept])
        return cls(
            np.concatenate([store.coords for store in kept]),
            np.concatenate([store.features for store in kept]),
            np.concatenate([store.labels for store in kept]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> LabelledImage:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return LabelledImage(self.coords[rows], self.features[rows], self.labels[rows])

    def save(self, path: Path) -> None:
        """Write the arrays as one compressed ``.npz`` that appears under its name only when it is whole."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez_compressed(
                file, coords=self.coords, features=self.features, labels=self.labels, offsets=self.offsets
            )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "ImageStore":
        """Read what :meth:`save` wrote. Raises ``InputError`` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["coords"], arrays["features"], arrays["labels"], arrays["offsets"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is no image store, or it was cut short; delete it to have it made again"
            ) from error
