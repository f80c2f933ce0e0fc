"""Which particle an image shows, from the encoder of a U-ResNet; its weights then begin a segmentation."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.uresnet import Encoder, InputScaling, PostActivation, check_shape
from larmlreco.sparse.layers import GlobalPooling, Pyramid


@register("particle_classifier")
class ParticleClassifier(Network):
    """The encoder of :class:`larmlreco.models.uresnet.UResNet` (order ``"post"``), the mean over the coarsest sites of
    each item, and a linear layer.

    Output: ``particle`` (N, classes), the probabilities of the item that a row belongs to, the same for all its rows.
    """

    dimension: Final[int]
    in_channels: Final[int]
    meanings: Mapping[str, str] = MappingProxyType(
        {"particle": "softmax probability of each particle, in the order of the class names; the same for all rows"}
    )

    def __init__(
        self,
        dimension: int,
        classes: int,
        in_channels: int = 1,
        filters: int = 16,
        depth: int = 5,
        repetitions: int = 2,
        kernel_size: int = 3,
        negative_slope: float = 0.0,
        norm_eps: float = 1e-4,
        input_log: bool = True,
        input_offset: float = 0.01,
        input_scale: float = 1.0,
        input_shift: float = 1.0,
    ) -> None:
        super().__init__()
        check_shape(dimension, depth)
        self.dimension = dimension
        self.in_channels = in_channels
        self.scaling = InputScaling(in_channels, input_log, input_offset, input_scale, input_shift)
        style = PostActivation(kernel_size**dimension, 2**dimension, norm_eps, negative_slope)
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        self.backbone = Encoder(style, in_channels, [(level + 1) * filters for level in range(depth)], repetitions)
        self.pool = GlobalPooling("avg")
        self.particle = nn.Linear(depth * filters, classes)

    def logits(self, coords: Tensor, features: Tensor) -> Tensor:
        """Scores (N, classes) before the softmax, for coords (N, 1+D) int64 and features (N, C).

        Raises ``ValueError`` as :meth:`larmlreco.models.uresnet.UResNet.logits`.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        deepest = self.backbone(self.scaling(features.index_select(0, levels.first_row)), levels)[-1]
        items, pooled = self.pool(deepest, levels.sites[-1])
        scores: Tensor = self.particle(pooled)
        return scores.index_select(0, torch.searchsorted(items, coords[:, 0].contiguous()))

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Scores (N, classes) under the key ``particle``; raises as :meth:`logits`."""
        return {"particle": self.logits(coords, features)}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Probabilities (N, classes) under the key ``particle``; raises as :meth:`logits`."""
        return {"particle": torch.softmax(self.logits(coords, features), 1)}
