"""From the ``training`` table of a FHiCL file to a training that can run."""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError, valid_choices
from larmlreco.framework.parameters import Origin, ParameterSet, parameter
from larmlreco.geometry import detector
from larmlreco.images.pixels import ImageSettings
from larmlreco.labels import SCHEMES, SEMANTIC_NAMES
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.products import InputTag
from larmlreco.train.augment import Augmentation
from larmlreco.train.label_images import PixelSource, pixel_images
from larmlreco.train.parameters import LoopParameters, ModelParameters
from larmlreco.train.particles import PARTICLE_NAMES, particle_images
from larmlreco.train.planes import plane_images
from larmlreco.train.precision import PRECISIONS
from larmlreco.train.processes import Processes
from larmlreco.train.semantic import Trainer, inverse_frequency
from larmlreco.train.store import ImageStore
from larmlreco.train.voxels import VoxelSource, voxel_images

VOXEL_DETECTOR = "liquid_argon"
"""What the card of a network for voxels names as its detector: any volume of the same voxels."""

WEIGHTINGS = ("class_weights", "inverse_frequency", "images", "particles")
"""What weighs the pixels in the loss."""

HEADS: Mapping[str, str] = MappingProxyType(
    {"semantic_segmentation": "semantic", "particle_classification": "particle"}
)
"""Output of the network that a task learns."""

_DATA = "training.data"


class DataParameters(ParameterSet):
    """Where the images come from."""

    dimension: int = parameter(2, doc="axes of the images; 3 has parameters of its own", choices=(2,))
    training: list[str] = parameter(doc="files of simulated events to learn from; wildcards allowed")
    validation: list[str] = parameter(doc="files of other events, to choose the best weights by")
    cache: str = parameter("", doc="folder that keeps the images made of the files; empty: none")
    detector: str = parameter("microboone", doc="geometry of the events")
    views: list[str] = parameter(["U", "V", "Y"], doc="views whose planes are learned; with images, their instances")
    rebin: int = parameter(6, doc="samples summed into a row", unit="tick", minimum=1)
    threshold: float = parameter(10.0, doc="least charge of a pixel", unit="ADC")
    images: InputTag | None = parameter(
        None, doc="images (Pixels) that the files hold, as those of LArCV2; @nil: they are made of wires and truth"
    )
    label_image: InputTag = parameter("segment", doc="with images: images of their labels (Pixels)")
    label_classes: list[str] = parameter(
        [], doc='with images: class of the value 1, 2, ... of a label; 0 and "": no label; empty: those of scheme'
    )
    scheme: str = parameter("larmlreco", doc="with images: classes to learn", choices=tuple(SCHEMES))

    def source(self) -> PixelSource | None:
        """What to read of files that hold images with labels. Raises ``ConfigurationError`` for an unknown class."""
        names = SCHEMES[self.scheme]
        for name in self.label_classes:
            if name and name not in names:
                valid = valid_choices(name, names)
                raise ConfigurationError(
                    f"{_DATA}.label_classes: the scheme {self.scheme} has no class {name!r}; {valid}"
                )
        if self.images is None:
            return None
        numbers = {name: number for number, name in enumerate(names)}
        classes = tuple(numbers.get(name, -1) for name in self.label_classes or names)
        return PixelSource(self.images, self.label_image, tuple(self.views), self.threshold, classes)


class VoxelDataParameters(ParameterSet):
    """Where the images of voxels come from (``dimension: 3``)."""

    dimension: int = parameter(3, doc="axes of the images", choices=(3,))
    training: list[str] = parameter(doc="files of events to learn from; wildcards allowed")
    validation: list[str] = parameter(doc="files of other events, to choose the best weights by")
    cache: str = parameter("", doc="folder that keeps the images made of the files; empty: none")
    voxels: InputTag = parameter("voxels", doc="images (Voxels)")
    truth: InputTag = parameter("truth", doc="their true labels (TrueLabels), of the same instances")
    images: dict[str, float] = parameter(
        {}, doc="instances to learn, and the part of each file's events to use of it; empty: the only one, all events"
    )
    validation_images: dict[str, float] = parameter({}, doc="the same for validation; empty: as for training")
    voxel_size: float = parameter(0.3, doc="edge of a voxel", unit="cm", minimum=1e-3)
    detector: str = parameter(
        VOXEL_DETECTOR, doc="whose voxels they are, for the card; those of true deposits are of any detector"
    )
    scheme: str = parameter(
        "larmlreco", doc="classes to learn; labels of other schemes are mapped", choices=tuple(SCHEMES)
    )
    label_image: str = parameter(
        "",
        doc="scheme of labels that are an image of voxels with class numbers (LArCV2); empty: they are TrueLabels",
        choices=("", *SCHEMES),
    )

    def source(self, name: str) -> VoxelSource:
        """What to read of the files for training or for validation."""
        images = self.validation_images if name == "validation" and self.validation_images else self.images
        return VoxelSource(self.voxels, self.truth, images, self.voxel_size, self.scheme, self.label_image)


class AugmentationParameters(ParameterSet):
    """Changes of the images that leave their labels true."""

    flip_axes: list[int] = parameter(
        [0, 1], doc="axes that are mirrored in half of the images: 0 wire, 1 time; of voxels 0 x, 1 y, 2 z"
    )
    permute_axes: bool = parameter(False, doc="whether the axes change places; for voxels, where all axes are alike")
    scale_sigma: float = parameter(0.0, doc="width of the log-normal factor on the charge", minimum=0)
    dead_probability: float = parameter(0.0, doc="part of the images that lose blocks of wires", minimum=0, maximum=1)
    dead_blocks: int = parameter(3, doc="most blocks that an image loses", minimum=1)
    dead_width: int = parameter(20, doc="most wires in such a block", unit="wire", minimum=1)


class TrainingParameters(LoopParameters):
    """The ``training`` table."""

    note: str = parameter("", doc="what the card says of the training data, for example what they leave out")
    data: dict[str, Any] = parameter(doc="where the images come from: DataParameters, or VoxelDataParameters")
    model: ModelParameters = parameter({}, doc="the network")
    class_weights: list[float] = parameter([], doc="weight of each class in the loss; empty: all 1")
    weighting: str = parameter(
        "class_weights",
        doc="weights in the loss: class_weights; inverse_frequency: all classes weigh the same; images: all images "
        "do, however many pixels they have; particles: the vertex and every particle of an image do (SSNet's pixel "
        "weights without its background; planes)",
        choices=WEIGHTINGS,
    )
    augmentation: AugmentationParameters = parameter({}, doc="changes of the images")
    precision: str = parameter("float32", doc="arithmetic of the products; float16 on a GPU only", choices=PRECISIONS)
    tensorboard: bool = parameter(False, doc="whether to log for TensorBoard too (extra tensorboard)")


@dataclass(frozen=True)
class ImageData:
    """The images of a training and what the card says of them."""

    images: Mapping[str, ImageStore]
    dimension: int
    class_names: tuple[str, ...]
    card: Mapping[str, Any]


def make_trainer(
    config: TrainingParameters,
    device: torch.device,
    origin: Origin = lambda _: None,
    task: str = "semantic_segmentation",
) -> Trainer:
    """Read the data and build network and trainer. Raises ``ConfigurationError`` or ``InputError`` before it trains.

    ``origin`` tells where the keys of the table were written; ``task`` is a key of :data:`HEADS`.
    """
    with Processes(device).first_before_others():
        data = image_data(config.data, origin, task, config.weighting == "particles")
    images = data.images
    if config.weighting == "images":
        images = {name: store.in_one_group() for name, store in images.items()}
    params = {"dimension": data.dimension, "classes": len(data.class_names), **config.model.params}
    network = config.begin(config.model.network(params, config.seed))
    class_weights = _class_weights(config, data)
    card = ModelCard(
        task=task,
        dimension=data.dimension,
        class_names=data.class_names,
        network={"name": config.model.name, "params": params},
        outputs=dict(network.meanings),
        training={
            "images": len(data.images["training"]),
            "validation_images": len(data.images["validation"]),
            "iterations": config.iterations,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "class_weights": list(class_weights),
            "weighting": config.weighting,
            "note": config.note,
        },
        **data.card,
    )
    plan = config.plan(class_weights=class_weights, precision=config.precision, tensorboard=config.tensorboard)
    augmentation = dict(config.augmentation)
    return Trainer(
        Checkpoint(Architecture(config.model.name, params), card),
        network,
        images["training"],
        images["validation"],
        plan,
        Augmentation(**{**augmentation, "flip_axes": tuple(config.augmentation.flip_axes)}),
        data.class_names,
        Path(config.output),
        device,
        HEADS[task],
    )


def _class_weights(config: TrainingParameters, data: ImageData) -> tuple[float, ...]:
    if config.weighting == "class_weights":
        return tuple(config.class_weights)
    if config.class_weights:
        raise ConfigurationError(
            f"training.class_weights: weights are given, and training.weighting asks for {config.weighting}; "
            "expected one of them"
        )
    if config.weighting in ("images", "particles"):
        return ()
    return inverse_frequency(data.images["training"].labels, len(data.class_names))


def image_data(table: Mapping[str, Any], origin: Origin, task: str, groups: bool = False) -> ImageData:
    """The images that the table ``training.data`` describes (:class:`DataParameters`, :class:`VoxelDataParameters`).

    ``groups``: whether they have those of SSNet's weights. Raises ``ConfigurationError`` or ``InputError``.
    """
    owner = "larmlreco train"
    dimension = table.get("dimension", 2)
    if dimension not in (2, 3):
        raise ConfigurationError(
            f"{_DATA}.dimension: {owner} does not know {dimension!r}; valid: 2 (planes), 3 (voxels)"
        )
    if dimension == 3 and (groups or task == "particle_classification"):
        asked = "training.weighting: particles" if groups else f"training.task: {task}"
        raise ConfigurationError(f"{asked} is for images of wire planes; {_DATA}.dimension is 3")
    if dimension == 3:
        voxels = VoxelDataParameters.parse(table, _DATA, owner, origin)
        files = files_of(voxels.training, voxels.validation)
        cache = Path(voxels.cache) if voxels.cache else None
        return ImageData(
            {name: voxel_images(paths, voxels.source(name), cache) for name, paths in files.items()},
            3,
            SCHEMES[voxels.scheme],
            {
                "detector": voxels.detector,
                "features": (Feature("energy", "MeV"),),
                "pixel_size": (voxels.voxel_size,) * 3,
                "pixel_units": ("cm",) * 3,
            },
        )
    planes = DataParameters.parse(table, _DATA, owner, origin)
    files = files_of(planes.training, planes.validation)
    cache = Path(planes.cache) if planes.cache else None
    names, read = _plane_reader(planes, task, groups)
    return ImageData(
        {name: read(paths, cache) for name, paths in files.items()},
        2,
        names,
        {
            "detector": planes.detector,
            "planes": tuple(planes.views),
            "features": (Feature("adc", "ADC"),),
            "pixel_size": (1.0, float(planes.rebin)),
            "pixel_units": ("wire", "tick"),
            "threshold": planes.threshold,
            "rebin": planes.rebin,
        },
    )


def _plane_reader(
    planes: DataParameters, task: str, groups: bool
) -> tuple[tuple[str, ...], Callable[[Sequence[Path], Path | None], ImageStore]]:
    """Class names, and what makes the images of files."""
    source, particles = planes.source(), task == "particle_classification"
    if source is not None and not particles:
        if groups:
            raise ConfigurationError(f"training.weighting: particles needs true steps; {_DATA}.images has labels alone")
        return SCHEMES[planes.scheme], lambda paths, cache: pixel_images(paths, source, cache)
    geometry = detector(planes.detector)
    settings = ImageSettings(rebin=planes.rebin, threshold=planes.threshold)
    if particles:
        return PARTICLE_NAMES, lambda paths, cache: particle_images(paths, geometry, planes.views, settings, cache)
    if planes.scheme != "larmlreco":
        raise ConfigurationError(f"{_DATA}.scheme: {planes.scheme} is for files that hold images of labels (images)")
    return SEMANTIC_NAMES, lambda paths, cache: plane_images(paths, geometry, planes.views, settings, cache, groups)


def files_of(training: list[str], validation: list[str]) -> dict[str, list[Path]]:
    """Files of patterns, by data set. Raises ``InputError`` for a pattern that matches none, ``ConfigurationError``
    where a file is in both.
    """
    files = {"training": _expanded(training, "training"), "validation": _expanded(validation, "validation")}
    shared = set(files["training"]) & set(files["validation"])
    if shared:
        raise ConfigurationError(f"training.data: {min(shared)} is both in training and in validation")
    return files


def _expanded(patterns: list[str], name: str) -> list[Path]:
    paths: list[Path] = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns, which Path.glob refuses
        if not found:
            raise InputError(f"training.data.{name}: no file matches {pattern!r}")
        paths += map(Path, found)
    return paths
