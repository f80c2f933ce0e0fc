"""Geant4's physics against published figures, and what it says when it cannot start."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.simulation.geant import Geant4, Primary, Volume, check_data
from larmlreco.simulation.generators import muon_energy
from larmlreco.truth.semantic import classify

BOX = Volume((0.0, -100.0, 0.0), (200.0, 100.0, 600.0), (20.0, 20.0, 20.0))
MIDDLE = (100.0, 0.0, 300.0)
START = (100.0, 0.0, 10.0)
BEAM = (0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def geant4(geant4_data: None) -> Iterator[Geant4]:
    with Geant4(BOX) as engine:
        yield engine


def shoot(engine: Geant4, pdg: int, energy: float, count: int, start: tuple[float, float, float] = START) -> np.ndarray:
    """Track lengths (count,) in cm of primaries."""
    deposits, _ = engine.track([Primary(pdg, energy, start, BEAM)] * count, 1)
    return np.bincount(deposits.particle, deposits.length, minlength=count + 1)[1 : count + 1]


@pytest.mark.parametrize(
    ("pdg", "energy", "expected", "count"),
    [(13, 100.0, 30.44, 60), (13, 1000.0, 441.5, 10), (2212, 100.0, 7.82, 40)],
    ids=["muon 100 MeV (Groom)", "muon 1 GeV (Groom)", "proton 100 MeV (PSTAR)"],
)
def test_ranges(geant4: Geant4, pdg: int, energy: float, expected: float, count: int) -> None:
    assert np.median(shoot(geant4, pdg, energy, count)) == pytest.approx(expected, rel=0.025)


def test_the_table_of_muon_ranges_agrees_with_geant4(geant4: Geant4) -> None:
    assert np.median(shoot(geant4, -13, muon_energy(150.0), 12)) == pytest.approx(150, rel=0.03)


def test_michel_spectrum_and_capture(geant4: Geant4) -> None:
    _, tracks = geant4.track([Primary(-13, 10.0, MIDDLE, BEAM)] * 300, 2)
    michel = (tracks.pdg == -11) & (np.array(tracks.process) == "Decay")
    assert michel.sum() == 300
    error = 11 / np.sqrt(300)
    assert tracks.kinetic_energy[michel].mean() == pytest.approx(36.4, abs=3 * error)
    assert tracks.kinetic_energy[michel].max() < 52.9
    assert tracks.time[michel].mean() == pytest.approx(2.197, abs=3 * 2.2 / np.sqrt(300))

    _, tracks = geant4.track([Primary(13, 10.0, MIDDLE, BEAM)] * 400, 3)
    semantic, _ = classify(
        tracks.pdg,
        np.where(tracks.parent > 0, tracks.rows(tracks.parent), -1),
        tracks.process,
        tracks.kinetic_energy,
        model=tracks.model,
    )
    decayed = len(np.unique(tracks.parent[(semantic == 4) & (tracks.parent <= 400)]))
    assert decayed / 400 == pytest.approx(0.25, abs=3 * np.sqrt(0.25 * 0.75 / 400))


def test_energy_loss_of_a_minimum_ionising_muon(geant4: Geant4) -> None:
    deposits, _ = geant4.track([Primary(13, 300.0, START, BEAM)] * 5, 4)
    own = (deposits.position[:, 2] < 30) & (deposits.particle <= 5)
    values = deposits.energy[own] / deposits.length[own]
    # Mean restricted to losses below the production cut of 0.35 MeV a step; the most probable value is lower.
    assert 1.6 < np.median(values) < 1.9
    assert values.max() < 20
    assert deposits.length[own].max() <= 0.1 + 1e-9


def test_the_same_seed_gives_the_same_event_whatever_came_before(geant4: Geant4) -> None:
    first = geant4.track([Primary(11, 300.0, MIDDLE, BEAM)], 7)
    other = geant4.track([Primary(11, 300.0, MIDDLE, BEAM)], 8)
    again = geant4.track([Primary(11, 300.0, MIDDLE, BEAM)], 7)
    np.testing.assert_array_equal(first[0].energy, again[0].energy)
    np.testing.assert_array_equal(first[1].position, again[1].position)
    assert len(first[0].energy) != len(other[0].energy)


def test_particles_are_named_after_what_made_them(geant4: Geant4) -> None:
    deposits, tracks = geant4.track([Primary(22, 200.0, MIDDLE, BEAM)], 9)
    assert tracks.process[0] == "primary"
    assert {"conv", "eBrem"} <= set(tracks.process)
    assert set(deposits.particle.tolist()) <= set(tracks.id.tolist())
    assert (tracks.primary() == 1).all()
    assert deposits.energy.sum() == pytest.approx(200, rel=0.2)


def test_no_primaries_no_deposits(geant4: Geant4) -> None:
    deposits, tracks = geant4.track([], 1)
    assert len(deposits.energy) == len(tracks.id) == 0


def test_a_fatal_error_of_geant4_is_told(geant4_data: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("G4LEDATA", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"Geant4 ended with status -?\d+: .*G4LEDATA version should be"):
        Geant4(BOX)


def test_missing_data_name_the_variable(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(
        ConfigurationError, match="G4EMLOW not found: the environment variable G4LEDATA names '/nowhere', which is not"
    ):
        check_data({"G4LEDATA": "/nowhere"})
    with pytest.raises(ConfigurationError, match=r"G4EMLOW not found in .*data: set the environment variable G4LEDATA"):
        check_data({"GEANT4_DATA_DIR": str(tmp_path / "data")})
    with pytest.raises(ConfigurationError, match=r"G4EMLOW not found in .*geant4_pybind"):
        check_data({}, home=tmp_path)
    with pytest.raises(ConfigurationError, match="set the environment variable G4ENSDFSTATEDATA"):
        check_data({"G4LEDATA": str(tmp_path), "GEANT4_DATA_DIR": str(tmp_path / "data")})


def test_data_that_geant4_pybind_downloaded_are_found(tmp_path: Path) -> None:
    for name in ("G4EMLOW8.8", "G4ENSDFSTATE3.0"):
        (tmp_path / ".geant4_pybind" / name).mkdir(parents=True)
    check_data({}, home=tmp_path)


def test_without_geant4_pybind_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larmlreco.simulation.geant.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'larmlreco\[sim\]'"):
        Geant4(BOX)


def test_the_worker_ends_with_its_input(geant4_data: None) -> None:
    with Geant4(BOX) as engine:
        process = engine._process
    assert process.returncode == 0
