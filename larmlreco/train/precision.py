"""Mixed precision: the arithmetic of a training step."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError, valid_choices

PRECISIONS = ("float32", "bfloat16", "float16")
"""What matrix products are computed in; weights, batch norm statistics and losses stay float32."""


class Precision:
    """``float32``: nothing changes. ``bfloat16`` and ``float16``: products run in that type under ``torch.autocast``,
    the latter with a loss that is scaled so that small gradients do not vanish.

    Raises ``ConfigurationError`` for another name, and for ``float16`` on a CPU, which has no arithmetic for it.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name not in PRECISIONS:
            raise ConfigurationError(f"unknown precision {name!r}; {valid_choices(name, PRECISIONS)}")
        if name == "float16" and device.type != "cuda":
            raise ConfigurationError(
                f"precision float16 needs a GPU; the device is {device}; valid here: float32, bfloat16"
            )
        self._type: torch.dtype | None = None if name == "float32" else getattr(torch, name)
        self._device = device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def cast(self) -> AbstractContextManager[Any]:
        """Context of the forward pass."""
        if self._type is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._type)

    def backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Gradients of the loss in the parameters, in their true size."""
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step of the optimiser, unless a gradient overflowed."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave; without a scale (another precision) the scale starts anew."""
        if state and self._scaler.is_enabled():
            self._scaler.load_state_dict(state)
