"""The training loop: batches, optimiser, validation, checkpoints, resume."""

import math
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError, LarmlrecoError
from larmlreco.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from larmlreco.models.network import Network
from larmlreco.progress import Progress
from larmlreco.train.images import batch_indices
from larmlreco.train.log import TRAINING, VALIDATION, TrainingLog
from larmlreco.train.optimizers import OPTIMIZERS, make_optimizer
from larmlreco.train.precision import Precision
from larmlreco.train.processes import Processes
from larmlreco.train.schedule import Schedule

__all__ = ["OPTIMIZERS", "Figures", "Plan", "TrainingLoop"]


@dataclass(frozen=True)
class Plan:
    """How to train: see ``fcl/train_segmentation_uboone.fcl`` for the meaning of each number.

    ``batch_size`` is that of one process; several processes learn from as many times more items in an iteration.
    After the part ``norm_freeze`` of the iterations batch norm keeps its running statistics and the weights learn to
    work with them, as they will at inference; ``norm_momentum`` is the weight of a batch in these statistics.
    """

    iterations: int
    batch_size: int
    schedule: Schedule
    optimizer: str = "adam"
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    class_weights: tuple[float, ...] = ()
    seed: int = 1
    validate_every: int = 500
    checkpoint_every: int = 100
    patience: int = 0
    precision: str = "float32"
    tensorboard: bool = False
    norm_freeze: float = 1.0
    norm_momentum: float = 0.1


class Figures(Protocol):
    """What a validation found: ``summary()["accuracy"]["value"]`` decides which weights are best."""

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON values; they go on the model card."""

    def table(self) -> str:
        """The figures for people."""


class TrainingLoop(ABC):
    """Trains a network; a subclass knows its data, its loss and its figures.

    ``directory`` receives ``last.ckpt`` (to resume from), ``best.ckpt`` (the best validation accuracy),
    ``training.csv`` and ``validation.csv``. A training that was stopped at any moment and resumed gives the weights
    of one that was not. ``sizes``: items of each data set, by name; none may be empty.

    Several processes (:mod:`larmlreco.train.processes`) learn as one whose batch is as many times larger, apart from
    batch norm, which each process takes over its own part of the batch. The first one validates, logs and saves.

    ``loss``: a loss whose own weights are learned with those of the network; they stay in the state of the training.
    """

    details = "classes"
    """Key of the summary of :class:`Figures` whose figures, by name, are logged beside the accuracy."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        sizes: Mapping[str, int],
        plan: Plan,
        directory: Path,
        device: torch.device,
        loss: nn.Module | None = None,
    ) -> None:
        for name, size in sizes.items():
            if size == 0:
                raise ConfigurationError(f"the {name} set holds no image")
        self._checkpoint = checkpoint
        self._network = network.to(device)
        self._norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)]
        for norm in self._norms:
            norm.momentum = plan.norm_momentum
        self._plan = plan
        self._directory = directory
        self._device = device
        self._optimizer = make_optimizer(plan.optimizer, network, plan.schedule.rate, plan.weight_decay)
        self._learned_loss = nn.Module() if loss is None else loss.to(device)
        self._loss_weights = [weight for weight in self._learned_loss.parameters() if weight.requires_grad]
        if self._loss_weights:
            self._optimizer.add_param_group({"params": self._loss_weights})
        self._precision = Precision(plan.precision, device)
        self._processes = Processes(device)
        self._parallel = self._processes.parallel(self._network)
        self._log: TrainingLog | None = None
        self._iteration = 0
        self._best = -math.inf
        self._best_iteration = 0

    @abstractmethod
    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        """Loss of this process' part of an iteration's batch, and its ``accuracy`` and number of ``pixels`` to log.

        :meth:`_items` says which items these are, and :meth:`_raw` runs the network. The gradient that is followed is
        the mean over the processes.
        """

    @abstractmethod
    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, without augmentation."""

    def _items(self, n_items: int, iteration: int) -> list[tuple[int, int]]:
        """Place in the whole batch and number in the data set, which has ``n_items``, of each item of this process."""
        size = self._plan.batch_size
        numbers = batch_indices(n_items, size * self._processes.size, self._plan.seed, iteration)
        first = size * self._processes.rank
        return [(place, int(numbers[place])) for place in range(first, first + size)]

    def _raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        """The network's outputs before any final activation, in training with gradients that all processes share."""
        if self._parallel is None or not self._network.training:
            return self._network.raw(coords, features)
        outputs: dict[str, Tensor] = self._parallel(coords, features)
        return outputs

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self._directory / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation accuracy."""
        return self._directory / "best.ckpt"

    def resume(self, path: Path) -> None:
        """Take weights, optimiser and iteration from a checkpoint of the same architecture."""
        loaded = load_checkpoint(path)
        if loaded.architecture != self._checkpoint.architecture:
            raise ConfigurationError(
                f"{path} holds the architecture {loaded.architecture}; the training asks for "
                f"{self._checkpoint.architecture}"
            )
        if loaded.training is None:
            raise ConfigurationError(f"{path} holds no state of a training; expected one made by larmlreco train")
        self._network.load_state_dict(loaded.state_dict)
        self._learned_loss.load_state_dict(loaded.training.get("loss", {}))
        self._optimizer.load_state_dict(loaded.training["optimizer"])
        self._iteration = int(loaded.training["iteration"])
        self._best = float(loaded.training["best"])
        self._best_iteration = int(loaded.training["best_iteration"])
        self._precision.load_state_dict(loaded.training.get("precision", {}))
        torch.set_rng_state(loaded.training["random"])
        if self._processes.first:
            TrainingLog(self._directory).forget_after(self._iteration)

    def run(self) -> dict[str, Any]:
        """Train to the last iteration, or to an interrupt; returns iteration, best accuracy and whether it is done."""
        plan = self._plan
        first = self._processes.first
        if first:
            self._directory.mkdir(parents=True, exist_ok=True)
        self._log = TrainingLog(self._directory, plan.tensorboard) if first else None
        progress = Progress(plan.iterations, "iterations", done=self._iteration) if first else None
        stopped = False
        with _stop_requests() as asked:
            while self._iteration < plan.iterations and not stopped:
                row = self._step()
                if progress is not None and self._log is not None:
                    progress.update(self._iteration, f"loss {row['loss']:.4f} accuracy {row['accuracy']:.4f}")
                    self._log.add(TRAINING, row)
                last = self._iteration == plan.iterations
                # processes may hear of a signal in different iterations, but must end in the same one
                stopped = self._processes.sums([len(asked)])[0] > 0
                if self._iteration % plan.validate_every == 0 or last:
                    self._validate_and_keep()
                if self._iteration % plan.checkpoint_every == 0 or last or stopped:
                    self._save(self.last)
                if plan.patience and self._iteration - self._best_iteration >= plan.patience:
                    if first:
                        print(f"no better validation for {plan.patience} iterations: stopped early", file=sys.stderr)
                    self._save(self.last)
                    break
        if self._log is not None:
            self._log.close()
        return {
            "iteration": self._iteration,
            "best_accuracy": self._best,
            "best_iteration": self._best_iteration,
            "interrupted": stopped,
        }

    def _step(self) -> dict[str, float]:
        plan = self._plan
        start = time.perf_counter()
        rate = plan.schedule(self._iteration)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._network.train()
        if self._iteration >= plan.norm_freeze * plan.iterations:
            for layer in self._norms:
                layer.eval()
        with self._precision.cast():
            loss, figures = self._loss(self._iteration)
        figures = self._of_all(float(loss.detach()), figures)
        if not math.isfinite(figures["loss"]):
            raise LarmlrecoError(
                f"the loss is {figures['loss']} at iteration {self._iteration}; the last checkpoint is intact, "
                "resume from it with a lower learning rate or with gradient_clip"
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._precision.backward(loss, self._optimizer)
        for weight in self._loss_weights:
            weight.grad = None if weight.grad is None else self._processes.mean(weight.grad)
        clip = plan.gradient_clip if plan.gradient_clip > 0 else math.inf
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), clip)
        self._precision.step(self._optimizer)
        self._iteration += 1
        return {
            "iteration": self._iteration,
            **figures,
            "learning_rate": rate,
            "gradient_norm": float(norm),
            "seconds": time.perf_counter() - start,
        }

    def _of_all(self, loss: float, figures: Mapping[str, float]) -> dict[str, float]:
        """Loss, accuracy and pixels of the whole batch from those of each process."""
        pixels = figures["pixels"]
        loss, right, total = self._processes.sums([loss, figures["accuracy"] * pixels, pixels])
        size = self._processes.size
        accuracy = figures["accuracy"] if size == 1 else right / max(total, 1)
        return {"loss": loss / size, **figures, "accuracy": accuracy, "pixels": total}

    def _validate_and_keep(self) -> None:
        if self._log is not None:
            loss, metrics = self.validate()
            summary = metrics.summary()
            accuracy = float(summary["accuracy"]["value"])
            row = {"iteration": self._iteration, "loss": loss, "accuracy": accuracy}
            row.update({name: figure["value"] for name, figure in summary[self.details].items()})
            self._log.add(VALIDATION, row)
            print(f"validation at {self._iteration}: loss {loss:.4f}\n{metrics.table()}", file=sys.stderr)
            if accuracy > self._best:
                self._best, self._best_iteration = accuracy, self._iteration
                self._save(self.best, summary)
        self._best, best_iteration = self._processes.of_first([self._best, self._best_iteration])
        self._best_iteration = int(best_iteration)

    def _save(self, path: Path, metrics: Mapping[str, Any] | None = None) -> None:
        if not self._processes.first:
            return
        state: dict[str, Any] = {
            "optimizer": self._optimizer.state_dict(),
            "iteration": self._iteration,
            "best": self._best,
            "best_iteration": self._best_iteration,
            "precision": self._precision.state_dict(),
            "loss": self._learned_loss.state_dict(),
            "random": torch.get_rng_state(),
        }
        save_checkpoint(path, self._checkpoint.with_state(self._network.state_dict(), state, metrics))


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that is not empty once the user or the batch system asked for an end; the iteration then completes."""
    asked: list[int] = []
    previous = {s: signal.signal(s, lambda number, _: asked.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
