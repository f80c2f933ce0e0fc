"""Hits of the simulation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from larmlreco.geometry import detector
from larmlreco.io import open_file
from larmlreco.products import Hits, Wires
from larmlreco.simulation.hits import find_hits

UBOONE = detector("microboone")
NOISE = (0.9, 0.8, 0.5)


def make_wires(rois: list[tuple[int, int, np.ndarray]]) -> Wires:
    """ROIs as (channel, first sample, samples), channels ascending."""
    channels = sorted({channel for channel, _, _ in rois})
    plane = UBOONE.channel_plane[channels]
    return Wires.from_columns(
        {
            "channel": channels,
            "plane": plane,
            "view": plane,
            "n_samples": np.full(len(channels), 6400),
            "roi_wire": [channels.index(channel) for channel, _, _ in rois],
            "roi_begin": [begin for _, begin, _ in rois],
            "roi_length": [len(adc) for _, _, adc in rois],
            "adc": np.concatenate([adc for _, _, adc in rois]) if rois else np.zeros(0),
        }
    )


def gaussian(length: int, middle: float, sigma: float, height: float) -> np.ndarray:
    return height * np.exp(-0.5 * ((np.arange(length) - middle) / sigma) ** 2)


def test_one_gaussian_is_one_hit() -> None:
    hits = find_hits(make_wires([(5000, 300, gaussian(40, 18.3, 3.0, 20.0))]), UBOONE, NOISE)
    assert len(hits) == 1
    assert hits.peak_time[0] == pytest.approx(318.3, abs=1e-3)
    assert hits.rms[0] == pytest.approx(3, abs=1e-3)
    assert hits.peak_amplitude[0] == pytest.approx(20, abs=1e-2)
    assert hits.integral[0] == pytest.approx(20 * 3 * np.sqrt(2 * np.pi), rel=1e-3)
    # Uncertainties of a Gaussian fit: sigma_A^2 = 3 s^2 / (2 sqrt(pi) w), of the area 3 sqrt(pi) s^2 w.
    assert hits.sigma_peak_amplitude[0] == pytest.approx(np.sqrt(3 * 0.25 / (2 * np.sqrt(np.pi) * 3)), rel=0.02)
    assert hits.sigma_integral[0] == pytest.approx(np.sqrt(3 * np.sqrt(np.pi) * 0.25 * 3), rel=0.02)
    assert (hits.wire[0], hits.plane[0], hits.signal_type[0], hits.multiplicity[0]) == (200, 2, 1, 1)
    above = np.flatnonzero(gaussian(40, 18.3, 3.0, 20.0) > 0.75)
    assert (hits.start_tick[0], hits.end_tick[0]) == (300 + above[0], 301 + above[-1])
    assert hits.dof[0] == len(above) + 6 - 3


def test_two_overlapping_gaussians_are_two_hits() -> None:
    adc = gaussian(60, 20.0, 3.0, 20.0) + gaussian(60, 32.0, 4.0, 30.0)
    hits = find_hits(make_wires([(10, 0, adc)]), UBOONE, NOISE)
    assert hits.peak_time.tolist() == pytest.approx([20, 32], abs=1e-2)
    assert hits.rms.tolist() == pytest.approx([3, 4], abs=1e-2)
    assert hits.local_index.tolist() == [0, 1]
    assert hits.multiplicity.tolist() == [2, 2]
    assert hits.end_tick[0] == hits.start_tick[1]
    assert hits.signal_type.tolist() == [0, 0]


def test_a_train_of_many_peaks_is_cut_into_slices() -> None:
    adc = 30 + 20 * np.sin(np.arange(200) / 3)
    hits = find_hits(make_wires([(10, 100, adc)]), UBOONE, NOISE)
    assert len(hits) == 10
    assert set(hits.goodness_of_fit.tolist()) == {-1}
    assert set(hits.dof.tolist()) == {1}
    assert hits.integral.sum() == pytest.approx(adc.sum(), rel=1e-5)
    assert hits.start_tick[0] == 100
    assert hits.end_tick[-1] == 300


def test_what_is_below_threshold_is_no_hit() -> None:
    assert len(find_hits(make_wires([(10, 0, gaussian(40, 20.0, 3.0, 3.5))]), UBOONE, NOISE)) == 0
    assert len(find_hits(make_wires([]), UBOONE, NOISE)) == 0


def test_pulses_at_the_borders_of_rois_and_neighbouring_rois() -> None:
    rois = [(10, 0, gaussian(10, -1.0, 3.0, 20.0)), (10, 50, gaussian(20, 19.0, 3.0, 20.0)), (11, 0, np.full(8, 9.0))]
    hits = find_hits(make_wires(rois), UBOONE, NOISE)
    assert hits.channel.tolist() == [10, 10, 11]
    assert hits.start_tick[0] == 0
    assert hits.end_tick[1] == 70
    assert np.isfinite(hits.integral).all()


def test_hits_of_the_reference_sample(shared_path: Callable[[str], Path]) -> None:
    """Its waveforms give its hits: 98 % have the same samples, and of those the fits agree."""
    reader = open_file(shared_path("samples/sim_uboone_art_10evt.root"))
    keys = {key.type: key for key in reader.keys("event")}
    wires, theirs = reader.read(0, keys["Wires"]), reader.read(0, keys["Hits"])
    assert isinstance(wires, Wires)
    assert isinstance(theirs, Hits)
    ours = find_hits(wires, UBOONE, NOISE)
    assert len(ours) == pytest.approx(len(theirs), rel=0.01)
    place = {
        k: i
        for i, k in enumerate(
            zip(theirs.channel.tolist(), theirs.start_tick.tolist(), theirs.end_tick.tolist(), strict=True)
        )
    }
    same = [
        (i, place[k])
        for i, k in enumerate(zip(ours.channel.tolist(), ours.start_tick.tolist(), ours.end_tick.tolist(), strict=True))
        if k in place
    ]
    a, b = np.array(same).T
    assert len(same) > 0.98 * len(theirs)
    for name in ("peak_time", "rms", "peak_amplitude", "integral", "sigma_integral", "goodness_of_fit"):
        expected = getattr(theirs, name)[b]
        difference = np.abs(getattr(ours, name)[a] - expected) / np.maximum(np.abs(expected), 1e-2)
        assert np.quantile(difference, 0.98) < 2e-3, name
    for name in ("summed_adc", "roi_summed_adc", "dof", "plane", "wire", "view", "signal_type"):
        np.testing.assert_allclose(getattr(ours, name)[a][:500], getattr(theirs, name)[b][:500], rtol=1e-4, atol=1e-3)
    reader.close()
