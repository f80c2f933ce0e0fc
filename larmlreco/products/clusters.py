"""Clusters of voxels or points, and Michel electrons with the muons that they come from."""

from dataclasses import dataclass
from enum import IntFlag

from larmlreco.products.base import Float32, Int32, Product, array_field


class MichelFlag(IntFlag):
    """Bits of ``Michels.flags``: how a Michel electron was found, and what may spoil it."""

    EDGE = 1
    """The published test holds: without the voxels around the attachment the muon is one cluster."""
    GAP = 2
    """Voxels are missing between muon and electron."""
    BRIDGED = 4
    """Voxels of another class (a delta ray, a Bragg peak taken for a proton) lie between muon and electron."""
    CROSSING = 8
    """Other tracks cross the muon near its end; it is the one that does not go on."""
    SHORT_MUON = 16
    """Nothing of the muon is left beyond the radius of the test."""
    JOINED = 32
    """The electron was put together from several pieces."""
    NEAR_BORDER = 64
    """The electron comes close to the border of the volume and may leave it."""
    NEAR_DEAD = 128
    """The electron comes close to a region where nothing is seen."""
    NO_MUON = 256
    """A cluster of the Michel class without a muon; attachment and muon are not known."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Clusters(Product):
    """Particles as groups of voxels or points; their members are in the ``Assns`` of the same label and instance.

    ``meta``: ``class_names`` and ``scheme`` of ``semantic``, ``target`` (branch of the clustered product),
    ``algorithm``, and ``model_sha256`` where a network was used. Rows are ordered by group of classes, then in the
    order in which the clusters were founded.
    """

    semantic: Int32 = array_field("i4", "class of the cluster")
    n: Int32 = array_field("i4", "voxels or points")
    charge: Float32 = array_field("f4", "sum of their charges or energies", unit="of the target")
    score: Float32 = array_field("f4", "seediness of the founder, 0 to 1; -1: not rated", fill=-1)
    seed: Int32 = array_field("i4", "row of the founder in the target")
    seed_x: Float32 = array_field("f4", "place of the founder", unit="cm")
    seed_y: Float32 = array_field("f4", "place of the founder", unit="cm")
    seed_z: Float32 = array_field("f4", "place of the founder", unit="cm")


_AXES = ("x", "y", "z")


@dataclass(frozen=True, eq=False, kw_only=True)
class Michels(Product):
    """Michel electrons (Domine and Terao, arXiv 1903.05663, section VII).

    ``electron`` and ``muon`` are rows of the ``Clusters`` that ``meta['clusters']`` names. Places are NaN and
    directions 0 where they are not known. ``meta``: ``target``, ``clusters``, ``flags`` (bit by name),
    ``min_samples`` (Michel, MIP) that were used.
    """

    electron: Int32 = array_field("i4", "row of the electron's cluster")
    muon: Int32 = array_field("i4", "row of the muon's cluster; -1: none")
    attachment: Float32 = array_field("f4", "end of the muon", unit="cm", parts=_AXES)
    gap: Float32 = array_field("f4", "voxels missing between muon and electron; -1: no muon", unit="voxel")
    muon_direction: Float32 = array_field("f4", "unit vector along the muon at its end", parts=_AXES)
    electron_direction: Float32 = array_field("f4", "unit vector along the electron at its start", parts=_AXES)
    n: Int32 = array_field("i4", "voxels or points of the electron")
    charge: Float32 = array_field("f4", "sum of their charges or energies", unit="of the target")
    energy: Float32 = array_field("f4", "calibrated energy of the electron's ionisation", unit="MeV")
    photon_energy: Float32 = array_field(
        "f4", "calibrated energy of the photons collected; 0: none", unit="MeV", fill=0
    )
    flags: Int32 = array_field("i4", "bits of MichelFlag")
    score: Float32 = array_field("f4", "how certain the electron is, 0 to 1")
