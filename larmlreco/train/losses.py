"""Losses of the networks."""

import torch
from torch import Tensor
from torch.nn import functional as F


def semantic_sums(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, pixel_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the softmax cross-entropy over the labelled pixels, and the sum of their weights.

    ``logits`` (N, classes), ``labels`` (N,) int64 with -1 where there is no label, ``class_weights`` (classes,),
    ``pixel_weights`` (N,). Without any labelled pixel both sums are 0, the first with a gradient of 0.
    """
    known = labels >= 0
    if not bool(known.any()):
        nothing = logits.sum() * 0.0
        return nothing, nothing.detach()
    right = labels[known]
    # float32 also under autocast: sums over many pixels need it
    losses = F.cross_entropy(logits[known].float(), right, reduction="none")
    weights = torch.ones_like(losses) if class_weights is None else class_weights.to(losses.dtype)[right]
    if pixel_weights is not None:
        weights = weights * pixel_weights[known].to(losses.dtype)
    return (losses * weights).sum(), weights.sum()


def semantic_loss(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, pixel_weights: Tensor | None = None
) -> Tensor:
    """Softmax cross-entropy over the labelled pixels (arXiv 1903.05663, IV.A), their weighted mean.

    See :func:`semantic_sums`; without any labelled pixel the loss is 0 with a gradient of 0.
    """
    total, weight = semantic_sums(logits, labels, class_weights, pixel_weights)
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def group_weights(items: Tensor, groups: Tensor) -> Tensor:
    """Weight (N,) of pixels: the inverse of the number of pixels of their group in their image.

    ``items`` (N,) image number, ``groups`` (N,) int64. With the groups of :mod:`larmlreco.train.groups` these are the
    pixel-wise weights of SSNet (PRD 99 092001): every category of an image weighs the same, however many pixels it has.
    Two of its four categories, background close to charge and other background, do not exist in sparse images, which
    hold pixels with charge only.
    """
    if not len(groups):
        return groups.to(torch.float32)
    pairs = torch.stack([items, groups], dim=1)
    _, number, count = torch.unique(pairs, dim=0, return_inverse=True, return_counts=True)
    weights: Tensor = 1.0 / count[number].to(torch.float32)
    return weights


def accuracy_counts(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Right and all labelled pixels."""
    known = labels >= 0
    right = (logits.argmax(dim=1) == labels) & known
    return int(right.sum()), int(known.sum())
