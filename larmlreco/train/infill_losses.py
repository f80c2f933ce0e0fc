"""Losses of infill: that of LArDRIP with learnable weights, and binary cross-entropy with energy regression."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError, valid_choices

INFILL_LOSSES = ("cross_entropy", "published")

_LEAST_ENERGY = 1e-6


class InfillLoss(nn.Module):
    """Compares the outputs of the candidate sites with what they truly hold.

    ``kind`` ``"published"`` (LArDRIP): squared errors summed over the sites that hold charge (track) and over those
    that do not (nontrack), each divided by the number of all, weighted with the softmax of two learnable logits,
    ``log_weights``. The error is that of the probability against 0 or 1 plus ``energy_weight`` times that of the image
    of energies, probability times energy. A gradient step raises the weight of the smaller of the two terms, so in a
    long training the weights run away to it (see :meth:`weights`).

    ``"cross_entropy"``: binary cross-entropy of the probability summed over the sites and divided by the number of
    those that hold charge, plus ``energy_weight`` times the mean over these of ``p - t log p``, with predicted
    energy p and true energy t: least where p is the mean of t (the deviance of a Poisson variable), so that sums of
    energies have no bias.

    Energies count in units of ``energy_unit``. Raises ``ConfigurationError`` for another kind.
    """

    def __init__(self, kind: str = "cross_entropy", energy_weight: float = 1.0, energy_unit: float = 1.0) -> None:
        super().__init__()
        if kind not in INFILL_LOSSES:
            raise ConfigurationError(f"unknown loss {kind!r}; {valid_choices(kind, INFILL_LOSSES)}")
        self.kind = kind
        self.energy_weight = energy_weight
        self.energy_unit = energy_unit
        self.log_weights = nn.Parameter(torch.zeros(2), requires_grad=kind == "published")

    def weights(self) -> Tensor:
        """Weights (2,) of track and nontrack in the published loss; their sum is 1."""
        return torch.softmax(self.log_weights, 0)

    def forward(self, logit: Tensor, energy: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The terms of the loss and their sum ``loss``.

        ``logit`` (K,), log-odds; ``energy`` (K,) at least 0; ``target`` (K,) true energy, 0 where the site is empty.
        Without candidates all are 0 with a gradient of 0.
        """
        # float32 also under autocast: sums over many sites need it
        logit, energy = logit.float(), energy.float() / self.energy_unit
        target = target.to(logit.dtype) / self.energy_unit
        holds = target != 0
        if self.kind == "published":
            return self._published(torch.sigmoid(logit), energy, target, holds)
        active = F.binary_cross_entropy_with_logits(logit, holds.to(logit.dtype), reduction="sum")
        p, t = energy[holds], target[holds]
        deviance = (p - t * torch.log(p.clamp(min=_LEAST_ENERGY))).sum() + 0.0 * energy.sum()
        n = holds.sum().clamp(min=1)
        terms = {"active": active / n, "energy": deviance / n}
        terms["loss"] = terms["active"] + self.energy_weight * terms["energy"]
        return terms

    def _published(self, active: Tensor, energy: Tensor, target: Tensor, holds: Tensor) -> dict[str, Tensor]:
        squared = (active - holds.to(active.dtype)) ** 2 + self.energy_weight * (active * energy - target) ** 2
        n = max(len(target), 1)
        track = torch.where(holds, squared, 0.0).sum() / n
        nontrack = torch.where(holds, 0.0, squared).sum() / n
        weights = self.weights()
        return {"track": track, "nontrack": nontrack, "loss": weights[0] * track + weights[1] * nontrack}
