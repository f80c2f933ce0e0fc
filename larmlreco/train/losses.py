"""Losses of the networks."""

from torch import Tensor
from torch.nn import functional as F


def semantic_loss(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy over the labelled pixels (arXiv 1903.05663, IV.A), weighted by class.

    ``logits`` (N, classes), ``labels`` (N,) int64 with -1 where there is no label. The sum is divided by the number of
    labelled pixels, or by the sum of their weights; without any labelled pixel the loss is 0 with a gradient of 0.
    """
    known = labels >= 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[known], labels[known], weight=class_weights)


def accuracy_counts(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Right and all labelled pixels."""
    known = labels >= 0
    right = (logits.argmax(dim=1) == labels) & known
    return int(right.sum()), int(known.sum())
