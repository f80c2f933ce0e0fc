"""Keys of the ``training`` table that trainings of all tasks share."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from larmlreco.errors import ConfigurationError
from larmlreco.export import ARCHIVE
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.models import build
from larmlreco.models.network import Network
from larmlreco.sparse import native
from larmlreco.train.schedule import SCHEDULES, Schedule
from larmlreco.train.trainer import OPTIMIZERS, Plan
from larmlreco.train.transfer import initialise


class ModelParameters(ParameterSet):
    """The network."""

    name: str = parameter("uresnet", doc="registered name, or package.module:Class")
    params: dict[str, Any] = parameter({}, doc="arguments of the network beside dimension and classes")
    engine: str = parameter(
        "auto",
        doc="engine that computes the convolutions; auto: native where it is built",
        choices=("auto", "portable", "native"),
    )

    def network(self, params: Mapping[str, Any], seed: int) -> Network:
        """The network with the arguments ``params`` and random weights that follow from the seed.

        Raises ``ConfigurationError`` as :func:`larmlreco.models.build`.
        """
        torch.manual_seed(seed)
        engine = native.best_engine() if self.engine == "auto" else self.engine
        return build(self.name, engine=engine, **params)


class ScheduleParameters(ParameterSet):
    """The learning rate against iteration."""

    kind: str = parameter("cosine", doc="form", choices=SCHEDULES)
    rate: float = parameter(1e-3, doc="highest learning rate", minimum=0)
    warmup: int = parameter(0, doc="iterations in which the rate grows from 0", minimum=0)
    floor: float = parameter(0.0, doc="part of the rate left at the end (cosine)", minimum=0, maximum=1)
    step: int = parameter(1000, doc="iterations between steps (step)", minimum=1)
    factor: float = parameter(0.1, doc="factor at a step (step)", minimum=0, maximum=1)


class LoopParameters(ParameterSet):
    """How long and how to learn, and what to keep."""

    output: str = parameter(doc="folder for checkpoints and logs")
    iterations: int = parameter(doc="batches to learn from in all", minimum=1)
    batch_size: int = parameter(8, doc="images in a batch", minimum=1)
    optimizer: str = parameter("adam", doc="optimiser", choices=OPTIMIZERS)
    weight_decay: float = parameter(0.0, doc="weight decay of the optimiser", minimum=0)
    schedule: ScheduleParameters = parameter({}, doc="the learning rate")
    gradient_clip: float = parameter(0.0, doc="largest gradient norm; 0: no limit", minimum=0)
    seed: int = parameter(1, doc="seed of weights, order and augmentation")
    validate_every: int = parameter(500, doc="iterations between validations", minimum=1)
    checkpoint_every: int = parameter(100, doc="iterations between checkpoints", minimum=1)
    patience: int = parameter(
        0, doc="iterations without a better validation that end the training; 0: never", minimum=0
    )

    norm_freeze: float = parameter(
        1.0,
        doc="part of the iterations after which batch norm keeps its running statistics, to learn with those of "
        "inference where images differ much; 1: never",
        minimum=0,
        maximum=1,
    )
    norm_momentum: float = parameter(
        0.1, doc="weight of a batch in the running statistics of batch norm", minimum=1e-4, maximum=1
    )
    initialise_from: str = parameter(
        "",
        doc="checkpoint whose weights of the same name and shape are the beginning, or an archive (.ts), whose norms "
        "are folded into them: with norm_freeze: 0",
    )

    def begin(self, network: Network) -> Network:
        """The network with the weights of ``initialise_from``, where one is given; what fits is said on stderr.

        Raises ``ConfigurationError`` and ``InputError`` as :func:`larmlreco.train.transfer.initialise`, and for an
        archive where batch norm is to learn statistics.
        """
        if self.initialise_from:
            if self.initialise_from.endswith(ARCHIVE) and self.norm_freeze > 0:
                raise ConfigurationError(
                    f"training.initialise_from: the norms of the archive {self.initialise_from} are folded into its "
                    f"weights and have no statistics to go on from; expected norm_freeze: 0, got {self.norm_freeze}"
                )
            print(f"{self.initialise_from}: {initialise(network, Path(self.initialise_from))}", file=sys.stderr)
        return network

    def plan(self, **more: Any) -> Plan:
        """The plan of the training; ``more`` are numbers of it that only some tasks have."""
        return Plan(
            iterations=self.iterations,
            batch_size=self.batch_size,
            schedule=Schedule(**dict(self.schedule), iterations=self.iterations),
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            seed=self.seed,
            validate_every=self.validate_every,
            checkpoint_every=self.checkpoint_every,
            patience=self.patience,
            norm_freeze=self.norm_freeze,
            norm_momentum=self.norm_momentum,
            **more,
        )
