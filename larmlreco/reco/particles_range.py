"""Range and stopping power of muons, charged pions and protons in liquid argon (continuous slowing down).

The Bethe formula with Sternheimer's density effect (Particle Data Group, review 34.2.3), integrated from rest. The
constants of the density effect are those of Groom, Mokhov and Striganov (Atomic Data and Nuclear Data Tables 78, 183);
what muons lose to radiation is taken to be proportional to their energy, which is 1 % of the range at 1 GeV. Ranges of
muons of 100 MeV and 1 GeV (30.44 and 441.5 cm there), and of protons of 100 MeV (7.82 cm, PSTAR) come out within 0.4 %.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.argon import DENSITY_G_CM3
from larmlreco.errors import valid_choices
from larmlreco.masses import MASSES

Float64 = npt.NDArray[np.float64]

HYPOTHESES: dict[str, int] = {"muon": 13, "pion": 211, "proton": 2212}
"""PDG codes of the particles for which there are tables."""

_K = 0.307075  # 4 pi N_A r_e^2 m_e c^2, MeV cm2 / mol
_Z_OVER_A = 18 / 39.948
_EXCITATION = 188e-6  # MeV
_ELECTRON = MASSES[11]
_A, _POWER, _X0, _X1, _C = 0.19559, 3.0, 0.2, 3.0, 5.2146  # density effect of liquid argon
_RADIATIVE_PER_MEV = 1.9e-6  # muons: b of dE/dx = a + b E at some GeV, cm2 / g
_ENERGIES = np.geomspace(0.5, 1e6, 4000)


def stopping_power(kinetic: npt.ArrayLike, particle: str) -> Float64:
    """Mean energy loss (MeV/cm) of a ``particle`` of :data:`HYPOTHESES` with kinetic energies (N,) in MeV.

    Raises ``ValueError`` for another particle.
    """
    mass = MASSES[_pdg(particle)]
    gamma = np.asarray(kinetic, dtype=np.float64) / mass + 1
    square = gamma**2 - 1  # (beta gamma)^2
    beta2 = square / gamma**2
    ratio = _ELECTRON / mass
    most = 2 * _ELECTRON * square / (1 + 2 * gamma * ratio + ratio**2)  # energy that an electron can get
    log = 0.5 * np.log(2 * _ELECTRON * square * most / _EXCITATION**2)
    x = 0.5 * np.log10(square)
    density = 2 * np.log(10) * x - _C + np.where(x < _X1, _A * np.clip(_X1 - x, 0, None) ** _POWER, 0)
    density = np.where(x < _X0, 0, density)
    loss = _K * _Z_OVER_A / beta2 * (log - beta2 - density / 2)
    if particle == "muon":
        loss = loss + _RADIATIVE_PER_MEV * gamma * mass
    return np.asarray(DENSITY_G_CM3 * loss)


@cache
def _table(particle: str) -> tuple[Float64, Float64]:
    """Energies (MeV) and ranges (cm); below the first energy the range is that of a constant stopping power."""
    inverse = 1 / stopping_power(_ENERGIES, particle)
    steps = np.diff(np.log(_ENERGIES)) * 0.5 * ((inverse * _ENERGIES)[1:] + (inverse * _ENERGIES)[:-1])
    return _ENERGIES, _ENERGIES[0] * inverse[0] + np.append(0.0, np.cumsum(steps))


def range_of(kinetic: npt.ArrayLike, particle: str) -> Float64:
    """Length (cm) after which a particle with kinetic energies (N,) in MeV has stopped."""
    energies, ranges = _table(particle)
    return np.asarray(np.interp(np.asarray(kinetic, dtype=np.float64), np.append(0, energies), np.append(0, ranges)))


def energy_of_range(length: npt.ArrayLike, particle: str) -> Float64:
    """Kinetic energy (MeV) of a particle that stops after lengths (N,) in cm: the inverse of :func:`range_of`."""
    energies, ranges = _table(particle)
    return np.asarray(np.interp(np.asarray(length, dtype=np.float64), np.append(0, ranges), np.append(0, energies)))


def _pdg(particle: Any) -> int:
    if particle not in HYPOTHESES:
        raise ValueError(f"no table of ranges for {particle!r}; {valid_choices(str(particle), HYPOTHESES)}")
    return HYPOTHESES[particle]
