"""Where the charge of true energy deposits arrives: wires, samples and widths after drift and response.

The simulation makes waveforms from it and the truth labels pixels and hits by it, so both see the same charge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_NEGLIGIBLE = 1e-4
_REACH_SIGMA = 4.0
_S_PER_US = 1e-6


@dataclass(frozen=True)
class ChargeResponse:
    """Drift and response after deconvolution.

    ``sigma_ticks``: width of a point charge's pulse a plane; diffusion constants in cm2/s (MicroBooNE's measured
    ones, arXiv 2104.06551, as defaults); ``electrons_per_adc``: electrons of one ADC tick of pulse area.
    """

    sigma_ticks: Sequence[float] = (2.8, 2.8, 2.2)
    longitudinal_cm2_s: float = 6.4
    transverse_cm2_s: float = 9.8
    electrons_per_adc: float = 200.0


@dataclass(frozen=True)
class Arrivals:
    """Portions of charge on a plane, one row a (deposit, wire) pair.

    ``deposit``: row of the deposit; ``wire``; ``tick`` and ``sigma``: middle and width in samples; ``charge``:
    electrons.
    """

    deposit: Int64
    wire: Int64
    tick: Float64
    sigma: Float64
    charge: Float64


def arrivals(
    wire_coordinate: Float64,
    drift_us: Float64,
    tick: Float64,
    electrons: Float64,
    *,
    n_wires: int,
    pitch: float,
    drift_cm_per_us: float,
    tick_us: float,
    plane: int,
    response: ChargeResponse,
) -> Arrivals:
    """Charge of deposits (N,) on the wires of one plane.

    ``wire_coordinate``: place across the wires in units of the pitch, wire k at k; ``drift_us``: drift time;
    ``tick``: sample of arrival. A wire takes what diffusion brings within half a pitch of it; portions below
    1e-4 of a deposit are dropped.
    """
    seconds = np.maximum(drift_us, 0) * _S_PER_US
    across = np.maximum(np.sqrt(2 * response.transverse_cm2_s * seconds) / pitch, 1e-6)
    along = np.sqrt(2 * response.longitudinal_cm2_s * seconds) / (drift_cm_per_us * tick_us)
    sigma = np.hypot(response.sigma_ticks[plane], along)
    nearest = np.rint(wire_coordinate).astype(np.int64)
    reach = int(np.ceil(_REACH_SIGMA * across.max() + 0.5)) if len(across) else 0
    deposits, wires, shares = [], [], []
    for offset in range(-reach, reach + 1):
        wire = nearest + offset
        away = wire - wire_coordinate
        share = ndtr((away + 0.5) / across) - ndtr((away - 0.5) / across)
        keep = np.flatnonzero((share > _NEGLIGIBLE) & (wire >= 0) & (wire < n_wires) & (electrons > 0))
        deposits.append(keep)
        wires.append(wire[keep])
        shares.append(share[keep])
    deposit = np.concatenate(deposits)
    return Arrivals(
        deposit=deposit,
        wire=np.concatenate(wires),
        tick=tick[deposit],
        sigma=sigma[deposit],
        charge=electrons[deposit] * np.concatenate(shares),
    )
