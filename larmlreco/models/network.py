"""What every network is: sparse rows in, named outputs a row, built by name."""

import importlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.sparse.layers import use_engine

ENTRY_POINT_GROUP = "larmlreco.models"
"""Entry points of this group add networks from other packages; the entry point's name is the network's."""


class Network(nn.Module):
    """Base of all networks: scriptable modules on coordinates (N, 1+D) int64 and features (N, C).

    ``raw`` gives what losses work on (logits and the like) and ``forward`` what an archive returns; row ``i`` of both
    belongs to row ``i`` of the input. ``meanings`` tells for every key of ``forward`` what it is; the model card
    repeats it.
    """

    meanings: Mapping[str, str]

    @abstractmethod
    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Differentiable head outputs by key, before any final activation."""

    @abstractmethod
    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Final outputs by key."""


def check_input(coords: Tensor, features: Tensor, dimension: int, channels: int) -> None:
    """Raise ``ValueError`` unless coords are (N, 1+dimension) int64 and features (N, channels), floating and finite."""
    if coords.dim() != 2 or coords.size(1) != dimension + 1:
        raise ValueError(
            f"coordinates must have the shape (rows, {dimension + 1}), the batch item first; got {coords.size()}"
        )
    if coords.dtype != torch.int64:
        raise ValueError("coordinates must be integers of 64 bits (int64)")
    if features.dim() != 2 or features.size(0) != coords.size(0) or features.size(1) != channels:
        raise ValueError(f"features must have the shape ({coords.size(0)}, {channels}); got {features.size()}")
    if not features.is_floating_point():
        raise ValueError("features must be floating-point numbers")
    finite = torch.isfinite(features)
    if not bool(finite.all()):
        where: list[int] = torch.nonzero(torch.logical_not(finite))[0].tolist()
        raise ValueError(f"features must be finite; row {where[0]}, column {where[1]} is not")


N = TypeVar("N", bound=type[Network])
_networks: dict[str, Callable[..., Network]] = {}


def register(name: str) -> Callable[[N], N]:
    """Class decorator: make a :class:`Network` known under a name. ``ValueError`` where the name is taken."""

    def add(network: N) -> N:
        if name in _networks:
            raise ValueError(f"two networks are named {name!r}")
        _networks[name] = network
        return network

    return add


def names() -> list[str]:
    """Names of all networks that :func:`build` knows, those of other packages included."""
    return sorted({*_networks, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def build(name: str, engine: str = "portable", **params: Any) -> Network:
    """A new network with random weights.

    ``name`` is a registered name, that of an entry point, or ``package.module:Class``. ``params`` are the arguments of
    its constructor. Raises ``ConfigurationError`` for an unknown name, parameter or engine.
    """
    network = _find(name)
    try:
        built = network(**params)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"network {name!r} cannot be built with {params}: {error}") from error
    use_engine(built, engine)
    return built


def _find(name: str) -> Callable[..., Network]:
    if name in _networks:
        return _networks[name]
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return _checked(name, point.load())
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return _checked(name, getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"network {name!r} cannot be imported: {error}") from error
    raise ConfigurationError(f"unknown network {name!r}: {valid_choices(name, names())}, or package.module:Class")


def _checked(name: str, network: Any) -> type[Network]:
    if not (isinstance(network, type) and issubclass(network, Network)):
        raise ConfigurationError(f"network {name!r} must be a subclass of larmlreco.models.Network; it is {network!r}")
    return network
