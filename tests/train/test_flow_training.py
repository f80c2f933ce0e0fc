"""Training of LArFlow: stores, targets and loss by formula, a small training that learns and resumes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.geometry import detector
from larmlreco.images.pixels import ImageSettings
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.reco.candidates import FEATURES, CandidateSettings, candidate_coords, candidate_features, find_candidates
from larmlreco.reco.shifts import frame_of, shift_input
from larmlreco.train.flow import (
    CandidateObjective,
    FlowAugmentation,
    FlowEvent,
    FlowStore,
    FlowTrainer,
    Targets,
    candidate_loss,
    candidate_targets,
    flow_events,
    planes_of,
)
from larmlreco.train.flow_regression import ShiftObjective, shift_targets
from larmlreco.train.schedule import Schedule
from larmlreco.train.tasks import trainer_of
from larmlreco.train.trainer import Plan

UBOONE = detector("microboone")


def event_of(places: np.ndarray, row: np.ndarray, dead: tuple[int, ...] = ()) -> FlowEvent:
    """Points at (y, z) in rows, each a pixel on every plane; the first of several on one pixel is its truth."""
    wires = np.column_stack([plane.nearest_wire(places[:, 0], places[:, 1]) for plane in UBOONE.planes])
    column, rows, adc, true = [], [], [], []
    for p in range(3):
        _, first = np.unique(np.column_stack([wires[:, p], row]), axis=0, return_index=True)
        column.append(wires[first, p].astype(np.int16))
        rows.append(row[first].astype(np.int16))
        adc.append((30.0 + first % 50).astype(np.float32))
        true.append(wires[first].astype(np.int16))
    return FlowEvent(column, rows, adc, true, np.array(dead, dtype=np.int64))


def line(seed: int, n: int = 60) -> FlowEvent:
    """Two straight tracks that overlap in time."""
    random = np.random.default_rng(seed)
    places, rows = [], []
    for _ in range(2):
        start, step = random.uniform([-60, 300], [60, 600]), random.uniform(-0.5, 0.5, 2)
        places.append(start + np.arange(n)[:, np.newaxis] * step)
        rows.append(200 + np.arange(n) // 2)
    return event_of(np.concatenate(places), np.concatenate(rows))


def same(left: FlowEvent, right: FlowEvent) -> bool:
    fields = ("column", "row", "adc", "true")
    pairs = [(a, b) for f in fields for a, b in zip(getattr(left, f), getattr(right, f), strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs) and np.array_equal(left.dead, right.dead)


def test_a_store_gives_back_its_events(tmp_path: Path) -> None:
    none = np.zeros((0, 2))
    events = [line(1), event_of(none, np.zeros(0, int)), line(2, 5)]
    store = FlowStore.concatenate([FlowStore.collect(events[:2]), FlowStore.collect(events[2:])])
    store.save(tmp_path / "store.npz")
    loaded = FlowStore.load(tmp_path / "store.npz")
    assert len(loaded) == 3
    assert all(same(loaded[i], events[i]) for i in range(3))
    with pytest.raises(IndexError):
        loaded[3]
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="delete it to have it made again"):
        FlowStore.load(tmp_path / "bad.npz")


def test_targets_by_formula() -> None:
    """Two candidates of a collection pixel, 0 and 1 wire off on one plane: shares fall as a Gaussian."""
    wires = [int(plane.nearest_wire(31.3, 700.4)) for plane in UBOONE.planes]
    column = [[wires[0]], [wires[1], wires[1] + 1, wires[1] + 40], [wires[2]]]
    true = [[wires], [wires, [-1, -1, -1], wires], [wires]]
    event = FlowEvent(
        [np.array(c, np.int16) for c in column],
        [np.full(len(c), 5, np.int16) for c in column],
        [np.full(len(c), 50, np.float32) for c in column],
        [np.array(t, np.int16) for t in true],
        np.zeros(0, np.int64),
    )
    planes = planes_of(event, UBOONE)
    found = find_candidates(planes, CandidateSettings(1.6))
    assert len(found) == 2
    targets = candidate_targets(planes, found, event.true, blur=0.7, hard_weight=0.5)
    share = np.exp(-0.5 / 0.49)
    of_y = targets.share[targets.pixel == 4]
    assert sorted(of_y.tolist()) == pytest.approx([share / (1 + share), 1 / (1 + share)])
    assert targets.none.tolist() == [0, 0, 1, 1, 0]
    assert targets.weight.tolist() == pytest.approx([1 + 0.5 * np.log(2), 1, 1, 0, 1 + 0.5 * np.log(2)])


def test_loss_by_formula_and_its_gradient() -> None:
    targets = Targets(
        candidate=np.array([0, 1, 1, 2]),
        pixel=np.array([0, 0, 1, 2]),
        share=np.array([0.75, 0.25, 0.0, 1.0]),
        none=np.array([0.0, 1.0, 0.0, 1.0]),
        weight=np.array([2.0, 1.0, 1.0, 0.0]),
    )
    score = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
    loss = candidate_loss(score, targets)
    s = score.detach().numpy()
    first = np.log(1 + np.exp(s[0]) + np.exp(s[1]))
    expected = 2 * (first - 0.75 * s[0] - 0.25 * s[1]) + np.log1p(np.exp(s[1])) + np.log1p(np.exp(s[2])) - s[2]
    assert float(loss.detach()) == pytest.approx(expected / 4)
    assert torch.autograd.gradcheck(lambda x: candidate_loss(x, targets), (score,))
    empty = Targets(*(np.zeros(0, np.int64),) * 2, *(np.zeros(0),) * 3)
    assert float(candidate_loss(torch.zeros(0, dtype=torch.float64), empty)) == 0


def test_augmentation_keeps_the_partners() -> None:
    event = line(3)
    changed = FlowAugmentation(dead_probability=1.0, dead_width=200)(event, UBOONE, np.random.default_rng(1))
    assert sum(map(len, changed.column)) <= sum(map(len, event.column))
    assert len(changed.dead) > 0
    for p, plane in enumerate(UBOONE.planes):
        assert not np.isin(plane.channels[changed.column[p]], changed.dead).any()
        assert np.array_equal(changed.true[p][:, p], changed.column[p])
    again = FlowAugmentation(dead_probability=1.0, dead_width=200)(event, UBOONE, np.random.default_rng(1))
    assert same(changed, again)


def trainer(directory: Path, iterations: int = 30, shifts: dict[str, Any] | None = None) -> FlowTrainer:
    """A small training on short tracks: of candidates, or of shifts by a network with these arguments."""
    torch.manual_seed(1)
    params: dict[str, Any] = shifts or {"hidden": 8, "filters": 4, "depth": 2}
    name = "larflow" if shifts is None else "larflow_regression"
    card = ModelCard(
        task="flow",
        detector="microboone",
        dimension=3,
        class_names=(),
        features=tuple(Feature(*f) for f in FEATURES),
        pixel_size=(6.0, 0.6, 0.6),
        pixel_units=("tick", "cm", "cm"),
    )
    plan = Plan(iterations, 2, Schedule("constant", 0.01, iterations), validate_every=iterations, checkpoint_every=10)
    return FlowTrainer(
        Checkpoint(Architecture(name, params), card),
        build(name, **params),
        FlowStore.collect([line(seed) for seed in range(6)]),
        FlowStore.collect([line(seed) for seed in range(10, 13)]),
        plan,
        FlowAugmentation(dead_probability=0.0),
        UBOONE,
        CandidateObjective(UBOONE, CandidateSettings()) if shifts is None else ShiftObjective(UBOONE),
        directory,
        torch.device("cpu"),
    )


def test_it_learns_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    before = whole.validate()[0]
    result = whole.run()
    loss, figures = whole.validate()
    assert loss < before
    assert result["best_accuracy"] == figures.summary()["accuracy"]["value"] > 0.9
    assert "Y2U" in (tmp_path / "whole/validation.csv").read_text()
    part = trainer(tmp_path / "part", 10)
    part.run()
    rest = trainer(tmp_path / "part")
    rest.resume(part.last)
    rest.run()
    left, right = (torch.load(t.last, weights_only=True)["state_dict"] for t in (whole, rest))
    assert all(torch.equal(left[name], right[name]) for name in left)


def raw_of(event: FlowEvent, name: str, off: float) -> dict[str, torch.Tensor]:
    """What a network would say that shifts each row of the source ``off`` wires beyond its true partner."""
    planes = planes_of(event, UBOONE)
    frame = frame_of(UBOONE.planes)
    rows = shift_input(planes, frame)
    source, target = ("UVY".index(view) for view in name.split("2"))
    wanted = shift_targets(event, planes, rows, frame, source, target)
    shift = torch.zeros(len(rows.plane))
    shift[torch.from_numpy(wanted.row)] = torch.from_numpy(wanted.shift).float() + off
    seen = torch.full((len(rows.plane),), -20.0)
    seen[torch.from_numpy(wanted.source_row[wanted.seen > 0])] = 20.0
    return {f"flow_{name}": shift, f"matchable_{name}": seen}


def test_the_loss_of_shifts_by_formula() -> None:
    """Nothing where all is right; smooth L1 without a cap, and the distance in cm of the two heights, where it is not.

    The slopes of U and V are opposite, so a wire too far on both planes is right for one height and one too low on U
    and too high on V is a contradiction of (0.6 + 0.6) cm / tan 60.
    """
    event = line(5)
    for off_u, off_v, shifts, apart in ((0.0, 0.0, 0.0, 0.0), (40.0, 40.0, 39.5, 80.0), (40.0, -40.0, 39.5, 0.0)):
        raw = {**raw_of(event, "Y2U", off_u), **raw_of(event, "Y2V", off_v)}
        metrics = FlowMetrics()
        loss = ShiftObjective(UBOONE, 1.0, 0.5)(event, lambda coords, features, raw=raw: raw, metrics)
        # Wires are whole numbers, so that true heights differ by a part of a pitch.
        expected = (2 * shifts + 0.5 * max(apart * 0.6 / np.sqrt(3) - 0.5, 0)) / 3
        assert float(loss) == pytest.approx(expected, abs=0.05)
        found = metrics.summary()
        assert set(found["directions"]) == {"Y2U", "Y2V"}
        assert found["accuracy"]["value"] == (1.0 if not off_u else 0.0)
        assert found["matchability"]["purity"]["value"] == 1.0


def test_charge_that_a_dead_source_did_not_see_teaches_its_site() -> None:
    """A collection pixel dies: its site, where the first plane has charge too, learns the way to that charge."""
    y = float(frame_of(UBOONE.planes).middle)
    wires = [int(plane.nearest_wire(y, 500.0)) for plane in UBOONE.planes]
    column = [[wires[0]], [wires[1]], []]
    true = [[wires], [wires], np.zeros((0, 3))]
    event = FlowEvent(
        [np.array(c, np.int16) for c in column],
        [np.full(len(c), 5, np.int16) for c in column],
        [np.full(len(c), 50, np.float32) for c in column],
        [np.array(t, np.int16) for t in true],
        UBOONE.planes[2].channels[wires[2] - 2 : wires[2] + 3],
    )
    planes = planes_of(event, UBOONE)
    frame = frame_of(UBOONE.planes)
    rows = shift_input(planes, frame)
    wanted = shift_targets(event, planes, rows, frame, 2, 0)
    assert len(wanted.source_row) == 0
    assert rows.coords[wanted.row, 1].tolist() == [wires[2]]
    assert abs(wanted.shift[0]) < 1


@pytest.mark.parametrize("sources", [["Y"], ["U", "V", "Y"]])
def test_shifts_are_learned_in_all_directions(sources: list[str], tmp_path: Path) -> None:
    loop = trainer(tmp_path, 16, {"sources": sources, "filters": 4, "depth": 3, "shift_scale": 256.0})
    before = loop.validate()[0]
    loop.run()
    loss, figures = loop.validate()
    assert loss < 0.95 * before
    views = "UVY"
    assert set(figures.summary()["directions"]) == {f"{s}2{t}" for s in sources for t in views if s != t}


def test_the_network_has_no_geometry_and_takes_any_order() -> None:
    """Candidates in another order give the same scores; empty input gives none; float64 is taken."""
    torch.manual_seed(2)
    network = build("larflow", hidden=8, filters=4, depth=2).eval()
    event = line(4)
    planes = planes_of(event, UBOONE)
    found = find_candidates(planes)
    coords = torch.from_numpy(candidate_coords(found, planes))
    features = torch.from_numpy(candidate_features(planes, found))
    with torch.no_grad():
        score = network(coords, features)["score"]
        order = torch.randperm(len(coords), generator=torch.Generator().manual_seed(1))
        assert torch.allclose(network(coords[order], features[order])["score"], score[order], atol=1e-5)
        assert network(coords[:0], features[:0])["score"].shape == (0,)
        assert network(coords[:1], features[:1])["score"].shape == (1,)
        double = network.double()(coords, features.double())["score"]
    assert torch.allclose(double.float(), score, atol=1e-4)
    with pytest.raises(ConfigurationError, match="16 features; got 3"):
        build("larflow", in_channels=3)


def test_what_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="protodunehd has 8 TPCs"):
        flow_events([], detector("protodunehd"), ImageSettings())
    with pytest.raises(InputError, match=r"absent\.root does not exist"):
        flow_events([tmp_path / "absent.root"], UBOONE, ImageSettings())
    with pytest.raises(ConfigurationError, match="unknown task 'flwo'; did you mean 'flow'"):
        trainer_of({"task": "flwo"}, torch.device("cpu"))
    with pytest.raises(ConfigurationError, match="iterations"):
        trainer_of({"task": "flow", "output": "x", "data": {"training": [], "validation": []}}, torch.device("cpu"))
