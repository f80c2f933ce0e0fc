"""Training by several processes, one a GPU or a core, on one node or more, as ``torchrun`` starts them.

Every process learns from its own part of a batch; gradients are averaged (DistributedDataParallel). The first process
validates, logs and writes the checkpoints.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from larmlreco.errors import ConfigurationError
from larmlreco.models.network import Network


def join_processes(device: str) -> torch.device:
    """Join the processes that ``torchrun`` started, where it did; returns this process' device.

    ``device`` is what the user asked for; each of several processes on ``cuda`` takes the GPU of its local rank.
    Raises ``ConfigurationError`` for a device that this machine does not have.
    """
    several = "WORLD_SIZE" in os.environ and "RANK" in os.environ
    chosen = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if several and device == "cuda" else device)
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigurationError(f"--device {device}: torch finds no CUDA device here; valid: cpu")
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise ConfigurationError(
                f"--device {chosen}: this machine has {torch.cuda.device_count()} CUDA devices; "
                "start at most as many processes on it"
            )
        torch.cuda.set_device(chosen)
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def leave_processes() -> None:
    """End the work with the other processes, where there are some."""
    if dist.is_initialized():
        if dist.get_backend() == "gloo":
            # A process that leaves while another still talks to it may abort; a dead one is not waited for long.
            with suppress(RuntimeError):
                dist.monitored_barrier(timeout=timedelta(seconds=20))
        dist.destroy_process_group()


class Processes:
    """The processes of this training: ``rank`` of this one, their number ``size``; alone where nothing was joined."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.size = dist.get_world_size() if dist.is_initialized() else 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def sums(self, values: list[float]) -> list[float]:
        """Sums over the processes, number by number."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes of a number without gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def of_first(self, values: list[float]) -> list[float]:
        """The numbers that the first process has."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.broadcast(shared, 0)
        return [float(value) for value in shared.tolist()]

    def parallel(self, network: Network) -> nn.Module | None:
        """A module whose ``forward`` is ``network.raw`` and whose backward averages gradients; ``None`` when alone."""
        if self.size == 1:
            return None
        ids = [self._device] if self._device.type == "cuda" else None
        return DistributedDataParallel(_Raw(network), device_ids=ids)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run a block in the first process, then in the others: what the first one keeps on disk, they find."""
        if self.size > 1 and not self.first:
            dist.barrier()
        yield
        if self.size > 1 and self.first:
            dist.barrier()


class _Raw(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        return self.network.raw(coords, features)
