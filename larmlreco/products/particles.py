"""Particles: what a physicist wants to know of every cluster."""

from dataclasses import dataclass
from enum import IntFlag

from larmlreco.products.base import Float32, Int32, Product, array_field

_AXES = ("x", "y", "z")


class ParticleFlag(IntFlag):
    """Bits of ``Particles.flags``: containment, what told start from end, how the energy was found."""

    CONTAINED = 1
    """All of it is farther from the border of the volume than the margin."""
    THROUGH = 2
    """Both ends are at the border: it goes through the volume, or left and entered."""
    OUTSIDE = 4
    """Part of it seems to lie outside the volume: its drift times are not those of charge freed at the trigger."""
    START_BY_MICHEL = 8
    """A Michel electron is at the other end."""
    START_BY_DEDX = 16
    """The energy loss rises towards the other end, or falls towards the start."""
    START_BY_VERTEX = 32
    """Other particles begin or end there."""
    START_BY_DESCENT = 64
    """It is the upper end of a particle that comes from outside."""
    START_BY_PARENT = 128
    """The parent is there."""
    START_BY_WIDTH = 256
    """The shower is narrower there, and widens away from it."""
    ENERGY_BY_RANGE = 512
    """``energy`` is that of the range, else that of the charge."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Particles(Product):
    """A row a cluster, in their order; ``Assns`` of the same instance lead from the particles to their clusters.

    ``meta``: ``class_names`` and ``scheme`` of ``semantic``, ``target`` (branch of the clustered product), ``clusters``
    and ``michels`` (branches), ``flags`` (bit by name), ``energy_scale`` (MeV a unit of charge, by class). What is not
    known is NaN. A drift coordinate is that of charge freed at the trigger.
    """

    semantic: Int32 = array_field("i4", "class of the cluster")
    cluster: Int32 = array_field("i4", "row of the cluster")
    n: Int32 = array_field("i4", "voxels or points")
    start: Float32 = array_field("f4", "where it begins", unit="cm", parts=_AXES)
    end: Float32 = array_field("f4", "where it ends", unit="cm", parts=_AXES)
    direction: Float32 = array_field("f4", "unit vector at the start; 0: not known", parts=_AXES)
    start_score: Float32 = array_field("f4", "probability that start and end are not exchanged, 0.5 to 1")
    length: Float32 = array_field("f4", "length of the way from start to end", unit="cm")
    energy: Float32 = array_field("f4", "kinetic energy, by range (flag ENERGY_BY_RANGE) or by charge", unit="MeV")
    energy_range: Float32 = array_field(
        "f4",
        "kinetic energy of a particle of this length that stops; NaN: no track",
        unit="MeV",
        parts=("muon", "pion", "proton"),
    )
    energy_charge: Float32 = array_field("f4", "energy of its charge, with the calibration of the class", unit="MeV")
    dedx_start: Float32 = array_field("f4", "mean energy loss over its first centimetres", unit="MeV/cm")
    dedx_end: Float32 = array_field("f4", "mean energy loss over its last centimetres", unit="MeV/cm")
    parent: Int32 = array_field("i4", "particle that it comes from: a Michel's muon, a delta's track; -1: none")
    michel: Int32 = array_field("i4", "row in Michels that it belongs to, as electron; -1: none")
    vertex: Int32 = array_field("i4", "number of the vertex at which it and others begin; -1: none")
    border: Float32 = array_field(
        "f4", "least distance to the border of the volume, negative outside; NaN: no volume", unit="cm"
    )
    measured: Float32 = array_field("f4", "part of the length with measured voxels or points, 0 to 1")
    infilled: Float32 = array_field("f4", "part of the length where there are only infilled ones, 0 to 1", fill=0)
    flags: Int32 = array_field("i4", "bits of ParticleFlag")
