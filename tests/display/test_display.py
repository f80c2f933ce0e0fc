"""`larmlreco display`: pictures and pages of events in files."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.display.palette import class_colours
from larmlreco.display.scene import Scene, scene_of
from larmlreco.errors import ConfigurationError
from larmlreco.geometry import detector
from larmlreco.images import images_of_wires
from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.labels import SEMANTIC_NAMES, TRACK_SHOWER_NAMES
from larmlreco.products import (
    Hits,
    Pixels,
    POTSummary,
    Product,
    ProductKey,
    SemanticScores,
    TrueLabels,
    TrueParticles,
    TrueSteps,
    Wires,
)

UBOONE = detector("microboone")


def write(path: Path, *events: dict[ProductKey, Product]) -> Path:
    """A file of our own layout with events 1:1:1, 1:1:2, ..."""
    process = Process("TEST", "0", "", "", {}, {}, (), {})
    writer = RootWriter(path, process)
    writer.declare(dict.fromkeys(key for event in events for key in event), "event")
    for i, products in enumerate(events):
        writer.write((1, 1, i + 1), products)
    writer.close()
    return path


def key(kind: type[Product], label: str, instance: str = "") -> ProductKey:
    return ProductKey(kind.__name__, label, instance, "TEST")


def track(channels: range, adc: float = 30.0) -> Wires:
    n = len(channels)
    return Wires(
        channel=list(channels), plane=[-1] * n, view=[0] * n, n_samples=[6400] * n,
        roi_wire=range(n), roi_begin=[900 + 3 * i for i in range(n)], roi_length=[8] * n, adc=[adc] * 8 * n,
    )  # fmt: skip


def hits_of(wires: Wires) -> Hits:
    n, peak = len(wires), wires.roi_begin + 4
    zero = np.zeros(n)
    return Hits(
        channel=wires.channel, cryostat=zero, tpc=zero, plane=zero + 2, wire=wires.channel - 4800, view=zero + 2,
        signal_type=zero + 1, start_tick=peak - 4, end_tick=peak + 4, peak_time=peak, rms=zero + 2,
        peak_amplitude=zero + 30, integral=zero + 240, summed_adc=zero + 240,
    )  # fmt: skip


def images(wires: Wires, label: str = "images") -> dict[ProductKey, Pixels]:
    made = images_of_wires(wires, UBOONE, UBOONE.readout_planes)
    return {key(Pixels, label, name): image.pixels for name, image in made.items()}


def scores(target: ProductKey, labels: list[int], names: tuple[str, ...], scheme: str) -> SemanticScores:
    meta = {"class_names": list(names), "scheme": scheme, "target": target.branch, "model_sha256": ""}
    return SemanticScores(scores=np.zeros((len(labels), len(names))), label=labels, meta=meta)


def full_event() -> dict[ProductKey, Product]:
    """Images (empty on U and V), hits, labels of pixels and of hits, true deposits along the track."""
    wires = track(range(5000, 5040))
    hits, pixels = hits_of(wires), images(wires)
    on_y = pixels[key(Pixels, "images", "Y")]
    hits_key, y_key = key(Hits, "gaushit"), key(Pixels, "images", "Y")
    ticks = wires.roi_begin + 4.0
    z = 0.25 + 0.3 * np.arange(200, 240)
    steps = TrueSteps(
        x=UBOONE.tick_to_x(ticks), y=0 * z, z=z, t=0 * z, de=0 * z + 0.6, dx=0 * z + 0.3,
        electrons=0 * z + 48000, tick=ticks, particle=0 * z + 1,
    )  # fmt: skip
    particles = TrueParticles(
        id=[1], pdg=[13], parent=[0], process=[0], kinetic_energy=[300.0], x=[1.0], y=[0.0], z=[60.0], t=[0.0],
        semantic=[1], instance=[1], meta={"processes": ["primary"]},
    )  # fmt: skip
    pixel_labels = [i % 5 for i in range(len(on_y))]
    hit_labels = [-1] + [i % 2 for i in range(len(hits) - 1)]
    return {
        **pixels,
        hits_key: hits,
        key(SemanticScores, "ssnet", "Y"): scores(y_key, pixel_labels, SEMANTIC_NAMES, "larmlreco"),
        key(SemanticScores, "ssnet", "hits"): scores(hits_key, hit_labels, TRACK_SHOWER_NAMES, "track_shower"),
        key(TrueSteps, "geant"): steps,
        key(TrueParticles, "geant"): particles,
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("display") / "sample.root", full_event(), {**images(Wires.empty())})


def scene(path: Path, entry: int = 0, **options: Any) -> Scene:
    file = open_file(path)
    try:
        return scene_of(file, entry, **options)
    finally:
        file.close()


def embedded(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="scene" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_layers_hold_what_the_products_hold(sample: Path) -> None:
    drawn = scene(sample)
    assert drawn.title == "MicroBooNE: run 1, subrun 1, event 1"
    assert drawn.subtitle == "sample.root (TEST)"
    assert [layer.name for layer in drawn.layers] == [
        *("charge", "hits of gaushit", "pixel classes of ssnet", "hit classes of ssnet", "true classes")
    ]
    charge, hits, of_pixels, of_hits, true = drawn.layers
    pixels = full_event()[key(Pixels, "images", "Y")]
    assert isinstance(pixels, Pixels)
    np.testing.assert_array_equal(charge.marks["Y"].column, pixels.column)
    np.testing.assert_array_equal(charge.marks["Y"].low, pixels.row * 6)
    np.testing.assert_array_equal(charge.marks["Y"].charge, pixels.adc)
    assert len(charge.marks["U"]) == 0
    np.testing.assert_array_equal(hits.marks["Y"].column, np.arange(200, 240))
    np.testing.assert_array_equal(hits.marks["Y"].low, 902 + 3 * np.arange(40))
    assert of_pixels.counts() == np.bincount(np.arange(len(pixels)) % 5).tolist()
    assert (of_hits.counts(), of_hits.unlabelled(), of_hits.classes) == ([20, 19], 1, ("track", "shower"))
    assert true.counts() == [0, len(pixels), 0, 0, 0]


def test_drift_axis(sample: Path) -> None:
    (group,) = scene(sample).groups
    assert [p.column_title for p in group.planes] == ["U wire", "V wire", "Y wire"]
    assert group.x_at_0 + group.x_slope * 800 == pytest.approx(0, abs=1e-9)
    assert group.x_slope == pytest.approx(0.0549)


def test_page_holds_everything_and_needs_no_network(sample: Path, tmp_path: Path) -> None:
    page = tmp_path / "event.html"
    assert main(["display", str(sample), "-e", "1:1:1", "-o", str(page)]) == 0
    text = page.read_text()
    assert not re.search(r"https?://|<link|src=|@import|@[A-Z]+@", text)
    content = embedded(page)
    marks = content["layers"][0]["marks"]["Y"]
    column = np.frombuffer(base64.b64decode(marks["column"]), "<i4")
    assert set(column.tolist()) == set(range(200, 240))
    assert [c["name"] for c in content["layers"][2]["classes"]] == list(SEMANTIC_NAMES)
    assert [p.name for p in tmp_path.iterdir()] == ["event.html"]


def test_page_escapes_names(tmp_path: Path) -> None:
    file = write(tmp_path / "a<b>&.root", full_event())
    page = tmp_path / "event.html"
    assert main(["display", str(file), "-o", str(page)]) == 0
    assert "a&lt;b&gt;&amp;.root (TEST)" in page.read_text()


def test_picture_shows_the_track_and_the_class_colours(sample: Path, tmp_path: Path) -> None:
    picture = tmp_path / "event.png"
    assert main(["display", str(sample), "-o", str(picture)]) == 0
    image = np.round(matplotlib.image.imread(picture)[..., :3] * 255).astype(int)
    assert image.shape[1] > 2000
    for colour in class_colours(SEMANTIC_NAMES):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (image == rgb).all(axis=-1).sum() > 300


def test_empty_event_is_drawn(sample: Path, tmp_path: Path) -> None:
    for name in ("empty.png", "empty.html"):
        assert main(["display", str(sample), "-e", "1:1:2", "-o", str(tmp_path / name)]) == 0
    assert [len(m) for m in scene(sample, 1).layers[0].marks.values()] == [0, 0, 0]


@pytest.mark.parametrize("kind", ["wires", "hits"])
def test_images_are_made_where_the_file_has_none(kind: str, tmp_path: Path) -> None:
    wires = track(range(5000, 5040))
    product = {key(Wires, "butcher"): wires} if kind == "wires" else {key(Hits, "gaushit"): hits_of(wires)}
    file = write(tmp_path / "raw.root", product)
    drawn = scene(file, detector_name="microboone").layers[0].marks["Y"]
    assert set(drawn.column.tolist()) == set(range(200, 240))
    assert drawn.charge.sum() == pytest.approx(40 * 240, rel=0.02)  # tails of hits are below threshold


def test_only_the_images_of_one_module_are_drawn(tmp_path: Path) -> None:
    both = images(track(range(5000, 5010)), "first") | images(track(range(5000, 5030)), "second")
    file = write(tmp_path / "two.root", both)
    assert len(set(scene(file).layers[0].marks["Y"].column.tolist())) == 30
    assert len(set(scene(file, label="first").layers[0].marks["Y"].column.tolist())) == 10


def test_volumes_of_a_detector_with_several_tpcs(tmp_path: Path) -> None:
    hd = detector("protodunehd")
    made = images_of_wires(track(range(2560, 5120)), hd, hd.active_readout_planes)
    file = write(tmp_path / "hd.root", {key(Pixels, "images", n): i.pixels for n, i in made.items()})
    (group,) = scene(file).groups
    assert group.title == "TPC 2"
    assert [p.column_title for p in group.planes] == ["U channel - 2560", "V channel - 3360", "W wire"]
    fd = detector("dunefd")
    made = images_of_wires(track(range(2560)), fd, fd.active_readout_planes)
    file = write(tmp_path / "fd.root", {key(Pixels, "images", n): i.pixels for n, i in made.items()})
    assert [[p.name for p in g.planes] for g in scene(file).groups] == [
        ["tpc0_U", "tpc0_V", "tpc0_W"],
        ["tpc0_U", "tpc0_V", "tpc1_W"],
    ]
    assert main(["display", str(file), "-o", str(tmp_path / "fd.png")]) == 0


def test_images_of_an_unknown_detector(shared_path: Callable[[str], Path], tmp_path: Path) -> None:
    file = shared_path("samples/larcv2_electron_10evt.root")
    for name in ("larcv.png", "larcv.html"):
        assert main(["display", str(file), "-o", str(tmp_path / name)]) == 0
    (group,) = scene(file).groups
    assert (group.time_title, group.x_slope, len(group.planes)) == ("row", 0, 3)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-e", "1:1:9"], 4, "{file} has no event 1:1:9; valid: 1:1:1, 1:1:2"),
        (["--images", "pixels"], 3, "{file} has no images of 'pixels'; valid: images"),
        (["-o", "event.gif"], 3, "-o event.gif: unknown format '.gif'; valid: .html, .png, .pdf, .svg"),
        (["-o", "absent/event.png"], 5, "output absent/event.png: directory absent does not exist; make it first"),
    ],
)
def test_wrong_requests(
    arguments: list[str], status: int, message: str, sample: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["display", str(sample), "-o", "event.png", *arguments]) == status
    assert capsys.readouterr().err == f"larmlreco display: {message.format(file=sample)}\n"
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "event.png")
    file = write(tmp_path / "pot.root", {key(POTSummary, "generator"): POTSummary.empty()})
    assert main(["display", str(file), "-o", out]) == 4
    assert capsys.readouterr().err == (
        f"larmlreco display: {file}: the event has nothing to draw (Pixels, Wires, Hits, Voxels); "
        "products there: POTSummary generator::TEST\n"
    )
    file = write(tmp_path / "raw.root", {key(Wires, "butcher"): Wires.empty()})
    assert main(["display", str(file), "-o", out]) == 3
    assert capsys.readouterr().err == (
        f"larmlreco display: {file} has no images that name their detector; say --detector, one of dunefd, icarus, "
        "microboone, protodunehd, sbnd\n"
    )
    file = write(tmp_path / "none.root")
    assert main(["display", str(file), "-o", out]) == 4
    assert capsys.readouterr().err == f"larmlreco display: {file} has no events\n"


def test_class_colours_differ() -> None:
    for names in (SEMANTIC_NAMES, TRACK_SHOWER_NAMES, ("a", "b", "HIP", "c")):
        assert len(set(class_colours(names))) == len(names)


def test_true_labels_that_a_job_stored_are_drawn_and_layers_can_be_chosen(tmp_path: Path) -> None:
    wires = track(range(5000, 5003))
    pixels = images(wires)
    y_key = key(Pixels, "images", "Y")
    labels = np.arange(len(pixels[y_key])) % 2
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": y_key.branch}
    true = TrueLabels(label=labels, meta=meta)
    path = write(tmp_path / "true.root", {**pixels, key(TrueLabels, "truth", "Y"): true})
    drawn = scene(path)
    assert [layer.name for layer in drawn.layers] == ["charge", "true classes"]
    assert drawn.layers[1].counts() == [int((labels == 0).sum()), int((labels == 1).sum()), 0, 0, 0]
    file = open_file(str(path))
    assert [layer.name for layer in scene_of(file, 0, wanted=["true"]).layers] == ["true classes"]
    with pytest.raises(ConfigurationError, match="no layer 'chrge' to draw; did you mean 'charge'"):
        scene_of(file, 0, wanted=["chrge"])
    file.close()
