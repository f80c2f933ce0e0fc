"""Charge of deposits in a rectangle of wires and samples, one deposit and one pixel at a time."""

import math


def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def charge_in_pixel(
    electrons: float,
    wire_coordinate: float,
    tick: float,
    drift_us: float,
    wire: int,
    samples: tuple[int, int],
    *,
    sigma_ticks: float,
    longitudinal: float,
    transverse: float,
    pitch: float,
    speed: float,
    tick_us: float,
) -> float:
    """Electrons on ``wire`` in the samples [begin, end): a Gaussian across the wires and one in time.

    Diffusion constants in cm2/s, pitch in cm, speed in cm/us.
    """
    seconds = drift_us * 1e-6
    across = math.sqrt(2 * transverse * seconds) / pitch
    along = math.sqrt(sigma_ticks**2 + 2 * longitudinal * seconds / (speed * tick_us) ** 2)
    if across == 0:
        on_wire = float(-0.5 <= wire_coordinate - wire < 0.5)
    else:
        on_wire = normal_cdf((wire + 0.5 - wire_coordinate) / across) - normal_cdf(
            (wire - 0.5 - wire_coordinate) / across
        )
    begin, end = samples
    in_time = normal_cdf((end - 0.5 - tick) / along) - normal_cdf((begin - 0.5 - tick) / along)
    return electrons * on_wire * in_time
