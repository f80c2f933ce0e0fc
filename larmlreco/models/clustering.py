"""Proposal-free clustering (Koh et al., arXiv 2007.03083): a U-ResNet with one encoder and two decoders."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.uresnet import Decoder, Encoder, InputScaling, PostActivation, check_shape
from larmlreco.sparse.layers import Pyramid

_FIRST_MARGIN = -2.0


@register("clustering_uresnet")
class ClusteringUResNet(Network):
    """Embedding, margin and seediness of voxels.

    A convolution sees the surroundings of a voxel only, so two tracks that look alike would have one embedding: every
    voxel's place in its image, measured from the mean of the image's voxels in units of ``extent`` voxels, is an input
    beside the features and is added to the embedding before the tanh.

    Output, see ``meanings``; :meth:`raw` gives ``embedding`` (N, embedding), ``margin`` (N, 1) and ``seediness``
    (N, 1) before tanh and logistic functions, and :func:`activated` applies these.
    """

    dimension: Final[int]
    in_channels: Final[int]
    extent: Final[float]
    meanings: Mapping[str, str] = MappingProxyType(
        {
            "embedding": "place of the voxel in embedding space, each coordinate in [-1, 1]",
            "margin": "width of the Gaussian kernel of a cluster founded by the voxel, in [0, 2]",
            "seediness": "kernel score that the voxel expects in its own cluster, in [0, 1]",
        }
    )

    def __init__(
        self,
        dimension: int,
        in_channels: int = 1,
        embedding: int = 3,
        filters: int = 16,
        depth: int = 5,
        repetitions: int = 2,
        kernel_size: int = 3,
        extent: float = 200.0,
        negative_slope: float = 0.0,
        norm_eps: float = 1e-4,
        input_log: bool = True,
        input_offset: float = 0.01,
        input_scale: float = 1.0,
        input_shift: float = 1.0,
    ) -> None:
        super().__init__()
        check_shape(dimension, depth)
        if embedding < dimension:
            raise ValueError(f"embedding must have at least {dimension} coordinates; got {embedding}")
        if extent <= 0.0:
            raise ValueError(f"extent must be above 0; got {extent}")
        self.dimension = dimension
        self.in_channels = in_channels
        self.extent = extent
        self.scaling = InputScaling(in_channels, input_log, input_offset, input_scale, input_shift)
        style = PostActivation(kernel_size**dimension, 2**dimension, norm_eps, negative_slope)
        widths = [(level + 1) * filters for level in range(depth)]
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        self.encoder = Encoder(style, in_channels + dimension, widths, repetitions)
        self.embedder = Decoder(style, widths, repetitions)
        self.seeder = Decoder(style, widths, repetitions)
        self.embedding = nn.Linear(filters, embedding)
        self.margin = nn.Linear(filters, 1)
        self.seediness = nn.Linear(filters, 1)
        nn.init.constant_(self.margin.bias, _FIRST_MARGIN)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Outputs before their activations, for coords (N, 1+D) int64 and features (N, C).

        Raises ``ValueError`` for input of another shape or type, features that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        place = self._places(levels.sites[0], features)
        finest = torch.cat([self.scaling(features.index_select(0, levels.first_row)), place], 1)
        encoded = self.encoder(finest, levels)
        embedded = self.embedder(encoded, levels)
        embedding: Tensor = self.embedding(embedded)
        embedding = torch.cat(
            [embedding[:, : self.dimension] + place, embedding[:, self.dimension :]],
            1,
        )
        margin: Tensor = self.margin(embedded)
        seediness: Tensor = self.seediness(self.seeder(encoded, levels))
        rows = levels.site_of_row
        return {
            "embedding": embedding.index_select(0, rows),
            "margin": margin.index_select(0, rows),
            "seediness": seediness.index_select(0, rows),
        }

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Embedding (N, embedding), margin (N, 1) and seediness (N, 1); raises as :meth:`raw`."""
        return activated(self.raw(coords, features))

    def _places(self, sites: Tensor, like: Tensor) -> Tensor:
        """Coordinates (M, D) of the sites from the mean of their item, in units of ``extent``."""
        _, item = torch.unique(sites[:, 0], return_inverse=True)
        items = int(item.max()) + 1 if item.numel() > 0 else 0
        # Whole numbers up to 2^53 are exact, so that the mean does not depend on the order of the rows.
        place = sites[:, 1:].to(torch.float64)
        total = torch.zeros([items, self.dimension], dtype=torch.float64, device=sites.device)
        total = total.index_add(0, item, place)
        count = torch.zeros([items], dtype=torch.float64, device=sites.device)
        count = count.index_add(0, item, torch.ones_like(place[:, 0]))
        middle = (total / count.unsqueeze(1)).index_select(0, item)
        return ((place - middle) / self.extent).to(like.dtype)


def activated(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    """What :meth:`ClusteringUResNet.forward` gives from what ``raw`` gives."""
    return {
        "embedding": torch.tanh(raw["embedding"]),
        "margin": 2.0 * torch.sigmoid(raw["margin"]),
        "seediness": torch.sigmoid(raw["seediness"]),
    }
