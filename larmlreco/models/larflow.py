"""LArFlow as a classification: a score for every candidate 3D point, from its charges and from the points around it.

The first LArFlow shifts a pixel by a regressed number of wires and cannot say "here or there"; its authors named a
classification over the wires with charge in the same row as the next step. A candidate (see
:mod:`larmlreco.reco.candidates`) is a pixel of each plane whose wires meet, so a choice among the candidates of a pixel
chooses the partners on both other planes at once and they agree in 3D by construction. Geometry stays outside of the
archive, whose rows are candidates: one archive serves every detector with three planes, and no wire count is in it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.uresnet import Backbone, PostActivation, check_shape
from larmlreco.sparse.layers import Pyramid

_PLANES = 3
_CHARGES = 3 * _PLANES
_COUNTS = _PLANES
_FEATURES = _CHARGES + _COUNTS + _PLANES + 1


@register("larflow")
class LArFlow(Network):
    """Scores candidate points with a sparse U-ResNet over the voxels that hold them.

    Rows are candidates, at voxels (row, y, z), with the features of
    :data:`larmlreco.reco.candidates.FEATURES`; many candidates may lie in one voxel. A perceptron of ``hidden`` units
    looks at each candidate, the U-ResNet at the mean of each voxel and its surroundings, and a second perceptron at
    both. Charge c (ADC) enters as log(1 + c / ``charge_unit``), a number n of candidates as log(1 + n).

    Output: ``score`` (K,), the log-odds of a candidate against "its pixel has no partner": over the candidates of one
    pixel and 0, a softmax gives probabilities.
    """

    dimension: Final[int]
    in_channels: Final[int]
    charge_unit: Final[float]
    charges: Final[int]
    counts: Final[int]
    meanings: Mapping[str, str] = MappingProxyType(
        {"score": "log-odds of the candidate against its pixel having no partner; softmax over a pixel's candidates"}
    )

    def __init__(
        self,
        dimension: int = 3,
        in_channels: int = _FEATURES,
        hidden: int = 24,
        filters: int = 16,
        depth: int = 4,
        repetitions: int = 1,
        kernel_size: int = 3,
        norm_eps: float = 1e-4,
        charge_unit: float = 10.0,
    ) -> None:
        super().__init__()
        check_shape(dimension, depth)
        if in_channels != _FEATURES:
            raise ValueError(f"candidates have {_FEATURES} features; got {in_channels}")
        if hidden < 1 or charge_unit <= 0.0:
            raise ValueError(f"hidden and charge_unit must be above 0; got {hidden} and {charge_unit}")
        self.dimension = dimension
        self.in_channels = in_channels
        self.charge_unit = charge_unit
        self.charges, self.counts = _CHARGES, _COUNTS
        style = PostActivation(kernel_size**dimension, 2**dimension, norm_eps, 0.0)
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        self.look = nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.backbone = Backbone(style, hidden + 1, [(level + 1) * filters for level in range(depth)], repetitions)
        self.judge = nn.Sequential(nn.Linear(hidden + filters, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def _scaled(self, features: Tensor) -> Tensor:
        logarithmic = self.charges + self.counts
        charge = torch.log1p(features[:, : self.charges].clamp(min=0.0) / self.charge_unit)
        count = torch.log1p(features[:, self.charges : logarithmic].clamp(min=0.0))
        return torch.cat([charge, count, features[:, logarithmic:]], 1)

    def scores(self, coords: Tensor, features: Tensor) -> Tensor:
        """Log-odds (K,) for coords (K, 4) int64 (item, row, y, z) and features (K, 16).

        Raises ``ValueError`` for input of another shape or type, features that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        own: Tensor = self.look(self._scaled(features))
        levels = self.pyramid(coords)
        site = levels.site_of_row
        n_sites = levels.first_row.size(0)
        count = torch.zeros(n_sites, dtype=own.dtype, device=own.device)
        count = count.index_add(0, site, torch.ones_like(own[:, 0])).clamp(min=1.0).unsqueeze(1)
        total = torch.zeros((n_sites, own.size(1)), dtype=own.dtype, device=own.device).index_add(0, site, own)
        voxels = torch.cat([total / count, count.log()], 1)
        around: Tensor = self.backbone(voxels, levels, levels.around[0])
        judged: Tensor = self.judge(torch.cat([own, around.index_select(0, site)], 1))
        return judged.squeeze(1)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Log-odds (K,) under the key ``score``; raises as :meth:`scores`."""
        return {"score": self.scores(coords, features)}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """The same as :meth:`raw`."""
        return {"score": self.scores(coords, features)}
