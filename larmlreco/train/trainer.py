"""The training loop: batches, optimiser, validation, checkpoints, resume."""

import csv
import math
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError, LarmlrecoError, valid_choices
from larmlreco.metrics.semantic import SemanticMetrics
from larmlreco.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from larmlreco.models.network import Network
from larmlreco.progress import Progress
from larmlreco.train.augment import Augmentation
from larmlreco.train.images import Batch, ImageSet, batch_indices, collate, image_generator
from larmlreco.train.losses import accuracy_counts, semantic_loss
from larmlreco.train.schedule import Schedule

OPTIMIZERS = ("adam", "adamw", "rmsprop")


@dataclass(frozen=True)
class Plan:
    """How to train: see ``fcl/train_segmentation_uboone.fcl`` for the meaning of each number."""

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
    ) -> None:
        if plan.optimizer not in OPTIMIZERS:
            raise ConfigurationError(
                f"unknown optimizer {plan.optimizer!r}; {valid_choices(plan.optimizer, OPTIMIZERS)}"
            )
        for name, size in sizes.items():
            if size == 0:
                raise ConfigurationError(f"the {name} set holds no image")
        self._checkpoint = checkpoint
        self._network = network.to(device)
        self._plan = plan
        self._directory = directory
        self._device = device
        self._optimizer = _optimizer(plan, network)
        self._iteration = 0
        self._best = -math.inf
        self._best_iteration = 0

    @abstractmethod
    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        """Loss of the batch of an iteration, and its ``accuracy`` and number of ``pixels`` for the log."""

    @abstractmethod
    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, without augmentation."""

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
        self._optimizer.load_state_dict(loaded.training["optimizer"])
        self._iteration = int(loaded.training["iteration"])
        self._best = float(loaded.training["best"])
        self._best_iteration = int(loaded.training["best_iteration"])
        torch.set_rng_state(loaded.training["random"])
        for name in ("training.csv", "validation.csv"):
            _forget_after(self._directory / name, self._iteration)

    def run(self) -> dict[str, Any]:
        """Train to the last iteration, or to an interrupt; returns iteration, best accuracy and whether it is done."""
        plan = self._plan
        self._directory.mkdir(parents=True, exist_ok=True)
        progress = Progress(plan.iterations, "iterations", done=self._iteration)
        with _stop_requests() as stop:
            while self._iteration < plan.iterations and not stop:
                row = self._step()
                progress.update(self._iteration, f"loss {row['loss']:.4f} accuracy {row['accuracy']:.4f}")
                _append(self._directory / "training.csv", row)
                last = self._iteration == plan.iterations
                if self._iteration % plan.validate_every == 0 or last:
                    self._validate_and_keep()
                if self._iteration % plan.checkpoint_every == 0 or last or stop:
                    self._save(self.last)
                if plan.patience and self._iteration - self._best_iteration >= plan.patience:
                    print(f"no better validation for {plan.patience} iterations: stopped early", file=sys.stderr)
                    self._save(self.last)
                    break
        return {
            "iteration": self._iteration,
            "best_accuracy": self._best,
            "best_iteration": self._best_iteration,
            "interrupted": bool(stop),
        }

    def _step(self) -> dict[str, float]:
        plan = self._plan
        start = time.perf_counter()
        rate = plan.schedule(self._iteration)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._network.train()
        loss, figures = self._loss(self._iteration)
        if not bool(torch.isfinite(loss)):
            raise LarmlrecoError(
                f"the loss is {float(loss.detach())} at iteration {self._iteration}; the last checkpoint is intact, "
                "resume from it with a lower learning rate or with gradient_clip"
            )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip = plan.gradient_clip if plan.gradient_clip > 0 else math.inf
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), clip)
        self._optimizer.step()
        self._iteration += 1
        return {
            "iteration": self._iteration,
            "loss": float(loss.detach()),
            **figures,
            "learning_rate": rate,
            "gradient_norm": float(norm),
            "seconds": time.perf_counter() - start,
        }

    def _validate_and_keep(self) -> None:
        loss, metrics = self.validate()
        summary = metrics.summary()
        accuracy = float(summary["accuracy"]["value"])
        row = {"iteration": self._iteration, "loss": loss, "accuracy": accuracy}
        row.update({name: figure["value"] for name, figure in summary[self.details].items()})
        _append(self._directory / "validation.csv", row)
        print(f"validation at {self._iteration}: loss {loss:.4f}\n{metrics.table()}", file=sys.stderr)
        if accuracy > self._best:
            self._best, self._best_iteration = accuracy, self._iteration
            self._save(self.best, summary)

    def _save(self, path: Path, metrics: Mapping[str, Any] | None = None) -> None:
        state: dict[str, Any] = {
            "optimizer": self._optimizer.state_dict(),
            "iteration": self._iteration,
            "best": self._best,
            "best_iteration": self._best_iteration,
            "random": torch.get_rng_state(),
        }
        save_checkpoint(path, self._checkpoint.with_state(self._network.state_dict(), state, metrics))


class Trainer(TrainingLoop):
    """Trains a network for semantic segmentation (arXiv 1903.05663, IV)."""

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
    ) -> None:
        sizes = {"training": len(training), "validation": len(validation)}
        super().__init__(checkpoint, network, sizes, plan, directory, device)
        if plan.class_weights and len(plan.class_weights) != len(class_names):
            raise ConfigurationError(
                f"{len(plan.class_weights)} class weights for {len(class_names)} classes; "
                f"expected one each for {', '.join(class_names)}"
            )
        self._training = training
        self._validation = validation
        self._augment = augmentation
        self._class_names = tuple(class_names)
        self._weights = torch.tensor(plan.class_weights, device=device) if plan.class_weights else None

    def _batch(self, iteration: int) -> Batch:
        plan = self._plan
        numbers = batch_indices(len(self._training), plan.batch_size, plan.seed, iteration)
        images = [
            self._augment(self._training[int(number)], image_generator(plan.seed, iteration, item))
            for item, number in enumerate(numbers)
        ]
        return collate(images).to(self._device)

    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        batch = self._batch(iteration)
        logits = self._network.raw(batch.coords, batch.features)["semantic"]
        right, total = accuracy_counts(logits.detach(), batch.labels)
        loss = semantic_loss(logits, batch.labels, self._weights)
        return loss, {"accuracy": right / max(total, 1), "pixels": total}

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, without augmentation."""
        metrics = SemanticMetrics(self._class_names)
        self._network.eval()
        losses = []
        with torch.no_grad():
            for i in range(len(self._validation)):
                batch = collate([self._validation[i]]).to(self._device)
                logits = self._network.raw(batch.coords, batch.features)["semantic"]
                losses.append(float(semantic_loss(logits, batch.labels, self._weights)))
                metrics.add(batch.labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy())
        return sum(losses) / len(losses), metrics


def _optimizer(plan: Plan, network: Network) -> torch.optim.Optimizer:
    rate = plan.schedule.rate
    if plan.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, weight_decay=plan.weight_decay)
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=plan.weight_decay)
    return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=plan.weight_decay)


def _append(path: Path, row: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _forget_after(path: Path, iteration: int) -> None:
    """Drop the rows that a killed training wrote after its last checkpoint: they will be written again."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if row["iteration"] and int(row["iteration"]) <= iteration]
    path.unlink()
    for row in rows:
        _append(path, {key: float(value) if key != "iteration" else int(value) for key, value in row.items()})


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
