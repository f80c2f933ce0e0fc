"""Labelled wire-plane images from files of simulated events."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from larmlreco.errors import InputError
from larmlreco.geometry import Detector, ReadoutPlane
from larmlreco.images.pixels import ImageSettings, dead_channels, images_of_wires
from larmlreco.io import open_file
from larmlreco.products import ChannelStatus, Product, TrueParticles, TrueSteps, Wires
from larmlreco.train.files import cached_images, only_key
from larmlreco.train.groups import pixel_groups
from larmlreco.train.images import LabelledImage
from larmlreco.train.store import ImageStore
from larmlreco.truth.pixels import pixel_labels

NEEDED: tuple[type[Product], ...] = (Wires, TrueSteps, TrueParticles)


def plane_images(
    paths: Sequence[Path],
    detector: Detector,
    views: Sequence[str],
    settings: ImageSettings,
    cache: Path | None = None,
    groups: bool = False,
) -> ImageStore:
    """Images of the planes with these views of all events of the files, five-class labels by truth.

    Coordinates are (wire, row), the feature is the pixel's charge in ADC; with ``groups`` the pixels have those of
    :mod:`larmlreco.train.groups`. What was made of a file is kept in the folder ``cache``, under a name that changes
    with the file, the detector and the settings.

    Raises ``InputError`` for a file that cannot be read or lacks wires or truth.
    """
    planes = [plane for plane in detector.readout_planes if plane.view in views]
    names = ",".join(plane.name for plane in planes)
    facts = f"{detector.name} {names} {settings}{' groups' if groups else ''} numbered"
    return cached_images(paths, lambda path: _images(path, detector, planes, settings, groups), facts, cache)


def _images(
    path: Path, detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings, groups: bool
) -> Iterator[LabelledImage]:
    reader = open_file(str(path))
    try:
        keys = {product: only_key(reader, product) for product in (*NEEDED, ChannelStatus)}
        for product in NEEDED:
            if keys[product] is None:
                there = ", ".join(key.branch for key in reader.keys("event"))
                raise InputError(f"{path} holds no {product.__name__}; training needs wires and truth; there: {there}")
        for entry in range(reader.n_events):
            got = {product: reader.read(entry, key) for product, key in keys.items() if key is not None}
            wires, steps, particles = got[Wires], got[TrueSteps], got[TrueParticles]
            if not (isinstance(wires, Wires) and isinstance(steps, TrueSteps) and isinstance(particles, TrueParticles)):
                raise InputError(f"{path}, entry {entry}: wires or truth are missing from this event")
            status = got.get(ChannelStatus)
            dead = dead_channels(status) if isinstance(status, ChannelStatus) else ()
            made = images_of_wires(
                wires, detector, planes, ImageSettings(settings.rebin, settings.threshold, settings.n_samples, dead)
            )
            for plane in planes:
                pixels = made[plane.name].pixels
                yield LabelledImage(
                    np.column_stack([pixels.column, pixels.row]),
                    pixels.adc[:, np.newaxis],
                    pixel_labels(pixels, steps, particles, detector).astype(np.int8),
                    pixel_groups(pixels, steps, particles, detector) if groups else None,
                    event=entry,
                    plane=detector.readout_planes.index(plane),
                )
    finally:
        reader.close()
