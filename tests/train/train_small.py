"""A small training as a program: ``train_small.py DIRECTORY [options]``. Its exit status is that of the error."""

import argparse
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import LarmlrecoError
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import Network, build, register
from larmlreco.models import checkpoint as checkpoints
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.train.augment import Augmentation
from larmlreco.train.images import LabelledImage
from larmlreco.train.processes import join_processes, leave_processes
from larmlreco.train.schedule import Schedule
from larmlreco.train.semantic import Trainer
from larmlreco.train.store import ImageStore
from larmlreco.train.trainer import Plan

NETWORKS: dict[str, dict[str, Any]] = {
    "uresnet": {"dimension": 2, "classes": 5, "filters": 4, "depth": 2, "repetitions": 1},
    "without_norm": {},
}


@register("without_norm")
class WithoutNorm(Network):
    """Two layers for each pixel: batch norm is what several processes do not share."""

    meanings = {"semantic": "score of each class"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 5))

    def raw(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        return {"semantic": self.layers(torch.log10(features))}

    def forward(self, coords: Tensor, features: Tensor) -> dict[str, Tensor]:
        return self.raw(coords, features)


def images() -> ImageStore:
    """Images of different sizes, some pixels without label."""
    rng = np.random.default_rng(5)
    made = []
    for number in range(8):
        coords = np.unique(rng.integers(0, 20, (20 + 10 * number, 2)), axis=0).astype(np.int32)
        labels = rng.integers(-1, 5, len(coords)).astype(np.int8)
        features = (10.0 * 4.0 ** np.maximum(labels, 0)).astype(np.float32)[:, None]
        made.append(LabelledImage(coords, features, labels))
    return ImageStore.collect(made)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--batch-size", type=int, default=3)
    parser.add_argument("--network", default="uresnet", choices=NETWORKS)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--hang-in-checkpoint", type=int, default=0, help="write half of this iteration's and wait")
    parser.add_argument("--file-limit", type=int, default=0, help="bytes that a file may have")
    options = parser.parse_args()
    device = join_processes("cpu")
    torch.manual_seed(1)
    params = NETWORKS[options.network]
    card = ModelCard(
        task="semantic_segmentation", detector="microboone", dimension=2, class_names=SEMANTIC_NAMES,
        features=(Feature("adc", "ADC"),), pixel_size=(1.0, 6.0), pixel_units=("wire", "tick"),
    )  # fmt: skip
    trainer = Trainer(
        Checkpoint(Architecture(options.network, params), card),
        build(options.network, **params),
        images(),
        images(),
        Plan(
            iterations=options.iterations,
            batch_size=options.batch_size,
            schedule=Schedule("constant", 1e-2, options.iterations),
            checkpoint_every=2,
            validate_every=100,
            class_weights=(1.0, 2.0, 1.0, 3.0, 1.0),
        ),
        Augmentation(flip_axes=(0, 1), scale_sigma=0.1),
        SEMANTIC_NAMES,
        options.directory,
        device,
    )
    if options.resume:
        trainer.resume(trainer.last)
    if options.hang_in_checkpoint:
        hang_in_checkpoint(trainer, options.hang_in_checkpoint)
    if options.file_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    try:
        trainer.run()
    except LarmlrecoError as error:
        print(error)
        return error.exit_status
    finally:
        leave_processes()
    return 0


def hang_in_checkpoint(trainer: Trainer, iteration: int) -> None:
    """Let ``torch.save`` write half of a file in an iteration and then wait to be killed."""
    save = torch.save

    def save_half(values: dict[str, Any], file: Any) -> None:
        if values["training"]["iteration"] < iteration:
            save(values, file)
            return
        file.write(b"half")
        file.flush()
        time.sleep(600)

    checkpoints.torch.save = save_half  # type: ignore[assignment]


if __name__ == "__main__":
    sys.exit(main())
