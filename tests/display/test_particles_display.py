"""Voxels, clusters, Michel electrons and particles in the event display."""

from pathlib import Path

import numpy as np
import pytest
from test_clouds import content, event_file, pixels

from larmlreco.cli.main import main
from larmlreco.display.particles import NAMED
from larmlreco.display.scene import Scene, scene_of
from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    Assns,
    Clusters,
    Hits,
    Michels,
    Particles,
    Pixels,
    Product,
    ProductKey,
    SemanticScores,
    TrueLabels,
    Voxels,
)

N = 6
META = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": "Voxels_voxels__TEST"}


def clusters(n: int) -> Clusters:
    columns = {name: np.zeros(n) for name in ("n", "seed", "seed_x", "seed_y", "seed_z")}
    return Clusters.from_columns({**columns, "semantic": [1, *[4] * (n - 1)], "charge": np.arange(n)}, META)


def links(left: str, right: str, pairs: list[tuple[int, int]]) -> Assns:
    columns = np.array(pairs).reshape(-1, 2).T
    return Assns(left=columns[0], right=columns[1], meta={"left": left, "right": right})


def products(planes: bool, n_clusters: int = 2) -> dict[ProductKey, Product]:
    held: dict[ProductKey, Product] = {}

    def put(product: Product, label: str, instance: str = "") -> None:
        held[ProductKey(type(product).__name__, label, instance, "TEST")] = product

    place = {"origin_x": [1.0], "origin_y": [0.0], "origin_z": [0.0], "pitch": [0.3], "infilled": [0] * 5 + [1]}
    voxels = {"x": np.arange(N), "y": np.zeros(N), "z": np.zeros(N), "energy": 1.0 + np.arange(N)}
    put(Voxels.from_columns(voxels | place, {"tpc": 0, "detector": "microboone"} if planes else {}), "voxels")
    put(SemanticScores(scores=np.full((N, 5), 0.2), label=[1, 1, 1, 4, 4, -1], meta=META), "segmentation")
    put(TrueLabels(label=[1, 1, 1, 1, 4, -1], cluster=[0, 0, 0, 0, 1, -1], meta=META), "truth")
    put(clusters(n_clusters), "clusters")
    put(links("Clusters_clusters__TEST", META["target"], [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4)]), "clusters")
    put(clusters(2), "michels")
    put(links("Clusters_michels__TEST", META["target"], [(0, 0), (1, 3), (1, 4)]), "michels")
    nan, place3 = [np.nan], {f"attachment_{a}": [2.0] for a in "xyz"}
    michels = {
        "electron": [1],
        "muon": [0],
        "gap": [0],
        "n": [2],
        "charge": [9],
        "energy": [9],
        "flags": [0],
        "score": [1],
    }
    michels |= place3 | {f"{who}_direction_{a}": [a == "x"] for who in ("muon", "electron") for a in "xyz"}
    put(Michels.from_columns(michels, {"clusters": "Clusters_michels__TEST"}), "michels")
    rows = {
        name: np.full(n_clusters, 1.0)
        for name in ("start_score", "energy_charge", "dedx_start", "dedx_end", "measured")
    }
    rows |= {f"{end}_{a}": np.arange(n_clusters) for end in ("start", "end", "direction") for a in "xyz"}
    rows |= {f"energy_range_{p}": nan * n_clusters for p in ("muon", "pion", "proton")}
    rows |= {"semantic": [1, *[4] * (n_clusters - 1)], "cluster": np.arange(n_clusters), "n": np.ones(n_clusters)}
    rows |= {"length": np.full(n_clusters, 20.0), "energy": 100.0 - np.arange(n_clusters), "border": nan * n_clusters}
    rows |= {name: np.full(n_clusters, -1) for name in ("michel", "vertex")}
    rows |= {"parent": [-1, 0, *[-1] * (n_clusters - 2)], "flags": np.zeros(n_clusters)}
    put(Particles.from_columns(rows, {"clusters": "Clusters_clusters__TEST"}), "particles")
    if planes:
        for plane in range(3):
            put(pixels(plane, [100, 200], [150, 150]), "images", "UVY"[plane])
        hit = {name: [0, 0] for name in ("cryostat", "tpc", "plane", "view", "signal_type", "start_tick", "end_tick")}
        hit |= {name: [1.0, 1.0] for name in ("rms", "peak_amplitude", "integral", "summed_adc")}
        put(Hits.from_columns({**hit, "channel": [100, 200], "wire": [100, 200], "peak_time": [900, 900]}), "gaushit")
        put(links("Clusters_clusters__TEST", "Hits_gaushit__TEST", [(0, 0), (1, 0), (0, 1)]), "clusters", "hits")
    return held


def scene(path: Path, held: dict[ProductKey, Product]) -> Scene:
    writer = RootWriter(path, Process("TEST", "0", "", "", {}, {}, (), {}))
    writer.declare(dict.fromkeys(held), "event")
    writer.write((1, 1, 1), held)
    writer.close()
    reader = open_file(str(path))
    found = scene_of(reader, 0)
    reader.close()
    return found


def test_voxels_are_painted_by_what_was_found_of_them(tmp_path: Path) -> None:
    (cloud,) = scene(tmp_path / "e.root", products(planes=True)).clouds
    paints = {paint.name: paint for paint in cloud.paints}
    assert set(paints) == {"clusters", "Michels", "class", "energy", "seen by", "true class", "true cluster"}
    assert paints["clusters"].classes == ("0: MIP 20 cm 100 MeV", "1: Michel 20 cm 99 MeV of 0")
    assert paints["clusters"].values.tolist() == [0, 0, 0, 1, 1, -1]
    assert len(set(paints["clusters"].colours)) == 2
    assert paints["Michels"].values.tolist() == [1, -1, -1, 0, 0, -1]
    assert paints["class"].values.tolist() == [1, 1, 1, 4, 4, -1]
    assert paints["seen by"].values.tolist() == [0, 0, 0, 0, 0, 2]
    assert paints["true cluster"].classes == ("0: 10 MeV", "1: 5 MeV")
    assert cloud.x == pytest.approx(1 + 0.3 * (np.arange(N) + 0.5))
    arrows = {a.name: a for a in cloud.arrows}
    assert arrows["start to end"].start.tolist() == [[0, 0, 0]]  # the electron has no arrow of its own
    assert arrows["Michel attachments"].start.tolist() == [[-13, 2, 2], [2, 2, 2]]
    assert arrows["Michel attachments"].end.tolist() == [[2, 2, 2], [17, 2, 2]]
    assert cloud.box is not None


def test_hits_have_the_colour_of_the_particle_with_most_charge(tmp_path: Path) -> None:
    found = scene(tmp_path / "e.root", products(planes=True))
    (layer,) = (layer for layer in found.layers if layer.name == "hits by clusters")
    assert layer.marks["U"].label.tolist() == [1, 0]
    assert layer.classes == found.clouds[0].paints[[p.name for p in found.clouds[0].paints].index("clusters")].classes
    assert layer.counts() == [1, 1]


def test_only_the_largest_particles_are_named(tmp_path: Path) -> None:
    (cloud,) = scene(tmp_path / "e.root", products(planes=False, n_clusters=30)).clouds
    paint = next(p for p in cloud.paints if p.name == "clusters")
    assert paint.classes[-1] == f"{30 - NAMED} others"
    assert len(paint.colours) == len(paint.classes) == NAMED + 1
    assert len(set(paint.colours)) == NAMED + 1


@pytest.mark.parametrize("planes", [True, False])
def test_pages_and_pictures_with_and_without_planes(tmp_path: Path, planes: bool) -> None:
    path = tmp_path / "e.root"
    scene(path, products(planes=planes))
    for kind in ("html", "png"):
        assert main(["display", str(path), "-o", str(tmp_path / f"e.{kind}")]) == 0
    held = content(tmp_path / "e.html")
    assert len(held["groups"]) == int(planes)
    assert [a["name"] for a in held["clouds"][0]["arrows"]] == ["start to end", "Michel attachments"]
    named = next(p for p in held["clouds"][0]["paints"] if p["name"] == "clusters")
    assert [c["count"] for c in named["classes"]] == [3, 2]


def test_classes_of_pixels_are_drawn_where_a_later_image_holds_what_was_filled_in(tmp_path: Path) -> None:
    held = products(planes=True)
    for plane in range(3):
        measured = pixels(plane, [100, 200], [150, 150])
        filled = pixels(plane, [100, 200, 150], [150, 150, 150])
        infilled = Pixels.from_columns({**filled.to_columns(), "infilled": [0, 0, 1]}, filled.meta)
        held[ProductKey("Pixels", "infill", "UVY"[plane], "TEST")] = infilled
        target = {**META, "target": f"Pixels_images_{'UVY'[plane]}_TEST"}
        scores = SemanticScores(scores=np.full((len(measured), 5), 0.2), label=[1, 2], meta=target)
        held[ProductKey("SemanticScores", "planes", "UVY"[plane], "TEST")] = scores
    layers = {layer.name: layer for layer in scene(tmp_path / "e.root", held).layers}
    assert layers["pixel classes of planes"].marks["U"].label.tolist() == [1, 2]
    assert layers["infilled"].marks["U"].column.tolist() == [150]
    assert len(layers["charge"].marks["U"]) == 3


def test_points_alone_have_no_arrows(tmp_path: Path) -> None:
    path = event_file(tmp_path / "event.root")
    assert main(["display", str(path), "-o", str(tmp_path / "event.html")]) == 0
    assert content(tmp_path / "event.html")["clouds"][0]["arrows"] == []
