"""Files of evaluations, their pictures and the page that is made of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.cli.main import main
from larmlreco.errors import InputError
from larmlreco.evaluation.page import write_page
from larmlreco.evaluation.pictures import chosen_events, draw_events
from larmlreco.evaluation.record import FILE_NAME, Evaluation, Picture, for_card
from larmlreco.export import export_archive
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.labels import SEMANTIC_NAMES, TRACK_SHOWER_NAMES, map_labels
from larmlreco.metrics.curves import ANGLE_EDGES, ENERGY_EDGES, CurveSet
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.metrics.points import PointMetrics
from larmlreco.metrics.semantic import SemanticMetrics
from larmlreco.models import Network, register
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import check_input
from larmlreco.products import Product, ProductKey, SemanticScores, TrueLabels, Voxels

DEMO = Path(__file__).resolve().parents[2] / "demo" / "sim_uboone_demo.root"


@register("track_where_faint")
class TrackWhereFaint(Network):
    """MIP below 100 ADC, shower above."""

    meanings = {"semantic": "probability of each class"}  # noqa: RUF012

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.forward(coords, features)

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, 2, 1)
        strong = torch.sigmoid(features[:, 0] - 100.0)
        none = torch.zeros_like(strong)
        return {"semantic": torch.stack([none, 1 - strong, strong, none, none], 1)}


def card(dimension: int = 2) -> ModelCard:
    planes = dimension == 2
    return ModelCard(
        task="semantic_segmentation",
        detector="microboone" if planes else "liquid_argon",
        dimension=dimension,
        planes=("U", "V", "Y") if planes else (),
        class_names=SEMANTIC_NAMES,
        features=(Feature("adc", "ADC") if planes else Feature("energy", "MeV"),),
        pixel_size=(1.0, 6.0) if planes else (0.3,) * 3,
        pixel_units=("wire", "tick") if planes else ("cm",) * 3,
        threshold=10.0 if planes else 0.0,
        rebin=6 if planes else 1,
        outputs={"semantic": "probability of each class"},
        network={"name": "uresnet", "params": {"filters": 16, "depth": 5}},
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    checkpoint = Checkpoint(Architecture("track_where_faint"), card())
    export_archive(checkpoint.with_state({}, None), tmp_path / "faint.ts")
    path = tmp_path / "job.fcl"
    path.write_text(
        '#include "evaluate_segmentation_uboone.fcl"\n'
        f'physics.producers.segmentation.archive: "{tmp_path / "faint.ts"}"\n'
    )
    return path


def test_evaluation_is_kept_with_scans_and_pictures_and_makes_a_page(job: Path, tmp_path: Path) -> None:
    options = ["--save", str(tmp_path / "kept"), "--sample", "MPV", "--draw", "1", "--gains", "1.25", "--tiles", "64"]
    assert main(["evaluate", "-c", str(job), "-s", str(DEMO), *options]) == 0
    kept = Evaluation.load(tmp_path / "kept")
    assert kept.events == 2
    assert kept.inputs == (DEMO.name,)
    assert set(kept.results) == {"evaluation", "curves"}
    figures = kept.results["evaluation"]["pixels"]["five_classes"]
    assert 0.3 < figures["accuracy"]["value"] < 0.95
    [gain] = kept.scans["gain"]
    assert gain["value"] == 1.25
    scaled = gain["results"]["evaluation"]["pixels"]["five_classes"]
    # charges that look larger: more pixels pass the threshold, and fewer are called a track
    assert scaled["accuracy"]["count"] > figures["accuracy"]["count"]
    assert sum(row[1] for row in scaled["confusion"]) < sum(row[1] for row in figures["confusion"])
    [tile] = kept.scans["tile"]
    assert tile["results"]["evaluation"]["pixels"]["five_classes"]["confusion"] == figures["confusion"]
    assert [picture.kind for picture in kept.pictures] == ["worst", "typical"]
    assert kept.pictures[0].wrong > kept.pictures[1].wrong
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {FILE_NAME, "worst_1.png", "typical_1.png"}
    assert kept.cards["faint.ts"]["detector"] == "microboone"

    page = tmp_path / "docs" / "how_good.md"
    page.parent.mkdir()
    assert main(["evaluation-page", str(tmp_path / "kept"), "-o", str(page)]) == 0
    text = page.read_text()
    assert "| *published MPV* | 1.9 | 4.6 | 4.1 | 2.6 |" in text
    assert f"{100 * figures['accuracy']['value']:.2f} ± {100 * figures['accuracy']['error']:.2f}" in text
    linked = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert len(linked) > 10
    assert all((page.parent / name).stat().st_size > 1000 for name in linked)


def test_scans_need_a_folder_and_sensible_values(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["evaluate", "-c", str(job), "-s", str(DEMO)]
    assert main([*base, "--gains", "0.75"]) == 3
    assert "--gains and --tiles keep their figures in a folder; say which: --save FOLDER" in capsys.readouterr().err
    assert main([*base, "--save", "x", "--gains", "0"]) == 3
    assert "--gains must be above 0" in capsys.readouterr().err


def test_worst_and_typical_events_are_never_the_same() -> None:
    wrong = {f"1:1:{i}": i / 10 for i in range(10)}
    chosen = chosen_events(wrong, 2)
    assert chosen == {"worst": ["1:1:9", "1:1:8"], "typical": ["1:1:5", "1:1:4"]}
    for n in range(5):
        few = chosen_events({name: wrong[name] for name in list(wrong)[:n]}, 3)
        assert len(set(few["worst"] + few["typical"])) == len(few["worst"] + few["typical"]) == n
    assert chosen_events({}, 2) == {"worst": [], "typical": []}


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory; larmlreco evaluate --save makes"):
        Evaluation.load(tmp_path)
    (tmp_path / FILE_NAME).write_text('{"format": "larmlreco evalu')
    with pytest.raises(InputError, match="is no record of an evaluation, or it was cut short"):
        Evaluation.load(tmp_path)
    (tmp_path / FILE_NAME).write_text('{"format": "other"}')
    with pytest.raises(InputError, match="expected the format 'larmlreco evaluation 1'; got 'other'"):
        Evaluation.load(tmp_path)
    (tmp_path / FILE_NAME).write_text('{"format": "larmlreco evaluation 1", "pictures": [], "inputs": []}')
    with pytest.raises(InputError, match="is no record of an evaluation: "):
        Evaluation.load(tmp_path)


def test_a_record_round_trips_and_unknown_figures_are_null(tmp_path: Path) -> None:
    made = Evaluation(
        "s", "c.fcl", ("a.root",), 1, {"x": {"value": float("nan")}}, pictures=(Picture("p", "e", 1, "worst"),)
    )
    made.save(tmp_path / "new" / "folder")
    assert json.loads((tmp_path / "new/folder" / FILE_NAME).read_text())["results"] == {"x": {"value": None}}
    assert Evaluation.load(tmp_path / "new" / "folder").pictures == made.pictures


def figures(instances: list[str], events: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    out = {}
    for name in ["pixels", *instances]:
        five, two = SemanticMetrics(SEMANTIC_NAMES), SemanticMetrics(TRACK_SHOWER_NAMES)
        for _ in range(events):
            truth = rng.integers(0, 5, 200)
            found = np.where(rng.random(200) < 0.9, truth, 1)
            five.add(truth, found)
            two.add(*(map_labels(a, "larmlreco", "track_shower") for a in (truth, found)))
        out[name] = {"five_classes": five.summary(), "track_shower": two.summary()}
    return out


def test_a_card_takes_the_figures_of_evaluations_without_curves() -> None:
    curve = {"all": {"edges": [0, 1], "value": [0.1]}}
    results = {"evaluation": {"pixels": {"accuracy": 0.9, "scan": curve["all"]}}, "curves": {"energy": curve}}
    made = [Evaluation(name, "job.fcl", ("a.root",), 3, results) for name in ("MPV", "")]
    assert for_card(made) == {
        name: {"job": "job.fcl", "events": 3, "evaluation": {"pixels": {"accuracy": 0.9}}} for name in ("MPV", "a.root")
    }
    with pytest.raises(InputError, match="two evaluations are of the sample 'MPV'"):
        for_card([made[0], made[0]])


def test_page_of_voxels_has_the_published_tables(tmp_path: Path) -> None:
    curves = CurveSet(SEMANTIC_NAMES, ENERGY_EDGES, "MeV")
    two = CurveSet(TRACK_SHOWER_NAMES, ANGLE_EDGES, "deg")
    results = {
        "evaluation": figures(["thin", "smeared"]),
        "curves": {"energy": {"five_classes": curves.summary(), "track_shower": two.summary()}},
    }
    scans = {"tile": [{"value": 192, "results": {"evaluation": figures(["thin", "smeared"])}}]}
    Evaluation(
        "PILArNet-like", "evaluate_voxels.fcl", ("v.root",), 3, results, {"v.ts": card(3).to_dict()}, scans,
        {"segmentation": 120.0}, 900.0,
    ).save(tmp_path / "voxels")  # fmt: skip
    write_page([tmp_path / "voxels"], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    for published in (
        "| *published: relabelled* | 98.1 | 99.4 | 99.2 | 96.0 | 94.7 | 99.6 |",
        "| *published: trained on 768* | 192 | 98.8 | 99.4 | 99.5 | 85.9 | 62.6 | 98.9 |",
        "| *published* | 5 | 16 | - | 99.07 |",
        "| *published: sparse, 768 voxels, Xeon 4110* | 64 | 99 | 0.37 | 3 | 16 |",
    ):
        assert published in text
    assert "| PILArNet-like, thin | tiles of 192 |" in text
    assert "0.120 (all images of an event)" in text
    assert "Wire planes" not in text


def test_page_of_partners_and_points_stands_beside_the_published(tmp_path: Path) -> None:
    partners, points = FlowMetrics(), PointMetrics()
    true, yes, no = np.full(4, 100), np.ones(4, bool), np.zeros(4, bool)
    partners.add("Y2U", np.array([100, 102, 107, 150]), true, yes, no, yes, np.array([1, 5, 20, 90]))
    place = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 13.0]])
    points.add(place, np.array([0.9, 0.2]), place[:1] + 0.1, np.ones(1))
    empty = {"partners": FlowMetrics().summary(), "points": PointMetrics().summary()}
    filled = {"partners": partners.summary(), "points": points.summary()}
    for name, results in (("filled", filled), ("empty", empty)):
        Evaluation(name, "job.fcl", ("a.root",), 1, {"evaluation": results}, milliseconds={"flow": 250.0}).save(
            tmp_path / name
        )
    page = tmp_path / "good.md"
    write_page([tmp_path / "filled", tmp_path / "empty"], page)
    text = page.read_text()
    assert "| filled | Y2U | 50.00 | 50.00 | 75.00 | 4 |" in text
    assert "| *published*, Y2U |  | 32 | 60 | 78 |  |" in text
    assert "| *target*, all |  | 80 | 90 | 95 |  |" in text
    assert "| filled | flow | 250 | 0 |" in text
    for stem in ("larflow_partners", "larflow_ghosts", "larflow_distances"):
        assert (tmp_path / "good" / f"{stem}.png").stat().st_size > 1000
        assert f"good/{stem}.png" in text


def test_events_of_voxels_are_drawn(tmp_path: Path) -> None:
    n = 30
    line = np.arange(n)
    voxels = Voxels(x=line, y=line // 2, z=line, energy=[1.0] * n, origin=[[0, 0, 0]], pitch=[0.3])
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": "Voxels_voxels_thin_TEST"}
    scores = SemanticScores(scores=np.eye(5)[[1] * n], label=[1] * n, meta=meta)
    truth = TrueLabels(label=[1] * 20 + [4] * 9 + [-1], meta=meta)
    products: dict[ProductKey, Product] = {
        ProductKey(type(p).__name__, label, "thin", "TEST"): p
        for label, p in (("voxels", voxels), ("segmentation", scores), ("truth", truth))
    }
    writer = RootWriter(tmp_path / "v.root", Process("TEST", "0", "", "", {}, {}, (), {}))
    writer.declare(list(products), "event")
    writer.write((1, 1, 1), products)
    writer.close()
    draw_events(tmp_path / "v.root", {"1:1:1": tmp_path / "event.png"})
    assert (tmp_path / "event.png").stat().st_size > 10000
    with pytest.raises(InputError, match="classes and true classes of voxels are needed; there: "):
        draw_events(tmp_path / "v.root", {"1:1:1": tmp_path / "event.png"}, truth="truthoriginal")
    with pytest.raises(InputError, match="has no event 1:1:2; it has 1:1:1"):
        draw_events(tmp_path / "v.root", {"1:1:2": tmp_path / "event.png"})
