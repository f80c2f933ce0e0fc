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
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.reco.candidates import FEATURES, CandidateSettings, candidate_coords, candidate_features, find_candidates
from larmlreco.train.flow import (
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


def trainer(directory: Path, iterations: int = 30) -> FlowTrainer:
    torch.manual_seed(1)
    params: dict[str, Any] = {"hidden": 8, "filters": 4, "depth": 2}
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
        Checkpoint(Architecture("larflow", params), card),
        build("larflow", **params),
        FlowStore.collect([line(seed) for seed in range(6)]),
        FlowStore.collect([line(seed) for seed in range(10, 13)]),
        plan,
        FlowAugmentation(dead_probability=0.0),
        UBOONE,
        CandidateSettings(),
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
