"""Hits on wires: Gaussians fitted to pulse trains, as LArSoft's GausHit finder does.

A train is a run of samples above 1.5 times the noise that rises above 4 times the noise. Its peaks are those with a
prominence of 3 times the noise; all peaks of a train are fitted together. Trains with more than five peaks, and
those that Gaussians do not describe, are cut into slices of about 20 samples with moments instead of fits.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks

from larmlreco.geometry import Detector
from larmlreco.products import Hits, Wires

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_TRAIN_SIGMA = 1.5
_SEED_SIGMA = 4.0
_PROMINENCE_SIGMA = 3.0
_FIT_MARGIN = 3
_MOST_PEAKS = 5
_WORST_CHI2 = 40.0
_SLICE = 20
_ITERATIONS = 20
_CONVERGED = 1e-6
_MOST_DAMPING = 1e6
_CHUNK = 512
_NARROWEST, _WIDEST = 0.5, 60.0
_ROOT_2PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class _Trains:
    """Pulse trains, positions in the flat samples: run [begin, end), its ROI, and the plane's noise."""

    begin: Int64
    end: Int64
    roi: Int64
    noise: Float64


def find_hits(wires: Wires, detector: Detector, noise_adc: Sequence[float]) -> Hits:
    """Hits of all wires, by channel, then time.

    ``noise_adc``: noise a plane; ``peak_time``, ``rms`` in samples, ``integral`` the area of the Gaussian.
    """
    adc = wires.adc.astype(np.float64)
    length = wires.roi_length.astype(np.int64)
    roi_begin = np.cumsum(length) - length
    plane = detector.channel_plane[wires.channel[wires.roi_wire]]
    noise = np.asarray(noise_adc, dtype=np.float64)[plane]
    trains = _trains(adc, roi_begin, length, noise)
    peaks = [_peaks(adc[b:e], n) for b, e, n in zip(trains.begin, trains.end, trains.noise, strict=True)]
    count = np.array([len(p) for p in peaks], dtype=np.int64)
    rows: list[npt.NDArray[np.float64]] = []
    sliced = count > _MOST_PEAKS
    for k in range(1, _MOST_PEAKS + 1):
        mine = np.flatnonzero(count == k)
        mine = mine[np.argsort(trains.end[mine] - trains.begin[mine], kind="stable")]
        for first in range(0, len(mine), _CHUNK):
            some = mine[first : first + _CHUNK]
            at = np.stack([peaks[t] for t in some]) + trains.begin[some, None]
            fitted, bad = _fit(adc, at, trains, some, roi_begin, length)
            sliced[some[bad]] = True
            rows.append(fitted)
    rows += [_slices(adc, trains, int(t)) for t in np.flatnonzero(sliced)]
    table = np.concatenate([*rows, np.zeros((0, len(_COLUMNS)))])
    return _product(table, adc, trains, wires, roi_begin, length, detector)


def _trains(adc: Float64, roi_begin: Int64, length: Int64, noise: Float64) -> _Trains:
    roi_of = np.repeat(np.arange(len(length)), length)
    above = adc > _TRAIN_SIGMA * noise[roi_of]
    new_roi = np.zeros(len(adc), dtype=bool)
    new_roi[roi_begin[length > 0]] = True
    starts = np.flatnonzero(above & (new_roi | ~np.concatenate([[False], above[:-1]])))
    after = np.concatenate([~above[1:] | new_roi[1:], [True]]) if len(adc) else np.zeros(0, dtype=bool)
    ends = np.flatnonzero(above & after) + 1
    if not len(starts):
        return _Trains(starts, ends, starts, np.zeros(0))
    bounds = np.column_stack([starts, ends]).ravel()
    highest = np.maximum.reduceat(np.append(adc, -np.inf), bounds)[::2]
    roi = roi_of[starts]
    keep = highest > _SEED_SIGMA * noise[roi]
    return _Trains(starts[keep], ends[keep], roi[keep], noise[roi[keep]])


def _peaks(samples: Float64, noise: float) -> Int64:
    """Positions of the peaks of a train; its highest sample where no peak stands out."""
    inner = samples[1:-1]
    rises = (inner > samples[:-2]) & (inner >= samples[2:])
    if np.count_nonzero(rises) <= 1:
        return np.array([samples.argmax()])
    # The ends are far below, so that a peak there counts and prominences are measured between peaks only.
    padded = np.concatenate([[-1e9], samples, [-1e9]])
    found = find_peaks(padded, prominence=_PROMINENCE_SIGMA * noise)[0] - 1
    return np.asarray(found)


_COLUMNS = (
    *("train", "begin", "end", "peak", "sigma_peak", "rms", "amplitude", "sigma_amplitude", "integral"),
    *("sigma_integral", "multiplicity", "index", "goodness", "dof"),
)


@dataclass(frozen=True)
class _Windows:
    """Samples ``y`` (B, L) around B trains at times ``t`` from the start of each train; ``inside``: not padding."""

    t: Float64
    y: Float64
    inside: Bool
    length: Int64


def _windows(adc: Float64, trains: _Trains, some: Int64, roi_begin: Int64, roi_length: Int64) -> _Windows:
    roi = trains.roi[some]
    low = np.maximum(trains.begin[some] - _FIT_MARGIN, roi_begin[roi])
    high = np.minimum(trains.end[some] + _FIT_MARGIN, roi_begin[roi] + roi_length[roi])
    x = low[:, None] + np.arange(int((high - low).max()))
    inside = x < high[:, None]
    y = np.where(inside, adc[np.minimum(x, len(adc) - 1)], 0.0)
    # Times count from the start of the train: small numbers keep the normal equations well conditioned.
    return _Windows((x - trains.begin[some, None]).astype(np.float64), y, inside, high - low)


def _first_guess(adc: Float64, at: Int64, edges: Int64, noise: Float64) -> Float64:
    """Heights, times (flat positions) and widths (B, 3k) of peaks ``at`` (B, k) between ``edges`` (B, k + 1)."""
    height = np.maximum(adc[at], noise[:, None])
    summed = np.concatenate([[0.0], np.cumsum(adc)])
    area = summed[edges[:, 1:]] - summed[edges[:, :-1]]
    width = np.clip(area / (height * _ROOT_2PI), 1.0, _WIDEST)
    return np.concatenate([height, at.astype(np.float64), width], axis=1)


def _fit(
    adc: Float64, at: Int64, trains: _Trains, some: Int64, roi_begin: Int64, roi_length: Int64
) -> tuple[Float64, Bool]:
    """Fit k Gaussians to each of B trains with peaks ``at`` (B, k), all trains at once.

    Returns the rows of the good ones, and which are bad (B,).
    """
    n_trains, k = at.shape
    noise, start = trains.noise[some], trains.begin[some]
    windows = _windows(adc, trains, some, roi_begin, roi_length)
    edges = _valleys(adc, at, trains, some)
    p = _first_guess(adc, at, edges, noise)
    p[:, k : 2 * k] -= start[:, None]
    p, residual, jacobian = _least_squares(p, windows, (trains.end[some] - start).astype(np.float64))
    dof = np.maximum(windows.length - 3 * k, 1)
    goodness = (residual**2).sum(axis=1) / noise**2 / dof
    covariance = np.linalg.inv(_normal(jacobian)) * noise[:, None, None] ** 2
    bad = ~np.isfinite(goodness) | (goodness >= _WORST_CHI2)
    order = np.argsort(p[:, k : 2 * k], axis=1, kind="stable")
    rows = []
    b = np.arange(n_trains)
    for i in range(k):
        height, time, width = order[:, i], k + order[:, i], 2 * k + order[:, i]
        amplitude, sigma = p[b, height], p[b, width]
        variance = {j: np.maximum(covariance[b, v, v], 0) for j, v in enumerate((height, time, width))}
        mixed = 2 * amplitude * sigma * covariance[b, height, width]
        variance_area = sigma**2 * variance[0] + amplitude**2 * variance[2] + mixed
        columns = {
            "train": some,
            "begin": edges[:, i],
            "end": edges[:, i + 1],
            "peak": p[b, time] + start,
            "sigma_peak": np.sqrt(variance[1]),
            "rms": sigma,
            "amplitude": amplitude,
            "sigma_amplitude": np.sqrt(variance[0]),
            "integral": _ROOT_2PI * amplitude * sigma,
            "sigma_integral": _ROOT_2PI * np.sqrt(np.maximum(variance_area, 0)),
            "multiplicity": np.full(n_trains, k),
            "index": np.full(n_trains, i),
            "goodness": goodness,
            "dof": dof,
        }
        rows.append(np.column_stack([columns[name] for name in _COLUMNS])[~bad])
    return np.concatenate(rows), bad


def _normal(jacobian: Float64) -> Float64:
    """Normal matrices (B, P, P) of derivatives (B, L, P), never singular."""
    return np.asarray(jacobian.swapaxes(1, 2) @ jacobian + 1e-9 * np.eye(jacobian.shape[2]))


def _least_squares(p: Float64, windows: _Windows, last: Float64) -> tuple[Float64, Float64, Float64]:
    """Levenberg-Marquardt for B fits at once; a fit that no longer moves is left alone.

    Returns parameters (B, 3k), residuals (B, L) and derivatives (B, L, 3k).
    """
    k = p.shape[1] // 3
    diagonal = np.arange(3 * k)
    damping = np.full(len(p), 1e-2)
    residual, jacobian = _model(p, windows, slice(None))
    chi2 = (residual**2).sum(axis=1)
    moving = np.arange(len(p))
    for _ in range(_ITERATIONS):
        normal = _normal(jacobian[moving])
        normal[:, diagonal, diagonal] *= 1 + damping[moving, None]
        gradient = (residual[moving, None, :] @ jacobian[moving])[:, 0, :, None]
        trial = _bounded(p[moving] + np.linalg.solve(normal, gradient)[..., 0], k, last[moving])
        new_residual, new_jacobian = _model(trial, windows, moving)
        new_chi2 = (new_residual**2).sum(axis=1)
        gain = chi2[moving] - new_chi2
        better = gain > 0
        improved = moving[better]
        p[improved], residual[improved], jacobian[improved] = trial[better], new_residual[better], new_jacobian[better]
        chi2[improved] = new_chi2[better]
        damping[moving] *= np.where(better, 0.2, 8.0)
        done = (np.abs(gain) < _CONVERGED * chi2[moving]) | (damping[moving] > _MOST_DAMPING)
        moving = moving[~done]
        if not len(moving):
            break
    return p, residual, jacobian


def _valleys(adc: Float64, at: Int64, trains: _Trains, some: Int64) -> Int64:
    """Borders (B, k + 1) between the peaks (B, k) of trains: the lowest sample between two peaks."""
    n_trains, k = at.shape
    edges = np.empty((n_trains, k + 1), dtype=np.int64)
    edges[:, 0], edges[:, k] = trains.begin[some], trains.end[some]
    for b in range(n_trains if k > 1 else 0):
        for i in range(1, k):
            left, right = at[b, i - 1], at[b, i]
            edges[b, i] = left + adc[left : right + 1].argmin()
    return edges


def _model(p: Float64, windows: _Windows, which: Int64 | slice) -> tuple[Float64, Float64]:
    """Residual data - model (B, L) and the model's derivatives (B, L, 3k) for heights, times and widths."""
    k = p.shape[1] // 3
    amplitude, middle, sigma = p[:, None, :k], p[:, None, k : 2 * k], p[:, None, 2 * k :]
    z = (windows.t[which][:, :, None] - middle) / sigma
    shape = np.exp(-0.5 * z**2) * windows.inside[which][:, :, None]
    slope = amplitude * shape * z / sigma
    residual = windows.y[which] - (amplitude * shape).sum(axis=2)
    return residual, np.concatenate([shape, slope, slope * z], axis=2)


def _bounded(p: Float64, k: int, last: Float64) -> Float64:
    """Parameters inside their limits: positive heights, times in the train, sensible widths."""
    p[:, :k] = np.maximum(p[:, :k], 1e-3)
    p[:, k : 2 * k] = np.clip(p[:, k : 2 * k], 0, last[:, None])
    p[:, 2 * k :] = np.clip(p[:, 2 * k :], _NARROWEST, _WIDEST)
    return p


def _slices(adc: Float64, trains: _Trains, train: int) -> Float64:
    """Rows of a train cut into slices of about 20 samples, with moments."""
    begin, end, noise = int(trains.begin[train]), int(trains.end[train]), float(trains.noise[train])
    count = max(round((end - begin) / _SLICE), 1)
    edges = np.linspace(begin, end, count + 1).astype(int)
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        samples, at = np.maximum(adc[low:high], 1e-6), np.arange(low, high)
        total = samples.sum()
        mean = (samples * at).sum() / total
        rms = float(np.sqrt(max((samples * (at - mean) ** 2).sum() / total, 0.25)))
        n = high - low
        rows.append(
            [
                *(train, low, high, mean, rms / np.sqrt(n), rms, samples.max(), noise),
                *(total, noise * np.sqrt(n), count, i, -1, 1),
            ]
        )
    return np.array(rows, dtype=np.float64)


def _product(
    table: Float64, adc: Float64, trains: _Trains, wires: Wires, roi_begin: Int64, length: Int64, detector: Detector
) -> Hits:
    column = {name: table[:, i] for i, name in enumerate(_COLUMNS)}
    begin, end = column["begin"].astype(np.int64), column["end"].astype(np.int64)
    roi = trains.roi[column["train"].astype(np.int64)]
    wire = wires.roi_wire[roi]
    order = np.lexsort((begin, wires.channel[wire]))
    summed = np.concatenate([[0.0], np.cumsum(adc)])
    to_tick = wires.roi_begin[roi].astype(np.int64) - roi_begin[roi]
    channel = wires.channel[wire].astype(np.int64)
    plane = detector.channel_plane[channel]
    tpc = np.array([readout.tpc for readout in detector.readout_planes])[detector.channel_readout[channel]]
    columns: dict[str, npt.ArrayLike] = {
        "channel": channel,
        "cryostat": np.zeros(len(table)),
        "tpc": tpc,
        "plane": plane,
        "wire": detector.channel_column[channel],
        "view": wires.view[wire],
        "signal_type": (plane == 2).astype(np.int64),
        "start_tick": begin + to_tick,
        "end_tick": end + to_tick,
        "peak_time": column["peak"] + to_tick,
        "sigma_peak_time": column["sigma_peak"],
        "rms": column["rms"],
        "peak_amplitude": column["amplitude"],
        "sigma_peak_amplitude": column["sigma_amplitude"],
        "integral": column["integral"],
        "sigma_integral": column["sigma_integral"],
        "summed_adc": summed[end] - summed[begin],
        "roi_summed_adc": (summed[roi_begin + length] - summed[roi_begin])[roi],
        "multiplicity": column["multiplicity"],
        "local_index": column["index"],
        "goodness_of_fit": column["goodness"],
        "dof": column["dof"],
    }
    return Hits.from_columns({name: np.asarray(values)[order] for name, values in columns.items()})
