"""Whole events and the verb ``simulate``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError
from larmlreco.geometry import detector
from larmlreco.io import open_file
from larmlreco.products import Product, TrueParticles, TrueSteps
from larmlreco.simulation.event import SimulatedEvent, Simulation, respond
from larmlreco.simulation.geant import Volume
from larmlreco.simulation.generators import cosmics, vertex
from larmlreco.simulation.settings import CosmicSettings, ReadoutSettings, SimulationSettings, VertexSettings

UBOONE = detector("microboone")
VOLUME = Volume((0.0, -116.25, 0.0), (256.04, 116.25, 1036.8), (20.0, 20.0, 40.0))
NAMES = ("wires", "hits", "status", "steps", "particles")


@pytest.fixture(scope="module")
def simulation(geant4_data: None) -> Iterator[Simulation]:
    with Simulation(SimulationSettings()) as made:
        yield made


def equal(a: Product, b: Product) -> bool:
    left, right = a.to_columns(), b.to_columns()
    return all(left[name].tobytes() == right[name].tobytes() for name in left)


def same(a: SimulatedEvent, b: SimulatedEvent) -> bool:
    return all(equal(getattr(a, name), getattr(b, name)) for name in NAMES)


def test_an_event_depends_on_the_seed_and_its_number_alone(simulation: Simulation) -> None:
    third = simulation.event(1, 2)
    assert not same(third, simulation.event(1, 3))
    assert not same(third, simulation.event(2, 2))
    with Simulation(SimulationSettings()) as other:
        assert same(third, other.event(1, 2))


def test_products_fit_together(simulation: Simulation) -> None:
    event = simulation.event(5, 0)
    assert set(event.steps.particle.tolist()) <= set(event.particles.id.tolist())
    assert set(event.particles.instance.tolist()) <= set(event.particles.id.tolist())
    assert not np.isin(event.wires.channel, event.status.channel).any()
    assert (np.diff(event.wires.channel) > 0).all()
    assert np.isin(event.hits.channel, event.wires.channel).all()
    assert event.wires.roi_length.sum() == len(event.wires.adc)
    inside = (event.wires.roi_begin >= 0) & (event.wires.roi_begin + event.wires.roi_length <= 6400)
    assert inside.all()
    for fraction in np.bincount(UBOONE.channel_plane[event.status.channel]) / [2400, 2400, 3456]:
        assert 0.08 <= fraction < 0.13
    assert (event.particles.cosmic[event.particles.parent == 0] == 1).sum() in range(3, 7)


def test_vertex_content() -> None:
    random = np.random.default_rng(1)
    made = [vertex(VertexSettings(), VOLUME, random) for _ in range(300)]
    assert {len(v) for v in made} == {2, 3, 4}
    assert {p.pdg for v in made for p in v} == {13, -13, 211, -211, 2212, 11, 22}
    assert all(50 <= p.kinetic_energy <= 1000 and p.t0 == 0 and p.cosmic == 0 for v in made for p in v)
    positions = np.array([v[0].position for v in made])
    assert (positions > np.add(VOLUME.low, 10)).all()
    assert (positions < np.subtract(VOLUME.high, 10)).all()
    assert all(p.position == v[0].position for v in made for p in v)


def test_cosmic_content() -> None:
    random = np.random.default_rng(1)
    made = [cosmics(CosmicSettings(), VOLUME, UBOONE, random) for _ in range(300)]
    assert {len(c) for c in made} == {3, 4, 5, 6}
    muons = [p for c in made for p in c]
    start, direction = np.array([p.position for p in muons]), np.array([p.direction for p in muons])
    assert ((start > VOLUME.argon_low) & (start < VOLUME.argon_high)).all()
    assert (direction[:, 1] < 0).all()
    # cos^2 per solid angle: the mean cosine of the zenith angle is 3/4.
    assert -direction[:, 1].mean() == pytest.approx(0.75, abs=0.02)
    distance = np.abs(np.concatenate([start - VOLUME.argon_low, VOLUME.argon_high - start], axis=1)).min(axis=1)
    assert distance.max() < 0.06
    energy = np.array([p.kinetic_energy for p in muons])
    assert energy.min() >= 300
    assert energy.max() <= 10000
    assert all(c[0].pdg == -13 for c in made)
    t0 = np.array([p.t0 for p in muons])
    assert t0.min() > -400 - 2340
    assert t0.max() < 2800


def test_no_particles_at_all(geant4_data: None) -> None:
    settings = SimulationSettings(vertex={"multiplicity": [0, 0]}, cosmics={"count": [0, 0]})
    with Simulation(settings) as made:
        event = made.event(1, 1)
    assert len(event.wires) == len(event.hits) == len(event.steps) == len(event.particles) == 0
    assert len(event.status) > 0


def test_the_verb_writes_what_jobs_and_trainings_read(geant4_data: None, tmp_path: Path) -> None:
    arguments = ["simulate", "-c", "simulate_evaluation_uboone.fcl", "--seed", "3"]
    assert main([*arguments, "-o", str(tmp_path / "a.root"), "-n", "2"]) == 0
    assert main([*arguments, "-o", str(tmp_path / "b.root"), "-n", "1", "--first", "1"]) == 0
    whole, part = open_file(tmp_path / "a.root"), open_file(tmp_path / "b.root")
    assert [tuple(i) for i in whole.event_ids] == [(1, 1, 1), (1, 1, 2)]
    assert [tuple(i) for i in part.event_ids] == [(1, 1, 2)]
    keys = whole.keys("event")
    assert sorted(key.branch for key in keys) == [
        "ChannelStatus_chstatus__Sim",
        "Hits_gaushit__Sim",
        "TrueParticles_largeant__Sim",
        "TrueSteps_largeant__Sim",
        "Wires_butcher__Sim",
    ]
    for key in keys:
        assert equal(whole.read(1, key), part.read(0, key)), key.branch
    steps = whole.read(0, next(k for k in keys if k.type == "TrueSteps"))
    particles = whole.read(0, next(k for k in keys if k.type == "TrueParticles"))
    assert isinstance(steps, TrueSteps)
    assert isinstance(particles, TrueParticles)
    assert len(steps) > 1000
    assert "primary" in particles.meta["processes"]
    whole.close()
    part.close()


def refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    job = tmp_path / "job.fcl"
    job.write_text(text)
    assert main(["simulate", "-c", str(job), "-o", str(tmp_path / "x.root"), "-n", "1", "--seed", "1"]) == 3
    assert not list(tmp_path.glob("x.root*"))
    return capsys.readouterr().err


def test_wrong_jobs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no table 'simulation'; it has training" in refused(tmp_path, "training: {}", capsys)
    message = refused(tmp_path, "simulation: { cosmics: { number: 3 } }", capsys)
    assert "simulation.cosmics.number" in message
    assert "valid: arrival, count" in message
    message = refused(tmp_path, "simulation: { readout: { noise: [1, 2] } }", capsys)
    assert "expects three numbers, one a plane, got [1, 2]" in message
    message = refused(tmp_path, "simulation: { vertex: { multiplicity: [4, 2] } }", capsys)
    assert "expects a range from low to high, got [4, 2]" in message


def test_a_detector_with_wrapped_wires_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"wires of protodunehd wrap .* valid: microboone, sbnd"):
        Simulation(SimulationSettings(detector="protodunehd"))


def test_each_tpc_sees_its_own_charge() -> None:
    """Two deposits, one on each side of SBND's cathode: wires and hits of each lie on the planes of its TPC."""
    mine = detector("sbnd")
    x, y, z = np.array([-100.0, 50.0]), np.array([20.0, -30.0]), np.array([200.0, 300.0])
    steps = TrueSteps.from_columns(
        {"x": x, "y": y, "z": z, "t": 0 * x, "de": 0 * x + 2, "dx": 0 * x + 0.3, "electrons": 0 * x + 60000,
         "tick": mine.x_to_tick(x, [0, 1]), "particle": 0 * x + 1}
    )  # fmt: skip
    assert mine.tpc_of(x, y, z).tolist() == [0, 1]
    assert mine.tpc_of([0.0, 500.0], [0.0, 0.0], [100.0, 100.0]).tolist() == [-1, -1]
    settings = ReadoutSettings(noise=(1e-3, 1e-3, 1e-3), dead_fraction=(0.0, 0.0))
    wires, hits, status = respond(steps, mine, settings, np.random.default_rng(1))
    assert set(status.channel) == set(mine.unread_channels)
    for tpc in (0, 1):
        here = hits.tpc == tpc
        for plane in mine.tpcs[tpc].planes:
            of_plane = np.flatnonzero(here & (hits.plane == plane.plane))
            loudest = of_plane[np.argmax(hits.integral[of_plane])]
            assert hits.wire[loudest] == plane.nearest_wire(y[tpc], z[tpc])
            assert hits.channel[loudest] == plane.channels[hits.wire[loudest]]
            assert hits.peak_time[loudest] == pytest.approx(mine.x_to_tick(x[tpc], tpc), abs=2)
            assert plane.channels[hits.wire[loudest]] in wires.channel


def test_numbers_out_of_range_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["simulate", "-c", "x.fcl", "-o", "x.root", "-n", "1", "--seed", "-1"])
    assert exit_.value.code == 2
    assert "-1 is not between 0 and" in capsys.readouterr().err
