"""Training of proposal-free clustering (Koh et al., arXiv 2007.03083) within true semantic classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from larmlreco.labels import Semantic
from larmlreco.metrics.clustering import ClusteringMetrics
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.clustering import activated
from larmlreco.models.network import Network
from larmlreco.reco.clustering import ClassGroup, ClusteringOptions, KernelOutputs, cluster_voxels
from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.train.augment import Augmentation
from larmlreco.train.clustering_losses import ClusteringLoss
from larmlreco.train.images import Batch, ImageSet, collate, image_generator
from larmlreco.train.trainer import Figures, Plan, TrainingLoop

GROUPS: dict[str, tuple[Semantic, ...]] = {
    "track": (Semantic.HIP, Semantic.MIP),
    "shower": (Semantic.SHOWER,),
    "delta": (Semantic.DELTA,),
    "Michel": (Semantic.MICHEL,),
}
"""Classes that are clustered together, as published: HIP and MIP are tracks."""


class ClusteringFigures:
    """Figures of a validation; the mean ARI over events and classes is the ``accuracy``."""

    def __init__(self) -> None:
        self.metrics = ClusteringMetrics(tuple(GROUPS))

    def summary(self) -> dict[str, Any]:
        """``accuracy``, the mean ARI; ``classes``, that of each class; ``clusters``, all figures."""
        figures = self.metrics.summary()
        return {
            "accuracy": figures["all"]["ari"],
            "classes": {name: figures[name]["ari"] for name in GROUPS},
            "clusters": figures,
        }

    def table(self) -> str:
        """The figures for people."""
        return self.metrics.table()


class ClusteringTrainer(TrainingLoop):
    """Trains :class:`larmlreco.models.clustering.ClusteringUResNet`.

    ``groups`` of the images are the true clusters, their labels canonical classes. What DBSCAN finds in each class with
    ``eps``, a distance (voxels) for each of :data:`GROUPS`, is what the network learns to divide. In the log of the
    training, ``accuracy`` is 1 minus the mean squared error of the seediness; that of the validation is the mean ARI.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        training: ImageSet,
        validation: ImageSet,
        plan: Plan,
        augmentation: Augmentation,
        loss: ClusteringLoss,
        options: ClusteringOptions,
        eps: Sequence[float],
        directory: Path,
        device: torch.device,
    ) -> None:
        sizes = {"training": len(training), "validation": len(validation)}
        super().__init__(checkpoint, network, sizes, plan, directory, device)
        self._training = training
        self._validation = validation
        self._augment = augmentation
        self._criterion = loss
        self._options = options
        self._groups = [
            ClassGroup(tuple(int(c) for c in classes), "pieces", reach)
            for classes, reach in zip(GROUPS.values(), eps, strict=True)
        ]
        table = torch.full((len(Semantic),), -1, dtype=torch.int64)
        for number, classes in enumerate(GROUPS.values()):
            table[list(classes)] = number
        # The last entry is that of the label -1.
        self._group_of_class = table.to(device)

    def _terms(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        outputs = activated(self._raw(batch.coords, batch.features))
        clusters = torch.full_like(batch.labels, -1) if batch.groups is None else batch.groups
        group = torch.where(clusters >= 0, self._group_of_class[batch.labels], -1)
        return outputs, self._criterion(outputs, batch.coords[:, 0], group, clusters, self._pieces(batch, group))

    def _pieces(self, batch: Batch, group: Tensor) -> Tensor:
        """Piece (N,) of each voxel in its image and group, -1 where it has no group."""
        places, kinds = batch.coords.cpu().numpy(), group.cpu().numpy()
        out = np.full(len(kinds), -1, dtype=np.int64)
        for number, wanted in enumerate(self._groups):
            for item in range(batch.n_items):
                rows = np.flatnonzero((kinds == number) & (places[:, 0] == item))
                out[rows] = dbscan(places[rows, 1:], wanted.eps, 1)
        return torch.from_numpy(out).to(group.device)

    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        images = [
            self._augment(self._training[number], image_generator(self._plan.seed, iteration, place))
            for place, number in self._items(len(self._training), iteration)
        ]
        batch = collate(images).to(self._device)
        _, terms = self._terms(batch)
        figures = {key: float(value.detach()) for key, value in terms.items() if key != "loss"}
        return terms["loss"], {"accuracy": 1.0 - figures["seediness"], "pixels": len(batch.labels), **figures}

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set given true semantics, without augmentation."""
        figures = ClusteringFigures()
        self._network.eval()
        losses = []
        with torch.no_grad():
            for i in range(len(self._validation)):
                image = self._validation[i]
                outputs, terms = self._terms(collate([image]).to(self._device))
                losses.append(float(terms["loss"]))
                kernel = {key: outputs[key].float().cpu().numpy() for key in ("embedding", "margin", "seediness")}
                found = cluster_voxels(
                    image.coords,
                    image.labels,
                    image.features[:, 0],
                    self._groups,
                    KernelOutputs(kernel["embedding"], kernel["margin"][:, 0], kernel["seediness"][:, 0]),
                    self._options,
                )
                true = np.full(len(image.labels), -1) if image.groups is None else image.groups
                for name, classes in GROUPS.items():
                    mine = np.isin(image.labels, classes)
                    figures.metrics.add(name, true[mine], found.cluster[mine])
        return sum(losses) / len(losses), figures
