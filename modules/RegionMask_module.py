"""Producer of voxels without those in some regions."""

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.images.mask import random_slabs, rows_of
from larmlreco.products import Assns, DeadRegions, InputTag, Voxels
from larmlreco.reco.dead import dead_boxes


class RegionMask(Producer):
    """Take voxels away in boxes: those given, and random slabs perpendicular to an axis through some of the voxels.

    Puts, with the image's instance, ``Voxels`` without them, the ``Assns`` from those to the image that was given,
    which keeps the truth, and the boxes as ``DeadRegions``. The random slabs follow from the seed and the number of the
    event.
    """

    class Parameters(ParameterSet):
        """Parameters of RegionMask."""

        voxels: InputTag = parameter("voxels", doc="images (Voxels)")
        images: list[str] = parameter(
            [""], doc="instances of the images", check=lambda v: None if v else "at least one instance"
        )
        boxes: list[list[float]] = parameter(
            [],
            doc="boxes to mask: low x, y, z and high x, y, z",
            unit="cm",
            check=lambda v: None if all(len(box) == 6 for box in v) else "six numbers a box",
        )
        slabs: int = parameter(4, doc="random slabs in an image", minimum=0)
        widths: list[int] = parameter(
            [1, 10],
            doc="least and most width of a slab",
            unit="voxel",
            check=lambda v: None if len(v) == 2 and 1 <= v[0] <= v[1] else "least and most, 1 or more",
        )
        seed: int = parameter(1, doc="seed of the random slabs", minimum=0)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        if not config.boxes and config.slabs == 0:
            raise ConfigurationError(f"{context.label}: nothing is masked; expected boxes, or slabs above 0")
        tag = config.voxels
        self._images = {name: self.consumes(Voxels, InputTag(tag.label, name, tag.process)) for name in config.images}
        for name in config.images:
            self.produces(Voxels, name)
            self.produces(Assns, name)
            self.produces(DeadRegions, name)

    def produce(self, event: Event) -> None:
        """Mask the images of one event."""
        config = self._config
        given = np.array(config.boxes, dtype=np.float64).reshape(-1, 2, 3)
        for name, tag in self._images.items():
            voxels = event.get(Voxels, tag)
            index = np.column_stack([voxels.x, voxels.y, voxels.z]).astype(np.int64)
            origin = voxels.origin[0].astype(np.float64) if len(voxels.origin) else np.zeros(3)
            pitch = float(voxels.pitch[0]) if len(voxels.pitch) else 1.0
            random = event.id.random(config.seed)
            first, last = random_slabs(index, config.slabs, (config.widths[0], config.widths[1]), random)
            low = np.concatenate([given[:, 0], origin + first * pitch]).astype(np.float32)
            high = np.concatenate([given[:, 1], origin + (last + 1) * pitch]).astype(np.float32)
            kept = np.flatnonzero(~dead_boxes(low, high, origin, pitch).contains(index))
            left = event.put(rows_of(voxels, kept), name).branch
            links = {"left": np.arange(len(kept)), "right": kept}
            event.put(Assns.from_columns(links, {"left": left, "right": event.key(Voxels, tag).branch}), name)
            event.put(DeadRegions(low=low, high=high), name)
