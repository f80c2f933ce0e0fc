"""Training of semantic segmentation, and of particle classification, which prepares its encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError
from larmlreco.metrics.semantic import SemanticMetrics
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.network import Network
from larmlreco.train.augment import Augmentation
from larmlreco.train.images import Batch, ImageSet, collate, image_generator
from larmlreco.train.losses import accuracy_counts, group_weights, semantic_loss, semantic_sums
from larmlreco.train.trainer import Figures, Plan, TrainingLoop

HEADS = ("semantic", "particle")
"""Outputs that can be learned: a class for each pixel, or one for each image."""


def inverse_frequency(labels: npt.NDArray[np.int8], n_classes: int) -> tuple[float, ...]:
    """Weight of each class: the number of labelled pixels over that of the class, divided by the number of classes.

    Every class then weighs the same in the loss (the weighting of arXiv 1903.05663, VI). A class without pixels has
    the weight 1, which nothing uses.
    """
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    return tuple(float(counts.sum() / (n_classes * n)) if n else 1.0 for n in counts)


class Trainer(TrainingLoop):
    """Trains a network for semantic segmentation (arXiv 1903.05663, IV), or, with ``head`` ``particle``, to tell the
    particle of an image, whose pixels then all have its label.

    With groups in the images, pixels have the weights of :func:`larmlreco.train.losses.group_weights`. Raises
    ``ConfigurationError`` for a plan that does not fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        training: ImageSet,
        validation: ImageSet,
        plan: Plan,
        augmentation: Augmentation,
        class_names: Sequence[str],
        directory: Path,
        device: torch.device,
        head: str = "semantic",
    ) -> None:
        sizes = {"training": len(training), "validation": len(validation)}
        super().__init__(checkpoint, network, sizes, plan, directory, device)
        if plan.class_weights and len(plan.class_weights) != len(class_names):
            raise ConfigurationError(
                f"{len(plan.class_weights)} class weights for {len(class_names)} classes; "
                f"expected one each for {', '.join(class_names)}"
            )
        if head not in network.meanings:
            raise ConfigurationError(
                f"the network {checkpoint.architecture.name!r} has no output {head!r}; "
                f"it has {', '.join(network.meanings)}"
            )
        self._training = training
        self._validation = validation
        self._augment = augmentation
        self._class_names = tuple(class_names)
        self._head = head
        self._weights = torch.tensor(plan.class_weights, device=device) if plan.class_weights else None

    def _batch(self, iteration: int) -> Batch:
        images = [
            self._augment(self._training[number], image_generator(self._plan.seed, iteration, place))
            for place, number in self._items(len(self._training), iteration)
        ]
        return collate(images).to(self._device)

    def _outputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits, labels and weights of what is to be learned: pixels, or the images by their first pixel."""
        logits = self._raw(batch.coords, batch.features)[self._head]
        weights = None if batch.groups is None else group_weights(batch.coords[:, 0], batch.groups)
        if self._head == "semantic":
            return logits, batch.labels, weights
        items = batch.coords[:, 0]
        first = torch.ones_like(items, dtype=torch.bool)
        first[1:] = items[1:] != items[:-1]
        return logits[first], batch.labels[first], None

    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        logits, labels, weights = self._outputs(self._batch(iteration))
        right, total = accuracy_counts(logits.detach(), labels)
        loss, weight = semantic_sums(logits, labels, self._weights, weights)
        # the mean weight of the processes, not one's own: together they then follow the mean over all their pixels
        norm = self._processes.mean(weight).clamp(min=torch.finfo(weight.dtype).tiny)
        return loss / norm, {"accuracy": right / max(total, 1), "pixels": total}

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, without augmentation."""
        metrics = SemanticMetrics(self._class_names)
        self._network.eval()
        losses = []
        with torch.no_grad():
            for i in range(len(self._validation)):
                batch = collate([self._validation[i]]).to(self._device)
                logits, labels, weights = self._outputs(batch)
                losses.append(float(semantic_loss(logits, labels, self._weights, weights)))
                metrics.add(labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy())
        return sum(losses) / len(losses), metrics
