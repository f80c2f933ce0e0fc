"""Sparse U-ResNet (Domine and Terao, arXiv 1903.05663): an encoder and a decoder of residual blocks."""

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.sparse.layers import Convolution, Levels, NormActivation, Pyramid

ORDERS = ("post", "pre")
"""Where norm and activation stand: after each convolution, or before it as in the networks of SPINE."""


class InputScaling(nn.Module):
    """``scale * f(x) + shift`` with ``f`` the identity or ``log10(max(x, 0) + offset)``, a value each channel."""

    log: Final[bool]
    offset: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int, log: bool, offset: float, scale: float, shift: float) -> None:
        super().__init__()
        if log and offset <= 0.0:
            raise ValueError(f"the offset of a logarithm must be above 0; got {offset}")
        self.log = log
        self.register_buffer("offset", torch.full((channels,), offset))
        self.register_buffer("scale", torch.full((channels,), scale))
        self.register_buffer("shift", torch.full((channels,), shift))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled features (N, C)."""
        if self.log:
            features = torch.log10(features.clamp(min=0.0) + self.offset)
        scaled: Tensor = features * self.scale + self.shift
        return scaled


class PostBlock(nn.Module):
    """Residual block ``act(norm(conv(act(norm(conv(x))))) + shortcut(x))``; its norms fold into its convolutions."""

    def __init__(self, in_channels: int, out_channels: int, taps: int, eps: float, slope: float) -> None:
        super().__init__()
        self.conv1 = Convolution(in_channels, out_channels, taps, norm_eps=eps, negative_slope=slope)
        self.conv2 = Convolution(out_channels, out_channels, taps, norm_eps=eps, negative_slope=slope)
        self.shortcut = nn.Linear(in_channels, out_channels, bias=False) if in_channels != out_channels else None

    def forward(self, features: Tensor, around: list[Tensor]) -> Tensor:
        """Features (M, C_out) from (M, C_in)."""
        residual = features if self.shortcut is None else self.shortcut(features)
        hidden = self.conv1(features, around, features.size(0))
        out: Tensor = self.conv2(hidden, around, features.size(0), residual)
        return out


class PreBlock(nn.Module):
    """Residual block ``conv(act(norm(conv(act(norm(x)))))) + shortcut(x)``."""

    def __init__(self, in_channels: int, out_channels: int, taps: int, eps: float, slope: float) -> None:
        super().__init__()
        self.norm1 = NormActivation(in_channels, eps, slope)
        self.conv1 = Convolution(in_channels, out_channels, taps, norm_eps=eps, negative_slope=slope)
        self.conv2 = Convolution(out_channels, out_channels, taps)
        self.shortcut = nn.Linear(in_channels, out_channels, bias=False) if in_channels != out_channels else None

    def forward(self, features: Tensor, around: list[Tensor]) -> Tensor:
        """Features (M, C_out) from (M, C_in)."""
        residual = features if self.shortcut is None else self.shortcut(features)
        hidden = self.conv1(self.norm1(features), around, features.size(0))
        out: Tensor = self.conv2(hidden, around, features.size(0), residual)
        return out


class Blocks(nn.Module):
    """Residual blocks in a row; the first may change the number of channels."""

    def __init__(
        self, order: str, in_channels: int, out_channels: int, repetitions: int, taps: int, eps: float, slope: float
    ) -> None:
        super().__init__()
        block = PostBlock if order == "post" else PreBlock
        widths = [in_channels] + [out_channels] * repetitions
        self.blocks = nn.ModuleList(
            block(before, after, taps, eps, slope) for before, after in itertools.pairwise(widths)
        )

    def forward(self, features: Tensor, around: list[Tensor]) -> Tensor:
        """Features (M, C_out) from (M, C_in)."""
        for block in self.blocks:
            features = block(features, around)
        return features


class Resample(nn.Module):
    """Strided or transposed convolution between two levels, with norm and activation after or before it."""

    def __init__(
        self, order: str, in_channels: int, out_channels: int, taps: int, transposed: bool, eps: float, slope: float
    ) -> None:
        super().__init__()
        self.before = NormActivation(in_channels, eps, slope) if order == "pre" else None
        self.conv = (
            Convolution(in_channels, out_channels, taps, transposed=transposed)
            if order == "pre"
            else Convolution(in_channels, out_channels, taps, transposed=transposed, norm_eps=eps, negative_slope=slope)
        )

    def forward(self, features: Tensor, joined: list[Tensor], n_out: int) -> Tensor:
        """Features (n_out, C_out) of the other level."""
        if self.before is not None:
            features = self.before(features)
        out: Tensor = self.conv(features, joined, n_out)
        return out


class Descent(nn.Module):
    """One level of the encoder: residual blocks of ``a`` channels, then a strided convolution to ``b`` channels."""

    def __init__(
        self, order: str, a: int, b: int, repetitions: int, taps: int, halving: int, eps: float, slope: float
    ) -> None:
        super().__init__()
        self.blocks = Blocks(order, a, a, repetitions, taps, eps, slope)
        self.down = Resample(order, a, b, halving, False, eps, slope)

    def forward(
        self, features: Tensor, around: list[Tensor], below: list[Tensor], n_coarse: int
    ) -> tuple[Tensor, Tensor]:
        """The skip (M, a) and the features (n_coarse, b) of the next level, from features (M, a)."""
        skip: Tensor = self.blocks(features, around)
        coarse: Tensor = self.down(skip, below, n_coarse)
        return skip, coarse


class Ascent(nn.Module):
    """One level of the decoder: a transposed convolution from ``b`` to ``a`` channels, the skip, residual blocks."""

    def __init__(
        self, order: str, a: int, b: int, repetitions: int, taps: int, halving: int, eps: float, slope: float
    ) -> None:
        super().__init__()
        self.up = Resample(order, b, a, halving, True, eps, slope)
        self.blocks = Blocks(order, 2 * a, a, repetitions, taps, eps, slope)

    def forward(self, features: Tensor, skip: Tensor, around: list[Tensor], below: list[Tensor]) -> Tensor:
        """Features (M, a) from the features (L, b) of the level below and the skip (M, a)."""
        finer = self.up(features, below, skip.size(0))
        out: Tensor = self.blocks(torch.cat([skip, finer], 1), around)
        return out


class Backbone(nn.Module):
    """The U: features of the finest sites in, ``filters`` features of the finest sites out.

    Level ``i`` of ``depth`` has ``(i + 1) * filters`` channels and ``repetitions`` residual blocks on the way down and
    on the way up; skips are concatenated, skip channels first.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        filters: int,
        depth: int,
        repetitions: int,
        kernel_size: int,
        order: str,
        eps: float,
        slope: float,
    ) -> None:
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"unknown order {order!r}; valid: {', '.join(ORDERS)}")
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        for name, number in (("filters", filters), ("depth", depth), ("repetitions", repetitions)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1; got {number}")
        widths = [(level + 1) * filters for level in range(depth)]
        taps, halving = kernel_size**dimension, 2**dimension
        self.stem = (
            Convolution(in_channels, filters, taps)
            if order == "pre"
            else Convolution(in_channels, filters, taps, norm_eps=eps, negative_slope=slope)
        )
        steps = list(itertools.pairwise(widths))
        self.descents = nn.ModuleList(Descent(order, a, b, repetitions, taps, halving, eps, slope) for a, b in steps)
        self.bottom = Blocks(order, widths[-1], widths[-1], repetitions, taps, eps, slope)
        # Deepest first, the order in which they run.
        self.ascents = nn.ModuleList(
            Ascent(order, a, b, repetitions, taps, halving, eps, slope) for a, b in reversed(steps)
        )
        self.last = NormActivation(filters, eps, slope) if order == "pre" else None

    def forward(self, features: Tensor, levels: Levels) -> Tensor:
        """Features (M, filters) from features (M, C) of the finest sites."""
        features = self.stem(features, levels.around[0], features.size(0))
        skips: list[Tensor] = []
        for level, descent in enumerate(self.descents):
            skip, features = descent(
                features, levels.around[level], levels.below[level], levels.sites[level + 1].size(0)
            )
            skips.append(skip)
        features = self.bottom(features, levels.around[-1])
        for ascent in self.ascents:
            skip = skips.pop()
            level = len(skips)
            features = ascent(features, skip, levels.around[level], levels.below[level])
        if self.last is not None:
            features = self.last(features)
        return features


@register("uresnet")
class UResNet(Network):
    """Semantic segmentation with a sparse U-ResNet.

    ``depth`` counts levels. ``order`` ``"post"`` (conv, norm, activation, as in the paper) folds all norms into
    convolutions at export; ``"pre"`` is the block order of the networks of MinkowskiEngine and SPINE.
    Input is scaled by :class:`InputScaling`, by default ``log10(x + 0.01) + 1``. Output: ``semantic`` (N, classes),
    softmax probabilities; ``raw`` gives their logits under the same key.
    """

    dimension: Final[int]
    in_channels: Final[int]
    meanings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"semantic": "softmax probability of each class, in the order of the class names"}
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
        order: str = "post",
        negative_slope: float = 0.0,
        norm_eps: float = 1e-4,
        input_log: bool = True,
        input_offset: float = 0.01,
        input_scale: float = 1.0,
        input_shift: float = 1.0,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.in_channels = in_channels
        self.scaling = InputScaling(in_channels, input_log, input_offset, input_scale, input_shift)
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        self.backbone = Backbone(
            dimension, in_channels, filters, depth, repetitions, kernel_size, order, norm_eps, negative_slope
        )
        self.semantic = nn.Linear(filters, classes)

    def logits(self, coords: Tensor, features: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax, for coords (N, 1+D) int64 and features (N, C).

        Raises ``ValueError`` for input of another shape or type, features that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        finest = self.backbone(self.scaling(features.index_select(0, levels.first_row)), levels)
        scores: Tensor = self.semantic(finest)
        return scores.index_select(0, levels.site_of_row)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) under the key ``semantic``; raises as :meth:`logits`."""
        return {"semantic": self.logits(coords, features)}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Probabilities (N, classes) under the key ``semantic``; raises as :meth:`logits`."""
        return {"semantic": torch.softmax(self.logits(coords, features), 1)}
