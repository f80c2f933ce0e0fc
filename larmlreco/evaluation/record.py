"""The file of an evaluation: figures, where they come from, and which pictures lie beside it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from larmlreco.errors import InputError, OutputError

FORMAT = "larmlreco evaluation 1"

FILE_NAME = "evaluation.json"
"""Name of the file in the folder of an evaluation."""


@dataclass(frozen=True)
class Picture:
    """An event that was drawn: file name beside the record, event id, part that is wrong, ``kind`` worst or typical."""

    file: str
    event: str
    wrong: float
    kind: str


@dataclass(frozen=True)
class Evaluation:
    """Figures of one job on one sample.

    ``results``: figures by evaluator label; ``cards``: model cards by archive name; ``scans``: by name of what was
    varied (``gain``, ``tile``), a list of ``{"value", "results"}``; ``milliseconds``: mean time of a call by module
    label; ``peak_rss_mb``: of the whole job.
    """

    sample: str
    config: str
    inputs: tuple[str, ...]
    events: int
    results: Mapping[str, Any]
    cards: Mapping[str, Any] = field(default_factory=dict)
    scans: Mapping[str, Any] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    pictures: Sequence[Picture] = ()

    def save(self, folder: Path) -> Path:
        """Write the record into a folder, which is made; returns its path. Raises ``OutputError``."""
        path = folder / FILE_NAME
        partial = path.with_name(path.name + ".partial")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(plain({"format": FORMAT, **asdict(self)}), indent=1) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        return path

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """Read what :meth:`save` wrote. Raises ``InputError`` for anything else."""
        path = folder / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; larmlreco evaluate --save makes it") from error
        except ValueError as error:
            raise InputError(f"{path} is no record of an evaluation, or it was cut short: {error}") from error
        found = values.pop("format", None) if isinstance(values, dict) else None
        if found != FORMAT:
            raise InputError(f"{path}: expected the format {FORMAT!r}; got {found!r}")
        try:
            pictures = tuple(Picture(**picture) for picture in values.pop("pictures"))
            return cls(**{**values, "inputs": tuple(values["inputs"])}, pictures=pictures)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is no record of an evaluation: {error}") from error


def for_card(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The figures that a model card has of these evaluations, by sample: job, number of events, and what the evaluators
    found, without curves.

    Raises ``InputError`` for two of the same sample.
    """
    out: dict[str, Any] = {}
    for evaluation in evaluations:
        sample = evaluation.sample or ", ".join(evaluation.inputs)
        if sample in out:
            raise InputError(
                f"two evaluations are of the sample {sample!r}; name them with larmlreco evaluate --sample"
            )
        figures = {label: found for label, values in evaluation.results.items() if (found := _without_curves(values))}
        out[sample] = {"job": evaluation.config, "events": evaluation.events, **figures}
    return out


def _without_curves(value: Any) -> Any:
    """JSON values without the objects that have edges of bins, and without what is empty then."""
    if not isinstance(value, Mapping):
        return value
    found = {key: _without_curves(item) for key, item in value.items() if not _is_curve(item)}
    return {key: item for key, item in found.items() if item != {}}


def _is_curve(value: Any) -> bool:
    return isinstance(value, Mapping) and "edges" in value


def plain(value: Any) -> Any:
    """JSON has no NaN: a figure that is not known is null."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
