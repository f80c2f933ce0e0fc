"""Optimisers by name."""

import torch

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.models.network import Network

OPTIMIZERS = ("adam", "adamw", "rmsprop")


def make_optimizer(name: str, network: Network, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser of this name with torch's defaults; RMSProp is that of SSNet (PRD 99 092001).

    Raises ``ConfigurationError`` for another name.
    """
    if name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, weight_decay=weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=weight_decay)
    raise ConfigurationError(f"unknown optimizer {name!r}; {valid_choices(name, OPTIMIZERS)}")
