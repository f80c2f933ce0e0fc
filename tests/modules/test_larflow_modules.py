"""The producer of partners and points and its evaluator, with a small archive whose scores are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from larmlreco.modules.FalseVertexFilter_module import STANDS, FalseVertexFilter
from larmlreco.modules.LArFlow_module import LArFlow
from larmlreco.modules.LArFlowEvaluator_module import LArFlowEvaluator

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.export import export_archive
from larmlreco.framework.testing import ModuleHarness
from larmlreco.geometry import Detector, detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import Network, register
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import check_input
from larmlreco.products import (
    Assns,
    ChannelStatus,
    FlowPoints,
    Hits,
    Pixels,
    SemanticScores,
    SpacePoints,
    TrueSteps,
    Wires,
)
from larmlreco.reco.candidates import FEATURES
from larmlreco.reco.flow import FLAGS
from larmlreco.reco.infill import with_infilled_pixels
from larmlreco.reco.shifts import frame_of

UBOONE = detector("microboone")
COLLECTION_FIRST = 4800
LINE_Y, LINE_Z = 20.0 + 0.4 * np.arange(40), 500.0 + 0.7 * np.arange(40)
ROWS = 200 + np.arange(40)


@register("candidates_by_residual")
class ByResidual(Network):
    """Score 3 less the distance of the third wire, and 1 less without a third plane."""

    meanings = {"score": "log-odds"}  # noqa: RUF012

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.forward(coords, features)

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, 3, 16)
        return {"score": 3.0 - features[:, 15].abs() - (features[:, :3] <= 0.0).sum(1)}


HEIGHT = frame_of(UBOONE.planes).middle
PER_HEIGHT = [frame_of(UBOONE.planes).shift_per_height(2, target) for target in (0, 1)]


@register("shifts_of_the_line")
class ShiftsOfTheLine(Network):
    """The shifts of the collection pixels of :func:`line`, and of others in its rows; half of a wire too far."""

    meanings = {f"{kind}_Y2{view}": kind for kind in ("flow", "matchable") for view in "UV"}  # noqa: RUF012

    def __init__(self, seen_u: float = 1.0) -> None:
        super().__init__()
        self.seen_u = seen_u
        self.height = LINE_Y[0] - HEIGHT
        self.per_height_u, self.per_height_v = PER_HEIGHT

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.forward(coords, features)

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, 2, 1)
        height = 0.4 * (coords[:, 2] - 200).to(features.dtype) + self.height
        return {
            "flow_Y2U": height * self.per_height_u + 0.5,
            "flow_Y2V": height * self.per_height_v + 0.5,
            "matchable_Y2U": torch.full_like(height, self.seen_u),
            "matchable_Y2V": torch.ones_like(height),
        }


def shift_archive(path: Path, **params: Any) -> Path:
    card = ModelCard(
        task="flow",
        detector="microboone",
        dimension=2,
        planes=("U", "V", "Y"),
        class_names=(),
        features=(Feature("adc", "ADC"),),
        pixel_size=(0.3, 6.0),
        pixel_units=("cm", "tick"),
        threshold=10.0,
        rebin=6,
    )
    checkpoint = Checkpoint(Architecture("shifts_of_the_line", params), card)
    export_archive(checkpoint.with_state(ShiftsOfTheLine(**params).state_dict(), None), path)
    return path


@pytest.mark.parametrize("dead", [None, 0])
def test_an_archive_that_shifts_pixels_makes_the_same_products(dead: int | None, tmp_path: Path) -> None:
    """The track, with as much false charge far from it on every plane: shifts choose the true partners of each pixel.

    The archive's card alone says that it shifts pixels; a dead target gets partners too.
    """
    event = line(dead)
    for plane in UBOONE.planes:
        if plane.plane != dead:
            wrong = plane.nearest_wire(LINE_Y - 60, LINE_Z + 50)
            pixels = event[f"images:{plane.view}"]
            both = np.column_stack([np.append(pixels.column, wrong), np.append(pixels.row, ROWS)])
            event[f"images:{plane.view}"] = image(UBOONE, plane.view, *np.unique(both, axis=0).T)
    parameters = {} if dead is None else {"channel_status": "chstatus"}
    made = harness(shift_archive(tmp_path / "shifts.ts", seen_u=float(dead is None)), **parameters).process(event)
    for target in (0, 1):
        view = UBOONE.planes[target].view
        flow, images = made.get(FlowPoints, f"Y2{view}"), event["images:Y"]
        near = np.flatnonzero(np.abs(images.column - UBOONE.planes[2].nearest_wire(LINE_Y, LINE_Z)[0]) < 105)
        true = UBOONE.planes[target].nearest_wire(LINE_Y, LINE_Z)[images.row - ROWS[0]]
        assert len(near) >= 40
        assert (np.abs(flow.column - true)[near] <= 2).all()
        assert ((flow.matchable[near] > 0.5) == (target != dead)).all()
    back = made.get(FlowPoints, "V2Y")
    assert (np.abs(back.column - UBOONE.planes[2].nearest_wire(LINE_Y, LINE_Z)[0]) < 105).sum() >= 35
    points = made.get(SpacePoints)
    sure = points.score > 0.5
    assert sure.sum() >= 40
    assert (points.flags[sure] == (0 if dead is None else FLAGS["dead_0"])).all()
    row = np.floor((points.x / (0.5 * 0.1098) + 800) / 6 + 1e-3).astype(int) - ROWS[0]
    assert (np.hypot(points.y - LINE_Y[row], points.z - LINE_Z[row])[sure] < 1.5).all()


def test_where_shifts_cannot_be_used(tmp_path: Path) -> None:
    path = shift_archive(tmp_path / "shifts.ts")
    with pytest.raises(ConfigurationError, match="shifts pixels, for which there are no crops"):
        harness(path, crop_rows=512)
    planes = [plane.name for plane in detector("icarus").readout_planes_of(0)]
    with pytest.raises(ConfigurationError, match=r"cannot be used for icarus: .* run along the beam"):
        harness(path, detector="icarus", planes=planes, allow_other_detector=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive") / "by_residual.ts")


def make_archive(path: Path, **changes: Any) -> Path:
    values: dict[Any, Any] = {
        "task": "flow",
        "detector": "microboone",
        "dimension": 3,
        "planes": ("U", "V", "Y"),
        "class_names": (),
        "features": tuple(Feature(*feature) for feature in FEATURES),
        "pixel_size": (6.0, 0.6, 0.6),
        "pixel_units": ("tick", "cm", "cm"),
        "threshold": 10.0,
        "rebin": 6,
        "outputs": {"score": "log-odds"},
        **changes,
    }
    checkpoint = Checkpoint(Architecture("candidates_by_residual", {}), ModelCard(**values))
    export_archive(checkpoint.with_state(ByResidual().state_dict(), None), path)
    return path


def image(mine: Detector, name: str, column: Any, row: Any) -> Pixels:
    plane = mine.readout_plane(name)
    column, row = (np.asarray(a, dtype=np.int64) for a in (column, row))
    order = np.lexsort((row, column))
    n = len(column)
    return Pixels(
        tpc=np.full(n, plane.tpc),
        plane=np.full(n, plane.plane),
        column=column[order],
        row=row[order],
        adc=np.full(n, 50.0),
        meta={
            "detector": mine.name,
            "tpc": plane.tpc,
            "plane": plane.plane,
            "view": plane.view,
            "rebin": 6,
            "threshold": 10.0,
            "n_columns": plane.n_columns,
            "n_rows": 1008,
        },
    )


def line(dead_plane: int | None = None) -> dict[Any, Any]:
    """A straight track seen on all planes, or on all but one, whose wires there are dead."""
    event: dict[Any, Any] = {}
    for plane in UBOONE.planes:
        wire = plane.nearest_wire(LINE_Y, LINE_Z)
        pixels = np.unique(np.column_stack([wire, ROWS]), axis=0) if plane.plane != dead_plane else np.zeros((0, 2))
        event[f"images:{plane.view}"] = image(UBOONE, plane.view, *pixels.T)
    if dead_plane is not None:
        channels = UBOONE.planes[dead_plane].channels
        event["chstatus"] = ChannelStatus(channel=channels, status=np.ones(len(channels)))
    return event


def steps() -> TrueSteps:
    n = len(ROWS)
    one = np.ones(n)
    tick = ROWS * 6 + 2.5
    return TrueSteps.from_columns(
        {"x": UBOONE.tick_to_x(tick), "y": LINE_Y, "z": LINE_Z, "t": 0 * one, "de": one, "dx": one,
         "electrons": 9000 * one, "tick": tick, "particle": one}
    )  # fmt: skip


def harness(archive: Path, **parameters: Any) -> ModuleHarness:
    return ModuleHarness(LArFlow, {"archive": str(archive), "detector": "microboone", "min_score": 0.0, **parameters})


def test_a_track_becomes_points(archive: Path) -> None:
    event = harness(archive).process(line())
    points = event.get(SpacePoints)
    assert len(points) >= 40
    true = np.column_stack([LINE_Y, LINE_Z])
    at = ((points.x / (0.5 * 0.1098) + 800) // 6).astype(int) - ROWS[0]
    assert (np.hypot(points.y - true[at, 0], points.z - true[at, 1]) < 1.0).all()
    assert (points.flags == 0).all()
    assert (points.pixel >= 0).all()
    assert (points.charge == 50).all()
    assert (points.hit == -1).all()
    assert points.meta["trained_for_this_detector"]
    assert points.meta["flags"] == dict(FLAGS)
    flow = event.get(FlowPoints, "Y2U")
    wires = UBOONE.planes[0].nearest_wire(LINE_Y, LINE_Z)
    assert (np.abs(flow.column - wires) <= 1).all()
    assert flow.meta["source"].startswith("Pixels_images_Y_")
    assert (flow.matchable > 0.5).all()


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_dead_plane_is_crossed_and_flagged(archive: Path, dead: int) -> None:
    event = harness(archive, channel_status="chstatus").process(line(dead))
    points = event.get(SpacePoints)
    assert len(points) >= 40
    assert (points.flags == FLAGS[f"dead_{dead}"]).all()
    assert (points.pixel[:, dead] == -1).all()
    source = next(p.view for p in UBOONE.planes if p.plane != dead)
    flow = event.get(FlowPoints, f"{source}2{UBOONE.planes[dead].view}")
    assert (flow.matchable == 0).all()
    assert (np.abs(flow.column - UBOONE.planes[dead].nearest_wire(LINE_Y, LINE_Z)) <= 2).all()
    assert (flow.pixel == -1).all()


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_points_with_infilled_pixels_are_flagged_and_lead_to_no_hit(archive: Path, dead: int) -> None:
    event, whole = line(dead), line()
    view = UBOONE.planes[dead].view
    seen = whole[f"images:{view}"]
    sites = np.column_stack([seen.column, seen.row])
    event[f"images:{view}"] = with_infilled_pixels(event[f"images:{view}"], sites, seen.adc, {})
    columns = {name: np.zeros(120) for name, what in Hits.columns().items() if what.fill is None}
    channel = np.concatenate([p.channels[p.nearest_wire(LINE_Y, LINE_Z)] for p in UBOONE.planes])
    ticks = {"start_tick": np.tile(ROWS * 6, 3), "end_tick": np.tile(ROWS * 6 + 6, 3)}
    event["gaushit"] = Hits.from_columns({**columns, **ticks, "channel": channel})
    wires = {"channel": np.unique(channel), "plane": np.zeros(len(np.unique(channel))), "view": 0 * np.unique(channel)}
    event["butcher"] = Wires.from_columns({**wires, "n_samples": 0 * wires["plane"]})
    result = harness(archive, channel_status="chstatus", hits="gaushit", wires="butcher").process(event)
    points = result.get(SpacePoints)
    with_three = (points.pixel >= 0).all(axis=1)
    assert with_three.sum() >= 35
    assert (points.flags[with_three] == FLAGS[f"infilled_{dead}"]).all()
    assert not (points.flags[~with_three] & FLAGS[f"infilled_{dead}"]).any()
    assert (points.hit[:, dead] == -1).all()
    others = [p for p in range(3) if p != dead]
    assert (points.hit[with_three][:, others] >= 0).all()
    links = result.get(Assns, "wires")
    linked = event["butcher"].channel[links.right]
    assert not np.isin(linked, UBOONE.planes[dead].channels).any()
    assert len(links) >= 2 * with_three.sum()


def test_without_status_silent_wires_are_dead(archive: Path) -> None:
    event = {name: product for name, product in line(0).items() if name != "chstatus"}
    assert (harness(archive).process(event).get(SpacePoints).flags == FLAGS["dead_0"]).all()
    missing = harness(archive, channel_status="nowhere").process(event)
    assert (missing.get(SpacePoints).flags == FLAGS["dead_0"]).all()
    alive = harness(archive, silent_is_dead=False).process(event)
    assert len(alive.get(SpacePoints)) == 0


def test_an_empty_event_has_all_products(archive: Path) -> None:
    empty: dict[Any, Any] = {f"images:{plane.view}": image(UBOONE, plane.view, [], []) for plane in UBOONE.planes}
    event = harness(archive).process(empty)
    assert len(event.get(SpacePoints)) == 0
    assert all(len(event.get(FlowPoints, f"{d}")) == 0 for d in ("U2V", "U2Y", "V2U", "V2Y", "Y2U", "Y2V"))
    one = {**empty, "images:Y": image(UBOONE, "Y", [100], [5])}
    event = harness(archive).process(one)
    assert event.get(FlowPoints, "Y2U").column.tolist() == [-1]


def test_crops_of_a_local_network_change_nothing(archive: Path) -> None:
    whole = harness(archive).process(line()).get(SpacePoints)
    cropped = harness(archive, crop_rows=16, crop_wires=30).process(line()).get(SpacePoints)
    assert np.array_equal(whole.pixel, cropped.pixel)
    assert np.array_equal(whole.score, cropped.score)


def test_a_noise_burst_is_bounded_and_the_products_say_so(archive: Path) -> None:
    """All wires of all planes fire in one row, beside a track: the track stays, and the row is counted."""
    event = line()
    for plane in UBOONE.planes:
        column, row = event[f"images:{plane.view}"].column, event[f"images:{plane.view}"].row
        burst = np.arange(plane.n_wires)
        columns, rows = np.concatenate([column, burst]), np.concatenate([row, np.full(plane.n_wires, 900)])
        event[f"images:{plane.view}"] = image(UBOONE, plane.view, columns, rows)
    out = harness(archive, row_limit=20).process(event)
    points = out.get(SpacePoints)
    assert points.meta["n_limited_rows"] == 1
    assert out.get(FlowPoints, "Y2U").meta["n_limited_rows"] == 1
    early = points.x < UBOONE.tick_to_x(899 * 6)
    assert early.sum() >= 40
    assert (~early).sum() <= 3 * 20


def test_links_to_hits_wires_and_classes(archive: Path) -> None:
    event = line()
    column = event["images:Y"].column.astype(np.int64)
    n = len(column)
    zero = np.zeros(n, dtype=np.int64)
    start = event["images:Y"].row * 6
    event["gaushit"] = Hits.from_columns(
        {"channel": COLLECTION_FIRST + column, "cryostat": zero, "tpc": zero, "plane": zero + 2, "wire": column,
         "view": zero + 2, "signal_type": zero + 1, "start_tick": start, "end_tick": start + 6,
         "peak_time": start + 3.0, "rms": np.ones(n), "peak_amplitude": np.ones(n), "integral": np.ones(n),
         "summed_adc": np.ones(n)}
    )  # fmt: skip
    channel = np.unique(COLLECTION_FIRST + column)[::-1]
    event["butcher"] = Wires(
        channel=channel, plane=np.full(len(channel), 2), view=np.full(len(channel), 2),
        n_samples=np.full(len(channel), 6400), roi_wire=[], roi_begin=[], roi_length=[], adc=[],
    )  # fmt: skip
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
    for plane in UBOONE.planes:
        pixels = len(event[f"images:{plane.view}"])
        label = 4 if plane.plane == 2 else 1
        scores = np.tile(np.eye(5)[label], (pixels, 1))
        event[f"segmentation:{plane.view}"] = SemanticScores(scores=scores, label=np.full(pixels, label), meta=meta)
    out = harness(archive, hits="gaushit", wires="butcher", segmentation="segmentation").process(event)
    points = out.get(SpacePoints)
    assert (points.hit[:, :2] == -1).all()
    assert np.array_equal(points.hit[:, 2], points.pixel[:, 2])
    links = out.get(Assns, "hits")
    assert np.array_equal(links.left, np.arange(len(points)))
    assert np.array_equal(links.right, points.hit[:, 2])
    wires = out.get(Assns, "wires")
    assert np.array_equal(channel[wires.right], COLLECTION_FIRST + column[points.pixel[wires.left, 2]])
    classes = out.get(SemanticScores)
    assert classes.scores[0].tolist() == pytest.approx([0, 2 / 3, 0, 0, 1 / 3])
    assert (classes.label == 1).all()


def test_the_figures_of_a_perfect_track(archive: Path) -> None:
    event = line()
    made = harness(archive).process(event)
    products: dict[Any, Any] = {
        f"flow:{d}": made.get(FlowPoints, f"{d}") for d in ("U2V", "U2Y", "V2U", "V2Y", "Y2U", "Y2V")
    }
    evaluator = ModuleHarness(LArFlowEvaluator, {"detector": "microboone"})
    evaluator.process({**event, **products, "flow": made.get(SpacePoints), "largeant": steps()})
    module = evaluator.module
    assert isinstance(module, LArFlowEvaluator)
    results = module.results()
    assert results["partners"]["accuracy"]["value"] == 1
    assert results["points"]["ghosts"][0]["value"] == 0
    assert results["points"]["completeness"][0]["value"] == 1
    assert "published Y2U" in module.table()
    with pytest.raises(ConfigurationError, match="the wires of protodunehd wrap"):
        ModuleHarness(LArFlowEvaluator, {"detector": "protodunehd"})
    with pytest.raises(ConfigurationError, match="sbnd has the TPCs 0, 1; got 2"):
        ModuleHarness(LArFlowEvaluator, {"detector": "sbnd", "tpcs": [2]})


def test_each_tpc_of_a_wrapped_detector_has_its_points(archive: Path) -> None:
    mine = detector("protodunehd")
    tpc = mine.tpcs[2]
    _, y, z = ((tpc.planes[0].starts[900] + tpc.planes[0].ends[900]) / 2).tolist()
    event: dict[Any, Any] = {}
    for plane in tpc.planes:
        name = mine.readout_planes_of(2)[plane.plane].name
        column = mine.channel_column[plane.channels[plane.nearest_wire(y, z)]]
        event[f"images:{name}"] = image(mine, name, [column], [7])
    parameters = {"detector": "protodunehd", "planes": ["tpc2_U", "tpc2_V", "tpc2_W"], "tolerance": 1.0}
    with pytest.raises(ConfigurationError, match="needs the detector protodunehd"):
        harness(archive, **parameters)
    out = harness(archive, **parameters, allow_other_detector=True).process(event)
    points = out.get(SpacePoints, "tpc2")
    assert np.hypot(points.y - y, points.z - z).min() < 0.6
    assert not points.meta["trained_for_this_detector"]
    assert out.get(FlowPoints, "tpc2_W2U").column.tolist() == event["images:tpc2_U"].column.tolist()


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        (
            ["U", "V"],
            "U, V makes no TPC of microboone; expected all 3 planes of one that is active, for example U, V, Y",
        ),
        (["Q"], "microboone has no plane 'Q'"),
    ],
)
def test_a_wrong_number_of_planes_fails_before_the_first_event(archive: Path, planes: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        harness(archive, planes=planes)


def test_images_of_another_detector_are_refused(archive: Path) -> None:
    event = line()
    pixels = event["images:V"]
    event["images:V"] = replace(pixels, meta={**pixels.meta, "detector": "sbnd"})
    with pytest.raises(ConfigurationError, match=r"images of plane V are of the detector sbnd; .* has microboone"):
        harness(archive).process(event)
    read = harness(archive).module.declared_consumes
    assert all(asked.facts["detector"] == "microboone" for asked in read if asked.type == "Pixels")


def test_archives_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs the task flow"):
        harness(make_archive(tmp_path / "task.ts", task="semantic_segmentation"))
    features = tuple(Feature(f"f{i}", "ADC") for i in range(16))
    with pytest.raises(ConfigurationError, match="candidates have the features charge_0"):
        harness(make_archive(tmp_path / "features.ts", features=features))


def test_the_filter_passes_true_ends_and_stops_false_vertices(archive: Path) -> None:
    event = line()
    flow = harness(archive).process(event).get(SpacePoints)
    found = ModuleHarness(FalseVertexFilter, {"detector": "microboone"}).process({**event, "flow": flow})
    ends = found.get(SpacePoints)
    assert found.passed
    assert len(ends) == 2
    assert (ends.score > 0.8).all()
    assert (ends.flags == STANDS).all()
    assert sorted(ends.z.tolist()) == pytest.approx([LINE_Z[0], LINE_Z[-1]], abs=1.0)
    elsewhere = SpacePoints.from_columns({"x": flow.x[:1], "y": flow.y[:1] - 60, "z": flow.z[:1]})
    tested = ModuleHarness(FalseVertexFilter, {"detector": "microboone", "vertices": "given"})
    fallen = tested.process({**event, "flow": flow, "given": elsewhere})
    assert not fallen.passed
    assert fallen.get(SpacePoints).score.tolist() == [0]
    with pytest.raises(ConfigurationError, match="microboone has no TPC 1; valid: 0 to 0"):
        ModuleHarness(FalseVertexFilter, {"detector": "microboone", "tpc": 1})


def test_the_filter_stops_an_empty_event(archive: Path) -> None:
    event: dict[Any, Any] = {f"images:{plane.view}": image(UBOONE, plane.view, [], []) for plane in UBOONE.planes}
    result = ModuleHarness(FalseVertexFilter, {"detector": "microboone"}).process(
        {**event, "flow": SpacePoints.empty()}
    )
    assert not result.passed
    assert len(result.get(SpacePoints)) == 0
