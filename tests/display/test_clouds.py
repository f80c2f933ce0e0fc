"""Points in space and flow layers of the event display."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.display.scene import Scene, scene_of
from larmlreco.geometry import detector
from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    FlowPoints,
    Pixels,
    Product,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueParticles,
    TrueSteps,
)

UBOONE = detector("microboone")
IMAGES = ["Pixels_images_U_TEST", "Pixels_images_V_TEST", "Pixels_images_Y_TEST"]


def pixels(plane: int, column: list[int], row: list[int]) -> Pixels:
    n = len(column)
    view = "UVY"[plane]
    meta = {"detector": "microboone", "tpc": 0, "plane": plane, "view": view, "rebin": 6, "threshold": 10.0,
            "n_columns": UBOONE.planes[plane].n_wires, "n_rows": 1008}  # fmt: skip
    return Pixels.from_columns(
        {"tpc": np.zeros(n), "plane": np.full(n, plane), "column": column, "row": row, "adc": 20.0 + np.arange(n)}, meta
    )


def points(n: int = 3) -> SpacePoints:
    return SpacePoints.from_columns(
        {
            "x": UBOONE.tick_to_x(np.full(n, 900.0)),
            "y": 10.0 * np.arange(n),
            "z": np.full(n, 500.0),
            "score": np.linspace(0, 1, n),
            **{f"charge_{p}": np.full(n, 50.0 * p) for p in range(3)},
        },
        {"images": IMAGES, "tpc": 0},
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    reader = open_file(str(event_file(tmp_path / "event.root")))
    found = scene_of(reader, 0)
    reader.close()
    return found


def event_file(path: Path, n_points: int = 3) -> Path:
    products: dict[ProductKey, Product] = {}

    def put(product: Product, label: str, instance: str = "") -> None:
        products[ProductKey(type(product).__name__, label, instance, "TEST")] = product

    for plane in range(3):
        put(pixels(plane, [100, 200], [150, 150]), "images", "UVY"[plane])
    for source, target, column in (("Y", "U", [7, -1]), ("Y", "V", [8, 9])):
        meta = {"source": f"Pixels_images_{source}_TEST", "target": f"Pixels_images_{target}_TEST"}
        put(FlowPoints.from_columns({"column": column}, meta), "flow", f"{source}2{target}")
    put(points(n_points), "flow")
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": "SpacePoints_flow__TEST"}
    label = np.arange(n_points) - 1
    put(SemanticScores(scores=np.full((n_points, 5), 0.2, np.float32), label=label, meta=meta), "flow")
    step = {"x": [5.49], "y": [0.4], "z": [500.0], "t": [0], "de": [1], "dx": [1], "electrons": [1], "tick": [900.0],
            "particle": [1]}  # fmt: skip
    put(TrueSteps.from_columns(step), "largeant")
    particle = {key: [1] for key in ("id", "pdg", "process", "kinetic_energy", "x", "y", "z", "t", "instance")}
    put(TrueParticles.from_columns({**particle, "parent": [0], "semantic": [4]}, {"processes": []}), "largeant")
    writer = RootWriter(path, Process("TEST", "0", "", "", {}, {}, (), {}))
    writer.declare(dict.fromkeys(products), "event")
    writer.write((1, 1, 1), products)
    writer.close()
    return path


def test_points_are_a_cloud_with_its_paints(scene: Scene) -> None:
    (cloud,) = scene.clouds
    assert cloud.name == "points of flow"
    assert cloud.y.tolist() == [0, 10, 20]
    assert [paint.name for paint in cloud.paints] == [
        "score",
        "class",
        "V charge",
        "Y charge",
        "true class",
        "distance to truth",
    ]
    paints = {paint.name: paint for paint in cloud.paints}
    assert paints["class"].values.tolist() == [-1, 0, 1]
    assert paints["true class"].values.tolist() == [4, -1, -1]
    assert paints["true class"].classes == SEMANTIC_NAMES
    assert paints["distance to truth"].values == pytest.approx([0.4, 9.6, 19.6], abs=1e-3)
    assert cloud.box is not None
    assert cloud.box.tolist() == [[0, 256.04], [-116.25, 116.25], [0, 1036.8]]


def test_the_charge_of_a_plane_is_moved_to_its_partners(scene: Scene) -> None:
    (layer,) = (layer for layer in scene.layers if layer.name == "Y moved by flow")
    assert layer.outline
    assert {name: marks.column.tolist() for name, marks in layer.marks.items()} == {"U": [7], "V": [8, 9]}
    assert layer.marks["V"].charge.tolist() == [20, 21]
    assert layer.marks["U"].low.tolist() == [900]


def test_the_page_holds_the_points(tmp_path: Path) -> None:
    path = event_file(tmp_path / "event.root")
    assert main(["display", str(path), "-o", str(tmp_path / "event.html")]) == 0
    cloud = content(tmp_path / "event.html")["clouds"][0]
    assert np.frombuffer(base64.b64decode(cloud["y"]), "<f4").tolist() == [0, 10, 20]
    assert [len(paint["classes"]) for paint in cloud["paints"]] == [0, 5, 0, 0, 5, 0]
    assert [paint["unlabelled"] for paint in cloud["paints"]] == [0, 1, 0, 0, 2, 0]


def test_an_event_without_points_has_no_cloud(tmp_path: Path) -> None:
    path = event_file(tmp_path / "event.root", 0)
    assert main(["display", str(path), "-o", str(tmp_path / "event.html")]) == 0
    assert content(tmp_path / "event.html")["clouds"] == []
    assert main(["display", str(path), "-o", str(tmp_path / "event.png")]) == 0


def content(page: Path) -> Any:
    found = re.search(r'<script id="scene" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_points_can_be_asked_for_alone(tmp_path: Path) -> None:
    path = event_file(tmp_path / "event.root")
    reader = open_file(str(path))
    only = scene_of(reader, 0, wanted=("points",))
    assert ([layer.name for layer in only.layers], len(only.clouds)) == (["charge"], 1)
    assert scene_of(reader, 0, wanted=("charge",)).clouds == ()
    cloud = only.clouds[0]
    for paint in cloud.paints:
        (coloured,) = scene_of(reader, 0, wanted=(f"{cloud.name} by {paint.name}",)).clouds
        assert [p.name for p in coloured.paints] == [paint.name]
        assert np.array_equal(coloured.x, cloud.x)
    begins = scene_of(reader, 0, wanted=(f"{cloud.name} by {cloud.paints[0].name}"[:-1],)).clouds
    assert [c.paints[0].name for c in begins] == [cloud.paints[0].name]
    both = scene_of(reader, 0, wanted=(cloud.name, f"{cloud.name} by {cloud.paints[-1].name}")).clouds
    assert [len(c.paints) for c in both] == [len(cloud.paints)]
    reader.close()
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    assert main(["display", str(path), "-o", str(whole)]) == 0
    assert main(["display", str(path), "--layers", "points", "-o", str(part)]) == 0
    heights = [matplotlib.image.imread(picture).shape[0] for picture in (whole, part)]
    assert heights[0] > heights[1] > 800
