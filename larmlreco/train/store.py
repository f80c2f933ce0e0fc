"""Many labelled images in few arrays: compact in memory and on disk."""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.train.images import LabelledImage


class ImageStore:
    """An :class:`~larmlreco.train.images.ImageSet` in few arrays.

    ``coords`` (M, D) int32, ``features`` (M, C) float32, ``labels`` (M,) int8 and, where the images have them,
    ``groups`` (M,) int32 hold the rows of all images one after another; image i is rows ``offsets[i]`` to
    ``offsets[i + 1]``. ``places`` (images, 2) int32: event and plane of each, see
    :class:`~larmlreco.train.images.LabelledImage`.
    """

    def __init__(
        self,
        coords: npt.NDArray[np.int32],
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int8],
        offsets: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int32] | None = None,
        places: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.coords = coords
        self.features = features
        self.labels = labels
        self.offsets = offsets
        self.groups = groups
        self.places = np.full((len(offsets) - 1, 2), -1, dtype=np.int32) if places is None else places

    @classmethod
    def collect(cls, images: Iterable[LabelledImage]) -> "ImageStore":
        """Put images into one store; those without rows are left out, nothing can be learned from them."""
        kept = [image for image in images if len(image.coords)]
        if not kept:
            none = np.zeros(1, dtype=np.int64)
            return cls(np.zeros((0, 2), np.int32), np.zeros((0, 1), np.float32), np.zeros(0, np.int8), none)
        sizes = [len(image.coords) for image in kept]
        groups = [image.groups for image in kept if image.groups is not None]
        return cls(
            np.concatenate([image.coords for image in kept]).astype(np.int32),
            np.concatenate([image.features for image in kept]).astype(np.float32),
            np.concatenate([image.labels for image in kept]).astype(np.int8),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate(groups).astype(np.int32) if len(groups) == len(kept) else None,
            np.array([(image.event, image.plane) for image in kept], dtype=np.int32),
        )

    @classmethod
    def concatenate(cls, stores: Iterable["ImageStore"]) -> "ImageStore":
        """One store of the images of several."""
        kept = [store for store in stores if len(store)]
        if not kept:
            return cls.collect([])
        sizes = np.concatenate([np.diff(store.offsets) for store in kept])
        groups = [store.groups for store in kept if store.groups is not None]
        places, n_events = [], 0
        for store in kept:
            event, plane = store.places.T
            places.append(np.column_stack([np.where(event >= 0, event + n_events, -1), plane]).astype(np.int32))
            n_events = max(n_events, int(places[-1][:, 0].max()) + 1)
        return cls(
            np.concatenate([store.coords for store in kept]),
            np.concatenate([store.features for store in kept]),
            np.concatenate([store.labels for store in kept]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate(groups) if len(groups) == len(kept) else None,
            np.concatenate(places),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> LabelledImage:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        groups = None if self.groups is None else self.groups[rows]
        event, plane = self.places[index].tolist()
        return LabelledImage(self.coords[rows], self.features[rows], self.labels[rows], groups, event, plane)

    def of_event(self, index: int) -> list[LabelledImage]:
        """The images of the event of image ``index``, that one too; it alone where the event is unknown."""
        event = self.places[index, 0]
        if event < 0:
            return [self[index]]
        return [self[int(other)] for other in np.flatnonzero(self.places[:, 0] == event)]

    def in_one_group(self) -> "ImageStore":
        """The same images, each of which is one group of pixels."""
        groups = np.zeros(len(self.labels), np.int32)
        return ImageStore(self.coords, self.features, self.labels, self.offsets, groups, self.places)

    def save(self, path: Path) -> None:
        """Write the arrays as one compressed ``.npz`` that appears under its name only when it is whole."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may make the same
        arrays: dict[str, Any] = {
            "coords": self.coords,
            "features": self.features,
            "labels": self.labels,
            "offsets": self.offsets,
            "places": self.places,
        }
        if self.groups is not None:
            arrays["groups"] = self.groups
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "ImageStore":
        """Read what :meth:`save` wrote. Raises ``InputError`` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                optional = [arrays.get(name, None) for name in ("groups", "places")]
                return cls(arrays["coords"], arrays["features"], arrays["labels"], arrays["offsets"], *optional)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is no image store, or it was cut short; delete it to have it made again"
            ) from error
