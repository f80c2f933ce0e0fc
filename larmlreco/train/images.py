"""Labelled sparse images and their batches, whatever file they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True)
class LabelledImage:
    """One sparse image: ``coords`` (N, D) int32, ``features`` (N, C) float32, ``labels`` (N,) int8, -1: no label.

    ``groups`` (N,) int32, where there are some: pixels of one number weigh together as much as those of another.
    ``event``: a number that the images of one event share, and ``plane``: the readout plane's number in its detector;
    -1: unknown.
    """

    coords: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    groups: npt.NDArray[np.int32] | None = None
    event: int = -1
    plane: int = -1

    def __post_init__(self) -> None:
        if not len(self.coords) == len(self.features) == len(self.labels):
            raise ValueError(
                f"an image has {len(self.coords)} coordinates, {len(self.features)} features and "
                f"{len(self.labels)} labels; expected equal numbers"
            )
        if self.groups is not None and len(self.groups) != len(self.coords):
            raise ValueError(f"an image has {len(self.coords)} pixels and {len(self.groups)} groups of them")


class ImageSet(Protocol):
    """A data set: its length and its images by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> LabelledImage: ...


@dataclass(frozen=True)
class Batch:
    """Images one after another: ``coords`` (N, 1+D) int64 with the item first, ``features`` (N, C), ``labels`` (N,).

    ``groups`` (N,) int64 where all images have them.
    """

    coords: torch.Tensor
    features: torch.Tensor
    labels: torch.Tensor
    n_items: int
    groups: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        groups = None if self.groups is None else self.groups.to(device)
        return Batch(self.coords.to(device), self.features.to(device), self.labels.to(device), self.n_items, groups)


def collate(images: Sequence[LabelledImage]) -> Batch:
    """Put images into one batch; item i of the batch is ``images[i]``."""
    items = np.repeat(np.arange(len(images)), [len(image.coords) for image in images])
    coords = np.concatenate([image.coords for image in images]).astype(np.int64)
    groups = [image.groups.astype(np.int64) for image in images if image.groups is not None]
    return Batch(
        torch.from_numpy(np.column_stack([items, coords])),
        torch.from_numpy(np.concatenate([image.features for image in images])),
        torch.from_numpy(np.concatenate([image.labels for image in images]).astype(np.int64)),
        len(images),
        torch.from_numpy(np.concatenate(groups)) if len(groups) == len(images) else None,
    )


def batch_indices(n_images: int, batch_size: int, seed: int, iteration: int) -> npt.NDArray[np.int64]:
    """Numbers of the images in the batch of one iteration.

    Every epoch is a permutation that follows from the seed and its number alone, so a training that resumes at any
    iteration sees the batches that it would have seen. The last batch of an epoch runs on into the next one.
    """
    first = iteration * batch_size
    wanted = np.arange(first, first + batch_size)
    out = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(wanted // n_images):
        order = np.random.default_rng((seed, 1, int(epoch))).permutation(n_images)
        inside = wanted // n_images == epoch
        out[inside] = order[wanted[inside] % n_images]
    return out


def image_generator(seed: int, iteration: int, item: int) -> np.random.Generator:
    """The random numbers for augmenting one item of one iteration."""
    return np.random.default_rng((seed, 2, iteration, item))
