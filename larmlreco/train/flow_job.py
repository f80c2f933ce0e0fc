"""From the ``training`` table of a FHiCL file with ``task: "flow"`` to a training of LArFlow."""

from pathlib import Path
from typing import Any

import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.geometry import Detector, detector
from larmlreco.images.pixels import ImageSettings
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import Network
from larmlreco.reco.candidates import FEATURES, CandidateSettings
from larmlreco.reco.shifts import frame_of
from larmlreco.train.flow import CandidateObjective, FlowAugmentation, FlowObjective, FlowTrainer, flow_events
from larmlreco.train.flow_regression import ShiftObjective
from larmlreco.train.job import files_of
from larmlreco.train.parameters import LoopParameters, ModelParameters


class FlowDataParameters(ParameterSet):
    """Where the events come from."""

    training: list[str] = parameter(doc="files of simulated events to learn from; wildcards allowed")
    validation: list[str] = parameter(doc="files of other events, to choose the best weights by")
    cache: str = parameter("", doc="folder that keeps the events made of the files; empty: none")
    detector: str = parameter("microboone", doc="geometry of the events; one TPC")
    rebin: int = parameter(6, doc="samples summed into a row", unit="tick", minimum=1)
    threshold: float = parameter(10.0, doc="least charge of a pixel", unit="ADC")


class FlowCandidateParameters(ParameterSet):
    """What makes a candidate; the job that runs the archive needs the same tolerance."""

    tolerance: float = parameter(0.75, doc="largest distance of the third wire from a crossing", unit="pitch")
    row_limit: int = parameter(256, doc="most pixels of a row and plane", minimum=1)
    pair_limit: int = parameter(2_000_000, doc="most pairs of pixels in an event", minimum=1)


class FlowModelParameters(ModelParameters):
    """The network."""

    name: str = parameter(
        "larflow",
        doc="registered name, or package.module:Class: larflow scores candidates, larflow_regression shifts pixels",
    )
    params: dict[str, Any] = parameter({}, doc="arguments of the network")


class FlowAugmentationParameters(ParameterSet):
    """Changes of the events that leave their partners true."""

    flip_time: bool = parameter(True, doc="whether half of the events are mirrored in time")
    scale_sigma: float = parameter(0.1, doc="width of the log-normal factor on the charge", minimum=0)
    dead_probability: float = parameter(0.3, doc="part of the events that lose blocks of wires", minimum=0, maximum=1)
    dead_blocks: int = parameter(3, doc="most blocks that a plane loses", minimum=1)
    dead_width: int = parameter(40, doc="most wires in such a block", unit="wire", minimum=1)


class FlowTrainingParameters(LoopParameters):
    """The ``training`` table of LArFlow, beside ``task``."""

    data: FlowDataParameters = parameter(doc="where the events come from")
    candidates: FlowCandidateParameters = parameter({}, doc="what makes a candidate")
    model: FlowModelParameters = parameter({}, doc="the network")
    batch_size: int = parameter(2, doc="events in a batch", minimum=1)
    blur: float = parameter(0.7, doc="width of the target around the true wire", unit="wire", minimum=0.1)
    hard_weight: float = parameter(
        0.5, doc="a pixel with n candidates weighs 1 + this times log(n): more where tracks cross", minimum=0
    )
    matchable_weight: float = parameter(
        1.0, doc="weight of the loss of matchability (networks that shift pixels)", minimum=0
    )
    consistency_weight: float = parameter(
        0.1, doc="weight of the distance in space, in cm, between the two shifts of a pixel (the same)", minimum=0
    )
    augmentation: FlowAugmentationParameters = parameter({}, doc="changes of the events")


def make_flow_trainer(config: FlowTrainingParameters, device: torch.device) -> FlowTrainer:
    """Read the events and build network and trainer.

    Raises ``ConfigurationError`` or ``InputError`` before it trains.
    """
    data = config.data
    geometry = detector(data.detector)
    settings = ImageSettings(rebin=data.rebin, threshold=data.threshold)
    cache = Path(data.cache) if data.cache else None
    files = files_of(data.training, data.validation)
    events = {name: flow_events(paths, geometry, settings, cache) for name, paths in files.items()}
    params = dict(config.model.params)
    network = config.begin(config.model.network(params, config.seed))
    objective, inputs = _objective(config, geometry, network)
    card = ModelCard(
        task="flow",
        detector=data.detector,
        class_names=(),
        planes=tuple(plane.view for plane in geometry.planes),
        threshold=data.threshold,
        rebin=data.rebin,
        network={"name": config.model.name, "params": params},
        outputs=dict(network.meanings),
        training={
            "events": len(events["training"]),
            "validation_events": len(events["validation"]),
            "iterations": config.iterations,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "tolerance": config.candidates.tolerance,
        },
        **inputs,
    )
    return FlowTrainer(
        Checkpoint(Architecture(config.model.name, params), card),
        network,
        events["training"],
        events["validation"],
        config.plan(),
        FlowAugmentation(**dict(config.augmentation)),
        geometry,
        objective,
        Path(config.output),
        device,
    )


def _objective(
    config: FlowTrainingParameters, geometry: Detector, network: Network
) -> tuple[FlowObjective, dict[str, Any]]:
    """How a network learns, by its outputs, and what the card says of its input."""
    if "score" in network.meanings:
        voxel = 2 * geometry.planes[-1].pitch
        settings = CandidateSettings(**dict(config.candidates))
        return CandidateObjective(geometry, settings, config.blur, config.hard_weight), {
            "dimension": 3,
            "features": tuple(Feature(name, unit) for name, unit in FEATURES),
            "pixel_size": (float(config.data.rebin), voxel, voxel),
            "pixel_units": ("tick", "cm", "cm"),
        }
    if any(key.startswith("flow_") for key in network.meanings):
        return ShiftObjective(geometry, config.matchable_weight, config.consistency_weight), {
            "dimension": 2,
            "features": (Feature("adc", "ADC"),),
            "pixel_size": (frame_of(geometry.planes).unit, float(config.data.rebin)),
            "pixel_units": ("cm", "tick"),
        }
    raise ConfigurationError(
        f"training.model.name: the network {config.model.name!r} gives {', '.join(network.meanings)}; expected score, "
        "for candidates, or flow_<source>2<target>, for pixels"
    )
