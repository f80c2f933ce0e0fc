"""Infill of dead regions (LArDRIP; MicroBooNE on its wire planes): which candidate sites hold charge, and how much."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.uresnet import Backbone, InputScaling, PostActivation, check_shape
from larmlreco.sparse.layers import Pyramid

_FEATURES = 2
_FIRST_LOGIT = -3.0


@register("infill_uresnet")
class InfillUResNet(Network):
    """A sparse U-ResNet over the measured sites and the candidate sites of dead regions, with two heads.

    Features (N, C), C = ``in_channels``: charge or energy (of candidates what they are filled with), 1 for a candidate,
    0 for a measured site, and any more. The first is scaled by :class:`~larmlreco.models.uresnet.InputScaling`; what is
    below 0 (the filling -1) keeps its distance from 0. ``energy_unit`` is a typical charge or energy of a site.

    Output, see ``meanings``, for every row; those of measured sites mean nothing. :meth:`raw` gives ``active`` (N, 1)
    before the logistic function and ``energy`` (N, 1) as :meth:`forward` does.
    """

    dimension: Final[int]
    in_channels: Final[int]
    energy_unit: Final[float]
    meanings: Mapping[str, str] = MappingProxyType(
        {
            "active": "probability that the candidate site holds charge, in [0, 1]",
            "energy": "charge or energy that it holds if it does, in the unit of the first feature, at least 0",
        }
    )

    def __init__(
        self,
        dimension: int,
        in_channels: int = _FEATURES,
        filters: int = 8,
        depth: int = 4,
        repetitions: int = 1,
        kernel_size: int = 3,
        energy_unit: float = 1.0,
        negative_slope: float = 0.0,
        norm_eps: float = 1e-4,
        input_log: bool = True,
        input_offset: float = 0.01,
        input_scale: float = 1.0,
        input_shift: float = 1.0,
    ) -> None:
        super().__init__()
        check_shape(dimension, depth)
        if in_channels < _FEATURES:
            raise ValueError(f"sites have at least the features charge and is_candidate; got {in_channels}")
        if energy_unit <= 0.0:
            raise ValueError(f"energy_unit must be above 0; got {energy_unit}")
        self.dimension = dimension
        self.in_channels = in_channels
        self.energy_unit = energy_unit
        self.scaling = InputScaling(1, input_log, input_offset, input_scale, input_shift)
        style = PostActivation(kernel_size**dimension, 2**dimension, norm_eps, negative_slope)
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        self.backbone = Backbone(style, in_channels, [(level + 1) * filters for level in range(depth)], repetitions)
        self.active = nn.Linear(filters, 1)
        self.energy = nn.Linear(filters, 1)
        # Most candidates are empty.
        nn.init.constant_(self.active.bias, _FIRST_LOGIT)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """``active`` (N, 1), log-odds, and ``energy`` (N, 1), for coords (N, 1+D) int64 and features (N, C).

        Raises ``ValueError`` for input of another shape or type, features that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        given = features.index_select(0, levels.first_row)
        charge = given[:, :1]
        finest = torch.cat([self.scaling(charge.clamp(min=0.0)) + charge.clamp(max=0.0), given[:, 1:]], 1)
        found = self.backbone(finest, levels, levels.around[0])
        active: Tensor = self.active(found)
        energy: Tensor = self.energy_unit * F.softplus(self.energy(found))
        rows = levels.site_of_row
        return {"active": active.index_select(0, rows), "energy": energy.index_select(0, rows)}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """``active`` (N, 1), probability, and ``energy`` (N, 1); raises as :meth:`raw`."""
        found = self.raw(coords, features)
        return {"active": torch.sigmoid(found["active"]), "energy": found["energy"]}
