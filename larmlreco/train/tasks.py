"""What a ``training`` table can ask for: its key ``task`` names the trainer; without it, semantic segmentation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.parameters import Origin
from larmlreco.train.clustering_job import ClusteringTrainingParameters, make_clustering_trainer
from larmlreco.train.flow_job import FlowTrainingParameters, make_flow_trainer
from larmlreco.train.infill_job import InfillTrainingParameters, make_infill_trainer
from larmlreco.train.job import TrainingParameters, make_trainer
from larmlreco.train.trainer import TrainingLoop

Make = Callable[[Mapping[str, Any], torch.device, Origin], TrainingLoop]

_WHERE, _OWNER = "training", "larmlreco train"


def _semantic(table: Mapping[str, Any], device: torch.device, origin: Origin) -> TrainingLoop:
    return make_trainer(TrainingParameters.parse(table, _WHERE, _OWNER, origin), device, origin)


def _particles(table: Mapping[str, Any], device: torch.device, origin: Origin) -> TrainingLoop:
    config = TrainingParameters.parse(table, _WHERE, _OWNER, origin)
    return make_trainer(config, device, origin, "particle_classification")


def _flow(table: Mapping[str, Any], device: torch.device, origin: Origin) -> TrainingLoop:
    return make_flow_trainer(FlowTrainingParameters.parse(table, _WHERE, _OWNER, origin), device)


def _clustering(table: Mapping[str, Any], device: torch.device, origin: Origin) -> TrainingLoop:
    return make_clustering_trainer(ClusteringTrainingParameters.parse(table, _WHERE, _OWNER, origin), device)


def _infill(table: Mapping[str, Any], device: torch.device, origin: Origin) -> TrainingLoop:
    return make_infill_trainer(InfillTrainingParameters.parse(table, _WHERE, _OWNER, origin), device, origin)


TASKS: Mapping[str, Make] = MappingProxyType(
    {
        "semantic_segmentation": _semantic,
        "particle_classification": _particles,
        "clustering": _clustering,
        "flow": _flow,
        "infill": _infill,
    }
)
"""Trainers by task."""


def trainer_of(table: Mapping[str, Any], device: torch.device, origin: Origin = lambda _: None) -> TrainingLoop:
    """The trainer that a ``training`` table describes; ``origin`` tells where its keys were written.

    Raises ``ConfigurationError`` for an unknown task or parameter, and what the trainers raise before they train.
    """
    rest = dict(table)
    task = rest.pop("task", "semantic_segmentation")
    if task not in TASKS:
        raise ConfigurationError(f"training.task: unknown task {task!r}; {valid_choices(str(task), TASKS)}")
    return TASKS[task](rest, device, origin)
