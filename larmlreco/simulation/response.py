"""From charge that arrives to wires: pulses, gain, noise, dead channels, zero suppression."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.simulation.settings import ReadoutSettings
from larmlreco.truth.spread import Arrivals, ChargeResponse

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_REACH_SIGMA = 4.5
_CHUNK = 200_000
_NEAR_SIGNAL = 0.5
"""Samples with less signal than this part of the noise start no ROI: noise alone makes none."""


@dataclass(frozen=True)
class PlaneSignal:
    """ROIs of one plane: wire and first sample of each ROI, its length, and the samples one after another."""

    wire: Int64
    begin: Int64
    length: Int64
    adc: Float32


def plane_signal(
    arriving: Arrivals,
    n_samples: int,
    dead: Bool,
    gain: Float64,
    noise: float,
    settings: ReadoutSettings,
    random: np.random.Generator,
) -> PlaneSignal:
    """Zero-suppressed waveforms of one plane; ``dead`` and ``gain`` (n_wires,) by wire, ``noise`` in ADC.

    ROIs are ordered by wire, then sample.
    """
    wires, waves = pulses(arriving, n_samples, settings.charge)
    alive = ~dead[wires]
    wires, waves = wires[alive], waves[alive]
    samples = np.ascontiguousarray(waves).reshape(-1)
    near = _padded_runs(np.flatnonzero(samples > _NEAR_SIGNAL * noise), settings.roi_padding, n_samples)
    at = _ranges(*near)
    row = at // n_samples
    adc = samples[at] * gain[wires[row]] + noise * correlated_noise(len(at), settings.noise_correlation, random)
    above = (adc > settings.roi_threshold * noise) & (samples[at] > _NEAR_SIGNAL * noise)
    begin, length = _padded_runs(at[above], settings.roi_padding, n_samples)
    inside = np.searchsorted(at, _ranges(begin, length))
    return PlaneSignal(wires[begin // n_samples], begin % n_samples, length, adc[inside].astype(np.float32))


def _padded_runs(index: Int64, padding: int, n_samples: int) -> tuple[Int64, Int64]:
    """First position and length of the runs of sorted positions, padded, merged where they touch.

    Positions number the samples of wires one after another; padding stays on the wire.
    """
    wire = index // n_samples
    begin = np.maximum(index - padding, wire * n_samples)
    end = np.minimum(index + padding + 1, (wire + 1) * n_samples)
    starts = np.ones(len(index), dtype=bool)
    starts[1:] = (begin[1:] > end[:-1]) | (wire[1:] != wire[:-1])
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(index))[: len(first)] - 1
    return begin[first], end[last] - begin[first]


def _ranges(begin: Int64, length: Int64) -> Int64:
    """begin[0], begin[0] + 1, ... begin[0] + length[0] - 1, begin[1], ..."""
    offset = np.cumsum(length) - length
    return np.asarray(np.arange(int(length.sum())) + np.repeat(begin - offset, length))


def pulses(arriving: Arrivals, n_samples: int, response: ChargeResponse) -> tuple[Int64, Float32]:
    """Wires (W,) with charge, and their waveforms without noise (W, n_samples) in ADC."""
    reach = int(np.ceil(_REACH_SIGMA * arriving.sigma.max())) if len(arriving.sigma) else 0
    seen = np.flatnonzero((arriving.tick > -reach) & (arriving.tick < n_samples + reach))
    wires, row = np.unique(arriving.wire[seen], return_inverse=True)
    padded = n_samples + 4 * reach + 1
    waves = np.zeros(len(wires) * padded, dtype=np.float32)
    offsets = np.arange(-reach, reach + 1)
    for begin in range(0, len(seen), _CHUNK):
        some = seen[begin : begin + _CHUNK]
        nearest = np.rint(arriving.tick[some]).astype(np.int64)
        sigma = arriving.sigma[some].astype(np.float32)
        height = (arriving.charge[some] / response.electrons_per_adc / np.sqrt(2 * np.pi)).astype(np.float32) / sigma
        away = (offsets + (nearest - arriving.tick[some])[:, None]).astype(np.float32)
        pulse = height[:, None] * np.exp(-0.5 * (away / sigma[:, None]) ** 2)
        at = (row[begin : begin + _CHUNK] * padded + nearest + 2 * reach)[:, None] + offsets
        np.add.at(waves, at.ravel(), pulse.ravel())
    return wires, waves.reshape(len(wires), padded)[:, 2 * reach : 2 * reach + n_samples]


def correlated_noise(count: int, correlation_ticks: float, random: np.random.Generator) -> Float64:
    """Gaussian noise (count,) of unit width: white noise smoothed by a Gaussian of this width in samples."""
    reach = int(np.ceil(4 * correlation_ticks))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(correlation_ticks, 1e-6)) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    if not count:
        return np.zeros(0)
    return np.convolve(random.normal(size=count + 2 * reach), kernel, mode="valid")


def dead_blocks(n_wires: int, fraction: float, random: np.random.Generator) -> Bool:
    """Dead wires (n_wires,): random blocks of 1 to 96 wires (powers of two and 96) until ``fraction`` is reached."""
    dead = np.zeros(n_wires, dtype=bool)
    sizes = np.array([1, 2, 8, 16, 32, 64, 96])
    weights = np.array([6, 4, 3, 5, 4, 2, 1], dtype=float)
    while dead.sum() < fraction * n_wires:
        size = int(random.choice(sizes, p=weights / weights.sum()))
        start = int(random.integers(0, n_wires - size + 1))
        dead[start : start + size] = True
    return dead
