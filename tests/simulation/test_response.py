"""From deposits to zero-suppressed waveforms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from larmlreco.argon import dedx_of_charge, recombination, recombined_electrons, survival
from larmlreco.geometry import detector
from larmlreco.io import open_file
from larmlreco.io.truth_npz import TruthArchive
from larmlreco.products import Wires
from larmlreco.simulation.event import make_wires
from larmlreco.simulation.response import (
    correlated_noise,
    dead_blocks,
    plane_signal,
    pulses,
)
from larmlreco.simulation.settings import ReadoutSettings
from larmlreco.truth.pixels import plane_arrivals
from larmlreco.truth.spread import Arrivals, ChargeResponse, arrivals

UBOONE = detector("microboone")
QUIET = ReadoutSettings(noise=[1e-6, 1e-6, 1e-6])


def charge_at(wire: float, tick: float, electrons: float, drift_us: float = 0.0, plane: int = 2) -> Arrivals:
    return arrivals(
        np.array([wire]),
        np.array([drift_us]),
        np.array([tick]),
        np.array([electrons]),
        n_wires=100,
        pitch=0.3,
        drift_cm_per_us=0.1098,
        tick_us=0.5,
        plane=plane,
        response=ChargeResponse(),
    )


def test_recombination_and_ticks_of_the_reference_sample(shared_path: Callable[[str], Path]) -> None:
    truth = TruthArchive(shared_path("samples/sim_uboone_art_10evt_truth.npz"))
    for number in truth.event_ids[:3]:
        steps, particles = truth.read(*number)
        electrons = recombined_electrons(steps.de.astype(float), steps.dx.astype(float), UBOONE.electric_field)
        # The sample keeps its steps in single precision, and dE/dx is a quotient of two of them.
        np.testing.assert_allclose(electrons, steps.electrons, rtol=1e-4)
        t0 = dict(zip(particles.id.tolist(), particles.t0.tolist(), strict=True))
        start = np.array([t0[p] for p in steps.particle.tolist()])
        np.testing.assert_allclose(UBOONE.x_to_tick(steps.x, 0, start + steps.t), steps.tick, atol=2e-3)


def test_recombination_by_hand() -> None:
    # xi = 0.212 * 2 / (1.396 * 0.273) = 1.1125; ln(0.93 + xi) / xi = 0.6415
    assert recombined_electrons(np.array([0.2]), np.array([0.1]), 0.273)[0] == pytest.approx(
        0.2 / 23.6e-6 * 0.6415, rel=1e-3
    )
    tiny = recombined_electrons(np.array([1e-4]), np.array([0.1]), 0.273)[0]
    assert tiny == pytest.approx(1e-4 / 23.6e-6 * 0.71237, rel=1e-4)


def test_survival() -> None:
    assert survival(np.array([0.0, 8000.0]), 8.0).tolist() == pytest.approx([1, np.exp(-1)])
    assert survival(np.array([1e5]), 0.0).tolist() == [1]


def test_a_pulse_has_the_charge_and_width_it_should() -> None:
    for plane, sigma in enumerate((2.8, 2.8, 2.2)):
        wires, waves = pulses(charge_at(50.0, 1000.25, 20000.0, plane=plane), 6400, ChargeResponse())
        assert wires.tolist() == [50]
        t = np.arange(6400)
        total = waves[0].sum()
        mean = (t * waves[0]).sum() / total
        assert total == pytest.approx(100, rel=1e-3)
        assert mean == pytest.approx(1000.25, abs=1e-3)
        assert np.sqrt(((t - mean) ** 2 * waves[0]).sum() / total) == pytest.approx(sigma, rel=1e-3)


def test_diffusion_spreads_over_wires_and_samples() -> None:
    arriving = charge_at(50.2, 3000.0, 1e6, drift_us=2000.0)
    share = arriving.charge / 1e6
    assert share.sum() == pytest.approx(1, abs=1e-3)
    spread = np.sqrt((share * (arriving.wire - 50.2) ** 2).sum())
    # 2 D_T t = 0.0392 cm2 is 0.66 pitches, and the width of a cell adds 1/12.
    assert spread == pytest.approx(np.sqrt(0.0392 / 0.09 + 1 / 12), rel=0.01)
    assert arriving.sigma[0] == pytest.approx(np.hypot(2.2, np.sqrt(2 * 6.4 * 2e-3) / 0.0549), rel=1e-6)


@pytest.mark.parametrize("tick", [-16.0, -9.9, 0.0, 6399.0, 6409.4, 6412.0])
def test_pulses_at_the_ends_of_the_readout_are_cut(tick: float) -> None:
    _, waves = pulses(charge_at(50.0, tick, 1e5), 6400, ChargeResponse())
    t = np.arange(6400)
    expected = 500 * np.exp(-0.5 * ((t - tick) / 2.2) ** 2) / (2.2 * np.sqrt(2 * np.pi))
    assert waves.sum() == pytest.approx(expected.sum(), abs=0.05)


def test_rois_are_padded_and_dead_wires_are_silent() -> None:
    settings = ReadoutSettings(noise=[1e-6] * 3, roi_threshold=2.0, roi_padding=6)
    dead = np.zeros(100, dtype=bool)
    random = np.random.default_rng(1)
    signal = plane_signal(charge_at(50.0, 1000.0, 20000.0), 6400, dead, np.ones(100), 1.0, settings, random)
    height = 100 / (2.2 * np.sqrt(2 * np.pi))
    reach = int(2.2 * np.sqrt(2 * np.log(height / 2)))
    assert signal.wire.tolist() == [50]
    assert abs(int(signal.begin[0]) - (1000 - reach - 6)) <= 2
    assert len(signal.adc) == signal.length[0]
    above = signal.adc > 2.0
    assert not above[:6].any()
    assert not above[-6:].any()
    assert above[6]
    assert above[-7]
    dead[50] = True
    silent = plane_signal(charge_at(50.0, 1000.0, 20000.0), 6400, dead, np.ones(100), 1.0, settings, random)
    assert len(silent.wire) == len(silent.adc) == 0


def test_gain_scales_a_wire() -> None:
    gain = np.ones(100)
    gain[50] = 1.5
    wave = plane_signal(
        charge_at(50.0, 1000.0, 20000.0), 6400, np.zeros(100, dtype=bool), gain, 1e-6, QUIET, np.random.default_rng(1)
    )
    assert wave.adc.sum() == pytest.approx(150, rel=1e-3)


def test_noise_has_its_width_and_correlation() -> None:
    noise = correlated_noise(200_000, 1.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (noise[1:] * noise[:-1]).mean() == pytest.approx(np.exp(-0.25), abs=0.02)
    assert (noise[3:] * noise[:-3]).mean() == pytest.approx(np.exp(-2.25), abs=0.02)
    white = correlated_noise(200_000, 0.0, np.random.default_rng(1))
    assert (white[1:] * white[:-1]).mean() == pytest.approx(0, abs=0.02)


def test_no_charge_no_wires() -> None:
    none = np.zeros(0)
    nothing = Arrivals(none.astype(np.int64), none.astype(np.int64), none, none, none)
    signals = [
        plane_signal(nothing, 6400, np.zeros(p.n_wires, bool), np.ones(p.n_wires), 1.0, QUIET, np.random.default_rng(1))
        for p in UBOONE.planes
    ]
    assert len(make_wires(signals, UBOONE)) == 0


def test_dead_blocks() -> None:
    dead = dead_blocks(2400, 0.085, np.random.default_rng(1))
    assert 0.085 <= dead.mean() < 0.085 + 96 / 2400
    assert not dead_blocks(2400, 0.0, np.random.default_rng(1)).any()
    assert not np.array_equal(dead, dead_blocks(2400, 0.085, np.random.default_rng(2)))


def test_the_response_is_that_of_the_reference_sample(shared_path: Callable[[str], Path]) -> None:
    """Its truth put through our response gives its waveforms, up to noise of the size that it states."""
    reader = open_file(shared_path("samples/sim_uboone_art_10evt.root"))
    truth = TruthArchive(shared_path("samples/sim_uboone_art_10evt_truth.npz"))
    steps, _ = truth.read(*truth.event_ids[1])
    theirs = reader.read(1, next(key for key in reader.keys("event") if key.type == "Wires"))
    assert isinstance(theirs, Wires)
    is_dead = np.isin(np.arange(UBOONE.n_channels), truth.channel_status().channel)
    settings = ReadoutSettings()
    random = np.random.default_rng(1)
    signals = []
    begin_of = np.cumsum(theirs.roi_length) - theirs.roi_length
    for plane in UBOONE.planes:
        arriving = plane_arrivals(steps, UBOONE, plane, settings.charge)
        noise = settings.noise[plane.plane]
        signals.append(
            plane_signal(
                arriving, UBOONE.n_samples, is_dead[plane.channels], np.ones(plane.n_wires), noise, settings, random
            )
        )
        wires, waves = pulses(arriving, UBOONE.n_samples, settings.charge)
        row = {int(plane.channels[w]): i for i, w in enumerate(wires)}
        residuals = []
        for roi in np.flatnonzero(np.isin(theirs.channel, plane.channels)[theirs.roi_wire]):
            begin, length = int(theirs.roi_begin[roi]), int(theirs.roi_length[roi])
            ours = waves[row[int(theirs.channel[theirs.roi_wire[roi]])], begin : begin + length]
            residuals.append(theirs.adc[begin_of[roi] : begin_of[roi] + length] - ours)
        assert np.concatenate(residuals).std() == pytest.approx(noise, rel=0.05)
    ours = make_wires(signals, UBOONE)
    assert len(ours) == pytest.approx(len(theirs), rel=0.01)
    assert len(ours.roi_begin) == pytest.approx(len(theirs.roi_begin), rel=0.02)
    assert len(ours.adc) == pytest.approx(len(theirs.adc), rel=0.02)
    assert ours.adc.sum() == pytest.approx(theirs.adc.sum(), rel=0.005)
    reader.close()
    truth.close()


def test_charge_of_a_track_gives_its_stopping_power_back() -> None:
    dedx = np.array([1.5, 2.1, 8.0, 20.0])
    per_cm = recombined_electrons(0.3 * dedx, np.full(4, 0.3), 0.273) / 0.3
    assert dedx_of_charge(per_cm, 0.273) == pytest.approx(dedx)
    assert recombination(2.1, 0.273) == pytest.approx(0.634, abs=1e-3)
