"""Whole events of voxels and their files."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.io import open_file
from larmlreco.products import Product, ProductKey, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.simulation.settings import VoxelSimulationSettings
from larmlreco.simulation.voxel_event import SimulatedVoxels, VoxelSimulation

SHOWER, DELTA, MICHEL = 2, 3, 4
SETTINGS = {"size": 192, "images": {"thin": {}, "smeared": {"smear": 0.4}}, "keep_steps": True}


@pytest.fixture(scope="module")
def simulation(geant4_data: None) -> Iterator[VoxelSimulation]:
    with VoxelSimulation(VoxelSimulationSettings(**SETTINGS)) as made:
        yield made


def same(a: SimulatedVoxels, b: SimulatedVoxels) -> bool:
    left, right = a.products(), b.products()
    columns = [(left[key].to_columns(), right[key].to_columns()) for key in left]
    return left.keys() == right.keys() and all(x[n].tobytes() == y[n].tobytes() for x, y in columns for n in x)


def test_an_event_depends_on_the_seed_and_its_number_alone(simulation: VoxelSimulation) -> None:
    third = simulation.event(1, 2)
    assert not same(third, simulation.event(1, 3))
    assert not same(third, simulation.event(2, 2))
    with VoxelSimulation(VoxelSimulationSettings(**SETTINGS)) as other:
        assert same(third, other.event(1, 2))


def test_images_hold_the_deposits_of_the_cube(simulation: VoxelSimulation) -> None:
    for number in range(3):
        event = simulation.event(4, number)
        assert event.steps is not None
        thin, truth, original = event.images["thin"]
        smeared = event.images["smeared"][0]
        index = np.stack([thin.x, thin.y, thin.z], axis=1)
        assert ((index >= 0) & (index < 192)).all()
        assert len(np.unique(index, axis=0)) == len(index)
        assert thin.energy.sum() == pytest.approx(event.steps.de.sum(), rel=1e-5)
        assert len(smeared) > 3 * len(thin)
        assert smeared.energy.sum() <= thin.energy.sum() * (1 + 1e-6)
        assert smeared.energy.sum() == pytest.approx(thin.energy.sum(), rel=0.02)
        assert len(truth) == len(original) == len(thin)
        assert set(truth.particle.tolist()) <= set(event.particles.id.tolist())
        # Of the classes only showers grow when their radiation gets its own class.
        assert ((truth.label == original.label) | (truth.label == SHOWER)).all()
        assert np.isin(original.label[truth.label != original.label], (DELTA, MICHEL)).all()
        owner = dict(zip(truth.cluster.tolist(), truth.particle.tolist(), strict=True))
        assert all(owner[c] == p for c, p in zip(truth.cluster.tolist(), truth.particle.tolist(), strict=True))


def test_no_particles_at_all(geant4_data: None) -> None:
    settings = VoxelSimulationSettings(**SETTINGS, vertices=[0, 0], isolated={"count": [0, 0]})
    with VoxelSimulation(settings) as made:
        event = made.event(1, 1)
    assert all(len(product) == 0 for product in event.products().values())


def test_the_verb_writes_images_and_truth(geant4_data: None, tmp_path: Path) -> None:
    job = tmp_path / "job.fcl"
    job.write_text('#include "simulate_voxels_michel.fcl"\nsimulation.size: 512 simulation.stopping.count: [3, 3]\n')
    arguments = ["simulate", "-c", str(job), "--seed", "3"]
    assert main([*arguments, "-o", str(tmp_path / "a.root"), "-n", "4"]) == 0
    assert main([*arguments, "-o", str(tmp_path / "b.root"), "-n", "1", "--first", "3"]) == 0
    whole, part = open_file(tmp_path / "a.root"), open_file(tmp_path / "b.root")
    keys = whole.keys("event")
    assert sorted(key.branch for key in keys) == [
        "TrueLabels_truth_smeared_Sim",
        "TrueLabels_truth_thin_Sim",
        "TrueLabels_truthoriginal_smeared_Sim",
        "TrueLabels_truthoriginal_thin_Sim",
        "TrueParticles_largeant__Sim",
        "Voxels_voxels_smeared_Sim",
        "Voxels_voxels_thin_Sim",
    ]
    for key in keys:
        left, right = whole.read(3, key), part.read(0, key)
        assert isinstance(left, Product)
        assert isinstance(right, Product)
        assert all(a.tobytes() == right.to_columns()[name].tobytes() for name, a in left.to_columns().items())
    labels = []
    for entry in range(4):
        truth = whole.read(entry, ProductKey("TrueLabels", "truth", "thin", "Sim"))
        voxels = whole.read(entry, ProductKey("Voxels", "voxels", "thin", "Sim"))
        particles = whole.read(entry, ProductKey("TrueParticles", "largeant", "", "Sim"))
        assert isinstance(truth, TrueLabels)
        assert isinstance(voxels, Voxels)
        assert isinstance(particles, TrueParticles)
        assert truth.meta["target"] == "Voxels_voxels_thin_Sim"
        assert voxels.pitch.tolist() == pytest.approx([0.3])
        assert set(particles.pdg[particles.parent == 0].tolist()) <= {13, -13}
        labels += truth.label.tolist()
    assert MICHEL in labels
    whole.close()
    part.close()


def test_steps_are_written_on_demand(simulation: VoxelSimulation) -> None:
    event = simulation.event(1, 0)
    assert isinstance(event.products()[ProductKey("TrueSteps", "largeant", "", "Sim")], TrueSteps)


def test_wrong_jobs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(text: str) -> str:
        (tmp_path / "job.fcl").write_text(f'simulation: {{ image: "voxels" {text} }}')
        arguments = [
            "simulate",
            "-c",
            str(tmp_path / "job.fcl"),
            "-o",
            str(tmp_path / "x.root"),
            "-n",
            "1",
            "--seed",
            "1",
        ]
        assert main(arguments) == 3
        return capsys.readouterr().err

    assert "simulation.images" in refused("images: {}")
    assert "names of letters and digits" in refused("images: { a_b: {} }")
    assert "simulation.images.thin.smear" in refused("images: { thin: { smear: -1 } }")
    assert "has no parameter 'readout'" in refused("readout: {}")


def test_a_file_of_final_states_that_is_too_short_is_told_before_the_first_event(
    geant4_data: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.hepevt").write_text("0 1\n1 11 0 0 0 0 0.0 0.0 0.05 0.05 0.000511 10. 10. 10. 0.\n")
    job = tmp_path / "job.fcl"
    text = ['#include "simulate_voxels.fcl"', f'simulation.final_states: {{ file: "{tmp_path}/one.hepevt" }}']
    job.write_text("\n".join([*text, "simulation.vertices: [0, 0]", "simulation.isolated.count: [0, 0]"]))
    arguments = ["simulate", "-c", str(job), "-o", str(tmp_path / "x.root"), "--seed", "1", "-n"]
    assert main([*arguments, "2"]) == 4
    assert "one.hepevt: event 1 is asked for, the file has 1 (from 0)" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.root*"))
    assert main([*arguments, "1"]) == 0
    particles = open_file(tmp_path / "x.root").read(0, ProductKey("TrueParticles", "largeant", "", "Sim"))
    assert isinstance(particles, TrueParticles)
    assert particles.kinetic_energy[0] == pytest.approx(49.49, abs=0.01)


def test_missing_data_of_geant4_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("geant4_pybind") is None:  # to import it without its data asks on the terminal whether to fetch them
        pytest.skip("geant4-pybind is not installed (package extra [sim])")
    for name in ("G4LEDATA", "G4ENSDFSTATEDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path))
    arguments = ["simulate", "-c", "simulate_voxels.fcl", "-o", str(tmp_path / "x.root"), "-n", "1", "--seed", "1"]
    assert main(arguments) == 3
    assert "Geant4 data G4EMLOW not found in" in (message := capsys.readouterr().err)
    assert "set the environment variable G4LEDATA" in message
    assert not list(tmp_path.glob("x.root*"))
