"""Training of infill on straight lines: what is hidden, the figures, resume, the table."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.geometry import detector
from larmlreco.labels import Semantic
from larmlreco.metrics.infill import THRESHOLDS, HiddenImage
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint, load_checkpoint
from larmlreco.reco.infill import CandidateSettings
from larmlreco.train.augment import Augmentation
from larmlreco.train.dead_regions import RegionSettings
from larmlreco.train.images import LabelledImage
from larmlreco.train.infill import (
    InfillFigures,
    InfillImage,
    InfillTrainer,
    OtherPlanes,
    balanced_threshold,
    collate,
    hide,
)
from larmlreco.train.infill_losses import InfillLoss
from larmlreco.train.schedule import Schedule
from larmlreco.train.store import ImageStore
from larmlreco.train.tasks import trainer_of
from larmlreco.train.trainer import Plan

VOXELS = Path(__file__).resolve().parents[2] / "demo" / "sim_voxels_demo.root"
MICROBOONE = detector("microboone")
PARAMS = {"dimension": 2, "filters": 4, "depth": 3, "repetitions": 1, "energy_unit": 20.0}


def line(seed: int, dimension: int = 2) -> LabelledImage:
    """A straight track across the image, and a shower's blob beside it."""
    random = np.random.default_rng(seed)
    along = np.arange(60)
    slopes = random.uniform(-0.8, 0.8, dimension - 1)
    track = np.column_stack([along, *(np.floor(60 + s * along) for s in slopes)])
    blob = random.integers(0, 6, (20, dimension)) + 200
    coords = np.unique(np.concatenate([track, blob]).astype(np.int32), axis=0)
    labels = np.where(coords[:, 0] < 100, Semantic.MIP, Semantic.SHOWER).astype(np.int8)
    charge = random.uniform(15, 25, len(coords)).astype(np.float32)
    return LabelledImage(coords, charge[:, np.newaxis], labels)


def trainer(directory: Path, iterations: int, loss: str = "cross_entropy") -> InfillTrainer:
    torch.manual_seed(1)
    card = ModelCard(
        task="infill",
        detector="microboone",
        dimension=2,
        class_names=(),
        features=(Feature("adc", "ADC"), Feature("is_candidate", "flag")),
        pixel_size=(1.0, 6.0),
        pixel_units=("wire", "tick"),
    )
    plan = Plan(
        iterations=iterations,
        batch_size=4,
        schedule=Schedule("cosine", 2e-2, 60),
        validate_every=30,
        norm_freeze=0.7 if iterations > 8 else 1.0,
    )
    return InfillTrainer(
        Checkpoint(Architecture("infill_uresnet", PARAMS), card),
        build("infill_uresnet", **PARAMS),
        ImageStore.collect(line(seed) for seed in range(12)),
        ImageStore.collect(line(seed) for seed in range(100, 106)),
        plan,
        Augmentation(flip_axes=(0, 1), scale_sigma=0.05),
        RegionSettings(1, 2, 8),
        CandidateSettings(),
        InfillLoss(loss, energy_unit=20.0),
        4,
        directory,
        torch.device("cpu"),
    )


@pytest.mark.parametrize("dimension", [2, 3])
def test_what_is_hidden_is_the_charge_in_the_regions_and_nothing_else_changes(dimension: int) -> None:
    for seed in range(10):
        image = line(seed, dimension)
        found = hide(image, RegionSettings(1, 2, 8), CandidateSettings(), np.random.default_rng(seed))
        charge = {tuple(site): float(q) for site, q in zip(image.coords.tolist(), image.features[:, 0], strict=True)}
        n = len(found.coords) - len(found.target)
        measured = [tuple(site) for site in found.coords[:n].tolist()]
        candidates = [tuple(site) for site in found.candidates.tolist()]
        hidden = [tuple(site) for site in image.coords[found.hidden_width > 0].tolist()]
        assert sorted(measured + hidden) == sorted(charge)
        assert len(hidden) > 0
        assert not set(candidates) & set(measured)
        assert found.features[:n].tolist() == [[charge[site], 0] for site in measured]
        assert (found.features[n:] == [0, 1]).all()
        assert found.target.tolist() == [charge[site] if site in hidden else 0 for site in candidates]
        assert (found.width > 0).all()
        assert (found.width <= 8).all()
        found_image = found.found(np.zeros(len(candidates)), np.ones(len(candidates)))
        assert found_image.found.tolist() == found.candidates.tolist()
        assert found_image.track.tolist() == [site[0] < 100 for site in image.coords.tolist()]
        assert (found.hidden_width <= 8).all()


def test_the_filling_of_candidates_is_as_asked() -> None:
    for value, expected in (("minus_one", {-1.0}), ("zero", {0.0})):
        settings = CandidateSettings(value=value)  # type: ignore[arg-type]
        found = hide(line(0), RegionSettings(1, 1, 8), settings, np.random.default_rng(0))
        assert set(found.features[found.features[:, 1] > 0, 0].tolist()) == expected
    found = hide(line(0), RegionSettings(1, 1, 8), CandidateSettings(value="random"), np.random.default_rng(0))
    measured = found.features[:, 1] == 0
    assert set(found.features[~measured, 0].tolist()) <= set(found.features[measured, 0].tolist())


def three_planes(seed: int, event: int = 0) -> list[LabelledImage]:
    """A straight track in space as the three planes of MicroBooNE see it, with the same charge in every pixel."""
    random = np.random.default_rng(seed)
    t = np.linspace(0, 1, 2000)[:, np.newaxis]
    start = np.array([0.0, random.uniform(-60, 60), random.uniform(300, 700)])
    place = start + t * np.array([80.0, random.uniform(-40, 40), random.uniform(20, 60)])
    row = np.floor(place[:, 0] / 0.33)
    images = []
    for number, plane in enumerate(MICROBOONE.readout_planes):
        wire = plane.wire_planes[0].nearest_wire(place[:, 1], place[:, 2])
        coords = np.unique(np.column_stack([wire, row]).astype(np.int32), axis=0)
        n = len(coords)
        charge, labels = np.full((n, 1), 50, np.float32), np.full(n, Semantic.MIP, np.int8)
        images.append(LabelledImage(coords, charge, labels, event=event, plane=number))
    return images


def test_the_other_planes_tell_what_a_region_hides() -> None:
    settings = CandidateSettings(crossings=True)
    told = hidden = 0
    for seed in range(6):
        images = three_planes(seed)
        for image in images:
            others = OtherPlanes([other for other in images if other is not image], MICROBOONE)
            found = hide(image, RegionSettings(1, 1, 12), settings, np.random.default_rng(seed), others)
            assert found.features.shape[1] == 10
            n = len(found.coords) - len(found.target)
            assert not found.features[:n, 2:].any()
            crossing, charge = found.features[n:, 2], found.features[n:, -1]
            np.testing.assert_allclose(charge, np.log10(51) * (crossing > 0), rtol=1e-6)  # all pixels hold the same
            hidden += int((found.target > 0).sum())
            told += int((crossing[found.target > 0] > 0).sum())
    assert told > 0.6 * hidden  # regions hide parts of the other planes too
    with pytest.raises(ValueError, match="ask for crossings"):
        hide(images[0], RegionSettings(1, 1, 12), settings, np.random.default_rng(0))
    alone = replace(images[0], plane=-1)
    with pytest.raises(ValueError, match="know their planes"):
        hide(alone, RegionSettings(1, 1, 12), settings, np.random.default_rng(0), others)


def test_a_training_takes_the_planes_of_an_event_together(tmp_path: Path) -> None:
    first = ImageStore.collect(image for event in range(2) for image in three_planes(event, event))
    second = ImageStore.collect([line(0), *three_planes(7), replace(line(1), event=1, plane=1)])
    path = tmp_path / "images.npz"
    second.save(path)
    store = ImageStore.concatenate([first, ImageStore.load(path), first])
    assert store.places[:, 0].tolist() == [0, 0, 0, 1, 1, 1, -1, 2, 2, 2, 3, 4, 4, 4, 5, 5, 5]
    assert [image.plane for image in store.of_event(9)] == [0, 1, 2]
    assert [len(image.coords) for image in store.of_event(6)] == [len(line(0).coords)]
    assert len(store.of_event(10)) == 1

    settings = CandidateSettings(crossings=True)
    params = {**PARAMS, "in_channels": len(settings.features)}
    card = trainer(tmp_path / "other", 1)._checkpoint.card
    features = (*card.features, *(Feature(name, "x") for name in settings.features[2:]))
    made = InfillTrainer(
        Checkpoint(Architecture("infill_uresnet", params), replace(card, features=features)),
        build("infill_uresnet", **params),
        first,
        first,
        Plan(iterations=2, batch_size=3, schedule=Schedule("constant", 1e-3, 2)),
        Augmentation(flip_axes=(0, 1), scale_sigma=0.3),
        RegionSettings(1, 3, 8),
        settings,
        InfillLoss("cross_entropy", energy_unit=20.0),
        4,
        tmp_path / "out",
        torch.device("cpu"),
        geometry=MICROBOONE,
    )
    made.run()
    assert load_checkpoint(tmp_path / "out" / "best.ckpt").card.metrics["groups"]["all"]["recall"]["events"] == 6


def test_an_image_that_is_dead_as_a_whole_has_no_candidates() -> None:
    one = LabelledImage(np.array([[5, 5]], np.int32), np.ones((1, 1), np.float32), np.array([1], np.int8))
    found = hide(one, RegionSettings(1, 1, 4), CandidateSettings(), np.random.default_rng(0))
    assert found.coords.shape == (0, 2)
    assert found.hidden_width.min() > 0
    other = hide(line(0), RegionSettings(), CandidateSettings(), np.random.default_rng(0))
    assert set(collate([found, other], torch.device("cpu")).coords[:, 0].tolist()) == {1}
    figures = InfillFigures(10, [found.found(np.zeros(0), np.zeros(0))])
    assert figures.summary()["classes"]["all"]["value"] == 0
    assert "narrow track" in figures.table()


def test_the_threshold_finds_as_many_sites_of_narrow_regions_as_there_are() -> None:
    random = np.random.default_rng(4)
    images = []
    for _ in range(3):
        box = np.array(list(itertools.product(range(8), range(8))))
        sites = random.permutation(box)[:25]
        whole = LabelledImage(
            sites.astype(np.int32), np.ones((25, 1), np.float32), np.ones(25, np.int8), np.arange(25, dtype=np.int32)
        )
        width = np.where(np.arange(25) < 15, np.where(sites[:, 0] < 5, 3, 7), 0)
        candidates = random.permutation(np.array([s for s in box.tolist() if s not in sites[15:].tolist()]))[:30]
        around = np.where(candidates[:, 0] < 5, 3, 7)
        image = InfillImage(candidates, np.zeros((30, 2), np.float32), np.zeros(30, np.float32), around, whole, width)
        images.append(image.found(random.random(30), np.ones(30)))
        assert images[-1].cluster.tolist() == list(range(25))
    excess, f1 = {}, {}
    for threshold in THRESHOLDS:
        right = taken = true = 0
        for image in images:
            hidden = {tuple(site) for site in image.sites[:15].tolist() if site[0] < 5}
            pairs = zip(image.found.tolist(), image.probability, strict=True)
            chosen = {tuple(site) for site, p in pairs if p >= threshold and site[0] < 5}
            right, taken, true = right + len(hidden & chosen), taken + len(chosen), true + len(hidden)
        excess[threshold], f1[threshold] = abs(taken - true), 2 * right / (taken + true)
    threshold, found = balanced_threshold(images, 3)
    assert excess[threshold] == min(excess.values())
    assert found.value == pytest.approx(f1[threshold])
    summary = InfillFigures(3, images).summary()
    assert summary["threshold"] == threshold
    assert summary["accuracy"]["value"] == found.value
    assert summary["groups"]["wide"]["recall"]["events"] == 3
    assert InfillFigures(3, images, 0.7).summary()["threshold"] == 0.7
    # where no region is narrow, all count
    assert balanced_threshold(images, 1) == balanced_threshold(images, 9)


def test_the_threshold_is_that_of_tracks_where_there_are_some() -> None:
    sites = np.array([[x, y] for x in range(20) for y in (0, 10)])
    track = (sites[:, 1] == 0).astype(np.int64)
    hidden = sites[:, 0] % 4 == 1
    n = int(hidden.sum())
    probability = np.where(track[hidden] == 1, 0.72, 0.12)
    image = HiddenImage(
        sites,
        np.ones(40),
        track,
        np.full(40, -1),
        np.where(hidden, 1, 0),
        sites[hidden],
        probability,
        np.ones(n),
        np.ones(n),
    )
    threshold, f1 = balanced_threshold([image], 3)
    assert (threshold, f1.value) == (THRESHOLDS[0], 2 * 5 / (5 + 5))
    wrong = replace(
        image,
        found=np.concatenate([image.found, [[3, 1], [7, 1]]]),
        probability=np.append(probability, [0.5, 0.6]),
        found_energy=np.ones(n + 2),
        found_width=np.ones(n + 2),
    )
    threshold, f1 = balanced_threshold([wrong], 3)
    assert 0.6 < threshold <= 0.72
    assert f1.value == 1.0


def test_training_learns_to_go_on_with_straight_lines(tmp_path: Path) -> None:
    trainer(tmp_path, 60).run()
    kept = load_checkpoint(tmp_path / "best.ckpt")
    assert kept.card.metrics["threshold"] in THRESHOLDS
    narrow = kept.card.metrics["groups"]["narrow track"]
    # chance would give an eighth, the part of the candidates that hold charge
    assert narrow["precision"]["value"] > 0.2
    assert narrow["recall"]["value"] > 0.2
    assert narrow["precision_near"]["value"] > 0.7
    assert narrow["recall_near"]["value"] > 0.7
    log = (tmp_path / "training.csv").read_text().splitlines()
    assert log[0].startswith("iteration,loss,accuracy,pixels,active,energy")
    assert (tmp_path / "validation.csv").read_text().startswith("iteration,loss,accuracy,all,narrow,wide,track")


@pytest.mark.parametrize("loss", ["cross_entropy", "published"])
def test_a_training_goes_on_as_if_it_had_not_stopped(loss: str, tmp_path: Path) -> None:
    trainer(tmp_path / "whole", 8, loss).run()
    first = trainer(tmp_path / "parts", 4, loss)
    first.run()
    second = trainer(tmp_path / "parts", 8, loss)
    second.resume(first.last)
    second.run()
    whole, parts = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    assert all(torch.equal(whole.state_dict[key], parts.state_dict[key]) for key in whole.state_dict)
    assert whole.training is not None
    assert parts.training is not None
    weights = [state.training["loss"]["log_weights"] for state in (whole, parts) if state.training]
    assert torch.equal(*weights)
    assert bool((weights[0] != 0).any()) == (loss == "published")


def test_a_training_begins_with_the_weights_of_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def table(**more: object) -> dict[str, object]:
        files = [str(shutil.copy(VOXELS, tmp_path / f"{name}.root")) for name in ("training", "validation")]
        data = {"dimension": 3, "training": files[:1], "validation": files[1:], "images": {"thin": 0.1}}
        model = {"params": {"filters": 4, "depth": 2, "repetitions": 1}}
        output, schedule = str(tmp_path / "out"), {"kind": "constant", "rate": 0.0}
        return {
            "task": "infill",
            "output": output,
            "iterations": 1,
            "data": data,
            "model": model,
            "schedule": schedule,
            **more,
        }

    cpu, archive = torch.device("cpu"), tmp_path / "first.ts"
    trainer_of(table(seed=5), cpu).run()
    first = load_checkpoint(tmp_path / "out" / "last.ckpt")
    export_archive(first, archive)
    begin = {"initialise_from": str(archive), "seed": 6}
    with pytest.raises(ConfigurationError, match=r"expected norm_freeze: 0, got 1"):
        trainer_of(table(**begin), cpu)
    trainer_of(table(**begin, norm_freeze=0.0), cpu).run()
    assert "0 begin at random (none)" in capsys.readouterr().err
    second = load_checkpoint(tmp_path / "out" / "last.ckpt")
    coords = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 2], [0, 5, 5, 5]])
    features = torch.tensor([[0.5, 0.0], [0.0, 1.0], [1.0, 0.0]])
    outputs = [c.network("portable").eval()(coords, features) for c in (first, second)]
    for key in outputs[0]:
        torch.testing.assert_close(outputs[1][key], outputs[0][key], rtol=1e-4, atol=1e-5)


def test_the_table_names_what_does_not_fit(tmp_path: Path) -> None:
    data = {"dimension": 3, "training": [str(tmp_path / "none_*.root")], "validation": ["x"]}
    table = {"task": "infill", "output": str(tmp_path), "iterations": 1, "data": data}
    cpu = torch.device("cpu")
    with pytest.raises(InputError, match="no file matches"):
        trainer_of(table, cpu)
    with pytest.raises(ConfigurationError, match=r"training\.loss\.kind: .* does not know \"focal\""):
        trainer_of({**table, "loss": {"kind": "focal"}}, cpu)
    with pytest.raises(ConfigurationError, match=r"training\.candidates\.value: .* does not know \"one\""):
        trainer_of({**table, "candidates": {"value": "one"}}, cpu)
    with pytest.raises(ConfigurationError, match=r"training\.data\.dimension"):
        trainer_of({**table, "data": {**data, "dimension": 4}}, cpu)
    crossings = {**table, "candidates": {"crossings": True}}
    with pytest.raises(ConfigurationError, match=r"(?s)crossings: needs the planes .*dimension is 3, voxels"):
        trainer_of(crossings, cpu)
    planes = {"training": ["x"], "validation": ["y"]}
    for more, message in (
        ({"data": {**planes, "images": "wire"}}, "says that the files hold images"),
        ({"data": {**planes, "views": ["Y"]}}, r"training\.data\.views lacks U, V"),
        ({"data": planes, "augmentation": {"dead_probability": 0.5}}, "dead_probability: with crossings"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            trainer_of({**crossings, **more}, cpu)
