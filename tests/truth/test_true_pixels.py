"""True charge and class of pixels and hits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from oracles.true_charge import charge_in_pixel

from larmlreco.geometry import detector
from larmlreco.images import ImageSettings, images_of_wires
from larmlreco.io import open_file
from larmlreco.io.truth_npz import TruthArchive
from larmlreco.products import Hits, Pixels, TrueParticles, TrueSteps, Wires
from larmlreco.truth.pixels import (
    hit_labels,
    labels_of_charge,
    pixel_charge,
    pixel_labels,
    plane_arrivals,
    step_classes,
    step_instances,
)

UBOONE = detector("microboone")


def make_steps(x: list[float], z: list[float], electrons: list[float], particle: list[int]) -> TrueSteps:
    return TrueSteps.from_columns(
        {
            "x": x,
            "y": np.zeros(len(x)),
            "z": z,
            "t": np.zeros(len(x)),
            "de": np.ones(len(x)),
            "dx": np.ones(len(x)),
            "electrons": electrons,
            "tick": UBOONE.x_to_tick(x),
            "particle": particle,
        }
    )


def make_particles(ids: list[int], semantic: list[int]) -> TrueParticles:
    columns = {name: np.zeros(len(ids)) for name in TrueParticles.columns()}
    return TrueParticles.from_columns(
        columns | {"id": ids, "semantic": semantic, "instance": ids}, {"processes": ["primary"]}
    )


def make_pixels(column: list[int], row: list[int], plane: int = 2) -> Pixels:
    n = len(column)
    meta = {"detector": "microboone", "tpc": 0, "plane": plane, "view": "UVY"[plane], "rebin": 6}
    return Pixels.from_columns(
        {"tpc": np.zeros(n), "plane": np.full(n, plane), "column": column, "row": row, "adc": np.full(n, 50.0)}, meta
    )


def make_hits(wire: list[int], start: list[int], end: list[int]) -> Hits:
    columns = {name: np.zeros(len(wire)) for name in Hits.columns()}
    columns |= {"wire": wire, "plane": np.full(len(wire), 2), "start_tick": start, "end_tick": end}
    return Hits.from_columns(columns)


def test_charge_of_pixels_is_that_of_the_oracle() -> None:
    random = np.random.default_rng(1)
    n = 12
    steps = make_steps(
        random.uniform(0, 250, n).tolist(),
        random.uniform(499.5, 500.5, n).tolist(),
        random.uniform(1e3, 1e4, n).tolist(),
        [1] * n,
    )
    plane = UBOONE.plane(0, "Y")
    wires = np.arange(1660, 1672)
    rows = np.unique(np.clip(np.floor(steps.tick / 6)[:, None] + np.arange(-3, 4), 0, 1066).astype(int))
    column, row = (a.ravel() for a in np.meshgrid(wires, rows))
    shuffled = random.permutation(len(column))
    column, row = column[shuffled], row[shuffled]
    charge = pixel_charge(plane_arrivals(steps, UBOONE, plane), np.arange(n), n, column, row, 6)
    coordinate = plane.wire_coordinate(steps.y, steps.z)
    for i in range(len(column)):
        for j in range(n):
            expected = charge_in_pixel(
                float(steps.electrons[j]),
                float(coordinate[j]),
                float(steps.tick[j]),
                float(steps.x[j]) / 0.1098,
                int(column[i]),
                (6 * int(row[i]), 6 * int(row[i]) + 6),
                sigma_ticks=2.2,
                longitudinal=6.4,
                transverse=9.8,
                pitch=0.3,
                speed=0.1098,
                tick_us=0.5,
            )
            assert charge[i, j] == pytest.approx(expected, abs=2e-4 * float(steps.electrons[j]))


def test_a_pixel_takes_the_class_with_most_charge() -> None:
    steps = make_steps([100.0, 100.0, 100.0], [500.05] * 3, [3000.0, 2000.0, 2000.0], [1, 2, 3])
    particles = make_particles([3, 1, 2], [4, 0, 4])
    row = int(steps.tick[0]) // 6
    wire = int(UBOONE.plane(0, "Y").nearest_wire(0.0, 500.05))
    pixels = make_pixels([wire, wire, 5], [row, row + 100, row])
    assert pixel_labels(pixels, steps, particles, UBOONE).tolist() == [4, -1, -1]
    hits = make_hits([wire, wire, 5], [6 * row - 5, 0, 6 * row], [6 * row + 10, 10, 6 * row + 10])
    assert hit_labels(hits, steps, particles, UBOONE).tolist() == [4, -1, -1]


def test_ties_go_to_the_lower_class_and_tails_are_no_label() -> None:
    charge = np.array([[0.0, 500, 500, 0, 0], [0, 0, 0, 0, 10], [0, 0, 0, 0, 0]])
    assert labels_of_charge(charge).tolist() == [1, -1, -1]


def test_empty_event() -> None:
    steps, particles = make_steps([], [], [], []), make_particles([], [])
    assert pixel_labels(make_pixels([3], [4]), steps, particles, UBOONE).tolist() == [-1]
    assert pixel_labels(make_pixels([], []), steps, particles, UBOONE).tolist() == []
    assert hit_labels(make_hits([], [], []), steps, particles, UBOONE).tolist() == []
    assert hit_labels(make_hits([3], [0], [9]), steps, particles, UBOONE).tolist() == [-1]


def test_steps_of_unknown_particles_are_refused() -> None:
    steps = make_steps([100.0], [500.0], [3000.0], [7])
    with pytest.raises(ValueError, match="a true step belongs to particle 7, which is not among the particles"):
        step_classes(steps, make_particles([1, 2], [0, 0]))
    with pytest.raises(ValueError, match="particle 7"):
        step_classes(steps, make_particles([], []))


def test_repeated_pixels_and_deposits_outside() -> None:
    steps = make_steps([100.0, 100.0], [500.05, 5000.0], [3000.0, 3000.0], [1, 1])
    row = int(steps.tick[0]) // 6
    wire = int(UBOONE.plane(0, "Y").nearest_wire(0.0, 500.05))
    arriving = plane_arrivals(steps, UBOONE, UBOONE.plane(0, "Y"))
    charge = pixel_charge(arriving, [0, 0], 1, [wire, wire], [row, row], 6)
    assert charge[0, 0] > 500
    assert charge[1, 0] == 0


def test_true_charge_is_the_signal_of_the_reference_sample(shared_path: Callable[[str], Path]) -> None:
    reader = open_file(shared_path("samples/sim_uboone_art_10evt.root"))
    truth = TruthArchive(shared_path("samples/sim_uboone_art_10evt_truth.npz"))
    assert len(truth.event_ids) == reader.n_events == 10
    keys = {key.type: key for key in reader.keys("event")}
    dead = np.asarray(truth.channel_status().channel)
    assert 0.08 < len(dead) / UBOONE.n_channels < 0.09
    for entry in (0, 7):
        wires, hits = reader.read(entry, keys["Wires"]), reader.read(entry, keys["Hits"])
        assert isinstance(wires, Wires)
        assert isinstance(hits, Hits)
        assert not np.isin(wires.channel, dead).any()
        steps, particles = truth.read(*truth.event_ids[entry])
        images = images_of_wires(wires, UBOONE, UBOONE.active_readout_planes, ImageSettings(6, 10.0))
        for image in images.values():
            pixels = image.pixels
            plane = UBOONE.plane(0, int(pixels.meta["plane"]))
            arriving = plane_arrivals(steps, UBOONE, plane)
            charge = pixel_charge(arriving, step_classes(steps, particles), 5, pixels.column, pixels.row, 6)
            electrons = charge.sum(axis=1) / 200
            assert electrons.sum() / pixels.adc.sum() == pytest.approx(1, abs=0.01)
            assert np.corrcoef(electrons, pixels.adc)[0, 1] > 0.99
        labels = hit_labels(hits, steps, particles, UBOONE)
        assert (labels >= 0).mean() > 0.999
    instances = step_instances(steps, particles)
    assert set(instances.tolist()) <= set(particles.id.tolist())
    reader.close()
    truth.close()
