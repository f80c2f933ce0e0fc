"""Masses of particles."""

import math

MASSES = {
    11: 0.51099895,
    12: 0.0,
    13: 105.6583755,
    14: 0.0,
    22: 0.0,
    111: 134.9768,
    211: 139.57039,
    321: 493.677,
    2112: 939.56542052,
    2212: 938.27208816,
}
"""Masses in MeV by absolute PDG code (Particle Data Group 2024)."""

ATOMIC_MASS_UNIT = 931.49410242
"""MeV (Particle Data Group 2024)."""

_FIRST_NUCLEUS = 1_000_000_000


def is_nucleus(pdg: int) -> bool:
    """Whether a PDG code, 100ZZZAAAI, is that of a nucleus."""
    return pdg >= _FIRST_NUCLEUS


def mass(pdg: int) -> float:
    """Mass (MeV) of a PDG code; nuclei have A atomic mass units; nan for a code without a known mass."""
    code = abs(pdg)
    return code // 10 % 1000 * ATOMIC_MASS_UNIT if is_nucleus(code) else MASSES.get(code, math.nan)


def kinetic_energy(pdg: int, momentum: float) -> float:
    """Kinetic energy (MeV) at a momentum (MeV/c)."""
    return math.hypot(momentum, mass(pdg)) - mass(pdg)


def momentum(pdg: int, kinetic: float) -> float:
    """Momentum (MeV/c) at a kinetic energy (MeV)."""
    return math.sqrt(kinetic * (kinetic + 2 * mass(pdg)))
