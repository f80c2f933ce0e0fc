"""Charge that a network fills into dead regions, and the regions."""

from dataclasses import dataclass

from larmlreco.products.base import Float32, Int32, Product, array_field

_AXES = ("x", "y", "z")


@dataclass(frozen=True, eq=False, kw_only=True)
class InfilledPixels(Product):
    """Sites on dead wires of a plane that may hold charge, ordered by column, then row.

    The ``Assns`` of the same label and instance lead from those with at least ``meta['threshold']`` to their rows in
    the image that the maker puts, in which they are marked (``Pixels.infilled``). ``meta``: ``image`` (branch of the
    measured image), ``merged`` (branch of the image with both), ``threshold``, ``min_probability`` (less probable sites
    are not kept), ``n_measured``, ``n_infilled``, ``n_candidates``, ``limited`` (whether candidates were left out),
    ``model``, ``model_sha256``.
    """

    tpc: Int32 = array_field("i4", "TPC")
    plane: Int32 = array_field("i4", "plane in the TPC: 0 first induction, 1 second, 2 collection")
    column: Int32 = array_field("i4", "wire on the plane, or channel of a wrapped plane", unit="wire")
    row: Int32 = array_field("i4", "time bin of the image")
    adc: Float32 = array_field("f4", "charge that the site holds if it is active", unit="ADC")
    probability: Float32 = array_field("f4", "probability that the site is active, 0 to 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class InfilledVoxels(Product):
    """Voxels in dead regions that may hold energy, ordered by x, y, z; links and ``meta`` as of ``InfilledPixels``."""

    x: Int32 = array_field("i4", "index along x (drift)")
    y: Int32 = array_field("i4", "index along y (up)")
    z: Int32 = array_field("i4", "index along z (beam)")
    energy: Float32 = array_field("f4", "energy that the voxel holds if it is active", unit="MeV")
    probability: Float32 = array_field("f4", "probability that the voxel is active, 0 to 1")
    origin: Float32 = array_field("f4", "corner of voxel (0, 0, 0), one row", unit="cm", rows="image", parts=_AXES)
    pitch: Float32 = array_field("f4", "edge of a voxel, one row", unit="cm", rows="image")


@dataclass(frozen=True, eq=False, kw_only=True)
class DeadRegions(Product):
    """Boxes in which nothing is seen; a voxel is dead whose middle lies in one."""

    low: Float32 = array_field("f4", "lower corner", unit="cm", parts=_AXES)
    high: Float32 = array_field("f4", "upper corner", unit="cm", parts=_AXES)
