"""The job from voxels to particles, and its evaluation, on the sample that the repository carries."""

import json
from pathlib import Path

import pytest

from larmlreco.cli.main import main

SAMPLE = Path(__file__).resolve().parents[2] / "demo" / "sim_voxels_demo.root"


def test_clusters_and_michels_of_the_demo_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "-c", "evaluate_clusters_voxels.fcl", "-s", str(SAMPLE), "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out[out.index("{") :])
    by_shape = found["clustersTrueClasses"]["thin"]["classes"]
    by_dbscan = found["clustersDbscan"]["thin"]["classes"]
    by_network = found["clustersNetwork"]["thin"]["classes"]
    assert by_shape["track"]["purity"]["value"] > 0.95
    assert by_shape["track"]["efficiency"]["value"] > 0.95
    assert by_shape["track"]["sbd"]["value"] > by_dbscan["track"]["sbd"]["value"]
    assert all(classes["shower"]["purity"]["value"] > 0.99 for classes in (by_shape, by_network))
    assert found["michelsTrueClasses"]["thin"]["figures"]["all"]["id_purity"]["value"] > 0.9
