"""Liquid argon: density, ionisation, recombination, attachment. The constants and their sources are in one place here.

The simulation makes charge of energy with them, the reconstruction energy of charge.
"""

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

W_MEV = 23.6e-6
"""Energy (MeV) of one electron-ion pair."""

DENSITY_G_CM3 = 1.396

MIP_DEDX = 2.1
"""Mean dE/dx (MeV/cm) of a minimum ionising particle (Particle Data Group)."""

_BOX_ALPHA, _BOX_BETA = 0.93, 0.212
_SHORTEST_STEP_CM = 0.01
_LOWEST_DEDX = 1.0


def recombined_electrons(energy: Float64, length: Float64, field_kv_cm: float) -> Float64:
    """Electrons (N,) that escape recombination for deposits (MeV) along steps (cm): the modified Box model.

    ArgoNeuT (JINST 8 P08005). Steps shorter than 0.1 mm count as 0.1 mm, and dE/dx below 1 MeV/cm as 1 MeV/cm, where
    the model has left its range.
    """
    dedx = np.maximum(energy / np.maximum(length, _SHORTEST_STEP_CM), _LOWEST_DEDX)
    return np.asarray(energy / W_MEV * recombination(dedx, field_kv_cm))


def recombination(dedx: npt.ArrayLike, field_kv_cm: float) -> Float64:
    """Part of the electrons that escapes recombination at dE/dx (MeV/cm), same shape: the modified Box model."""
    xi = _BOX_BETA * np.asarray(dedx, dtype=np.float64) / (DENSITY_G_CM3 * field_kv_cm)
    return np.asarray(np.log(_BOX_ALPHA + xi) / xi)


def dedx_of_charge(electrons_per_cm: npt.ArrayLike, field_kv_cm: float) -> Float64:
    """dE/dx (MeV/cm) of a track with this many electrons a cm after recombination: the modified Box model inverted."""
    scale = _BOX_BETA / (DENSITY_G_CM3 * field_kv_cm)
    dqdx = np.asarray(electrons_per_cm, dtype=np.float64)
    return np.asarray((np.exp(scale * W_MEV * dqdx) - _BOX_ALPHA) / scale)


def survival(drift_us: Float64, lifetime_ms: float) -> Float64:
    """Part of the electrons (N,) that impurities leave after this drift time; all for lifetime 0."""
    if lifetime_ms <= 0:
        return np.ones(len(drift_us))
    return np.exp(-drift_us / (lifetime_ms * 1000))
