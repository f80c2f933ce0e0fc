"""Products to sparse pixels and voxels and back, with links to hits, wires and samples."""

from larmlreco.images.dead import DeadChannelFinder, silent_channels
from larmlreco.images.pixels import (
    ImageSettings,
    PlaneImage,
    dead_channels,
    detector_of,
    hits_of_pixels,
    images_of_hits,
    images_of_wires,
    pixels_of_hits,
    readout_plane_of,
)

__all__ = [
    "DeadChannelFinder",
    "ImageSettings",
    "PlaneImage",
    "dead_channels",
    "detector_of",
    "hits_of_pixels",
    "images_of_hits",
    "images_of_wires",
    "pixels_of_hits",
    "readout_plane_of",
    "silent_channels",
]
