"""From the ``training`` table of a FHiCL file with ``task: "infill"`` to a training of infill."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.framework.parameters import Origin, ParameterSet, parameter
from larmlreco.geometry import detector
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.reco.infill import CandidateSettings
from larmlreco.reco.infill_crossings import other_planes
from larmlreco.train.augment import Augmentation
from larmlreco.train.dead_regions import RegionSettings
from larmlreco.train.infill import InfillTrainer
from larmlreco.train.infill_losses import INFILL_LOSSES, InfillLoss
from larmlreco.train.job import AugmentationParameters, DataParameters, ImageData, image_data
from larmlreco.train.parameters import LoopParameters, ModelParameters
from larmlreco.train.processes import Processes

TASK = "infill"

_UNITS = {
    "is_candidate": "flag",
    **dict.fromkeys(("crossing", "overlap", "explained_less", "explained_more"), "ratio"),
    **dict.fromkeys(("crossings", "choices_less", "choices_more"), "log10(1 + count)"),
    "crossing_charge": "log10(1 + ADC)",
}
"""Units of features; lengths are in sites."""

NARROW = 3.0
"""Widest gap, in cm, of the figures for narrow gaps."""


class InfillModelParameters(ModelParameters):
    """The network."""

    name: str = parameter("infill_uresnet", doc="registered name, or package.module:Class")
    params: dict[str, Any] = parameter({}, doc="arguments of the network beside dimension")


class InfillLossParameters(ParameterSet):
    """The loss."""

    kind: str = parameter(
        "cross_entropy", doc="published: squared errors with learnable weights (LArDRIP)", choices=INFILL_LOSSES
    )
    energy_weight: float = parameter(1.0, doc="weight of the error of the energy", minimum=0)


class RegionParameters(ParameterSet):
    """The dead regions that are made in the images."""

    least: int = parameter(1, doc="least regions in an image", minimum=1)
    most: int = parameter(3, doc="most regions in an image", minimum=1)
    most_width: int = parameter(12, doc="widest region, in wires or voxels; narrow ones are more frequent", minimum=1)


class CandidateParameters(ParameterSet):
    """What makes a candidate, see :class:`larmlreco.reco.infill.CandidateSettings`; lengths are in sites."""

    reach: int = parameter(40, doc="longest line between charge on both sides that points at it", minimum=0)
    limit: int = parameter(100_000, doc="most candidates of an image", minimum=1)
    value: str = parameter(
        "zero", doc="charge that a candidate shows to the network", choices=("zero", "random", "minus_one")
    )
    halo: int = parameter(2, doc="distance from charge at a border", minimum=0)
    width: int = parameter(1, doc="distance from a line or a cone", minimum=0)
    extension: int = parameter(10, doc="length of the cones that continue charge", minimum=0)
    opening: int = parameter(1, doc="how far these have opened at their end", minimum=0)
    partners: int = parameter(3, doc="nearest partners to which lines lead whatever the direction", minimum=0)
    partner_reach: int = parameter(16, doc="longest of these lines", minimum=0)
    pair_limit: int = parameter(10_000, doc="most lines of an image, the shortest", minimum=1)
    lines: bool = parameter(False, doc="the network also gets the lengths in candidates of lines fitted to charge")
    crossings: bool = parameter(
        False, doc="planes: the network also gets, and takes as candidates, where pixels of the other planes cross"
    )


class InfillTrainingParameters(LoopParameters):
    """The ``training`` table of infill, beside ``task``."""

    note: str = parameter("", doc="what the card says of the training data")
    data: dict[str, Any] = parameter(doc="where the images come from: DataParameters, or VoxelDataParameters")
    regions: RegionParameters = parameter({}, doc="the dead regions")
    candidates: CandidateParameters = parameter({}, doc="what makes a candidate")
    model: InfillModelParameters = parameter({}, doc="the network")
    loss: InfillLossParameters = parameter({}, doc="the loss")
    batch_size: int = parameter(4, doc="images in a batch", minimum=1)
    threshold: float = parameter(
        0.0,
        doc="least probability of a found site, for the figures and on the card; 0: as many are found as are hidden in "
        "narrow gaps",
        minimum=0,
        maximum=1,
    )
    augmentation: AugmentationParameters = parameter({}, doc="changes of the images")


def make_infill_trainer(
    config: InfillTrainingParameters, device: torch.device, origin: Origin = lambda _: None
) -> InfillTrainer:
    """Read the data and build network and trainer. Raises ``ConfigurationError`` or ``InputError`` before it trains.

    ``origin`` tells where the keys of the table were written.
    """
    candidates = CandidateSettings(**dict(config.candidates))
    if candidates.crossings:
        _check_crossings(config, origin)
    with Processes(device).first_before_others():
        data = image_data(config.data, origin, TASK)
    params: Mapping[str, Any] = {
        "dimension": data.dimension,
        "in_channels": len(candidates.features),
        **config.model.params,
    }
    network = config.begin(config.model.network(params, config.seed))
    unit = float(getattr(network, "energy_unit", 1.0))
    loss = InfillLoss(config.loss.kind, config.loss.energy_weight, unit)
    card = ModelCard(
        task=TASK,
        dimension=data.dimension,
        class_names=(),
        network={"name": config.model.name, "params": params},
        outputs=dict(network.meanings),
        training={
            "images": len(data.images["training"]),
            "validation_images": len(data.images["validation"]),
            "iterations": config.iterations,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "loss": dict(config.loss),
            "regions": dict(config.regions),
            "candidates": dict(config.candidates),
            "note": config.note,
        },
        **{**data.card, "features": (*data.card["features"], *map(_feature, candidates.features[1:]))},
    )
    return InfillTrainer(
        Checkpoint(Architecture(config.model.name, params), card),
        network,
        data.images["training"],
        data.images["validation"],
        config.plan(),
        Augmentation(**{**dict(config.augmentation), "flip_axes": tuple(config.augmentation.flip_axes)}),
        RegionSettings(**dict(config.regions)),
        candidates,
        loss,
        int(NARROW / _pitch(data) + 1e-6),
        Path(config.output),
        device,
        config.threshold,
        detector(data.card["detector"]) if candidates.crossings else None,
    )


def _check_crossings(config: InfillTrainingParameters, origin: Origin) -> None:
    """Raise ``ConfigurationError`` where a training with crossings lacks planes, or would lose pixels of them."""
    what = "training.candidates.crossings: needs the planes of an event together, from files with wires and truth"
    if config.data.get("dimension") == 3:
        raise ConfigurationError(f"{what}; training.data.dimension is 3, voxels")
    data = DataParameters.parse(config.data, "training.data", "larmlreco train", origin)
    if data.images is not None:
        raise ConfigurationError(f"{what}; training.data.images says that the files hold images")
    geometry = detector(data.detector)
    learned = [plane for plane in geometry.readout_planes if plane.view in data.views]
    missing = {other.view for plane in learned for other in other_planes(geometry, plane)} - set(data.views)
    if missing:
        raise ConfigurationError(f"{what}; training.data.views lacks {', '.join(sorted(missing))}")
    if config.augmentation.dead_probability:
        raise ConfigurationError(
            "training.augmentation.dead_probability: with crossings training.regions hides wires; expected 0"
        )


def _feature(name: str) -> Feature:
    return Feature(name, _UNITS.get(name, "site"))


def _pitch(data: ImageData) -> float:
    """The widest pitch of wires, or the edge of a voxel, in cm."""
    if data.dimension == 3:
        return float(data.card["pixel_size"][0])
    planes = detector(data.card["detector"]).planes
    return max(plane.pitch for plane in planes if plane.view in data.card["planes"])
