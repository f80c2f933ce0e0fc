"""U-ResNets made with MinkowskiEngine: the network, and the weights under our names and in our order of taps."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError
from larmlreco.models.network import Network, check_input, register
from larmlreco.models.preactivation import PreActivation
from larmlreco.models.uresnet import Backbone, check_shape
from larmlreco.sparse.layers import Pyramid, last_axis_fastest


@register("minkowski_uresnet")
class MinkowskiUResNet(Network):
    """Pre-activation U-ResNet in all the variants that MinkowskiEngine and SPINE (``UResNetSegmentation``) make.

    ``widths`` are the channels of the levels; ``input_kernel`` (a number or one for each axis) is the kernel size of
    the first convolution, ``kernel_size`` of those in blocks, ``resample_size`` of those between levels, which
    are ``stride`` times coarser from one to the next. Norm and activation as in
    :class:`~larmlreco.models.preactivation.PreActivation`. Features go in as they come. Outputs: ``semantic``
    (N, classes) and ``logits`` (N, classes); with ``ghost`` the head for ghost points as well, ``ghost`` (N, 2).
    """

    dimension: Final[int]
    in_channels: Final[int]
    # Without an annotation: scripting would read it, and knows no type Mapping.
    meanings = MappingProxyType(
        {
            "semantic": "softmax probability of each class, in the order of the class names",
            "logits": "scores of the classes before the softmax",
        }
    )

    def __init__(
        self,
        dimension: int,
        classes: int,
        widths: Sequence[int],
        in_channels: int = 1,
        repetitions: int = 2,
        input_kernel: int | Sequence[int] = 3,
        kernel_size: int = 3,
        resample_size: int = 2,
        stride: int = 2,
        norm: str = "batch_norm",
        norm_eps: float = 1e-5,
        activation: str = "leaky_relu",
        activation_params: Mapping[str, Any] | None = None,
        bias: bool = False,
        shortcut_bias: bool = False,
        ghost: bool = False,
    ) -> None:
        super().__init__()
        check_shape(dimension, len(widths))
        self.dimension = dimension
        self.in_channels = in_channels
        self.pyramid = Pyramid(dimension, len(widths), kernel_size, stride, resample_size)
        self.entrance = Pyramid(dimension, 1, input_kernel)
        style = PreActivation(
            math.prod(self.entrance.kernel_size),
            kernel_size**dimension,
            resample_size**dimension,
            norm,
            norm_eps,
            activation,
            activation_params,
            bias,
            shortcut_bias,
        )
        self.backbone = Backbone(style, in_channels, widths, repetitions)
        self.semantic = nn.Linear(widths[0], classes)
        self.ghost = nn.Linear(widths[0], 2) if ghost else None
        if ghost:
            heads = {"ghost": "softmax probability of a true point, then of a ghost"}
            self.meanings = MappingProxyType({**self.meanings, **heads})

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) under ``semantic``, and (N, 2) under ``ghost`` where the network has that head.

        For coords (N, 1+D) int64 and features (N, C). Raises ``ValueError`` for input of another shape or type,
        features that are not finite, or coordinates that span too large a box.
        """
        check_input(coords, features, self.dimension, self.in_channels)
        levels = self.pyramid(coords)
        stem_map = self.entrance.submanifold(levels.sites[0])
        finest = self.backbone(features.index_select(0, levels.first_row), levels, stem_map)
        out = {"semantic": self.semantic(finest).index_select(0, levels.site_of_row)}
        if self.ghost is not None:
            out["ghost"] = self.ghost(finest).index_select(0, levels.site_of_row)
        return out

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Probabilities and logits by key; raises as :meth:`raw`."""
        scores = self.raw(coords, features)
        out = {"logits": scores["semantic"]}
        for key, value in scores.items():
            out[key] = torch.softmax(value, 1)
        return out


Rule = tuple[str, str]
"""Pattern of a whole module path, and our path for it.

``{0}``, ``{1}`` are the pattern's groups; ``{level}`` stands for the blocks of the level in the first group, ``{up}``
for the ascent to that level, ``{part}`` for the part of a block that the last group names.
"""

MINKOWSKI_RULES: Sequence[Rule] = (
    (r"stem", "backbone.stem"),
    (r"encoder\.(\d+)\.(\d+)\.(\w+)", "backbone.{level}.blocks.{1}.{part}"),
    (r"down\.(\d+)\.norm", "backbone.descents.{0}.down.before.norm"),
    (r"down\.(\d+)\.act", "backbone.descents.{0}.down.before.activation"),
    (r"down\.(\d+)\.conv", "backbone.descents.{0}.down.conv"),
    (r"up\.(\d+)\.norm", "backbone.ascents.{up}.up.before.norm"),
    (r"up\.(\d+)\.act", "backbone.ascents.{up}.up.before.activation"),
    (r"up\.(\d+)\.conv", "backbone.ascents.{up}.up.conv"),
    (r"decoder\.(\d+)\.(\d+)\.(\w+)", "backbone.ascents.{up}.blocks.blocks.{1}.{part}"),
    (r"final_norm", "backbone.last.norm"),
    (r"final_act", "backbone.last.activation"),
    (r"classifier", "semantic"),
)
"""Names of a pre-activation U-ResNet on MinkowskiEngine layers; decoder levels are numbered from the finest."""

SPINE_RULES: Sequence[Rule] = (
    (r"backbone\.encoder\.input_layer", "backbone.stem"),
    (r"backbone\.encoder\.encoding_block\.(\d+)\.(\d+)\.(\w+)", "backbone.{level}.blocks.{1}.{part}"),
    (r"backbone\.encoder\.encoding_conv\.(\d+)\.0", "backbone.descents.{0}.down.before.norm"),
    (r"backbone\.encoder\.encoding_conv\.(\d+)\.1", "backbone.descents.{0}.down.before.activation"),
    (r"backbone\.encoder\.encoding_conv\.(\d+)\.2", "backbone.descents.{0}.down.conv"),
    (r"backbone\.decoder\.decoding_conv\.(\d+)\.0", "backbone.ascents.{0}.up.before.norm"),
    (r"backbone\.decoder\.decoding_conv\.(\d+)\.1", "backbone.ascents.{0}.up.before.activation"),
    (r"backbone\.decoder\.decoding_conv\.(\d+)\.2", "backbone.ascents.{0}.up.conv"),
    (r"backbone\.decoder\.decoding_block\.(\d+)\.(\d+)\.(\w+)", "backbone.ascents.{0}.blocks.blocks.{1}.{part}"),
    (r"output\.0", "backbone.last.norm"),
    (r"output\.1", "backbone.last.activation"),
    (r"linear_segmentation", "semantic"),
    (r"linear_ghost", "ghost"),
)
"""Names of SPINE's ``UResNetSegmentation``; decoder levels are numbered from the deepest, as ours."""

_BLOCK_PARTS = {
    "norm1": "norm1.norm",
    "act1": "norm1.activation",
    "act_fn1": "norm1.activation",
    "conv1": "conv1",
    "norm2": "after.norm",
    "act2": "after.activation",
    "act_fn2": "after.activation",
    "conv2": "conv2",
    "shortcut": "shortcut",
    "residual": "shortcut",
}

_LEAVES = ("kernel", "weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def translate_weights(
    state_dict: Mapping[str, Tensor], rules: Sequence[Rule], network: MinkowskiUResNet
) -> dict[str, Tensor]:
    """Weights of MinkowskiEngine as those of our network, every one of them.

    ``rules`` are :data:`MINKOWSKI_RULES` or :data:`SPINE_RULES`. Raises ``ConfigurationError`` that names a weight
    which no rule or layer of the network knows, one of another shape, or one that the network needs but is not there.
    """
    expected = network.state_dict()
    depth = len(network.backbone.descents) + 1
    translated: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        name = _our_name(key, rules, depth, expected)
        if name is None:
            raise ConfigurationError(
                f"unknown weight {key!r} with the shape {tuple(value.shape)} in the checkpoint: the network that its "
                "architecture describes has none there"
            )
        wanted = expected[name]
        moved = _in_our_order(key, value, network, name)
        if moved.shape != wanted.shape:
            raise ConfigurationError(
                f"weight {key!r} has the shape {tuple(value.shape)}; the architecture asks for another: "
                f"{tuple(wanted.shape)} as {name!r}"
            )
        translated[name] = moved.to(wanted.dtype).contiguous()
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            translated.setdefault(name, value)
    missing = [name for name in expected if name not in translated]
    if missing:
        raise ConfigurationError(
            f"the checkpoint lacks {len(missing)} weights of the network that its architecture describes, "
            f"the first of them {missing[0]!r}"
        )
    return translated


def _our_name(key: str, rules: Sequence[Rule], depth: int, known: Iterable[str]) -> str | None:
    """Our name of a weight, or None where there is none."""
    module, _, leaf = key.rpartition(".")
    if leaf not in _LEAVES:
        return None
    path = _translate_path(re.sub(r"\.(bn|linear|module)$", "", module), rules, depth)
    if path is None:
        return None
    leaf = "weight" if leaf == "kernel" else leaf
    # A batch norm between the convolutions of a block belongs to the first of them, where it folds.
    names = [f"{path}.{leaf}", f"{path.replace('after.norm', 'conv1.norm')}.{leaf}"]
    return next((name for name in names if name in known), None)


def _translate_path(module: str, rules: Sequence[Rule], depth: int) -> str | None:
    for pattern, template in rules:
        match = re.fullmatch(pattern, module)
        if match is None:
            continue
        groups = match.groups()
        level = int(groups[0]) if groups else 0
        part = groups[2] if len(groups) == 3 else "conv1"
        if part not in _BLOCK_PARTS:
            return None
        return template.format(
            *groups,
            level=f"descents.{level}.blocks" if level < depth - 1 else "bottom",
            up=depth - 2 - level,
            part=_BLOCK_PARTS[part],
        )
    return None


def _in_our_order(key: str, value: Tensor, network: MinkowskiUResNet, name: str) -> Tensor:
    """A weight with our order of taps and axes; one of a wrong shape as it is."""
    if not key.endswith(".kernel"):
        # Theirs has biases and instance norms as rows.
        return value.reshape(-1) if value.dim() == 2 and value.size(0) == 1 and not _is_linear(name) else value
    if value.dim() not in (2, 3):
        return value
    if _is_linear(name):
        # A convolution of one tap, (C_in, C_out), is a linear layer, (C_out, C_in).
        return value.reshape(value.shape[-2:]).t() if value.dim() == 2 or value.size(0) == 1 else value
    if name.startswith("backbone.stem."):
        size = network.entrance.kernel_size
    elif name.endswith((".down.conv.weight", ".up.conv.weight")):
        size = network.pyramid.resample_size
    else:
        size = network.pyramid.kernel_size
    taps = value.size(0) if value.dim() == 3 else 1
    return last_axis_fastest(value, size) if taps == math.prod(size) else value


def _is_linear(name: str) -> bool:
    return name.endswith((".shortcut.weight", "semantic.weight", "ghost.weight"))
