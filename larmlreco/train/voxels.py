"""Labelled voxel images from files of events with voxels and their true labels, whatever their format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io import open_file
from larmlreco.io.reader import Reader
from larmlreco.labels import SCHEMES, map_labels
from larmlreco.products import InputTag, Product, ProductKey, TrueLabels, Voxels
from larmlreco.train.files import cached_images
from larmlreco.train.images import LabelledImage
from larmlreco.train.label_images import labels_at
from larmlreco.train.store import ImageStore


@dataclass(frozen=True)
class VoxelSource:
    """What to read of every file.

    ``voxels`` and ``truth``: labels (and processes) of the products; ``images``: part of a file's events to use of each
    of their instances, from its beginning; empty: the only instance, all events. ``pitch``: edge of a voxel in cm;
    ``scheme``: the classes to learn, into which the labels are mapped. ``label_image``: the scheme of labels that are
    an image of voxels too, whose values are the numbers of classes, as in LArCV2 files; "": they are ``TrueLabels``.
    ``clusters``: whether the images have the true clusters as groups.
    """

    voxels: InputTag = field(default=InputTag("voxels"))
    truth: InputTag = field(default=InputTag("truth"))
    images: Mapping[str, float] = field(default_factory=dict)
    pitch: float = 0.3
    scheme: str = "larmlreco"
    label_image: str = ""
    clusters: bool = False


def voxel_images(paths: Sequence[Path], source: VoxelSource, cache: Path | None = None) -> ImageStore:
    """Images of all events of the files.

    Coordinates are (x, y, z), the feature is the voxel's energy in MeV. What was made of a file is kept in the folder
    ``cache``.

    Raises ``InputError`` for a file that cannot be read, lacks voxels or truth, has voxels of another size, or labels
    outside their scheme or without a counterpart in the one to learn.
    """
    return cached_images(paths, lambda path: _images(path, source), str(source), cache)


def _images(path: Path, source: VoxelSource) -> Iterator[LabelledImage]:
    reader = open_file(path)
    try:
        parts = source.images or dict.fromkeys([_only_instance(reader, source.voxels)], 1.0)
        for instance, part in parts.items():
            voxels_key = _key(reader, Voxels, source.voxels, instance)
            truth_key = _key(reader, Voxels if source.label_image else TrueLabels, source.truth, instance)
            for entry in range(round(part * reader.n_events)):
                where = f"{path}, entry {entry}"
                voxels, truth = reader.read(entry, voxels_key), reader.read(entry, truth_key)
                if not isinstance(voxels, Voxels):
                    raise InputError(f"{where}: {voxels_key.branch} is missing from this event")
                if isinstance(truth, Voxels):
                    truth = _labels_of_image(voxels, truth, source.label_image, where)
                if not isinstance(truth, TrueLabels) or len(truth) != len(voxels):
                    raise InputError(f"{where}: the event has no true labels for its voxels ({truth_key.branch})")
                yield _image(voxels, truth, source, where)
    finally:
        reader.close()


def _image(voxels: Voxels, truth: TrueLabels, source: VoxelSource, where: str) -> LabelledImage:
    if not np.allclose(voxels.pitch, source.pitch, rtol=1e-4):
        raise InputError(
            f"{where}: its voxels measure {voxels.pitch[0]:g} cm, expected {source.pitch:g}; "
            "a network learns voxels of one size (voxel_size)"
        )
    coords = _index(voxels)
    labels = labels_in(truth, source.scheme, where)
    if source.clusters and len(truth) and not (truth.cluster >= 0).any():
        raise InputError(f"{where}: the true labels have no clusters, which this training needs")
    return LabelledImage(coords, voxels.energy[:, np.newaxis], labels, truth.cluster if source.clusters else None)


def _labels_of_image(voxels: Voxels, image: Voxels, scheme: str, where: str) -> TrueLabels:
    """Labels of voxels from an image of class numbers; voxels that it does not have have no label."""
    return TrueLabels(label=labels_at(_index(voxels), _index(image), image.energy, where), meta={"scheme": scheme})


def _index(voxels: Voxels) -> npt.NDArray[np.int32]:
    return np.column_stack([voxels.x, voxels.y, voxels.z])


def labels_in(truth: TrueLabels, scheme: str, where: str) -> npt.NDArray[np.int8]:
    """True labels (N,) in a scheme. Raises ``InputError`` for labels outside their own, or that cannot be mapped."""
    own = str(truth.meta.get("scheme", ""))
    if own not in SCHEMES:
        raise InputError(f"{where}: the labels are of an unknown scheme {own!r}; valid: {', '.join(SCHEMES)}")
    try:
        return map_labels(truth.label, own, scheme).astype(np.int8)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _only_instance(reader: Reader, tag: InputTag) -> str:
    found = sorted({key.instance for key in reader.keys("event") if key.type == "Voxels" and key.label == tag.label})
    if len(found) != 1:
        raise InputError(
            f"{reader.path} has {len(found)} images of voxels called {tag.label}; "
            f"expected one, or say which (images): {', '.join(found) or _there(reader)}"
        )
    return found[0]


def _key(reader: Reader, product: type[Product], tag: InputTag, instance: str) -> ProductKey:
    wanted = InputTag(tag.label, instance, tag.process)
    keys = [key for key in reader.keys("event") if key.matches(product.__name__, wanted)]
    if not keys:
        raise InputError(
            f"{reader.path} holds no {product.__name__} {wanted}; training needs voxels and their true labels; "
            f"there: {_there(reader)}"
        )
    return keys[-1]


def _there(reader: Reader) -> str:
    return ", ".join(key.branch for key in reader.keys("event")) or "nothing"
