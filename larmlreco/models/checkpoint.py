"""Checkpoints: architecture, model card, weights and, for resuming, the state of the training in one file."""

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from larmlreco.card import ModelCard
from larmlreco.errors import ConfigurationError, InputError, OutputError
from larmlreco.models.network import Network, build

FORMAT = "larmlreco checkpoint 1"


@dataclass(frozen=True)
class Architecture:
    """Name and parameters from which :func:`larmlreco.models.build` makes the network."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A network as it lies on disk; ``training``: what a resumed training needs, plain values and tensors, or None."""

    architecture: Architecture
    card: ModelCard
    state_dict: Mapping[str, Tensor] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None

    def with_state(
        self,
        state_dict: Mapping[str, Tensor],
        training: Mapping[str, Any] | None,
        metrics: Mapping[str, Any] | None = None,
    ) -> "Checkpoint":
        """The same architecture with other weights, state of the training and, where given, metrics on the card."""
        card = self.card if metrics is None else replace(self.card, metrics=dict(metrics))
        return replace(self, state_dict=dict(state_dict), training=training, card=card)

    def network(self, engine: str = "portable") -> Network:
        """The network with the weights of this checkpoint.

        Raises ``ConfigurationError`` where the architecture is unknown or the weights belong to another.
        """
        network = build(self.architecture.name, engine=engine, **self.architecture.params)
        expected = network.state_dict()
        for name in expected:
            if name not in self.state_dict:
                raise ConfigurationError(
                    f"the checkpoint lacks the weight {name!r} of the network {self.architecture.name!r}: "
                    "it belongs to another architecture"
                )
        for name, value in self.state_dict.items():
            if name not in expected:
                raise ConfigurationError(
                    f"the checkpoint holds {name!r}, which the network {self.architecture.name!r} does not have: "
                    "it belongs to another architecture"
                )
            if value.shape != expected[name].shape:
                raise ConfigurationError(
                    f"the checkpoint's {name!r} has the shape {tuple(value.shape)}; the network "
                    f"{self.architecture.name!r} expects {tuple(expected[name].shape)}"
                )
        network.load_state_dict(dict(self.state_dict))
        return network


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that the file at ``path`` is at all times a whole one, the old or the new.

    Raises ``OutputError`` where it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    values = {
        "format": FORMAT,
        "architecture": {"name": checkpoint.architecture.name, "params": dict(checkpoint.architecture.params)},
        "card": checkpoint.card.to_dict(),
        "state_dict": {name: value.detach().cpu() for name, value in checkpoint.state_dict.items()},
        "training": checkpoint.training,
    }
    try:
        with partial.open("wb") as file:
            torch.save(values, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, on the CPU.

    Raises ``InputError`` for a file that is missing, cut short, or no checkpoint of this package.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint made by larmlreco train, or it was cut short") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise InputError(f"{path}: expected the format {FORMAT!r}; got {found!r}")
    return Checkpoint(
        architecture=Architecture(values["architecture"]["name"], values["architecture"]["params"]),
        card=ModelCard.from_dict(values["card"], str(path)),
        state_dict=values["state_dict"],
        training=values["training"],
    )
