"""The producer and its evaluator, on a small network whose answer is known: the class follows from the charge."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from larmlreco.modules.EventTable_module import EventTable
from larmlreco.modules.SegmentationEvaluator_module import SegmentationEvaluator
from larmlreco.modules.SparseSegmentation_module import SparseSegmentation

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.framework.testing import ModuleHarness
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import Network, register
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import check_input
from larmlreco.products import Assns, Hits, Pixels, SemanticScores, TrueLabels, Wires


@register("classes_by_charge")
class ByCharge(Network):
    """Class i where the charge is nearest to 20 (i + 1)."""

    meanings = {"semantic": "probability of each class"}  # noqa: RUF012

    def __init__(self, dimension: int = 2, classes: int = 5) -> None:
        super().__init__()
        self.register_buffer("centres", 20.0 * (1 + torch.arange(classes)))

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"semantic": -torch.abs(features - self.centres.to(features.dtype))}

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, 2, 1)
        return {"semantic": torch.softmax(-torch.abs(features - self.centres.to(features.dtype)), 1)}


def card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "task": "semantic_segmentation",
        "detector": "microboone",
        "dimension": 2,
        "planes": ("U", "V", "Y"),
        "class_names": SEMANTIC_NAMES,
        "features": (Feature("adc", "ADC"),),
        "pixel_size": (1.0, 6.0),
        "pixel_units": ("wire", "tick"),
        "threshold": 10.0,
        "rebin": 6,
        "outputs": {"semantic": "probability of each class"},
        **changes,
    }
    return ModelCard(**values)  # type: ignore[arg-type]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "by_charge.ts")


def make_archive(path: Path, **changes: object) -> Path:
    network = ByCharge()
    checkpoint = Checkpoint(Architecture("classes_by_charge", {"dimension": 2, "classes": 5}), card(**changes))
    export_archive(checkpoint.with_state(network.state_dict(), None), path)
    return path


def pixels(
    plane: int, adc: list[float], rebin: int = 6, threshold: float = 10.0, detector: str = "microboone"
) -> Pixels:
    n = len(adc)
    return Pixels(
        tpc=np.zeros(n),
        plane=np.full(n, plane),
        column=100 + np.arange(n),
        row=np.full(n, 50),
        adc=adc,
        meta={
            "detector": detector,
            "tpc": 0,
            "plane": plane,
            "view": "UVY"[plane],
            "rebin": rebin,
            "threshold": threshold,
            "n_columns": 2400,
            "n_rows": 1008,
        },
    )


def hits(plane: list[int], wire: list[int], start: list[int], end: list[int]) -> Hits:
    first = np.array([0, 2400, 4800])[plane] if plane else np.zeros(0, int)
    n = len(plane)
    return Hits.from_columns(
        {
            "channel": first + np.array(wire, int),
            "cryostat": np.zeros(n, int),
            "tpc": np.zeros(n, int),
            "plane": plane,
            "wire": wire,
            "view": plane,
            "signal_type": np.zeros(n, int),
            "start_tick": start,
            "end_tick": end,
            "peak_time": np.zeros(n),
            "rms": np.ones(n),
            "peak_amplitude": np.ones(n),
            "integral": np.ones(n),
            "summed_adc": np.ones(n),
        }
    )


def event(y: list[float] = (20.0, 40.0, 60.0, 80.0, 100.0), **changes: object) -> dict[str, object]:  # type: ignore[assignment]
    return {
        "images:U": pixels(0, [20.0], **changes),  # type: ignore[arg-type]
        "images:V": pixels(1, [], **changes),  # type: ignore[arg-type]
        "images:Y": pixels(2, list(y), **changes),  # type: ignore[arg-type]
    }


def harness(archive: Path, **parameters: object) -> ModuleHarness:
    return ModuleHarness(SparseSegmentation, {"archive": str(archive), "detector": "microboone", **parameters})


def test_every_pixel_has_the_scores_of_its_class(archive: Path) -> None:
    result = harness(archive).process(event())
    scores = result.get(SemanticScores, "Y")
    assert scores.label.tolist() == [0, 1, 2, 3, 4]
    assert scores.scores.sum(axis=1) == pytest.approx(1)
    assert scores.track + scores.shower == pytest.approx(1)
    assert scores.meta["target"] == "Pixels_images_Y_INPUT"
    assert scores.meta["class_names"] == list(SEMANTIC_NAMES)
    assert scores.meta["trained_for_this_detector"] is True
    assert len(scores.meta["model_sha256"]) == 64
    assert len(result.get(SemanticScores, "V")) == 0


def test_hits_have_the_mean_of_their_pixels_and_links_lead_back(archive: Path) -> None:
    # Hit 0 covers pixel 2 of Y, hit 1 has no pixel, hit 2 the pixel of U.
    found = hits([2, 2, 0], [102, 900, 100], [300, 300, 302], [306, 306, 304])
    result = harness(archive, hits="gaushit").process({**event(), "gaushit": found})
    scores = result.get(SemanticScores, "hits")
    assert scores.label.tolist() == [2, -1, 0]
    assert scores.scores[0] == pytest.approx(result.get(SemanticScores, "Y").scores[2])
    assert (scores.scores[1] == -1).all()
    links = result.get(Assns, "Y_hits")
    assert (links.left.tolist(), links.right.tolist()) == ([2], [0])
    assert links.meta == {"left": "SemanticScores_tested_Y_TEST", "right": "Hits_gaushit__INPUT"}


def test_an_empty_event_gives_empty_products_with_their_class_names(archive: Path) -> None:
    empty = {f"images:{view}": pixels(plane, []) for plane, view in enumerate("UVY")}
    result = harness(archive, hits="gaushit").process({**empty, "gaushit": hits([], [], [], [])})
    for name in ("U", "V", "Y", "hits"):
        scores = result.get(SemanticScores, name)
        assert scores.scores.shape == (0, 5)
        assert scores.part_names("scores") == SEMANTIC_NAMES


def test_an_archive_of_another_detector_needs_leave_and_the_product_says_so(tmp_path: Path) -> None:
    other = make_archive(tmp_path / "sbnd.ts", detector="sbnd")
    with pytest.raises(ConfigurationError, match="the job needs the detector microboone; the card has sbnd"):
        harness(other)
    result = harness(other, allow_other_detector=True).process(event())
    meta = result.get(SemanticScores, "Y").meta
    assert (meta["trained_for_this_detector"], meta["model_detector"], meta["detector"]) == (
        False,
        "sbnd",
        "microboone",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planes": ("Y",)}, "the job needs the planes U, V; the card has Y"),
        ({"class_names": ("track", "shower")}, "the job needs the classes HIP, MIP"),
        ({"task": "infill"}, "the job needs the task semantic_segmentation; the card has infill"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_when_the_job_is_made(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        harness(make_archive(tmp_path / "other.ts", **changes))


def test_images_made_otherwise_are_refused(archive: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"asks for images with rebin 6, those of plane U were made with 4"):
        harness(archive).process(event(rebin=4))
    with pytest.raises(ConfigurationError, match=r"with threshold 10, .* made with 2000; set threshold .* to 10"):
        harness(archive).process(event(threshold=2000.0))


def test_charge_in_other_units_is_scaled(archive: Path) -> None:
    y = [200.0 * charge for charge in (20.0, 40.0, 60.0)]
    result = harness(archive, charge_scale=5e-3).process(event(y, threshold=2000.0))
    assert result.get(SemanticScores, "Y").label.tolist() == [0, 1, 2]


def test_factors_on_classes_change_labels_of_pixels(archive: Path) -> None:
    plain = harness(archive).process(event()).get(SemanticScores, "Y")
    factors = [1.0, 1.0, 1.0, 1.0, 1e6]
    moved = harness(archive, class_factors=factors).process(event()).get(SemanticScores, "Y")
    weighted = plain.scores * np.array(factors)
    assert moved.scores == pytest.approx(weighted / weighted.sum(axis=1, keepdims=True), rel=1e-5)
    assert (moved.label == weighted.argmax(axis=1)).all()
    assert moved.meta["class_factors"] == factors
    with pytest.raises(ConfigurationError, match="class_factors: expected a number above 0 for each class"):
        harness(archive, class_factors=[2.0])


def test_a_charge_that_is_not_finite_is_an_error(archive: Path) -> None:
    with pytest.raises(InputError, match="features must be finite; row 1, column 0 is not"):
        harness(archive).process(event([20.0, math.nan]))


def test_a_truncated_archive_is_refused_before_the_first_event(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(InputError, match="is no TorchScript archive, or it was cut short or altered"):
        harness(archive)


def labelled(name: str, labels: list[int], truth: list[int]) -> dict[str, object]:
    scores = np.eye(5, dtype=np.float32)[np.maximum(np.array(labels, int), 0)]
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
    return {
        f"segmentation:{name}": SemanticScores(scores=scores, label=labels, meta=meta),
        f"truth:{name}": TrueLabels(label=truth, meta=meta),
    }


def test_the_evaluator_counts_planes_together_and_one_by_one() -> None:
    tested = ModuleHarness(SegmentationEvaluator, {"hits": True})
    tested.process(
        {
            **labelled("U", [1, 1], [1, 0]),
            **labelled("V", [], []),
            **labelled("Y", [2, 4, 3], [2, 2, -1]),
            **labelled("hits", [1, -1], [1, 1]),
        }
    )
    results = tested.module.results()  # type: ignore[attr-defined]
    assert results["pixels"]["five_classes"]["accuracy"]["value"] == pytest.approx(2 / 4)
    assert results["pixels"]["track_shower"]["accuracy"]["value"] == pytest.approx(1)
    assert results["U"]["five_classes"]["accuracy"]["value"] == pytest.approx(1 / 2)
    assert results["hits"]["five_classes"]["accuracy"]["value"] == pytest.approx(1 / 2)
    assert "-- plane Y: five classes 50.00" in tested.module.table()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("target", "cells", "image"), [("Pixels_images_U_A", "pixels", "plane"), ("Voxels_voxels__A", "voxels", "image")]
)
def test_the_evaluator_names_what_it_counts(target: str, cells: str, image: str) -> None:
    tested = ModuleHarness(SegmentationEvaluator, {"planes": ["U"]})
    products = labelled("U", [1, 1], [1, 0])
    products["segmentation:U"].meta["target"] = target  # type: ignore[attr-defined]
    tested.process(products)
    table = tested.module.table()  # type: ignore[attr-defined]
    assert f"-- {cells}, five classes" in table
    assert f"accuracy %          {cells}" in table
    assert f"-- {image} U: five classes" in table


def test_the_event_table_prints_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    tested = ModuleHarness(EventTable, {"scores": "segmentation"})
    tested.module.begin_job()
    planes = [labelled("U", [1], [1]), labelled("V", [], []), labelled("Y", [2] * 5, [2] * 5)]
    found = {key: value for both in planes for key, value in both.items()} | labelled("hits", [1, -1], [1, 1])
    tested.process({**event(), **found, "butcher": Wires.empty(), "gaushit": hits([], [], [], [])}, "1:2:3")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["event", "wires", "hits", "pixels", "charge/ADC"]
    assert line.split()[:6] == ["1:2:3", "0", "0", "6", "320", "0/0"]
    assert line.split()[6:8] == ["1/1", "5/0"]
