"""Weights of U-ResNets made with MinkowskiEngine, our own writing or SPINE's, under our names and tap order."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from larmlreco.errors import ConfigurationError
from larmlreco.sparse.layers import last_axis_fastest

Rule = tuple[str, str]
"""Pattern of a whole module path, and our path for it; ``{up}`` stands for the ascent from the level in group 1."""

_BLOCK_PARTS = {"norm1": "norm1.norm", "conv1": "conv1", "norm2": "conv1.norm", "conv2": "conv2"}

MINKOWSKI_RULES: Sequence[Rule] = (
    (r"stem", "backbone.stem"),
    (r"encoder\.(\d+)\.(\d+)\.(\w+)", "backbone.{level}.blocks.{1}.{part2}"),
    (r"down\.(\d+)\.norm", "backbone.descents.{0}.down.before.norm"),
    (r"down\.(\d+)\.conv", "backbone.descents.{0}.down.conv"),
    (r"up\.(\d+)\.norm", "backbone.ascents.{up}.up.before.norm"),
    (r"up\.(\d+)\.conv", "backbone.ascents.{up}.up.conv"),
    (r"decoder\.(\d+)\.(\d+)\.(\w+)", "backbone.ascents.{up}.blocks.blocks.{1}.{part2}"),
    (r"final_norm", "backbone.last.norm"),
    (r"classifier", "semantic"),
)
"""Names of a pre-activation U-ResNet on MinkowskiEngine layers; decoder levels are numbered from the finest."""

SPINE_RULES: Sequence[Rule] = (
    (r"backbone\.encoder\.input_layer", "backbone.stem"),
    (r"backbone\.encoder\.encoding_block\.(\d+)\.(\d+)\.(\w+)", "backbone.{level}.blocks.{1}.{part2}"),
    (r"backbone\.encoder\.encoding_conv\.(\d+)\.0", "backbone.descents.{0}.down.before.norm"),
    (r"backbone\.encoder\.encoding_conv\.(\d+)\.2", "backbone.descents.{0}.down.conv"),
    (r"backbone\.decoder\.decoding_conv\.(\d+)\.0", "backbone.ascents.{0}.up.before.norm"),
    (r"backbone\.decoder\.decoding_conv\.(\d+)\.2", "backbone.ascents.{0}.up.conv"),
    (r"backbone\.decoder\.decoding_block\.(\d+)\.(\d+)\.(\w+)", "backbone.ascents.{0}.blocks.blocks.{1}.{part2}"),
    (r"output\.0", "backbone.last.norm"),
    (r"linear_segmentation", "semantic"),
)
"""Names of SPINE's ``UResNetSegmentation``; decoder levels are numbered from the deepest, as ours."""


def translate_weights(
    state_dict: Mapping[str, Tensor], rules: Sequence[Rule], depth: int, dimension: int
) -> dict[str, Tensor]:
    """Weights of MinkowskiEngine as those of our pre-activation :class:`~larmlreco.models.UResNet`.

    ``rules`` are :data:`MINKOWSKI_RULES` or :data:`SPINE_RULES`. The buffers of the input scaling are not among the
    result. Raises ``ConfigurationError`` that names a key which no rule knows.
    """
    translated: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        module, _, leaf = key.rpartition(".")
        path = _translate_path(module.removesuffix(".bn").removesuffix(".linear"), rules, depth)
        if path is None or leaf not in _LEAVES:
            raise ConfigurationError(f"unknown weight {key!r} with the shape {tuple(value.shape)} in the checkpoint")
        if leaf == "kernel" and path.endswith("shortcut"):
            # Theirs is a convolution of one tap, (C_in, C_out); ours is a linear layer, (C_out, C_in).
            value = value.reshape(value.shape[-2:]).t()
        elif leaf == "kernel":
            size = round(value.shape[0] ** (1 / dimension)) if value.dim() == 3 else 1
            value = last_axis_fastest(value, [size] * dimension)
        elif leaf == "bias":
            value = value.reshape(-1)
        translated[f"{path}.{_LEAVES[leaf]}"] = value.contiguous()
    return translated


_LEAVES = {
    "kernel": "weight",
    **{name: name for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")},
}


def _translate_path(module: str, rules: Sequence[Rule], depth: int) -> str | None:
    for pattern, template in rules:
        match = re.fullmatch(pattern, module)
        if match is None:
            continue
        groups = match.groups()
        level = int(groups[0]) if groups else 0
        part = groups[2] if len(groups) == 3 else "conv1"
        shortcut = part in ("shortcut", "residual")
        if part not in _BLOCK_PARTS and not shortcut:
            return None
        return template.format(
            *groups,
            level=f"descents.{level}.blocks" if level < depth - 1 else "bottom",
            up=depth - 2 - level,
            part2="shortcut" if shortcut else _BLOCK_PARTS[part],
        )
    return None
