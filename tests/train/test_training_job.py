"""`larmlreco train` from a FHiCL file to a checkpoint, on events that the repository carries."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from larmlreco.cli.main import main
from larmlreco.models.checkpoint import load_checkpoint
from larmlreco.train.particles import PARTICLE_NAMES

DEMO = Path(__file__).resolve().parents[2] / "demo" / "sim_uboone_demo.root"


def write_job(folder: Path, training: list[Path], validation: list[Path], *lines: str, views: str = '"Y"') -> Path:
    quoted = [", ".join(f'"{path}"' for path in paths) for paths in (training, validation)]
    text = "\n".join(
        [
            "training: {",
            f'  output: "{folder / "out"}"  iterations: 2  batch_size: 2  validate_every: 2',
            '  model: { name: "uresnet" params: { filters: 4 depth: 2 repetitions: 1 } }',
            f"  data: {{ training: [{quoted[0]}] validation: [{quoted[1]}]",
            f'    views: [{views}] cache: "{folder / "kept"}" }}',
            "}",
            *(f"training.{line}" for line in lines),
        ]
    )
    (folder / "job.fcl").write_text(text)
    return folder / "job.fcl"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [Path(shutil.copy(DEMO, tmp_path / name)) for name in ("train.root", "validation.root")]


def test_weights_by_particle_and_by_class_frequency(files: list[Path], tmp_path: Path) -> None:
    job = write_job(tmp_path, files[:1], files[1:], 'weighting: "particles"')
    assert main(["train", "-c", str(job)]) == 0
    training = load_checkpoint(tmp_path / "out" / "last.ckpt").card.training
    assert (training["weighting"], training["class_weights"]) == ("particles", [])
    job = write_job(
        tmp_path, files[:1], files[1:], 'weighting: "inverse_frequency"', f'initialise_from: "{tmp_path}/out/best.ckpt"'
    )
    assert main(["train", "-c", str(job)]) == 0
    weights = load_checkpoint(tmp_path / "out" / "last.ckpt").card.training["class_weights"]
    assert weights[1] < 0.5 < 1 < weights[4]  # the events are mostly MIP, and Michel electrons are rare


def test_a_training_begins_with_the_outputs_of_an_archive(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, files[:1], files[1:])
    assert main(["train", "-c", str(job)]) == 0
    first = load_checkpoint(tmp_path / "out" / "best.ckpt").card.metrics["accuracy"]["value"]
    archive = tmp_path / "first.ts"
    assert main(["export", str(tmp_path / "out" / "best.ckpt"), "-o", str(archive), "--engine", "portable"]) == 0
    begin = f'initialise_from: "{archive}"'
    write_job(tmp_path, files[:1], files[1:], begin)
    assert main(["train", "-c", str(job)]) == 3
    assert "expected norm_freeze: 0, got 1" in capsys.readouterr().err
    write_job(tmp_path, files[:1], files[1:], begin, "norm_freeze: 0.", "schedule.rate: 0.", 'weighting: "images"')
    assert main(["train", "-c", str(job)]) == 0
    card = load_checkpoint(tmp_path / "out" / "best.ckpt").card
    assert card.metrics["accuracy"]["value"] == pytest.approx(first, abs=1e-4)
    assert (card.training["weighting"], card.training["class_weights"]) == ("images", [])


def test_weights_of_both_kinds_are_refused(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, files[:1], files[1:], 'weighting: "inverse_frequency"', "class_weights: [1,1,1,1,1]")
    assert main(["train", "-c", str(job)]) == 3
    assert "weights are given, and training.weighting asks for inverse_frequency" in capsys.readouterr().err


def test_particles_are_learned_from_larcv_files(shared_path: Callable[[str], Path], tmp_path: Path) -> None:
    electrons, protons = (shared_path(f"samples/larcv2_{name}_10evt.root") for name in ("electron", "proton"))
    again = [Path(shutil.copy(path, tmp_path)) for path in (electrons, protons)]
    job = write_job(
        tmp_path, [electrons, protons], again, 'task: "particle_classification"', 'model.name: "particle_classifier"'
    )
    assert main(["train", "-c", str(job)]) == 0
    card = load_checkpoint(tmp_path / "out" / "best.ckpt").card
    assert card.task == "particle_classification"
    assert card.class_names == PARTICLE_NAMES
    assert card.training["images"] == 60
    counts = {name: figure["count"] for name, figure in card.metrics["classes"].items()}
    assert counts == {"electron": 30, "proton": 30, "photon": 0, "muon": 0, "pion": 0}


def test_events_with_several_particles_cannot_teach_particles(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, files[:1], files[1:], 'task: "particle_classification"')
    assert main(["train", "-c", str(job)]) == 4
    error = capsys.readouterr().err
    assert "train.root, entry 0: expected one primary particle" in error
    assert "got -211, -13, 2212" in error


def test_what_only_planes_have_is_refused_for_voxels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(tmp_path, [DEMO], [DEMO], 'weighting: "particles"', "data.dimension: 3")
    assert main(["train", "-c", str(job)]) == 3
    assert "training.weighting: particles is for images of wire planes; training.data.dimension is 3" in (
        capsys.readouterr().err
    )
