"""Checkpoints of other packages: MinkowskiEngine networks with a description of their architecture, and SPINE's."""

import json
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from larmlreco.card import ModelCard
from larmlreco.errors import ConfigurationError, InputError, valid_choices
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.minkowski import MINKOWSKI_RULES, SPINE_RULES, MinkowskiUResNet, translate_weights
from larmlreco.models.network import build
from larmlreco.models.preactivation import ACTIVATIONS, NORMS

Values = Mapping[str, Any]

ORIGINS = ("minkowski", "spine")
"""Packages whose checkpoints :func:`load_foreign` reads."""

_HELD_UNDER = {"minkowski": "architecture", "spine": "spine_config"}
"""Key of a checkpoint file under which the architecture may lie beside the ``state_dict``."""

_STEM = {"minkowski": "stem.kernel", "spine": "backbone.encoder.input_layer.kernel"}
"""A weight that every network of the kind has; what comes before it in a checkpoint is a prefix."""

_BATCH_NORM_EPS = 1e-5
_INSTANCE_NORM_EPS = 1e-8
"""What torch's batch norm and MinkowskiEngine's instance norm add to the variance where nothing else is said."""


def load_foreign(
    path: Path, origin: str, architecture: Path | None = None, card: Values | None = None
) -> tuple[Checkpoint, list[str]]:
    """A checkpoint of MinkowskiEngine or SPINE as one of ours, and the names of weights that belong to other networks.

    ``origin`` is one of :data:`ORIGINS`. The architecture is that in the file (``architecture``, or ``spine_config``,
    beside the ``state_dict``), or that of the file ``architecture``, JSON or YAML; ``card`` holds facts for the model
    card that such a checkpoint does not. Every weight is used; only those of other modules that a SPINE configuration
    names are left out and returned. Raises ``InputError`` for files that cannot be read, and ``ConfigurationError`` for
    an architecture, option or weight that is unknown or missing, which it names.
    """
    if origin not in ORIGINS:
        raise ConfigurationError(f"unknown origin {origin!r}: {valid_choices(origin, ORIGINS)}")
    values = _read_checkpoint(path)
    state_dict = _state_dict(values, path)
    key = _HELD_UNDER[origin]
    if architecture is not None:
        described, where = _read_architecture(architecture), str(architecture)
        described = described[key] if isinstance(described.get(key), Mapping) else described
    elif isinstance(values.get(key), Mapping):
        described, where = values[key], f"{path}: {key}"
    else:
        raise ConfigurationError(
            f"{path} holds no {key!r} beside its weights; give the architecture of the network with --architecture FILE"
        )
    others: list[str] = []
    state_dict, outside = _without_prefix(state_dict, _STEM[origin], path)
    if origin == "spine":
        config, modules = _find_uresnet(described, where)
        others = [name for name in outside if not modules.isdisjoint(name.split("."))]
        params = _spine_params(config, f"{where}: uresnet")
        rules = SPINE_RULES
    else:
        params = _minkowski_params(described, where, state_dict)
        rules = MINKOWSKI_RULES
    for name in outside:
        if name not in others:
            raise ConfigurationError(
                f"unknown weight {name!r} in {path}: it lies beside the network {origin} describes"
            )
    network = build("minkowski_uresnet", **params)
    assert isinstance(network, MinkowskiUResNet)
    try:
        weights = translate_weights(state_dict, rules, network)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    made = _card(params, {} if card is None else card, origin, path)
    return Checkpoint(Architecture("minkowski_uresnet", params), made, weights), others


def read_facts(path: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises ``InputError`` where there is none."""
    try:
        facts = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{path} must hold a JSON object; got {type(facts).__name__}")
    return facts


def _read_checkpoint(path: Path) -> Values:
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = next((line for line in str(error).splitlines() if "nsupported" in line), "or it was cut short")
        raise InputError(
            f"{path} is no checkpoint of tensors and plain values that torch.load reads, {reason}"
        ) from error
    if not isinstance(values, Mapping):
        raise InputError(f"{path}: expected a dictionary of weights; got {type(values).__name__}")
    return values


def _state_dict(values: Values, path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint: its ``state_dict``, or all of it where it is one."""
    held = values.get("state_dict", values)
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise InputError(
            f"{path}: expected weights by name, or under 'state_dict'; it has {', '.join(map(str, values))}"
        )
    return dict(held)


def _read_architecture(path: Path) -> Values:
    if path.suffix == ".json":
        return read_facts(path)
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError(
            f"{path}: reading YAML needs PyYAML (pip install 'larmlreco[spine]'); a file *.json needs nothing"
        ) from error
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a mapping; got {type(values).__name__}")
    return values


def _without_prefix(state_dict: Mapping[str, Tensor], stem: str, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Weights without what a chain or a wrapper put before their names, and the names of those outside of it."""
    prefixes = [key.removesuffix(stem) for key in state_dict if re.search(rf"(^|\.){re.escape(stem)}$", key)]
    if len(prefixes) != 1:
        found = f"it has {', '.join(prefixes)}" if prefixes else f"its first weight is {next(iter(state_dict))!r}"
        raise ConfigurationError(f"{path}: expected one network with the weight {stem!r}; {found}")
    prefix = prefixes[0]
    inside = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
    return inside, [key for key in state_dict if not key.startswith(prefix)]


class _Options:
    """Options of a mapping, each taken once; what nobody took is an error."""

    def __init__(self, values: Values, where: str) -> None:
        self._values = dict(values)
        self._where = where
        self._known: list[str] = []

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = None, *, required: bool = False) -> Any:
        """The value of an option, of this type."""
        self._known.append(name)
        if name not in self._values:
            if required:
                raise ConfigurationError(f"{self._where} lacks {name!r}")
            return default
        value = self._values.pop(name)
        if (isinstance(value, bool) and kind is int) or not isinstance(value, kind):
            raise self.error(
                name, value, " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            )
        return value

    def error(self, name: str, value: Any, expected: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: {name} must be {expected}; got {value!r}")

    def close(self) -> None:
        """Raise ``ConfigurationError`` for an option that nobody took."""
        for name in self._values:
            raise ConfigurationError(f"{self._where}: unknown option {name!r}; {valid_choices(name, self._known)}")


def _minkowski_params(described: Values, where: str, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameters of our network from the description of a U-ResNet on MinkowskiEngine layers."""
    options = _Options(described, where)
    family = options.take("family", str, "U-ResNet, pre-activation")
    if not re.search(r"u-?resnet", family, re.I) or not re.search(r"pre-?activation", family, re.I):
        raise options.error("family", family, "'U-ResNet, pre-activation'")
    depth = options.take("depth", int)
    filters = options.take("filters", int)
    widths = options.take("planes", list)
    if widths is None:
        if depth is None or filters is None:
            raise ConfigurationError(f"{where} lacks 'planes', or 'filters' and 'depth'")
        widths = [(level + 1) * filters for level in range(depth)]
    if depth not in (None, len(widths)) or filters not in (None, widths[0] if widths else None):
        raise options.error("planes", widths, f"{depth} numbers, the first of them {filters}")
    norm = options.take("norm", str, "batch_norm").split(",")[0].strip()
    eps = options.take("bn_eps", (int, float, NoneType))
    if eps is None or norm != "batch_norm":
        eps = _INSTANCE_NORM_EPS if norm == "instance_norm" else _BATCH_NORM_EPS
    activation = options.take("activation", str, "leaky_relu")
    for kind, name, valid in (("norm", norm, NORMS), ("activation", activation, ACTIVATIONS)):
        if name not in valid:
            raise ConfigurationError(f"{where}: unknown {kind} {name!r}; {valid_choices(name, valid)}")
    activation_params = {}
    for name, activations in (("negative_slope", ("leaky_relu",)), ("alpha", ("elu", "celu"))):
        value = options.take(name, (int, float, NoneType))
        if activation in activations and value is not None:
            activation_params[name] = value
        elif value not in (None, 0):
            raise options.error(name, value, f"absent for the activation {activation!r}")
    stem_kernel, _ = _kernel(options, "stem", "stem: conv k3 s1", 1)
    kernel_size, _ = _kernel(options, "block", "conv k3 s1", 1)
    resample_size, stride = _kernel(options, "down", "down.i: conv k2 s2", None)
    up = _kernel(options, "up", f"up.i: transposed conv k{resample_size} s{stride}", None)
    if up != (resample_size, stride):
        raise options.error("up", described["up"], f"a convolution k{resample_size} s{stride}, as down")
    concat = options.take("concat", str, "skip channels first")
    if not re.search(r"skip( channels)? first|cat\(\s*skip", concat):
        raise options.error("concat", concat, "'skip channels first'")
    repetitions = options.take("blocks_per_level", int, required=True)
    params = {
        "dimension": options.take("dimension", int, 3),
        "classes": options.take("classes", int, required=True),
        "widths": widths,
        "in_channels": options.take("in_channels", int, 1),
        "repetitions": repetitions,
        "input_kernel": stem_kernel,
        "kernel_size": kernel_size,
        "resample_size": resample_size,
        "stride": stride,
        "norm": norm,
        "norm_eps": eps,
        "activation": activation,
        "activation_params": activation_params,
        "bias": options.take("conv_bias", bool, False),
        "shortcut_bias": any(name.endswith("shortcut.bias") for name in state_dict),
    }
    for prose in ("decoder", "head", "order"):
        options.take(prose, str)
    options.close()
    return params


def _kernel(options: _Options, name: str, default: str, stride: int | None) -> tuple[int, int]:
    """Kernel size and stride in a text such as ``conv k3 s1``."""
    text = options.take(name, str, default)
    match = re.search(r"\bk(\d+)\s+s(\d+)", text)
    if match is None or int(match[1]) < 1 or int(match[2]) < 1 or stride not in (None, int(match[2])):
        raise options.error(name, text, "a text with 'k<kernel size> s<stride>'" + ("" if stride is None else ", s1"))
    return int(match[1]), int(match[2])


def _find_uresnet(config: Values, where: str) -> tuple[Values, set[str]]:
    """The configuration of the U-ResNet in that of a SPINE job, and the names of the modules beside it."""
    if "filters" in config:
        return config, set()
    found = [(parent, values) for parent, values in _mappings(config) if isinstance(values.get("uresnet"), Mapping)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{where}: expected the options of SPINE's uresnet, or one module 'uresnet' among model.modules; "
            f"found {len(found)}"
        )
    modules: set[str] = set()
    model = config.get("model", config)
    for _, values in _mappings(model.get("modules", model)):
        modules.update(name for name, value in values.items() if isinstance(value, Mapping))
    return found[0][1]["uresnet"], modules - {"uresnet", *found[0][0]}


def _mappings(values: Values, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Values]]:
    """All mappings in a mapping, itself included, with the keys that lead to them."""
    yield path, values
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _mappings(value, (*path, str(key)))


_SPINE_ACTIVATIONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "none": ("none", ()),
    "relu": ("relu", ("inplace",)),
    "prelu": ("prelu", ("num_parameters", "init")),
    "selu": ("selu", ("inplace",)),
    "celu": ("celu", ("alpha", "inplace")),
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "lrelu": ("leaky_relu", ("negative_slope", "inplace")),
    "elu": ("elu", ("alpha", "inplace")),
}
"""SPINE's activations that run on MinkowskiEngine 0.5.4: our name and the arguments of their constructors, in order."""

_SPINE_NORMS: Mapping[str, Sequence[str]] = {
    "none": ("num_features",),
    "batch_norm": ("eps", "momentum", "affine", "track_running_stats"),
    "instance_norm": (),
}


def _spine_params(config: Values, where: str) -> dict[str, Any]:
    """Parameters of our network from the options of SPINE's ``uresnet``."""
    options = _Options(config, where)
    filters, depth = options.take("filters", int, required=True), options.take("depth", int, required=True)
    name, given = _instantiation(options.take("activation", (str, Mapping), "lrelu"), f"{where}: activation")
    if name not in _SPINE_ACTIVATIONS:
        raise ConfigurationError(f"{where}: unknown activation {name!r}; {valid_choices(name, _SPINE_ACTIVATIONS)}")
    activation, names = _SPINE_ACTIVATIONS[name]
    activation_params = _arguments(given, names, f"{where}: activation {name}")
    activation_params.pop("inplace", None)
    norm, given = _instantiation(options.take("norm_layer", (str, Mapping), "batch_norm"), f"{where}: norm_layer")
    if norm not in _SPINE_NORMS:
        raise ConfigurationError(f"{where}: unknown norm_layer {norm!r}; {valid_choices(norm, _SPINE_NORMS)}")
    norm_params = _arguments(given, _SPINE_NORMS[norm], f"{where}: norm_layer {norm}")
    for flag in ("affine", "track_running_stats"):
        if norm_params.get(flag, True) is not True:
            raise ConfigurationError(f"{where}: norm_layer {norm}: {flag} must be true; got {norm_params[flag]!r}")
    bias = options.take("allow_bias", bool, False)
    params = {
        "dimension": options.take("data_dim", int, 3),
        "classes": options.take("num_classes", int, required=True),
        "widths": [(level + 1) * filters for level in range(depth)],
        "in_channels": options.take("num_input", int, 1),
        "repetitions": options.take("reps", int, required=True),
        "input_kernel": options.take("input_kernel", (int, list), 3),
        "norm": norm,
        "norm_eps": norm_params.get("eps", _INSTANCE_NORM_EPS if norm == "instance_norm" else _BATCH_NORM_EPS),
        "activation": activation,
        "activation_params": activation_params,
        "bias": bias,
        "shortcut_bias": bias,
        "ghost": options.take("ghost", bool, False),
    }
    # What concerns their training, the loading of their weights, or input that this network does not have.
    for name in ("spatial_size", "weight_path", "freeze_weights", "model_name"):
        options.take(name, object)
    options.close()
    return params


def _instantiation(value: str | Values, where: str) -> tuple[str, Values]:
    """Name and arguments of SPINE's way to describe an object."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value.get("name"), str):
        raise ConfigurationError(f"{where}: expected a name, or a mapping with 'name'; got {dict(value)!r}")
    return value["name"], {key: item for key, item in value.items() if key != "name"}


def _arguments(given: Values, names: Sequence[str], where: str) -> dict[str, Any]:
    """Arguments by name, from ``args`` (a list or a mapping), ``kwargs`` and what stands beside them."""
    args = given.get("args", [])
    found: dict[str, Any] = dict(args) if isinstance(args, Mapping) else dict(zip(names, args, strict=False))
    if len(args) > len(names):
        raise ConfigurationError(f"{where}: at most {len(names)} arguments; got {args!r}")
    found.update(given.get("kwargs", {}))
    found.update({key: value for key, value in given.items() if key not in ("args", "kwargs")})
    for name in found:
        if name not in names:
            raise ConfigurationError(f"{where}: unknown option {name!r}; {valid_choices(name, names)}")
    return found


def _card(params: Values, facts: Values, origin: str, path: Path) -> ModelCard:
    """The model card: what the network says, and what the caller knows."""
    dimension, classes, channels = params["dimension"], params["classes"], params["in_channels"]
    card: dict[str, Any] = {
        "task": "semantic_segmentation",
        "detector": "unknown",
        "dimension": dimension,
        "class_names": [f"class_{number}" for number in range(classes)],
        "features": [{"name": f"feature_{number}", "unit": "unknown"} for number in range(channels)],
        "pixel_size": [1.0] * dimension,
        "pixel_units": ["pixel" if dimension == 2 else "voxel"] * dimension,
        "training": {"origin": origin, "checkpoint": path.name},
        **facts,
    }
    for key, wanted in (("dimension", dimension), ("class_names", classes), ("features", channels)):
        found = card[key] if key == "dimension" else len(card[key])
        if found != wanted:
            raise ConfigurationError(f"the card has {found} for {key}; the network has {wanted}")
    return ModelCard.from_dict(card, "the model card")
