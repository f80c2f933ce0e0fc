"""The shipped archive of LArFlow on events that it never saw: simulated ones with truth, and a real one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.io import open_file
from larmlreco.products import Assns, Hits, Pixels, Product, SemanticScores, SpacePoints

DEMO = Path(__file__).resolve().parents[2] / "demo" / "sim_uboone_demo.root"

EVALUATE = """#include "evaluate_larflow_uboone.fcl"
physics.producers.images.channel_status: "largeant"
physics.producers.flow.channel_status: "largeant"
physics.analyzers.evaluation.channel_status: "largeant"
"""


def figures(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["evaluate", *arguments, "--json", "--threads", "1"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("status", ["known", "not known"])
def test_the_targets_are_met_on_the_demo(status: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.fcl"
    nil = "physics.producers.flow.channel_status: @nil\n" if status == "not known" else ""
    job.write_text(EVALUATE + nil)
    found = figures(["-c", str(job), "-s", str(DEMO)], capsys)["evaluation"]
    within = found["partners"]["within_wires"]["all"]
    assert within["2"]["value"] > 0.9
    assert within["5"]["value"] > 0.95
    assert within["10"]["value"] > 0.97
    assert found["points"]["distance_cm"]["50 %"] < 0.3
    # Two events, in one of which a tenth of the charge lies where two planes are dead.
    assert found["points"]["ghosts"][0]["value"] < 0.05
    assert found["points"]["completeness"][0]["value"] > 0.9


def test_points_of_the_job_lead_back_to_their_hits(tmp_path: Path) -> None:
    job, out = tmp_path / "job.fcl", tmp_path / "flow.root"
    job.write_text('#include "run_larflow_uboone.fcl"\n')
    assert main(["run", "-c", str(job), "-s", str(DEMO), "-o", str(out), "-n", "1", "--threads", "1"]) == 0
    reader = open_file(str(out))
    keys = {(key.type, key.label, key.instance): key for key in reader.keys("event")}

    def read(kind: type[Product], label: str, instance: str = "") -> Any:
        return reader.read(0, keys[kind.__name__, label, instance])

    points, hits, links = read(SpacePoints, "flow"), read(Hits, "gaushit"), read(Assns, "flow", "hits")
    images = [read(Pixels, "images", view) for view in "UVY"]
    classes = read(SemanticScores, "flow")
    reader.close()
    assert len(points) == len(classes) > 5000
    assert len(np.unique(np.column_stack([points.x, points.y, points.z]), axis=0)) == len(points)
    linked = points.hit[links.left] == links.right[:, np.newaxis]
    assert linked.any(axis=1).all()
    for plane, pixels in enumerate(images):
        some = points.hit[:, plane] >= 0
        assert some.mean() > 0.5
        assert np.array_equal(hits.wire[points.hit[some, plane]], pixels.column[points.pixel[some, plane]])
        assert (hits.plane[points.hit[some, plane]] == plane).all()
        seen = points.pixel[:, plane] >= 0
        assert np.array_equal(points.charge[seen, plane], pixels.adc[points.pixel[seen, plane]])


def test_three_real_planes_agree(
    shared_path: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = shared_path("samples/protodunehd_run27409_evt40896_apa1.npz")
    job = tmp_path / "job.fcl"
    job.write_text('#include "evaluate_larflow_protodunehd.fcl"\n')
    found = figures(["-c", str(job), "-s", str(event)], capsys)["agreement"]
    assert found["three_plane_points"] > 10000
    assert found["matched_charge"]["W"]["value"] > 0.9
    assert all(pair["row_correlation"] > 0.9 for pair in found["pairs"].values())
