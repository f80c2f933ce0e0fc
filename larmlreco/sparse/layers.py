"""Layers of sparse networks. Every layer serves both engines; its constant ``native`` says which one it calls.

The constant is fixed when a layer is scripted, and the branch of the other engine is left out, so that a portable
archive never names an operator of the native library. :func:`use_engine` sets it on a whole network.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.sparse import native, portable

ENGINES = ("portable", "native")
"""Names of the engines: stock torch operators, or the operator library of this package."""

POOLING_MODES = ("max", "sum", "avg")


class Levels(NamedTuple):
    """The coordinates of a network, level by level, and the kernel maps that all layers share.

    ``first_row`` (M,) int64 is the first input row of each finest site, ``site_of_row`` (N,) int64 the site of each
    input row, ``sites[i]`` (M_i, 1+D) int64 the sites of level ``i``, each level ``stride`` times coarser than
    the one before, ``around[i]`` the submanifold map on level ``i``, ``below[i]`` the map from it to level ``i + 1``.
    """

    first_row: Tensor
    site_of_row: Tensor
    sites: list[Tensor]
    around: list[list[Tensor]]
    below: list[list[Tensor]]


class EngineModule(nn.Module):
    """Base of the layers that call an engine."""

    # Not ``Final``: scripting reads annotations of the class itself only, but this name in its bases as well.
    __constants__: ClassVar[list[str]] = ["native"]

    native: bool

    def __init__(self, engine: str = "portable") -> None:
        super().__init__()
        if engine not in ENGINES:
            raise ConfigurationError(f"unknown engine {engine!r}: {valid_choices(engine, ENGINES)}")
        if engine == "native":
            native.require()
        self.native = engine == "native"


def use_engine(network: nn.Module, engine: str) -> None:
    """Let every layer of a network call the engine of this name, ``"portable"`` or ``"native"``.

    Raises ``ConfigurationError`` for another name, or where the native library is absent.
    """
    chosen = EngineModule(engine)
    for layer in network.modules():
        if isinstance(layer, EngineModule):
            layer.native = chosen.native


class Pyramid(EngineModule):
    """Builds the levels of a U-shaped network from the coordinates of its input.

    ``depth`` levels, ``dimension`` spatial axes, each level ``stride`` times coarser than the one before.
    ``kernel_size`` is that of the convolutions on a level, ``resample_size`` that of those between levels, by default
    ``stride``; kernel size and stride are a number or one for each axis.
    """

    def __init__(
        self,
        dimension: int,
        depth: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 2,
        resample_size: int | None = None,
        engine: str = "portable",
    ) -> None:
        super().__init__(engine)
        self.depth = depth
        self.kernel_size = list(kernel_size) if isinstance(kernel_size, Sequence) else [kernel_size] * dimension
        self.stride = list(stride) if isinstance(stride, Sequence) else [stride] * dimension
        self.resample_size = list(self.stride) if resample_size is None else [resample_size] * dimension
        self.dilation = [1] * dimension
        for name in ("kernel_size", "stride", "resample_size"):
            sizes = getattr(self, name)
            if len(sizes) != dimension or not all(isinstance(size, int) and size >= 1 for size in sizes):
                raise ValueError(
                    f"{name}: expected whole numbers above 0, one for each of {dimension} axes; got {sizes}"
                )

    def forward(self, coords: Tensor) -> Levels:
        """Levels of coordinates (N, 1+D) int64; ``ValueError`` where they span too large a box."""
        if self.native:
            finest, first_row, site_of_row = native.distinct_sites(coords)
        else:
            finest, first_row, site_of_row = portable.distinct_sites(coords)
        sites = [finest]
        around = [self.submanifold(finest)]
        below: list[list[Tensor]] = []
        for _ in range(1, self.depth):
            coarse, joined = self.coarser(sites[-1])
            sites.append(coarse)
            around.append(self.submanifold(coarse))
            below.append(joined)
        return Levels(first_row, site_of_row, sites, around, below)

    def submanifold(self, sites: Tensor) -> list[Tensor]:
        """The map of the stride-1 convolutions on these sites (M, 1+D)."""
        if self.native:
            return native.submanifold_map(sites, self.kernel_size, self.dilation)
        return portable.submanifold_map(sites, self.kernel_size, self.dilation)

    def coarser(self, sites: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The sites (L, 1+D) of the next level and the map between the two."""
        if self.native:
            return native.strided(sites, self.resample_size, self.stride)
        return portable.strided(sites, self.resample_size, self.stride)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of features (M, C) over the sites; fewer than two sites are normalised as in evaluation."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalised features (M, C)."""
        if input.size(0) == 0:
            return input.clone()  # a tensor of its own here, too
        over_batch = self.training and input.size(0) > 1
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, over_batch, momentum, self.eps
        )


class Convolution(EngineModule):
    """Sparse convolution, batch norm and leaky rectifier in one layer, fused where the engine can.

    ``activation(norm(convolution(x) + bias) + residual)``. The weight is (taps, C_in, C_out), taps in lexicographic
    order of the offset, the last axis fastest; the map that comes with the features decides on submanifold, strided or
    (``transposed``) transposed convolution. ``norm_eps`` None leaves out the norm, ``negative_slope`` 1 the activation.
    """

    transposed: Final[bool]
    negative_slope: Final[float]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: int,
        *,
        transposed: bool = False,
        bias: bool = False,
        norm_eps: float | None = None,
        negative_slope: float = 1.0,
        engine: str = "portable",
    ) -> None:
        super().__init__(engine)
        self.transposed = transposed
        self.negative_slope = negative_slope
        self.weight = nn.Parameter(torch.empty(taps, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.norm = BatchNorm(out_channels, eps=norm_eps) if norm_eps is not None else None
        # He et al. (arXiv 1502.01852) for the fan-in of a dense kernel; sites have some third of their neighbours.
        gain = math.sqrt(2.0 / (1.0 + negative_slope**2))
        nn.init.normal_(self.weight, std=gain / math.sqrt(in_channels * max(taps / 3, 1)))

    def forward(self, features: Tensor, kernel_map: list[Tensor], n_out: int, residual: Tensor | None = None) -> Tensor:
        """Features (n_out, C_out) from features (M, C_in) and, added before the activation, residual (n_out, C_out)."""
        if self.norm is None:
            return self.convolve(features, kernel_map, n_out, residual, self.negative_slope)
        out = self.norm(self.convolve(features, kernel_map, n_out, None, 1.0))
        if residual is not None:
            out = out + residual
        return portable.rectify(out, self.negative_slope)

    def convolve(
        self, features: Tensor, kernel_map: list[Tensor], n_out: int, residual: Tensor | None, negative_slope: float
    ) -> Tensor:
        """The engine's fused convolution with this layer's weight and bias."""
        if self.native:
            return native.convolve(
                features, self.weight, self.bias, kernel_map, n_out, self.transposed, residual, negative_slope
            )
        return portable.convolve(
            features, self.weight, self.bias, kernel_map, n_out, self.transposed, residual, negative_slope
        )

    def fold_norm(self) -> None:
        """Turn the running statistics of the norm into weight and bias; the layer then serves inference only."""
        if self.norm is None:
            return
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
        old_bias = torch.zeros_like(scale) if self.bias is None else self.bias.double()
        shift = norm.bias.double() + (old_bias - norm.running_mean.double()) * scale
        self.weight = nn.Parameter((self.weight.double() * scale).detach().to(self.weight.dtype))
        self.bias = nn.Parameter(shift.detach().to(self.weight.dtype))
        self.norm = None


class Join(EngineModule):
    """Channels of two features side by side."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Features (M, A + B) from features (M, A) and (M, B)."""
        if self.native:
            return native.join(left, right)
        return torch.cat([left, right], 1)


class Linear(EngineModule):
    """As ``torch.nn.Linear``, with the output where the engine keeps its features."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True, engine: str = "portable") -> None:
        super().__init__(engine)
        drawn = nn.Linear(in_channels, out_channels, bias)
        self.weight = drawn.weight
        self.bias = drawn.bias if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Features (M, C_out) from features (M, C_in)."""
        if self.native:
            return native.linear(features, self.weight, self.bias)
        return F.linear(features, self.weight, self.bias)


class Pooling(EngineModule):
    """Maximum, sum or average (``mode`` ``"max"``, ``"sum"`` or ``"avg"``) over the active sites of each window."""

    mode: Final[str]

    def __init__(self, mode: str, engine: str = "portable") -> None:
        super().__init__(engine)
        self.mode = _known_mode(mode)

    def forward(self, features: Tensor, kernel_map: list[Tensor], n_out: int) -> Tensor:
        """Features (n_out, C) from features (M, C); an output without an active site is 0."""
        if self.native:
            return native.pool(features, kernel_map, n_out, self.mode)
        return portable.pool(features, kernel_map, n_out, self.mode)


class GlobalPooling(nn.Module):
    """Maximum, sum or average (``mode`` as for :class:`Pooling`) over all sites of each batch item."""

    mode: Final[str]

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = _known_mode(mode)

    def forward(self, features: Tensor, sites: Tensor) -> tuple[Tensor, Tensor]:
        """Item numbers (B,) in rising order and features (B, C), from features (M, C) on sites (M, 1+D)."""
        return portable.pool_items(features, sites, self.mode)


class InstanceNorm(nn.Module):
    """Norm over the sites of each batch item, with the population variance, then weight and bias a channel."""

    eps: Final[float]

    def __init__(self, channels: int, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, sites: Tensor) -> Tensor:
        """Features (M, C) on sites (M, 1+D)."""
        return portable.instance_norm(features, sites, self.eps) * self.weight + self.bias


def _known_mode(mode: str) -> str:
    if mode not in POOLING_MODES:
        raise ConfigurationError(f"unknown pooling {mode!r}: {valid_choices(mode, POOLING_MODES)}")
    return mode


def fold_norms(network: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it; norms that come first stay."""
    for layer in network.modules():
        if isinstance(layer, Convolution):
            layer.fold_norm()


def last_axis_fastest(weight: Tensor, kernel_size: list[int]) -> Tensor:
    """Weight (taps, C_in, C_out) for taps whose last axis varies fastest, from one whose first axis does.

    MinkowskiEngine stores the latter, and (C_in, C_out) for a kernel of one tap.
    """
    channels = list(weight.shape[-2:])
    axes = len(kernel_size)
    taps = weight.reshape(list(reversed(kernel_size)) + channels)
    order = [*reversed(range(axes)), axes, axes + 1]
    return taps.permute(order).reshape([-1, *channels])
