"""The shipped archives on the evaluation samples that the repository carries.

A few events: far from the errors of a sample, near enough to see a broken chain.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from larmlreco.cli.main import main
from larmlreco.evaluation.record import Evaluation

DEMO = Path(__file__).resolve().parents[2] / "demo"

THIN_VOXELS = """#include "evaluate_voxels.fcl"
physics.producers.segmentation.images: ["thin"]
physics.analyzers.evaluation.planes: ["thin"]
physics.analyzers.curves.planes: ["thin"]
"""


def figures(config: str, sample: str, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert main(["evaluate", "-c", config, "-s", str(DEMO / sample), "--json", *options]) == 0
    out = capsys.readouterr().out
    return json.loads(out[out.index("{") :])["evaluation"]


def test_plane_segmentation(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures("evaluate_segmentation_uboone.fcl", "sim_uboone_demo.root", capsys)
    assert found["pixels"]["five_classes"]["accuracy"]["value"] > 0.9
    assert found["pixels"]["track_shower"]["accuracy"]["value"] > 0.95
    assert found["hits"]["five_classes"]["accuracy"]["value"] > 0.9


def test_voxel_segmentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "thin.fcl"
    job.write_text(THIN_VOXELS)
    kept = ["--save", str(tmp_path / "kept"), "--draw", "1", "--gains", "1.25", "--tiles", "128"]
    found = figures(str(job), "sim_voxels_demo.root", capsys, *kept)["thin"]
    assert found["five_classes"]["events"] == 8
    assert found["five_classes"]["accuracy"]["value"] > 0.94
    assert found["track_shower"]["accuracy"]["value"] > 0.96
    assert all(found["five_classes"]["classes"][name]["value"] > 0.85 for name in ("HIP", "MIP", "shower"))

    saved = Evaluation.load(tmp_path / "kept")
    [gain], [tile] = (
        [point["results"]["evaluation"]["thin"]["five_classes"]["confusion"] for point in saved.scans[name]]
        for name in ("gain", "tile")
    )
    whole = found["five_classes"]["confusion"]
    assert gain != whole != tile
    assert [sum(row) for row in gain] == [sum(row) for row in tile] == [sum(row) for row in whole]
    assert main(["evaluation-page", str(tmp_path / "kept"), "-o", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text()
    assert "| tiles of 128 |" in text
    assert "Charges scaled by a factor" in text
