"""Labels that files hold as images of class numbers beside the images of charge, as those of LArCV2 do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.io import open_file
from larmlreco.io.reader import Reader
from larmlreco.products import InputTag, Pixels, ProductKey
from larmlreco.train.files import cached_images
from larmlreco.train.images import LabelledImage
from larmlreco.train.store import ImageStore


@dataclass(frozen=True)
class PixelSource:
    """What to read of every file: images of planes and images of their labels.

    ``images`` and ``labels``: labels (and processes) of the products; ``views``: their instances, one a plane;
    ``threshold``: pixels with less charge are left out; ``classes``: number of the class of the values 1, 2, ... of
    the images of labels (their 0 is no label), -1 for those without a class.
    """

    images: InputTag
    labels: InputTag
    views: tuple[str, ...]
    threshold: float
    classes: tuple[int, ...]


def pixel_images(paths: Sequence[Path], source: PixelSource, cache: Path | None = None) -> ImageStore:
    """Images of all events of the files, plane by plane.

    Coordinates are (column, row), the feature is the pixel's charge. What was made of a file is kept in the folder
    ``cache``. Raises ``InputError`` for a file that cannot be read or lacks images or labels, images of labels of
    another size, and values that are no class.
    """
    return cached_images(paths, lambda path: _images(path, source), str(source), cache)


def labels_at(
    coords: npt.NDArray[np.integer[Any]],
    labelled: npt.NDArray[np.integer[Any]],
    values: npt.NDArray[np.floating[Any]],
    where: str,
) -> npt.NDArray[np.int32]:
    """Class numbers (N,) at ``coords`` (N, D) from an image with ``values`` (M,) at ``labelled`` (M, D); -1: no value.

    Raises ``InputError``, naming the event with ``where``, for values that are no whole numbers.
    """
    numbers = np.rint(values).astype(np.int32)
    if not np.array_equal(numbers, values):
        raise InputError(f"{where}: the image of labels holds values that are no class numbers")
    _, place = np.unique(np.concatenate([coords, labelled]), axis=0, return_inverse=True)
    found = np.full(len(coords) + len(labelled), -1, dtype=np.int32)
    found[place[len(coords) :]] = numbers
    return found[place[: len(coords)]]


def _images(path: Path, source: PixelSource) -> Iterator[LabelledImage]:
    reader = open_file(str(path))
    try:
        keys = {view: [_key(reader, tag, view) for tag in (source.images, source.labels)] for view in source.views}
        for entry in range(reader.n_events):
            for view, (images_key, labels_key) in keys.items():
                where = f"{path}, entry {entry}, {view}"
                yield _image(reader.read(entry, images_key), reader.read(entry, labels_key), source, where)
    finally:
        reader.close()


def _image(pixels: object, truth: object, source: PixelSource, where: str) -> LabelledImage:
    if not isinstance(pixels, Pixels) or not isinstance(truth, Pixels):
        raise InputError(f"{where}: the image or its labels are missing from this event")
    sizes = [tuple(image.meta.get(axis) for axis in ("n_columns", "n_rows")) for image in (pixels, truth)]
    if sizes[0] != sizes[1]:
        raise InputError(f"{where}: the image has {sizes[0]} columns and rows, that of its labels {sizes[1]}")
    kept = pixels.adc >= source.threshold
    coords = np.column_stack([pixels.column, pixels.row])[kept]
    value = labels_at(coords, np.column_stack([truth.column, truth.row]), truth.adc, where)
    if len(value) and (value.max() > len(source.classes) or value.min() < -1):
        wrong = int(value.max() if value.max() > len(source.classes) else value.min())
        raise InputError(
            f"{where}: the image of labels holds the value {wrong}; expected 0 (no label) to {len(source.classes)} "
            "(label_classes)"
        )
    classes = np.array([-1, *source.classes], dtype=np.int8)
    return LabelledImage(coords, pixels.adc[kept, np.newaxis], classes[np.maximum(value, 0)])


def _key(reader: Reader, tag: InputTag, view: str) -> ProductKey:
    wanted = InputTag(tag.label, view, tag.process)
    keys = [key for key in reader.keys("event") if key.matches("Pixels", wanted)]
    if not keys:
        there = ", ".join(key.branch for key in reader.keys("event")) or "nothing"
        raise InputError(
            f"{reader.path} holds no Pixels {wanted}; training needs images and images of their labels; there: {there}"
        )
    return keys[-1]
