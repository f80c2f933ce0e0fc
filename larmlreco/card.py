"""The model card: what a network is for, what it takes and gives, and how it was made.

It travels as JSON in the checkpoint and in the archive. Importing this file does not import torch.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from larmlreco.errors import ConfigurationError, InputError, valid_choices

Json = Any

FORMAT_VERSION = 1
"""Version of the archive's layout and of the card's keys; a reader refuses a higher one."""


@dataclass(frozen=True)
class Feature:
    """One input column: its name, for example ``adc``, and its unit, for example ``ADC`` or ``MeV``."""

    name: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The facts that a job checks before it runs an archive.

    ``task`` for example ``semantic_segmentation``; ``detector`` the name of its geometry; ``planes`` the views (2D)
    that the network was trained on, empty for voxels; ``class_names`` in the order of the scores; ``features`` the
    input columns; ``pixel_size`` the pitch of each axis in ``pixel_units`` (for example ``wire`` and ``tick``, or
    ``cm``); ``threshold`` the least value of the first feature that makes a pixel active; ``rebin`` the ticks that
    are summed into a row. ``network`` holds ``name`` and ``params`` for :func:`larmlreco.models.build`; ``outputs``
    the meaning of each output key; ``training`` data, seed and settings; ``metrics`` the figures on the held-out set.
    Export fills ``engine``, ``torch_version``, ``larmlreco_version`` and ``sha256`` (of weights and code).
    """

    task: str
    detector: str
    dimension: int
    class_names: tuple[str, ...]
    features: tuple[Feature, ...]
    pixel_size: tuple[float, ...]
    pixel_units: tuple[str, ...]
    planes: tuple[str, ...] = ()
    threshold: float = 0.0
    rebin: int = 1
    network: Mapping[str, Json] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Json] = field(default_factory=dict)
    metrics: Mapping[str, Json] = field(default_factory=dict)
    engine: str = ""
    torch_version: str = ""
    larmlreco_version: str = ""
    sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        def demand(good: bool, key: str, expected: str) -> None:
            if not good:
                raise ConfigurationError(f"model card: {key} must be {expected}; got {getattr(self, key)!r}")

        demand(self.dimension in (2, 3), "dimension", "2 or 3")
        demand(self.rebin >= 1, "rebin", "at least 1")
        demand(len(self.features) > 0, "features", "at least one name and unit")
        demand(len(set(self.class_names)) == len(self.class_names), "class_names", "distinct")
        demand(len(self.pixel_size) == self.dimension, "pixel_size", f"{self.dimension} numbers")
        demand(all(size > 0 for size in self.pixel_size), "pixel_size", "above 0")
        demand(len(self.pixel_units) == self.dimension, "pixel_units", f"{self.dimension} units")

    def to_dict(self) -> dict[str, Json]:
        """The card as JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Json], where: str) -> "ModelCard":
        """Card from JSON values; ``where`` names their origin in messages.

        Raises ``InputError`` for a missing, unknown or mistyped key and for a format version of the future.
        """
        version = values.get("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise InputError(f"{where}: format version {version!r}; this larmlreco reads version {FORMAT_VERSION}")
        known = {f.name: f for f in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise InputError(f"{where}: unknown key {key!r} in the model card; {valid_choices(key, known)}")
        converted: dict[str, Json] = {}
        for key, what in known.items():
            if key in values:
                converted[key] = _typed(values[key], what.type, f"{where}: {key}")
            elif what.default is dataclasses.MISSING and what.default_factory is dataclasses.MISSING:
                raise InputError(f"{where}: the model card lacks {key!r}")
        try:
            return cls(**converted)
        except ConfigurationError as error:
            raise InputError(f"{where}: {error}") from error

    @classmethod
    def from_json(cls, text: str, where: str) -> "ModelCard":
        """Card from JSON text; raises as :meth:`from_dict`, and for text that is not a JSON object."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InputError(f"{where}: the model card is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"{where}: the model card must be a JSON object; got {type(values).__name__}")
        return cls.from_dict(values, where)


def _plain(value: Json) -> Json:
    if isinstance(value, Feature):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _typed(value: Json, kind: Any, where: str) -> Json:
    """The JSON value as the field's type: scalars, tuples of scalars or of features, mappings."""

    def demand(good: bool, expected: str) -> None:
        if not good:
            raise InputError(f"{where} in the model card must be {expected}; got {value!r}")

    if kind is str:
        demand(isinstance(value, str), "text")
        return value
    if kind is int:
        demand(isinstance(value, int) and not isinstance(value, bool), "an integer")
        return value
    if kind is float:
        demand(isinstance(value, int | float) and not isinstance(value, bool), "a number")
        return float(value)
    if kind == tuple[Feature, ...]:
        demand(isinstance(value, list | tuple), "a list of {name, unit}")
        for item in value:
            demand(isinstance(item, Mapping) and set(item) == {"name", "unit"}, "a list of {name, unit}")
        return tuple(Feature(str(item["name"]), str(item["unit"])) for item in value)
    if kind in (tuple[str, ...], tuple[float, ...]):
        demand(isinstance(value, list | tuple), "a list")
        return tuple(_typed(item, str if kind == tuple[str, ...] else float, where) for item in value)
    demand(isinstance(value, Mapping), "an object")
    return dict(value)
