"""Logs of a training: CSV files, and TensorBoard where its package is there."""

import csv
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from larmlreco.errors import OutputError

TRAINING, VALIDATION = "training", "validation"


class TrainingLog:
    """Rows of numbers by iteration in ``training.csv`` and ``validation.csv``, and the same for TensorBoard.

    TensorBoard's files go into ``tensorboard`` in the same folder when ``tensorboard`` is set and its package is
    installed (extra ``larmlreco[tensorboard]``); without the package it says so once and goes on.
    """

    def __init__(self, directory: Path, tensorboard: bool = False) -> None:
        self._directory = directory
        self._writer = _tensorboard_writer(directory / "tensorboard") if tensorboard else None

    def add(self, name: str, row: Mapping[str, float]) -> None:
        """Append a row, which has the key ``iteration``, to the log of this name. Raises ``OutputError``."""
        path = self._file(name)
        try:
            _append(path, row)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; the last checkpoint is intact") from error
        if self._writer is not None:
            for key, value in row.items():
                if key != "iteration" and not math.isnan(value):
                    self._writer.add_scalar(f"{name}/{key}", value, int(row["iteration"]))

    def forget_after(self, iteration: int) -> None:
        """Drop the rows that a killed training wrote after its last checkpoint: they will be written again."""
        for name in (TRAINING, VALIDATION):
            path = self._file(name)
            if not path.exists():
                continue
            with path.open(newline="") as file:
                lines = file.readlines()
            head, rows = lines[:1], lines[1:]
            kept = [row for row in rows if row.endswith("\n") and int(row.partition(",")[0]) <= iteration]
            partial = path.with_name(path.name + ".partial")
            partial.write_text("".join(head + kept), newline="")
            partial.replace(path)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self._writer is not None:
            self._writer.close()

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.csv"


def _append(path: Path, row: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print(
            "TensorBoard is not installed, so training goes on with CSV logs alone; "
            "pip install 'larmlreco[tensorboard]' adds it",
            file=sys.stderr,
        )
        return None
    return SummaryWriter(str(folder))
