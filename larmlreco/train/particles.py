"""Images of single particles, labelled by what the particle is: for learning to tell particles apart.

SSNet's encoder first learned this on such images (PRD 99 092001, IV), and its weights were the beginning of the
training of the segmentation.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from larmlreco.errors import InputError
from larmlreco.geometry import Detector, ReadoutPlane
from larmlreco.images.pixels import ImageSettings, images_of_wires
from larmlreco.io import open_file
from larmlreco.io.reader import Reader
from larmlreco.products import Pixels, TrueParticles, Wires
from larmlreco.train.files import cached_images, only_key
from larmlreco.train.images import LabelledImage
from larmlreco.train.store import ImageStore

PARTICLE_NAMES = ("electron", "photon", "muon", "pion", "proton")
"""Classes of particles, in order."""

_NUMBER_OF_PDG = {11: 0, 22: 1, 13: 2, 211: 3, 2212: 4}


def particle_images(
    paths: Sequence[Path],
    detector: Detector,
    views: Sequence[str],
    settings: ImageSettings,
    cache: Path | None = None,
) -> ImageStore:
    """Images of the planes with these views, or all images of LArCV2 files, of events with one primary particle.

    Every pixel has the number of the particle in :data:`PARTICLE_NAMES` as its label. What was made of a file is kept
    in the folder ``cache``.

    Raises ``InputError`` for a file that cannot be read, lacks images or true particles, or has an event whose
    primaries are not one particle of these kinds.
    """
    planes = [plane for plane in detector.readout_planes if plane.view in views]
    facts = f"particles {detector.name} {','.join(plane.name for plane in planes)} {settings}"
    return cached_images(paths, lambda path: _images(path, detector, planes, settings), facts, cache)


def _images(
    path: Path, detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings
) -> Iterator[LabelledImage]:
    reader = open_file(str(path))
    try:
        particles_key = only_key(reader, TrueParticles)
        if particles_key is None:
            there = ", ".join(key.branch for key in reader.keys("event"))
            raise InputError(f"{path} holds no TrueParticles; training needs images and truth; there: {there}")
        for entry in range(reader.n_events):
            particles = reader.read(entry, particles_key)
            if not isinstance(particles, TrueParticles):
                raise InputError(f"{path}, entry {entry}: the true particles are missing from this event")
            label = particle_number(particles, f"{path}, entry {entry}")
            for pixels in _pixels(reader, entry, detector, planes, settings):
                coords = np.column_stack([pixels.column, pixels.row])
                yield LabelledImage(coords, pixels.adc[:, np.newaxis], np.full(len(pixels), label, dtype=np.int8))
    finally:
        reader.close()


def particle_number(particles: TrueParticles, where: str) -> int:
    """Number of the only primary that is no cosmic muon; ``where`` names the event in the ``InputError``."""
    primary = (particles.parent == 0) & (particles.cosmic == 0)
    codes = particles.pdg[primary].tolist()
    if len(codes) != 1 or abs(codes[0]) not in _NUMBER_OF_PDG:
        raise InputError(
            f"{where}: expected one primary particle, of the PDG codes {', '.join(map(str, _NUMBER_OF_PDG))} or their "
            f"opposites; got {', '.join(map(str, codes)) or 'none'}"
        )
    return _NUMBER_OF_PDG[abs(codes[0])]


def _pixels(
    reader: Reader, entry: int, detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings
) -> list[Pixels]:
    wires_key = only_key(reader, Wires)
    if wires_key is not None:
        wires = reader.read(entry, wires_key)
        if not isinstance(wires, Wires):
            raise InputError(f"{reader.path}, entry {entry}: the wires are missing from this event")
        return [image.pixels for image in images_of_wires(wires, detector, planes, settings).values()]
    products = [reader.read(entry, key) for key in reader.keys("event") if key.type == "Pixels"]
    if not products:
        raise InputError(f"{reader.path} holds neither Wires nor Pixels; training needs images")
    return [product for product in products if isinstance(product, Pixels)]
