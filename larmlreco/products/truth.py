"""What the simulation knows: energy deposits and the particles that made them."""

from dataclasses import dataclass

from larmlreco.products.base import Float32, Int32, Product, array_field


@dataclass(frozen=True, eq=False, kw_only=True)
class TrueSteps(Product):
    """Energy deposits in the active volume, one row a Geant4 step."""

    x: Float32 = array_field("f4", "middle of the step", unit="cm")
    y: Float32 = array_field("f4", "middle of the step", unit="cm")
    z: Float32 = array_field("f4", "middle of the step", unit="cm")
    t: Float32 = array_field("f4", "time after the start of the primary", unit="us")
    de: Float32 = array_field("f4", "energy deposited", unit="MeV")
    dx: Float32 = array_field("f4", "length of the step", unit="cm")
    electrons: Float32 = array_field("f4", "ionisation electrons after recombination", fill=0)
    tick: Float32 = array_field("f4", "stored sample at which the charge arrives", unit="tick", fill=0)
    particle: Int32 = array_field("i4", "id of the particle (TrueParticles.id)")


@dataclass(frozen=True, eq=False, kw_only=True)
class TrueParticles(Product):
    """Particles with deposits in the active volume, and their ancestors.

    ``meta``: ``processes``, the names of the creator processes that ``process`` numbers.
    """

    id: Int32 = array_field("i4", "number of the particle in its event, from 1")
    pdg: Int32 = array_field("i4", "PDG code")
    parent: Int32 = array_field("i4", "id of the parent; 0: primary")
    process: Int32 = array_field("i4", "creator process, an index into meta['processes']")
    kinetic_energy: Float32 = array_field("f4", "kinetic energy at birth", unit="MeV")
    x: Float32 = array_field("f4", "place of birth", unit="cm")
    y: Float32 = array_field("f4", "place of birth", unit="cm")
    z: Float32 = array_field("f4", "place of birth", unit="cm")
    t: Float32 = array_field("f4", "time of birth after the start of the primary", unit="us")
    t0: Float32 = array_field("f4", "time of the primary", unit="us", fill=0)
    semantic: Int32 = array_field("i4", "class of the particle's own ionisation (canonical scheme)")
    instance: Int32 = array_field("i4", "id of the particle whose cluster the deposits belong to")
    cosmic: Int32 = array_field("i4", "1: from a cosmic muon", fill=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrueLabels(Product):
    """True class of the rows of another product, row i for row i.

    ``meta``: ``class_names`` and ``scheme`` of the labels, ``target``, the branch name of the labelled product.
    """

    label: Int32 = array_field("i4", "class with the most true charge or energy; -1: no true charge")
    cluster: Int32 = array_field("i4", "number of the true cluster in the event; -1: not known", fill=-1)
    particle: Int32 = array_field("i4", "id of the particle that the cluster belongs to; -1: not known", fill=-1)
