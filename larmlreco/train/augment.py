"""Changes of an image that leave its labels true."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.train.images import LabelledImage


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image in training.

    ``flip_axes`` are mirrored with probability 1/2 each. On a wire plane both are allowed: drift and beam direction
    carry no class. Features are multiplied by a factor, log-normal with width ``scale_sigma``. With probability
    ``dead_probability`` up to ``dead_blocks`` blocks of up to ``dead_width`` wires (axis 0) lose their charge, as dead
    channels do. ``permute_axes`` is for volumes, where all axes are alike.
    """

    flip_axes: tuple[int, ...] = ()
    permute_axes: bool = False
    scale_sigma: float = 0.0
    dead_probability: float = 0.0
    dead_blocks: int = 3
    dead_width: int = 20

    def __call__(self, image: LabelledImage, random: np.random.Generator) -> LabelledImage:
        """An augmented copy of the image; an empty image stays as it is."""
        if not len(image.coords):
            return image
        coords = self.moved(image.coords, random)
        features = (image.features * self.factor(random)).astype(np.float32)
        out = replace(image, coords=coords, features=features)
        if self.dead_probability and random.random() < self.dead_probability:
            out = self._kill(out, random)
        return out

    def moved(self, coords: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[Any]:
        """Mirrored and permuted coordinates (N, D)."""
        coords = coords.copy()
        for axis in self.flip_axes:
            if random.random() < 0.5:
                coords[:, axis] = coords[:, axis].max(initial=0) - coords[:, axis]
        return np.ascontiguousarray(coords[:, random.permutation(coords.shape[1])]) if self.permute_axes else coords

    def factor(self, random: np.random.Generator) -> float:
        """The factor on charge."""
        return float(np.exp(random.normal(0, self.scale_sigma))) if self.scale_sigma else 1.0

    def _kill(self, image: LabelledImage, random: np.random.Generator) -> LabelledImage:
        wires = image.coords[:, 0]
        alive = np.ones(len(wires), dtype=bool)
        for _ in range(int(random.integers(1, self.dead_blocks + 1))):
            first = int(random.integers(wires.min(), wires.max() + 1))
            alive &= (wires < first) | (wires >= first + int(random.integers(1, self.dead_width + 1)))
        if not alive.any():
            return image
        groups = None if image.groups is None else image.groups[alive]
        coords, features, labels = image.coords[alive], image.features[alive], image.labels[alive]
        return replace(image, coords=coords, features=features, labels=labels, groups=groups)
