"""Losses of proposal-free clustering (Koh et al., arXiv 2007.03083, after Neven et al., 1906.11109)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError, valid_choices

EMBEDDING_LOSSES = ("cross_entropy", "lovasz")
_LEAST_WIDTH = 1e-6
_LEAST_EXPONENT = 1e-6
_MOST_EXPONENT = 30.0


@dataclass(frozen=True)
class ClusteringLoss:
    """Options of :meth:`__call__`.

    ``embedding_loss``: binary cross-entropy on the kernel scores, or the Lovasz hinge (Berman et al., 1705.08790), a
    surrogate of the intersection over union. Weights are those of the terms in the sum. Clusters with fewer than
    ``min_size`` voxels found no kernel, since thousands of single voxels teach nothing. Of a piece with more than
    ``most_pairs`` pairs of voxel and cluster every n-th voxel is used. A cluster that is alone in its piece weighs
    ``lone_weight`` in the embedding term. ``group_weights``: weight of each group of classes, where an image has it;
    empty: all the same.
    """

    embedding_loss: str = "cross_entropy"
    embedding_weight: float = 1.0
    seediness_weight: float = 1.0
    smoothness_weight: float = 1.0
    min_size: int = 3
    most_pairs: int = 500_000
    lone_weight: float = 1.0
    group_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.embedding_loss not in EMBEDDING_LOSSES:
            raise ConfigurationError(
                f"unknown embedding_loss {self.embedding_loss!r}; "
                f"{valid_choices(self.embedding_loss, EMBEDDING_LOSSES)}"
            )

    def __call__(
        self, outputs: dict[str, Tensor], item: Tensor, group: Tensor, cluster: Tensor, piece: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms ``embedding``, ``seediness`` and ``smoothness``, and their weighted sum ``loss``.

        ``outputs``: ``embedding`` (N, E), ``margin`` (N, 1) and ``seediness`` (N, 1), activated. ``item``, ``group``,
        ``cluster`` and ``piece`` (N,) int64: image, group of classes, true cluster, and piece of each voxel; only
        voxels of one image, group and piece meet, a negative group is none. Without pieces a group is one. A cluster's
        centre and margin are the means over its voxels. Each group of an image counts with its weight: its embedding
        term is the mean over clusters, the others are means over voxels. Without any cluster all are 0 with gradient 0.
        """
        embedding, margin, seediness = (outputs[key].float() for key in ("embedding", "margin", "seediness"))
        piece = torch.zeros_like(item) if piece is None else piece
        inside = torch.nonzero(group >= 0).squeeze(1)
        keys = torch.stack([item, group, piece], dim=1)[inside]
        parts, number = torch.unique(keys, dim=0, return_inverse=True)
        order = inside[torch.argsort(number, stable=True)]
        sizes = torch.bincount(number, minlength=len(parts)).tolist()
        terms: dict[tuple[int, int], list[tuple[Tensor, Tensor, Tensor, float]]] = {}
        for (image, kind, _), rows in zip(parts.tolist(), torch.split(order, sizes), strict=True):
            if len(rows) < self.min_size:
                continue
            rows, number, n = self._large(rows, cluster)
            if n == 0:
                continue
            kernel, seed, smooth = self._of_piece(embedding[rows], margin[rows, 0], seediness[rows, 0], number, n)
            weight = float(n) if n > 1 else self.lone_weight
            terms.setdefault((image, kind), []).append((kernel * weight, seed, smooth, weight))
        nothing = (embedding.sum() + margin.sum() + seediness.sum()) * 0.0
        out = {"embedding": nothing, "seediness": nothing, "smoothness": nothing}
        shares = {key: self.group_weights[key[1]] if self.group_weights else 1.0 for key in terms}
        for key, found in terms.items():
            share = shares[key] / sum(shares.values())
            kernels, seeds, spreads, weights = zip(*found, strict=True)
            out["embedding"] = out["embedding"] + share * torch.stack(kernels).sum() / sum(weights)
            out["seediness"] = out["seediness"] + share * torch.cat(seeds).mean()
            out["smoothness"] = out["smoothness"] + share * torch.cat(spreads).mean()
        out["loss"] = (
            self.embedding_weight * out["embedding"]
            + self.seediness_weight * out["seediness"]
            + self.smoothness_weight * out["smoothness"]
        )
        return out

    def _large(self, rows: Tensor, cluster: Tensor) -> tuple[Tensor, Tensor, int]:
        """Rows of the large clusters, their clusters numbered from 0, and how many there are."""
        _, number, count = torch.unique(cluster[rows], return_inverse=True, return_counts=True)
        large = count >= self.min_size
        kept = large[number]
        renumbered = torch.cumsum(large.long(), 0) - 1
        return rows[kept], renumbered[number[kept]], int(large.sum())

    def _of_piece(
        self, embedding: Tensor, margin: Tensor, seediness: Tensor, number: Tensor, n: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding loss, and squared errors (M,) of seediness and margin, of the voxels of one piece."""
        size = torch.bincount(number, minlength=n).to(embedding.dtype)
        centre = torch.zeros((n, embedding.size(1)), dtype=embedding.dtype, device=embedding.device)
        centre = centre.index_add(0, number, embedding) / size.unsqueeze(1)
        width = torch.zeros(n, dtype=margin.dtype, device=margin.device).index_add(0, number, margin) / size
        step = max(1, -(-len(number) * n // self.most_pairs))
        exponent = kernel_exponent(embedding[::step], centre, width)
        own = torch.arange(n, device=number.device).unsqueeze(0) == number[::step].unsqueeze(1)
        if self.embedding_loss == "lovasz":
            kernel = lovasz_hinge(2.0 * torch.exp(-exponent) - 1.0, own)
        else:
            kernel = kernel_cross_entropy(exponent, own)
        squared = ((embedding - centre[number]) ** 2).sum(1)
        score = torch.exp(-squared / (2.0 * width[number] ** 2).clamp(min=_LEAST_WIDTH)).detach()
        return kernel, (seediness - score) ** 2, (margin - width[number].detach()) ** 2


def kernel_exponent(embedding: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """|e - mu|^2 / (2 sigma^2) (M, K) of voxels (M, E) and clusters with centre (K, E) and margin (K,)."""
    squared = ((embedding.unsqueeze(1) - centre.unsqueeze(0)) ** 2).sum(2)
    return squared / (2.0 * width**2).clamp(min=_LEAST_WIDTH)


def kernel_cross_entropy(exponent: Tensor, own: Tensor) -> Tensor:
    """Binary cross-entropy of p = exp(-exponent) (M, K) against ``own`` (M, K), mean over voxels and clusters.

    Computed from the exponent, where p is too close to 0 or 1 for its logarithms. A cluster's own voxels weigh together
    as much as all others, which are many more.
    """
    held = exponent.clamp(min=_LEAST_EXPONENT, max=_MOST_EXPONENT)
    # Beyond the largest exponent the loss of an own voxel goes on linearly, so that it keeps its gradient.
    inside = torch.where(own, exponent, torch.zeros_like(exponent))
    outside = torch.where(own, torch.zeros_like(held), -torch.log(-torch.expm1(-held)))
    n_own = own.sum(0).clamp(min=1)
    n_other = (~own).sum(0).clamp(min=1)
    return (0.5 * inside.sum(0) / n_own + 0.5 * outside.sum(0) / n_other).mean()


def lovasz_hinge(logits: Tensor, own: Tensor) -> Tensor:
    """Lovasz hinge of logits (M, K), above 0 for members, against ``own`` (M, K), mean over clusters."""
    sign = own.to(logits.dtype) * 2.0 - 1.0
    errors, order = torch.sort(1.0 - logits * sign, dim=0, descending=True)
    member = own.gather(0, order).to(logits.dtype)
    total = member.sum(0, keepdim=True)
    intersection = total - member.cumsum(0)
    union = total + (1.0 - member).cumsum(0)
    jaccard = 1.0 - intersection / union.clamp(min=1.0)
    steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (torch.relu(errors) * steps).sum(0).mean()
