"""Final states: what the jobs of the published samples draw, neutrinos, stopping muons, HEPEVT files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework import fhicl
from larmlreco.io.hepevt import HepEvtFile
from larmlreco.masses import kinetic_energy, mass, momentum
from larmlreco.simulation.geant import Primary, Volume
from larmlreco.simulation.generators import Content, muon_energy
from larmlreco.simulation.job import make_simulation
from larmlreco.simulation.neutrino import CHANNELS, FERMI_MOMENTUM, interaction
from larmlreco.simulation.settings import ContentSettings, SimulationSettings, VertexSettings, VoxelSimulationSettings

VOLUME = Volume((0.0, -116.25, 0.0), (256.04, 116.25, 1036.8), (20.0, 20.0, 40.0))
CHARGE = {11: -1, 13: -1, 12: 0, 14: 0, 111: 0, 211: 1, 2212: 1, 2112: 0}


def settings(name: str) -> ContentSettings:
    values = fhicl.load(name).to_python()["simulation"]
    kind = VoxelSimulationSettings if values["image"] == "voxels" else SimulationSettings
    return kind.parse(values, "simulation", "test")


def drawn(content: ContentSettings, n: int = 400) -> list[list[Primary]]:
    random = np.random.default_rng(7)
    generator = Content(content, VOLUME)
    return [generator.draw(i, random) for i in range(n)]


def test_mpv_keeps_the_published_rules() -> None:
    events = drawn(settings("simulate_mpv_uboone.fcl"), 3000)
    assert Counter(map(len, events)).keys() == {1, 2, 3, 4}
    low_momentum = {11: (30, 100), 22: (30, 100), 13: (85, 175), 211: (95, 195), 2212: (300, 450)}
    low = 0
    for event in events:
        assert len({p.position for p in event}) == 1
        ranges = [low_momentum[abs(p.pdg)] for p in event]
        if all(a <= momentum(p.pdg, p.kinetic_energy) <= b for p, (a, b) in zip(event, ranges, strict=True)):
            low += 1
            assert max(Counter(abs(p.pdg) for p in event).values()) <= 2
            continue
        kinds = Counter("lepton" if p.pdg in (11, 13) else abs(p.pdg) for p in event)
        assert kinds["lepton"] >= 1
        assert max(kinds["lepton"], kinds[2212]) <= 3
        assert max(kinds[22], kinds[211]) <= 2
        assert all(50 <= p.kinetic_energy <= 1000 for p in event)
    assert low / len(events) == pytest.approx(0.2, abs=0.03)
    direction = np.array([p.direction for event in events for p in event])
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    assert direction.mean(axis=0) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("name", "lepton", "of_lepton", "of_proton", "in_momentum"),
    [
        ("1e1p", 11, (50, 500), (50, 300), False),
        ("1mu1p", 13, (50, 500), (50, 300), False),
        ("1e1p_low_energy", 11, (30, 100), (300, 450), True),
        ("1mu1p_low_energy", 13, (85, 175), (300, 450), True),
    ],
)
def test_samples_of_two_particles(
    name: str, lepton: int, of_lepton: tuple[int, int], of_proton: tuple[int, int], in_momentum: bool
) -> None:
    events = drawn(settings(f"simulate_{name}_uboone.fcl"))
    assert all([p.pdg for p in event] == [lepton, 2212] for event in events)
    for column, (low, high) in enumerate((of_lepton, of_proton)):
        values = np.array([e[column].kinetic_energy for e in events])
        if in_momentum:
            values = np.array([momentum(e[column].pdg, e[column].kinetic_energy) for e in events])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high


def test_voxel_events_are_a_vertex_and_isolated_particles() -> None:
    events = drawn(settings("simulate_voxels.fcl"))
    places = [Counter(p.position for p in event) for event in events]
    at_vertex = [max(c.values()) for c in places]
    assert set(at_vertex) == {2, 3, 4}
    assert {len(c) - 1 for c in places} == {1, 2, 3}
    alone = [p for event, c in zip(events, places, strict=True) for p in event if c[p.position] == 1]
    assert {p.pdg for p in alone} == {11, 13, -13, 2212}
    outside = [bool((np.array(p.position) < VOLUME.low).any()) for p in alone]
    assert 0 < np.mean(outside) < 0.5


def test_stopping_muons_have_the_energy_of_their_way() -> None:
    events = drawn(settings("simulate_michel_uboone.fcl"))
    muons = [p for event in events for p in event]
    assert {len(e) for e in events} == {1, 2}
    assert {p.pdg for p in muons} == {13, -13}
    energies = np.array([p.kinetic_energy for p in muons])
    assert energies.max() <= muon_energy(200)
    start = np.array([p.position for p in muons])
    assert ((start > VOLUME.argon_low) & (start < VOLUME.argon_high)).all()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("pdg", [14, -12])
def test_neutrinos_keep_charge_energy_and_the_kind_of_lepton(channel: str, pdg: int) -> None:
    random = np.random.default_rng(3)
    content = Counter()
    for _ in range(300):
        made = interaction(channel, pdg, 900.0, random)
        codes = [code for code, _ in made]
        charge = sum(CHARGE[abs(c)] * (1 if c > 0 else -1) for c in codes)
        leptons = [c for c in codes if abs(c) < 20]
        assert leptons == ([] if channel == "ncres" else [int(np.sign(pdg)) * (abs(pdg) - 1)])
        nucleons = [c for c in codes if c in (2212, 2112)]
        assert len(nucleons) == 1
        pions = [c for c in codes if c in (111, 211, -211)]
        assert len(pions) == (0 if channel == "ccqe" else 1)
        # The struck nucleon is a proton or a neutron.
        assert charge in (0, 1)
        content.update(pions)
        total = sum(p for _, p in made)
        energy = sum(np.hypot(np.linalg.norm(p), mass(c)) for c, p in made)
        if channel != "ncres":
            # What is missing to the neutrino is the nucleon's: its Fermi momentum, and its energy in the nucleus.
            fermi = np.linalg.norm(total - [0, 0, 900.0])
            assert fermi <= FERMI_MOMENTUM + 1e-6
            target = 2112 if charge == 0 else 2212
            assert energy == pytest.approx(900 + np.hypot(fermi, mass(target)) - 28.0, rel=1e-9)
        assert np.linalg.norm(dict(made)[nucleons[0]]) >= FERMI_MOMENTUM
    if channel == "ccres":
        charged = content[211 if pdg > 0 else -211]
        assert content[-211 if pdg > 0 else 211] == 0
        proton = 0.45 if pdg > 0 else 0.55
        odds = 3 * proton / (3 * proton + 1 - proton)
        assert charged / 300 == pytest.approx(odds + (1 - odds) / 3, abs=0.1)


def test_a_channel_can_be_closed() -> None:
    random = np.random.default_rng(1)
    assert interaction("ccres", 14, 150.0, random) == []
    table = {"neutrinos": {"count": [1, 1], "energy": [100, 120], "channels": {"ccres": 1.0}}, "vertices": [0, 0]}
    with pytest.raises(ConfigurationError, match=r"no channel of ccres is open at \(100.0, 120.0\) MeV"):
        drawn(ContentSettings(**table), 1)


def test_neutrino_events_start_at_one_place() -> None:
    events = drawn(settings("simulate_neutrino_uboone.fcl"), 100)
    assert all(len({p.position for p in event}) == 1 for event in events)
    assert {abs(event[0].pdg) for event in events} >= {11, 13}
    assert all(p.kinetic_energy > 0 for event in events for p in event)


HEPEVT = """0 3
1 13 0 0 0 0 0.3 0.0 0.4 0.511 0.1056583755 100. 10. 500. 20.
0 14 0 0 0 0 0.0 0.0 1.0 1.0 0.0 100. 10. 500. 20.
1 2212 0 0 0 0 0.0 0.0 0.5 1.063 0.93827208816 101. 10. 500. 21.

1 0
"""


def test_final_states_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.hepevt"
    path.write_text(HEPEVT)
    table = {"vertices": [0, 0], "final_states": {"file": str(path)}}
    first, second = drawn(ContentSettings(**table), 2)
    assert second == []
    assert [p.pdg for p in first] == [13, 2212]
    assert first[0].kinetic_energy == pytest.approx(kinetic_energy(13, 500.0))
    assert first[0].position == (100.0, 10.0, 500.0)
    assert first[0].direction == pytest.approx((300.0, 0.0, 400.0))
    assert [p.t0 for p in first] == pytest.approx([0.020, 0.021])
    table["final_states"] = {"file": str(path), "place": "random"}
    moved = drawn(ContentSettings(**table), 1)[0]
    assert moved[0].position != first[0].position
    assert np.subtract(moved[1].position, moved[0].position) == pytest.approx([1, 0, 0])
    with pytest.raises(InputError, match=r"events\.hepevt: event 2 is asked for, the file has 2"):
        drawn(ContentSettings(**table), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 2\n" + HEPEVT.splitlines()[1], "line 1: 2 particles announced, 1 follow"),
        ("0 1\n1 13 0 0", "line 2: expected 15 numbers .status, pdg, .*got '1 13 0 0'"),
        ("0 1\n" + HEPEVT.splitlines()[1].replace("0.511", "nan"), "line 2: expected 15 numbers"),
        ("zero 1\n", "line 1: expected the number of the event and of its particles, got 'zero 1'"),
    ],
)
def test_damaged_files_of_final_states_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(InputError, match=rf"final states .*bad\.txt, {message}"):
        HepEvtFile(tmp_path / "bad.txt")
    with pytest.raises(InputError, match="missing: the file does not exist"):
        HepEvtFile(tmp_path / "missing")


def test_wrong_contents_are_refused() -> None:
    kind = {"pdg": [11], "kinetic_energy": [1, 2]}
    with pytest.raises(ConfigurationError, match="either kinetic_energy or momentum for e"):
        VertexSettings(particles={"e": {**kind, "momentum": [1, 2]}})
    with pytest.raises(ConfigurationError, match="at least one kind"):
        VertexSettings(particles={})
    with pytest.raises(ConfigurationError, match="kinetic_energy for PDG code 3334, whose mass is not known"):
        VertexSettings(particles={"omega": {"pdg": [3334], "momentum": [1, 2]}})
    with pytest.raises(ConfigurationError, match=r"a vertex requires the kind 'mu'; .*valid: e"):
        Content(ContentSettings(vertex={"particles": {"e": kind}, "required": ["mu"]}), VOLUME)
    with pytest.raises(ConfigurationError, match="channels of ccqe, ccres, ncres"):
        ContentSettings(neutrinos={"channels": {"dis": 1.0}})
    with pytest.raises(ConfigurationError, match=r"simulation\.image: test does not know 'pads'; valid: voxels, wires"):
        make_simulation({"image": "pads"}, "test")


def test_kinds_run_out() -> None:
    kind = {"pdg": [11], "kinetic_energy": [1, 2], "most": 1}
    events = drawn(ContentSettings(vertex={"multiplicity": [3, 3], "particles": {"e": kind}}), 5)
    assert {len(event) for event in events} == {1}


@pytest.mark.parametrize(("pdg", "kinetic"), [(13, 100.0), (22, 30.0), (-211, 5.0), (1000020040, 4.0)])
def test_momentum_and_kinetic_energy_are_inverse(pdg: int, kinetic: float) -> None:
    assert kinetic_energy(pdg, momentum(pdg, kinetic)) == pytest.approx(kinetic)
