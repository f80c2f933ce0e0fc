"""Sparse U-ResNet (Domine and Terao, arXiv 1903.05663): an encoder and a decoder of residual blocks."""

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from larmlreco.models.network import Network, check_input, register
from larmlreco.models.preactivation import PreActivation
from larmlreco.sparse.layers import Convolution, Join, Levels, Linear, Pyramid

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
        self.shortcut = Linear(in_channels, out_channels, bias=False) if in_channels != out_channels else None

    def forward(self, features: Tensor, around: list[Tensor], sites: Tensor) -> Tensor:
        """Features (M, C_out) from (M, C_in)."""
        residual = features if self.shortcut is None else self.shortcut(features)
        hidden = self.conv1(features, around, features.size(0))
        out: Tensor = self.conv2(hidden, around, features.size(0), residual)
        return out


class PostResample(nn.Module):
    """Strided or transposed convolution between two levels, then norm and activation."""

    def __init__(self, conv: Convolution) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, features: Tensor, joined: list[Tensor], n_out: int, sites: Tensor) -> Tensor:
        """Features (n_out, C_out) of the other level from features (M, C_in)."""
        out: Tensor = self.conv(features, joined, n_out)
        return out


class Style(Protocol):
    """Makes the parts of a U-ResNet; sites (M, 1+D) are those of the features that a part takes.

    ``stem`` and ``last`` change features of the finest sites, the first with a kernel map, ``block`` those of one
    level, ``resample`` takes them to the next coarser or (``transposed``) the next finer level.
    """

    def stem(self, in_channels: int, out_channels: int) -> nn.Module:
        """``forward(features, around, n)``."""

    def block(self, in_channels: int, out_channels: int) -> nn.Module:
        """``forward(features, around, sites)``."""

    def resample(self, in_channels: int, out_channels: int, transposed: bool) -> nn.Module:
        """``forward(features, joined, n_out, sites)``."""

    def last(self, channels: int) -> nn.Module | None:
        """``forward(features, sites)``, or None."""


class PostActivation:
    """Norm and leaky rectifier after each convolution, where they fold and fuse into it."""

    def __init__(self, taps: int, resample_taps: int, norm_eps: float, negative_slope: float) -> None:
        self._taps, self._resample_taps = taps, resample_taps
        self._eps, self._slope = norm_eps, negative_slope

    def stem(self, in_channels: int, out_channels: int) -> nn.Module:
        """The first convolution."""
        return Convolution(in_channels, out_channels, self._taps, norm_eps=self._eps, negative_slope=self._slope)

    def block(self, in_channels: int, out_channels: int) -> nn.Module:
        """A residual block."""
        return PostBlock(in_channels, out_channels, self._taps, self._eps, self._slope)

    def resample(self, in_channels: int, out_channels: int, transposed: bool) -> nn.Module:
        """The way from a level to the next coarser or (``transposed``) the next finer one."""
        conv = Convolution(
            in_channels,
            out_channels,
            self._resample_taps,
            transposed=transposed,
            norm_eps=self._eps,
            negative_slope=self._slope,
        )
        return PostResample(conv)

    def last(self, channels: int) -> nn.Module | None:
        """Nothing follows the last block."""
        return None


class Blocks(nn.Module):
    """Residual blocks in a row; the first may change the number of channels."""

    def __init__(self, style: Style, in_channels: int, out_channels: int, repetitions: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * repetitions
        self.blocks = nn.ModuleList(style.block(before, after) for before, after in itertools.pairwise(widths))

    def forward(self, features: Tensor, around: list[Tensor], sites: Tensor) -> Tensor:
        """Features (M, C_out) from (M, C_in)."""
        for block in self.blocks:
            features = block(features, around, sites)
        return features


class Descent(nn.Module):
    """One level of the encoder: residual blocks of ``a`` channels, then a strided convolution to ``b`` channels."""

    def __init__(self, style: Style, a: int, b: int, repetitions: int) -> None:
        super().__init__()
        self.blocks = Blocks(style, a, a, repetitions)
        self.down = style.resample(a, b, False)

    def forward(
        self, features: Tensor, around: list[Tensor], below: list[Tensor], n_coarse: int, sites: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The skip (M, a) and the features (n_coarse, b) of the next level, from features (M, a)."""
        skip: Tensor = self.blocks(features, around, sites)
        coarse: Tensor = self.down(skip, below, n_coarse, sites)
        return skip, coarse


class Ascent(nn.Module):
    """One level of the decoder: a transposed convolution from ``b`` to ``a`` channels, the skip, residual blocks."""

    def __init__(self, style: Style, a: int, b: int, repetitions: int) -> None:
        super().__init__()
        self.up = style.resample(b, a, True)
        self.join = Join()
        self.blocks = Blocks(style, 2 * a, a, repetitions)

    def forward(
        self, features: Tensor, skip: Tensor, around: list[Tensor], below: list[Tensor], sites: Tensor, coarse: Tensor
    ) -> Tensor:
        """Features (M, a) from the features (L, b) of the level below, on sites ``coarse``, and the skip (M, a)."""
        finer = self.up(features, below, skip.size(0), coarse)
        out: Tensor = self.blocks(self.join(skip, finer), around, sites)
        return out


class WayDown(nn.Module):
    """What :class:`Encoder` and :class:`Backbone` have in common, under the same names of weights."""

    def _add_descents(self, style: Style, in_channels: int, widths: Sequence[int], repetitions: int) -> None:
        for name, numbers in (("filters", widths), ("repetitions", [repetitions])):
            if min(numbers) < 1:
                raise ValueError(f"{name} must be at least 1; got {min(numbers)}")
        self.stem = style.stem(in_channels, widths[0])
        self.descents = nn.ModuleList(Descent(style, a, b, repetitions) for a, b in itertools.pairwise(widths))
        self.bottom = Blocks(style, widths[-1], widths[-1], repetitions)

    def encode(self, features: Tensor, levels: Levels, stem_map: list[Tensor]) -> list[Tensor]:
        """Features (M_i, widths[i]) of level i, the last from the bottom, from features (M_0, C)."""
        features = self.stem(features, stem_map, features.size(0))
        encoded: list[Tensor] = []
        for level, descent in enumerate(self.descents):
            skip, features = descent(
                features,
                levels.around[level],
                levels.below[level],
                levels.sites[level + 1].size(0),
                levels.sites[level],
            )
            encoded.append(skip)
        encoded.append(self.bottom(features, levels.around[-1], levels.sites[-1]))
        return encoded


class WayUp(nn.Module):
    """What :class:`Decoder` and :class:`Backbone` have in common, under the same names of weights."""

    def _add_ascents(self, style: Style, widths: Sequence[int], repetitions: int) -> None:
        steps = list(itertools.pairwise(widths))
        # Deepest first, the order in which they run.
        self.ascents = nn.ModuleList(Ascent(style, a, b, repetitions) for a, b in reversed(steps))

    def decode(self, encoded: list[Tensor], levels: Levels) -> Tensor:
        """Features (M_0, widths[0]) from those of every level, which are taken out of the list as they are used."""
        features = encoded.pop()
        for ascent in self.ascents:
            skip = encoded.pop()
            level = len(encoded)
            features = ascent(
                features,
                skip,
                levels.around[level],
                levels.below[level],
                levels.sites[level],
                levels.sites[level + 1],
            )
        return features


class Encoder(WayDown):
    """The way down, from the finest sites to the bottom.

    Level ``i`` has ``widths[i]`` channels and ``repetitions`` residual blocks. Raises ``ValueError`` for numbers
    below 1.
    """

    def __init__(self, style: Style, in_channels: int, widths: Sequence[int], repetitions: int) -> None:
        super().__init__()
        self._add_descents(style, in_channels, widths, repetitions)

    def forward(self, features: Tensor, levels: Levels) -> list[Tensor]:
        """Features (M_i, widths[i]) of every level, from features (M_0, C)."""
        return self.encode(features, levels, levels.around[0])


class Decoder(WayUp):
    """The way up to the finest sites; several decoders may share an encoder. Skips are concatenated, skip first."""

    def __init__(self, style: Style, widths: Sequence[int], repetitions: int) -> None:
        super().__init__()
        self._add_ascents(style, widths, repetitions)

    def forward(self, encoded: list[Tensor], levels: Levels) -> Tensor:
        """Features (M_0, widths[0]) from those of every level."""
        return self.decode(encoded.copy(), levels)


class Backbone(WayDown, WayUp):
    """The U: features of the finest sites in, ``widths[0]`` features of the finest sites out.

    Encoder and decoder in one. Raises as :class:`Encoder`.
    """

    def __init__(self, style: Style, in_channels: int, widths: Sequence[int], repetitions: int) -> None:
        super().__init__()
        self._add_descents(style, in_channels, widths, repetitions)
        self._add_ascents(style, widths, repetitions)
        self.last = style.last(widths[0])

    def forward(self, features: Tensor, levels: Levels, stem_map: list[Tensor]) -> Tensor:
        """Features (M, widths[0]) from features (M, C) of the finest sites; ``stem_map`` is the first convolution's."""
        features = self.decode(self.encode(features, levels, stem_map), levels)
        if self.last is not None:
            features = self.last(features, levels.sites[0])
        return features


def check_shape(dimension: int, depth: int) -> None:
    """Raise ``ValueError`` for a number of axes or levels that no network has."""
    if dimension not in (2, 3):
        raise ValueError(f"dimension must be 2 or 3; got {dimension}")
    if depth < 1:
        raise ValueError(f"depth must be at least 1; got {depth}")


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
    meanings: Mapping[str, str] = MappingProxyType(
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
        check_shape(dimension, depth)
        self.pyramid = Pyramid(dimension, depth, kernel_size)
        taps, resample_taps = kernel_size**dimension, 2**dimension
        style: Style
        if order == "post":
            style = PostActivation(taps, resample_taps, norm_eps, negative_slope)
        elif order == "pre":
            slope = {"negative_slope": negative_slope}
            style = PreActivation(taps, taps, resample_taps, "batch_norm", norm_eps, "leaky_relu", slope)
        else:
            raise ValueError(f"unknown order {order!r}; valid: {', '.join(ORDERS)}")
        self.backbone = Backbone(style, in_channels, [(level + 1) * filters for level in range(depth)], repetitions)
        self.semantic = nn.Linear(filters, classes)

    def logits(self, coords: Tensor, features: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax, for coords (N, 1+D) int64 and features (N, C).

        Raises ``ValueError`` for input of another shape or type, features that are not finite, or coordinates
        that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        finest = self.backbone(self.scaling(features.index_select(0, levels.first_row)), levels, levels.around[0])
        scores: Tensor = self.semantic(finest)
        return scores.index_select(0, levels.site_of_row)

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) under the key ``semantic``; raises as :meth:`logits`."""
        return {"semantic": self.logits(coords, features)}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Probabilities (N, classes) under the key ``semantic``; raises as :meth:`logits`."""
        return {"semantic": torch.softmax(self.logits(coords, features), 1)}
