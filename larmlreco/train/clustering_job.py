"""From the ``training`` table of a FHiCL file with ``task: "clustering"`` to a training of proposal-free clustering."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.reco.clustering import ClusteringOptions
from larmlreco.train.augment import Augmentation
from larmlreco.train.clustering import GROUPS, ClusteringTrainer
from larmlreco.train.clustering_losses import EMBEDDING_LOSSES, ClusteringLoss
from larmlreco.train.job import (
    VOXEL_DETECTOR,
    AugmentationParameters,
    VoxelDataParameters,
    files_of,
)
from larmlreco.train.parameters import LoopParameters, ModelParameters
from larmlreco.train.voxels import voxel_images


class ClusteringModelParameters(ModelParameters):
    """The network."""

    name: str = parameter("clustering_uresnet", doc="registered name, or package.module:Class")
    params: dict[str, Any] = parameter({}, doc="arguments of the network beside dimension")


class ClusteringLossParameters(ParameterSet):
    """The loss."""

    embedding_loss: str = parameter("cross_entropy", doc="loss on the kernel scores", choices=EMBEDDING_LOSSES)
    embedding_weight: float = parameter(1.0, doc="weight of the loss on the kernel scores", minimum=0)
    seediness_weight: float = parameter(1.0, doc="weight of the squared error of the seediness", minimum=0)
    smoothness_weight: float = parameter(1.0, doc="weight of the spread of the margin in a cluster", minimum=0)
    min_size: int = parameter(3, doc="least size of a cluster that is learned", unit="voxel", minimum=1)
    most_pairs: int = parameter(500_000, doc="pairs of voxel and cluster of a piece", minimum=1)
    lone_weight: float = parameter(1.0, doc="weight of a cluster that is alone in its piece", minimum=0)
    group_weights: list[float] = parameter(
        [],
        doc="weights of tracks, showers, delta rays and Michel electrons; empty: all 1",
        check=lambda v: None if len(v) in (0, len(GROUPS)) and all(w >= 0 for w in v) else "four numbers, none below 0",
    )


class ClusteringInferenceParameters(ParameterSet):
    """How clusters are formed in the validation."""

    seed_threshold: float = parameter(0.5, doc="least seediness of a voxel that founds a cluster")
    probability_threshold: float = parameter(0.5, doc="least kernel score of a member")
    founder_threshold: float = parameter(
        1.0, doc="a voxel with a higher kernel score in a cluster found before founds none; 1: as for members"
    )
    min_size: int = parameter(1, doc="least size of a cluster", unit="voxel", minimum=1)
    assign_all: bool = parameter(True, doc="whether voxels left over join the most likely cluster")


_EPS = [4.0, 1.99, 2.9, 4.0]


class ClusteringTrainingParameters(LoopParameters):
    """The ``training`` table of clustering, beside ``task``."""

    data: VoxelDataParameters = parameter(doc="where the images come from; their truth needs clusters")
    model: ClusteringModelParameters = parameter({}, doc="the network")
    loss: ClusteringLossParameters = parameter({}, doc="the loss")
    inference: ClusteringInferenceParameters = parameter({}, doc="how clusters are formed in the validation")
    eps: list[float] = parameter(
        _EPS,
        doc="distance of neighbours in DBSCAN, whose clusters the network divides: of tracks, showers, delta rays and "
        "Michel electrons",
        unit="voxel",
        check=lambda v: None if len(v) == len(GROUPS) and all(e > 0 for e in v) else "four numbers above 0",
    )
    batch_size: int = parameter(4, doc="images in a batch", minimum=1)
    augmentation: AugmentationParameters = parameter({}, doc="changes of the images")


def make_clustering_trainer(config: ClusteringTrainingParameters, device: torch.device) -> ClusteringTrainer:
    """Read the data and build network and trainer. Raises ``ConfigurationError`` or ``InputError`` before it trains."""
    data = config.data
    files = files_of(data.training, data.validation)
    cache = Path(data.cache) if data.cache else None
    images = {
        name: voxel_images(paths, replace(data.source(name), clusters=True), cache) for name, paths in files.items()
    }
    params: Mapping[str, Any] = {"dimension": 3, **config.model.params}
    network = config.begin(config.model.network(params, config.seed))
    card = ModelCard(
        task="instance_clustering",
        detector=VOXEL_DETECTOR,
        dimension=3,
        class_names=SEMANTIC_NAMES,
        features=(Feature("energy", "MeV"),),
        pixel_size=(data.voxel_size,) * 3,
        pixel_units=("cm",) * 3,
        network={"name": config.model.name, "params": params},
        outputs=dict(network.meanings),
        training={
            "images": len(images["training"]),
            "validation_images": len(images["validation"]),
            "iterations": config.iterations,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "loss": dict(config.loss),
        },
    )
    augmentation = {**dict(config.augmentation), "flip_axes": tuple(config.augmentation.flip_axes)}
    return ClusteringTrainer(
        Checkpoint(Architecture(config.model.name, params), card),
        network,
        images["training"],
        images["validation"],
        config.plan(),
        Augmentation(**augmentation),
        ClusteringLoss(**{**dict(config.loss), "group_weights": tuple(config.loss.group_weights)}),
        ClusteringOptions(**dict(config.inference)),
        config.eps,
        Path(config.output),
        device,
    )
