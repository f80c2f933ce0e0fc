"""LArFlow as it was first: the shift of every pixel to its partners on the other planes, by regression.

Three encoders with shared weights see the charge of one plane each, on the union of the sites that any plane has; from
what they found a decoder for each direction gives the shift and whether the partner is seen (slides of LArFlow,
MicroBooNE 2018). Sites are (place, row): the place of a wire is where it crosses the middle height of the TPC (see
:mod:`larmlreco.reco.shifts`), so that pixels of one point at that height lie on one site, on all planes. Geometry is
not in the archive.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.uresnet import Decoder, Encoder, PostActivation, check_shape
from larmlreco.sparse.layers import Levels, Pyramid

_PLANES = 3


class Merge(nn.Module):
    """The features of the three encoders, level by level, reduced to the width of one."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Sequential(nn.Linear(_PLANES * a, a), nn.ReLU()) for a in widths)

    def forward(self, source: list[Tensor], first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """Features (M_i, a_i) of each level from those of the source and of its two targets, of the same shape."""
        merged: list[Tensor] = []
        for level, reduce in enumerate(self.reduce):
            merged.append(reduce(torch.cat([source[level], first[level], second[level]], 1)))
        return merged


class Direction(nn.Module):
    """A decoder with its head: shift, in wires of the target, and the log-odds that the partner is seen."""

    scale: Final[float]

    def __init__(self, style: PostActivation, widths: Sequence[int], repetitions: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.decoder = Decoder(style, widths, repetitions)
        self.head = nn.Linear(widths[0], 2)

    def forward(self, merged: list[Tensor], levels: Levels) -> Tensor:
        """Shift and log-odds (M, 2) of the finest sites."""
        out: Tensor = self.head(self.decoder(merged, levels))
        return torch.stack([out[:, 0] * self.scale, out[:, 1]], 1)


class Source(nn.Module):
    """The directions from one plane to the other two."""

    def __init__(self, style: PostActivation, widths: Sequence[int], repetitions: int, scale: float) -> None:
        super().__init__()
        self.merge = Merge(widths)
        self.first = Direction(style, widths, repetitions, scale)
        self.second = Direction(style, widths, repetitions, scale)

    def forward(
        self, source: list[Tensor], first: list[Tensor], second: list[Tensor], levels: Levels
    ) -> tuple[Tensor, Tensor]:
        """Shift and log-odds (M, 2) to the first and to the second target."""
        merged: list[Tensor] = self.merge(source, first, second)
        return self.first(merged, levels), self.second(merged, levels)


@register("larflow_regression")
class LArFlowRegression(Network):
    """Regresses the shift of pixels from the planes ``sources`` to both other planes.

    Rows are pixels of three planes with the names ``views``, in this order: coordinates (item * 3 + plane, place, row)
    and one feature, the charge (ADC), which enters as log(1 + c / ``charge_unit``). Every row has all outputs: those of
    directions from another plane are what its site would say if that plane were not dead there.

    Output, for each direction such as ``Y2U``: ``flow_Y2U`` (N,), the shift in wires of the target from where its wire
    has the place of the row, and ``matchable_Y2U`` (N,), the probability that the partner is seen; ``raw`` gives the
    log-odds of it. ``stride`` is that of places and rows between levels: partners lie hundreds of places away, in the
    same row. ``shift_scale`` (wires) is the shift at a head's output of 1.
    """

    charge_unit: Final[float]

    def __init__(
        self,
        dimension: int = 2,
        in_channels: int = 1,
        views: Sequence[str] = ("U", "V", "Y"),
        sources: Sequence[str] = ("Y",),
        filters: int = 12,
        depth: int = 5,
        repetitions: int = 1,
        kernel_size: int = 3,
        stride: Sequence[int] = (4, 2),
        norm_eps: float = 1e-4,
        charge_unit: float = 10.0,
        shift_scale: float = 64.0,
    ) -> None:
        super().__init__()
        check_shape(dimension, depth)
        if (dimension, in_channels) != (2, 1):
            raise ValueError(
                f"the rows are pixels with their charge: 2 axes, 1 feature; got {dimension}, {in_channels}"
            )
        if len(set(views)) != _PLANES or len(views) != _PLANES:
            raise ValueError(f"views must be the names of {_PLANES} planes; got {', '.join(views)}")
        if not sources or len(set(sources)) != len(sources) or not set(sources) <= set(views):
            raise ValueError(
                f"sources must be some of {', '.join(views)}, each once; got {', '.join(sources) or 'none'}"
            )
        if len(stride) != dimension or min(stride) < 1:
            raise ValueError(f"stride must be {dimension} numbers of at least 1; got {list(stride)}")
        if charge_unit <= 0.0 or shift_scale <= 0.0:
            raise ValueError(f"charge_unit and shift_scale must be above 0; got {charge_unit} and {shift_scale}")
        self.charge_unit = charge_unit
        chosen = [list(views).index(view) for view in sources]
        self.order = [[s, *(t for t in range(_PLANES) if t != s)] for s in chosen]
        self.names = [[f"{views[s]}2{views[t]}" for t in (first, second)] for s, first, second in self.order]
        self.meanings = {}
        for name in (name for pair in self.names for name in pair):
            self.meanings[f"flow_{name}"] = "wires of the target from the place of the row to the partner"
            self.meanings[f"matchable_{name}"] = "probability that the partner is seen"
        taps = kernel_size**dimension
        style = PostActivation(taps, stride[0] * stride[1], norm_eps, 0.0)
        widths = [(level + 1) * filters for level in range(depth)]
        self.pyramid = Pyramid(dimension, depth, kernel_size, list(stride))
        self.encoder = Encoder(style, 1, widths, repetitions)
        self.heads = nn.ModuleList(Source(style, widths, repetitions, shift_scale) for _ in sources)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Shifts (N,) and log-odds (N,) by key, for coords (N, 3) int64 (item * 3 + plane, place, row).

        Raises ``ValueError`` for input of another shape or type, features (N, 1) that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, 2, 1)
        item = torch.div(coords[:, 0], 3, rounding_mode="floor")
        plane = coords[:, 0] - 3 * item
        levels = self.pyramid(torch.cat([item.unsqueeze(1), coords[:, 1:]], 1))
        site = levels.site_of_row
        charge = torch.log1p(features[:, 0].clamp(min=0.0) / self.charge_unit)
        images = torch.zeros(3 * levels.first_row.size(0), dtype=charge.dtype, device=charge.device)
        images = images.index_add(0, 3 * site + plane, charge).reshape(-1, 3)
        found: list[list[Tensor]] = []
        for p in range(3):
            found.append(self.encoder(images[:, p : p + 1], levels))
        out: dict[str, Tensor] = {}
        for number, head in enumerate(self.heads):
            order, names = self.order[number], self.names[number]
            first, second = head(found[order[0]], found[order[1]], found[order[2]], levels)
            for name, values in ((names[0], first), (names[1], second)):
                out["flow_" + name] = values[:, 0].index_select(0, site)
                out["matchable_" + name] = values[:, 1].index_select(0, site)
        return out

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Shifts (N,) and probabilities (N,) by key; raises as :meth:`raw`."""
        out: dict[str, Tensor] = {}
        for key, value in self.raw(coords, features).items():
            out[key] = torch.sigmoid(value) if key.startswith("matchable_") else value
        return out
