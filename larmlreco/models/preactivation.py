"""Layers of a U-ResNet whose norms and activations stand before the convolutions, as in the networks of SPINE."""

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor, nn

from larmlreco.errors import valid_choices
from larmlreco.sparse.layers import BatchNorm, Convolution, InstanceNorm, Linear

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "none": nn.Identity,
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
"""Activations by name."""

NORMS = ("batch_norm", "instance_norm", "none")


class NormActivation(nn.Module):
    """Norm, then activation, of features (M, C)."""

    by_item: Final[bool]

    def __init__(self, norm: BatchNorm | InstanceNorm | None, activation: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.by_item = isinstance(norm, InstanceNorm)
        self.activation = activation

    def forward(self, features: Tensor, sites: Tensor) -> Tensor:
        """Features (M, C) on sites (M, 1+D)."""
        if self.norm is not None:
            features = self.norm(features, sites) if self.by_item else self.norm(features)
        out: Tensor = self.activation(features)
        return out


class PreBlock(nn.Module):
    """Residual block ``conv2(act(norm2(conv1(act(norm1(x)))))) + shortcut(x)``.

    ``conv1`` does what of norm2 and its activation the engine can fuse, ``after`` the rest, or it is None.
    """

    def __init__(
        self,
        norm1: NormActivation,
        conv1: Convolution,
        after: NormActivation | None,
        conv2: Convolution,
        shortcut: Linear | None,
    ) -> None:
        super().__init__()
        self.norm1 = norm1
        self.conv1 = conv1
        self.after = after
        self.conv2 = conv2
        self.shortcut = shortcut

    def forward(self, features: Tensor, around: list[Tensor], sites: Tensor) -> Tensor:
        """Features (M, C_out) from (M, C_in) on sites (M, 1+D)."""
        residual = features if self.shortcut is None else self.shortcut(features)
        hidden = self.conv1(self.norm1(features, sites), around, features.size(0))
        if self.after is not None:
            hidden = self.after(hidden, sites)
        out: Tensor = self.conv2(hidden, around, features.size(0), residual)
        return out


class PreResample(nn.Module):
    """Norm and activation, then a strided or transposed convolution between two levels."""

    def __init__(self, before: NormActivation, conv: Convolution) -> None:
        super().__init__()
        self.before = before
        self.conv = conv

    def forward(self, features: Tensor, joined: list[Tensor], n_out: int, sites: Tensor) -> Tensor:
        """Features (n_out, C_out) of the other level from features (M, C_in) on sites (M, 1+D)."""
        out: Tensor = self.conv(self.before(features, sites), joined, n_out)
        return out


class PreActivation:
    """Makes the parts of a U-ResNet.

    ``stem_taps``, ``taps`` and ``resample_taps`` are the kernel volumes of the first convolution, of those in blocks
    and of those between levels. ``norm`` is one of :data:`NORMS`, ``norm_eps`` what it adds to the variance;
    ``activation`` a name of :data:`ACTIVATIONS` with its ``activation_params``; ``bias`` and ``shortcut_bias`` say
    whether convolutions and shortcuts have one. Raises ``ValueError`` for other names and parameters.
    """

    def __init__(
        self,
        stem_taps: int,
        taps: int,
        resample_taps: int,
        norm: str = "batch_norm",
        norm_eps: float = 1e-4,
        activation: str = "relu",
        activation_params: Mapping[str, Any] | None = None,
        bias: bool = False,
        shortcut_bias: bool = False,
    ) -> None:
        if norm not in NORMS:
            raise ValueError(f"unknown norm {norm!r}: {valid_choices(norm, NORMS)}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}: {valid_choices(activation, ACTIVATIONS)}")
        self._stem_taps, self._taps, self._resample_taps = stem_taps, taps, resample_taps
        self._norm_name, self._eps = norm, norm_eps
        self._activation_name, self._activation_params = activation, dict(activation_params or {})
        self._bias, self._shortcut_bias = bias, shortcut_bias
        try:
            made = self._activation()
        except TypeError as error:
            raise ValueError(f"activation {activation!r} cannot take {self._activation_params}: {error}") from error
        slope = {nn.ReLU: 0.0, nn.Identity: 1.0}.get(type(made))
        self._slope = made.negative_slope if isinstance(made, nn.LeakyReLU) else slope

    def stem(self, in_channels: int, out_channels: int) -> nn.Module:
        """The first convolution."""
        return self._convolution(in_channels, out_channels, self._stem_taps)

    def block(self, in_channels: int, out_channels: int) -> nn.Module:
        """A residual block."""
        by_item = self._norm_name == "instance_norm"
        fused = not by_item and self._slope is not None
        after = None if fused else NormActivation(self._norm(out_channels) if by_item else None, self._activation())
        conv1 = Convolution(
            in_channels,
            out_channels,
            self._taps,
            bias=self._bias,
            norm_eps=self._eps if self._norm_name == "batch_norm" else None,
            negative_slope=self._slope if fused and self._slope is not None else 1.0,
        )
        changed = in_channels != out_channels
        return PreBlock(
            self._before(in_channels),
            conv1,
            after,
            self._convolution(out_channels, out_channels, self._taps),
            Linear(in_channels, out_channels, bias=self._shortcut_bias) if changed else None,
        )

    def resample(self, in_channels: int, out_channels: int, transposed: bool) -> nn.Module:
        """The way from a level to the next coarser or (``transposed``) the next finer one."""
        before = self._before(in_channels)
        return PreResample(before, self._convolution(in_channels, out_channels, self._resample_taps, transposed))

    def last(self, channels: int) -> nn.Module:
        """What follows the last block."""
        return self._before(channels)

    def _before(self, channels: int) -> NormActivation:
        norm, activation = self._norm(channels), self._activation()
        if norm is not None and isinstance(activation, nn.ReLU | nn.LeakyReLU):
            activation.inplace = True  # nobody else has the output of the norm
        return NormActivation(norm, activation)

    def _convolution(self, in_channels: int, out_channels: int, taps: int, transposed: bool = False) -> Convolution:
        return Convolution(in_channels, out_channels, taps, transposed=transposed, bias=self._bias)

    def _norm(self, channels: int) -> BatchNorm | InstanceNorm | None:
        if self._norm_name == "none":
            return None
        if self._norm_name == "instance_norm":
            return InstanceNorm(channels, self._eps)
        return BatchNorm(channels, eps=self._eps)

    def _activation(self) -> nn.Module:
        return ACTIVATIONS[self._activation_name](**self._activation_params)
