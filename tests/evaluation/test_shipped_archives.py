"""The shipped archives on the evaluation sample that the repository carries."""

import json
from pathlib import Path

import pytest

from larmlreco.cli.main import main

DEMO = Path(__file__).resolve().parents[2] / "demo" / "sim_uboone_demo.root"


def test_plane_segmentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "-c", "evaluate_segmentation_uboone.fcl", "-s", str(DEMO), "--json"]) == 0
    out = capsys.readouterr().out
    figures = json.loads(out[out.index("{") :])["evaluation"]
    # two events: far from the errors of a sample, near enough to see a broken chain
    assert figures["pixels"]["five_classes"]["accuracy"]["value"] > 0.9
    assert figures["pixels"]["track_shower"]["accuracy"]["value"] > 0.95
    assert figures["hits"]["five_classes"]["accuracy"]["value"] > 0.9
