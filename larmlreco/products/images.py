"""Sparse images: active pixels of a wire plane, active voxels of a volume."""

from dataclasses import dataclass

from larmlreco.products.base import Float32, Int32, Product, array_field


@dataclass(frozen=True, eq=False, kw_only=True)
class Pixels(Product):
    """Active pixels of one plane, ordered by column, then row; those that were filled in come after all measured ones.

    ``meta``: ``detector``, ``tpc``, ``plane``, ``view``, ``rebin`` (samples a row), ``threshold`` (ADC),
    ``n_columns``, ``n_rows``. Row r holds the samples [r * rebin, (r + 1) * rebin).
    """

    tpc: Int32 = array_field("i4", "TPC")
    plane: Int32 = array_field("i4", "plane in the TPC: 0 first induction, 1 second, 2 collection")
    column: Int32 = array_field("i4", "wire on the plane, or channel of a wrapped plane", unit="wire")
    row: Int32 = array_field("i4", "time bin of the image")
    adc: Float32 = array_field("f4", "charge summed over the samples of the pixel", unit="ADC")
    infilled: Int32 = array_field("i4", "1: filled in on a dead wire, not measured", fill=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Voxels(Product):
    """Active voxels of a volume; the middle of voxel i is origin + (i + 0.5) * pitch."""

    x: Int32 = array_field("i4", "index along x (drift)")
    y: Int32 = array_field("i4", "index along y (up)")
    z: Int32 = array_field("i4", "index along z (beam)")
    energy: Float32 = array_field("f4", "energy in the voxel", unit="MeV")
    two_planes: Float32 = array_field("f4", "part of the energy that only two planes saw, 0 to 1", fill=0)
    infilled: Float32 = array_field("f4", "part of the energy that was filled in, not measured, 0 to 1", fill=0)
    origin: Float32 = array_field(
        "f4", "corner of voxel (0, 0, 0), one row", unit="cm", rows="image", parts=("x", "y", "z")
    )
    pitch: Float32 = array_field("f4", "edge of a voxel, one row", unit="cm", rows="image")
