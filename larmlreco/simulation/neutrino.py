"""Neutrino interactions with nucleons of argon from simple kinematics.

A nucleon of a Fermi gas (Moniz et al., PRL 26 (1971) 445: for calcium-40 a Fermi momentum of 251 MeV/c and 28 MeV to
free it) is struck quasi-elastically or raised to a Delta(1232). Scattering angles follow a dipole form factor, the
Delta decays isotropically. Cross-sections, other resonances, deep inelastic scattering and all that happens to the
particles inside the nucleus are left out: these are final states of the right kind, not a generator of neutrino events.
"""

import math

import numpy as np
import numpy.typing as npt

from larmlreco.masses import mass

Float64 = npt.NDArray[np.float64]

CHANNELS = ("ccqe", "ccres", "ncres")
"""Charged current quasi-elastic, charged and neutral current with a Delta."""

FERMI_MOMENTUM = 251.0
REMOVAL_ENERGY = 28.0
AXIAL_MASS = 1030.0
"""MeV; world average of the dipole's axial mass (Bernard, Elouadrhiri, Meissner, J. Phys. G 28 (2002) R1)."""
DELTA_MASS, DELTA_WIDTH = 1232.0, 117.0
"""MeV (Particle Data Group)."""

_PROTON, _NEUTRON, _PION, _NEUTRAL_PION = 2212, 2112, 211, 111
_PROTONS_IN_ARGON = 18 / 40
_TRIES = 1000

# Isospin: Delta++ (or Delta-) is made three times as often as Delta+ (Delta0); a Delta of the middle charges decays
# with a neutral pion in two of three cases.
_RATIO = 3.0
_NEUTRAL = 2 / 3


def interaction(channel: str, pdg: int, energy: float, random: np.random.Generator) -> list[tuple[int, Float64]]:
    """PDG codes and momenta (3,) in MeV/c of what comes out when a neutrino with this energy (MeV) flies along z.

    ``pdg``: that of the neutrino, 12 or 14, negative for antineutrinos. Neutrinos that come out are left out. An empty
    list: the channel is closed at this energy.
    """
    for _ in range(_TRIES):
        made = _try(channel, pdg, energy, random)
        if made:
            return made
    return []


def _try(channel: str, pdg: int, energy: float, random: np.random.Generator) -> list[tuple[int, Float64]]:
    lepton = pdg if channel == "ncres" else int(math.copysign(abs(pdg) - 1, pdg))
    neutrino = np.array([0.0, 0.0, energy, energy])
    if channel == "ccqe":
        target, recoil = (_NEUTRON, _PROTON) if pdg > 0 else (_PROTON, _NEUTRON)
        scattered = _scatter(neutrino, _nucleon(target, random), mass(lepton), mass(recoil), random)
        if scattered is None or float(np.linalg.norm(scattered[1][:3])) < FERMI_MOMENTUM:
            return []
        return [(lepton, scattered[0][:3]), (recoil, scattered[1][:3])]
    target, nucleon, pion = _delta(channel, pdg > 0, random)
    peak = DELTA_MASS + DELTA_WIDTH / 2 * math.tan(math.pi * (random.uniform() - 0.5))
    if peak < mass(nucleon) + mass(pion):
        return []
    scattered = _scatter(neutrino, _nucleon(target, random), mass(lepton), peak, random)
    if scattered is None:
        return []
    hadrons = _two_bodies(scattered[1], mass(nucleon), mass(pion), _isotropic(random))
    if hadrons is None or float(np.linalg.norm(hadrons[0][:3])) < FERMI_MOMENTUM:
        return []
    out = [(nucleon, hadrons[0][:3]), (pion, hadrons[1][:3])]
    return out if channel == "ncres" else [(lepton, scattered[0][:3]), *out]


def _delta(channel: str, is_neutrino: bool, random: np.random.Generator) -> tuple[int, int, int]:
    """Struck nucleon, and nucleon and pion of the Delta's decay."""
    weights = np.array([_PROTONS_IN_ARGON, 1 - _PROTONS_IN_ARGON])
    neutral = random.uniform() < _NEUTRAL
    if channel == "ncres":
        target, other, charged = (_PROTON, _NEUTRON, _PION)
        if random.uniform() >= _PROTONS_IN_ARGON:
            target, other, charged = (_NEUTRON, _PROTON, -_PION)
        return (target, target, _NEUTRAL_PION) if neutral else (target, other, charged)
    # A neutrino raises the charge: a proton becomes a Delta++. For an antineutrino all charges are mirrored.
    outer, inner, charged = (_PROTON, _NEUTRON, _PION) if is_neutrino else (_NEUTRON, _PROTON, -_PION)
    weights = weights if is_neutrino else weights[::-1]
    if random.uniform() < _RATIO * weights[0] / (_RATIO * weights[0] + weights[1]):
        return outer, outer, charged
    return (inner, outer, _NEUTRAL_PION) if neutral else (inner, inner, charged)


def _nucleon(pdg: int, random: np.random.Generator) -> Float64:
    """Four-momentum (px, py, pz, E) of a nucleon in the Fermi gas."""
    size = FERMI_MOMENTUM * random.uniform() ** (1 / 3)
    return np.append(size * _isotropic(random), math.hypot(size, mass(pdg)) - REMOVAL_ENERGY)


def _scatter(
    neutrino: Float64, nucleon: Float64, lepton: float, hadron: float, random: np.random.Generator
) -> tuple[Float64, Float64] | None:
    """Four-momenta of lepton and hadron of these masses; ``None`` where the energy or this try does not suffice."""
    made = _two_bodies(neutrino + nucleon, lepton, hadron, _isotropic(random))
    if made is None:
        return None
    q = neutrino - made[0]
    transfer = float(q[:3] @ q[:3] - q[3] ** 2)
    return made if random.uniform() < (1 + max(transfer, 0.0) / AXIAL_MASS**2) ** -4 else None


def _two_bodies(total: Float64, first: float, second: float, direction: Float64) -> tuple[Float64, Float64] | None:
    """Four-momenta of two bodies of these masses, ``direction`` (3,) that of the first in their rest frame."""
    square = float(total[3] ** 2 - total[:3] @ total[:3])
    if square <= (first + second) ** 2 or total[3] <= 0:
        return None
    invariant = math.sqrt(square)
    size = math.sqrt((square - (first + second) ** 2) * (square - (first - second) ** 2)) / (2 * invariant)
    return (
        _boosted(np.append(size * direction, math.hypot(size, first)), total, invariant),
        _boosted(np.append(-size * direction, math.hypot(size, second)), total, invariant),
    )


def _boosted(p: Float64, frame: Float64, invariant: float) -> Float64:
    """A four-momentum of the rest frame of ``frame``, whose invariant mass is given, in the laboratory."""
    energy = float(frame[3] * p[3] + frame[:3] @ p[:3]) / invariant
    return np.append(p[:3] + frame[:3] * (p[3] + energy) / (invariant + frame[3]), energy)


def _isotropic(random: np.random.Generator) -> Float64:
    v = random.normal(size=3)
    return np.asarray(v / np.linalg.norm(v))
