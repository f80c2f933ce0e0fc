"""True partners of pixels on other planes (the slides of LArFlow).

The true partner of a pixel is the wire, on the other plane and in the same row, of the deposit that gave the pixel
most charge. It is unmatchable when that wire is dead or its charge lies below threshold there.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector, WirePlane
from larmlreco.products import Pixels, TrueSteps
from larmlreco.sites import rows_of
from larmlreco.truth.pixels import MINIMUM_ELECTRONS, pixel_pairs, plane_arrivals
from larmlreco.truth.spread import ChargeResponse

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PixelOrigin:
    """Where the charge of pixels (N,) comes from.

    ``deposit``: row of the true step that gave most of it, -1 where there is none or no more than noise; ties go to the
    lower row. ``electrons``: true charge in the pixel.
    """

    deposit: Int64
    electrons: Float64


def pixel_origin(
    pixels: Pixels, steps: TrueSteps, detector: Detector, response: ChargeResponse | None = None
) -> PixelOrigin:
    """Origin of the charge of the pixels of one plane; reads ``tpc``, ``plane`` and ``rebin`` of their meta.

    Pixels whose true charge in all is below :data:`~larmlreco.truth.pixels.MINIMUM_ELECTRONS` have no deposit.
    """
    plane = detector.plane(int(pixels.meta["tpc"]), int(pixels.meta["plane"]))
    arriving = plane_arrivals(steps, detector, plane, response)
    deposit = np.full(len(pixels), -1, dtype=np.int64)
    electrons = np.zeros(len(pixels))
    if not len(pixels) or not len(arriving.wire):
        return PixelOrigin(deposit, electrons)
    found = list(pixel_pairs(arriving, pixels.column, pixels.row, int(pixels.meta["rebin"])))
    pixel, source, charge = (np.concatenate(parts) for parts in zip(*found, strict=True))
    electrons = np.bincount(pixel, charge, len(pixels)).astype(np.float64)
    # A deposit reaches a pixel through one portion only: a wire is one portion, and a row one of its parts.
    order = np.lexsort((-source, charge, pixel))
    pixel, source = pixel[order], source[order]
    last = np.flatnonzero(np.diff(pixel, append=-1))
    deposit[pixel[last]] = source[last]
    deposit[electrons <= MINIMUM_ELECTRONS] = -1
    return PixelOrigin(deposit, electrons)


def true_wires(deposit: Int64, steps: TrueSteps, plane: WirePlane) -> Int64:
    """Wire of a plane (N,) nearest to deposits (N,), rows of ``steps``; -1 without one, or beyond the plane."""
    wire = np.full(len(deposit), -1, dtype=np.int64)
    known = deposit >= 0
    rows = deposit[known]
    wire[known] = plane.nearest_wire(steps.y[rows], steps.z[rows])
    return wire


def partners(wire: Int64, row: npt.ArrayLike, target: Pixels) -> Int64:
    """Row of the pixel of ``target``, an image ordered by column and row, on true wires (N,) in rows (N,).

    -1 where the partner is unmatchable: the wire is not known, it is dead, or its charge is below threshold.
    """
    key = target.column.astype(np.int64) << 32 | target.row
    wanted = wire << 32 | np.asarray(row, dtype=np.int64)
    return np.where(wire >= 0, rows_of(wanted, key), -1)
