"""Weights in the loss, transfer of an encoder, precision, logs, early stopping."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.geometry import detector
from larmlreco.images import images_of_wires
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint, load_checkpoint, save_checkpoint
from larmlreco.products import TrueParticles, TrueSteps, Wires
from larmlreco.train.augment import Augmentation
from larmlreco.train.groups import VERTEX, pixel_groups
from larmlreco.train.images import LabelledImage, collate
from larmlreco.train.log import TrainingLog
from larmlreco.train.losses import group_weights, semantic_loss
from larmlreco.train.particles import PARTICLE_NAMES, particle_number
from larmlreco.train.precision import Precision
from larmlreco.train.schedule import Schedule
from larmlreco.train.semantic import Trainer, inverse_frequency
from larmlreco.train.store import ImageStore
from larmlreco.train.trainer import Plan
from larmlreco.train.transfer import initialise

SMALL = {"dimension": 2, "classes": 5, "filters": 4, "depth": 2, "repetitions": 1}


def image(seed: int, label: int | None = None, groups: bool = False) -> LabelledImage:
    """An image whose charge tells the class, of its pixels or (``label``) of all of it."""
    rng = np.random.default_rng(seed)
    coords = np.unique(rng.integers(0, 20, (40, 2)), axis=0).astype(np.int32)
    labels = (rng.integers(0, 5, len(coords)) if label is None else np.full(len(coords), label)).astype(np.int8)
    features = (10.0 * 4.0**labels).astype(np.float32)[:, None]
    return LabelledImage(coords, features, labels, (labels % 2).astype(np.int32) if groups else None)


def trainer(directory: Path, network: str = "uresnet", head: str = "semantic", **plan: object) -> Trainer:
    torch.manual_seed(3)
    labels = [None] * 6 if head == "semantic" else [0, 1, 2, 3, 4, 0]
    images = ImageStore.collect([image(i, label) for i, label in enumerate(labels)])
    names = SEMANTIC_NAMES if head == "semantic" else PARTICLE_NAMES
    card = ModelCard(
        task="semantic_segmentation", detector="microboone", dimension=2, class_names=names,
        features=(Feature("adc", "ADC"),), pixel_size=(1.0, 6.0), pixel_units=("wire", "tick"),
    )  # fmt: skip
    values = {"iterations": 4, "batch_size": 3, "schedule": Schedule("constant", 1e-2, 4), "validate_every": 2, **plan}
    return Trainer(
        Checkpoint(Architecture(network, SMALL), card),
        build(network, **SMALL),
        images,
        images,
        Plan(**values),  # type: ignore[arg-type]
        Augmentation(),
        names,
        directory,
        torch.device("cpu"),
        head,
    )


def test_inverse_frequency_makes_classes_weigh_the_same() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2] + [-1] * 5, np.int8)
    weights = inverse_frequency(labels, 4)
    assert [w * n for w, n in zip(weights, (6, 3, 1), strict=False)] == pytest.approx([2.5] * 3)
    assert weights[3] == 1


def test_group_weights_are_the_inverse_of_the_pixels_of_a_group_in_its_image() -> None:
    items, groups = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([7, 7, 2, 7, 7])
    assert group_weights(items, groups).tolist() == [0.5, 0.5, 1.0, 0.5, 0.5]
    assert len(group_weights(items[:0], groups[:0])) == 0


def test_pixel_weights_in_the_loss_are_those_of_a_weighted_mean() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    labels, weights = torch.tensor([0, 2, -1, 1]), torch.tensor([1.0, 0.5, 9.0, 0.25])
    each = torch.nn.functional.cross_entropy(logits[[0, 1, 3]], labels[[0, 1, 3]], reduction="none")
    expected = (each * weights[[0, 1, 3]]).sum() / 1.75
    assert float(semantic_loss(logits, labels, None, weights)) == pytest.approx(float(expected))


def test_groups_stay_with_their_pixels(tmp_path: Path) -> None:
    store = ImageStore.collect([image(0, groups=True), image(1, groups=True)])
    store.save(tmp_path / "a.npz")
    for images in (store, ImageStore.concatenate([ImageStore.load(tmp_path / "a.npz")])):
        killed = Augmentation(flip_axes=(0,), dead_probability=1.0)(images[1], np.random.default_rng(2))
        assert killed.groups is not None
        assert np.array_equal(killed.groups, killed.labels % 2)
        assert len(killed.groups) < len(images[1].coords)
    batch = collate([store[0], store[1]])
    assert batch.groups is not None
    assert torch.equal(batch.groups, batch.labels % 2)
    assert collate([store[0], image(1)]).groups is None
    with pytest.raises(ValueError, match="3 pixels and 1 groups"):
        LabelledImage(store[0].coords[:3], store[0].features[:3], store[0].labels[:3], np.zeros(1, np.int32))


def test_groups_are_the_vertex_and_every_particle() -> None:
    geometry = detector("microboone")
    wires, z = np.arange(4800 + 1000, 4800 + 1040), 0.25 + 0.3 * np.arange(1000, 1040)
    tick = float(geometry.x_to_tick(100.0))
    n = len(wires)
    made = Wires(
        channel=wires, plane=[2] * n, view=[2] * n, n_samples=[6400] * n, roi_wire=range(n),
        roi_begin=[int(tick) - 6] * n, roi_length=[12] * n, adc=[20.0] * 12 * n,
    )  # fmt: skip
    plane = next(p for p in geometry.readout_planes if p.view == "Y")
    pixels = images_of_wires(made, geometry, [plane])["Y"].pixels
    steps = TrueSteps(
        x=[100.0] * n, y=[0.0] * n, z=z, t=[0] * n, de=[1] * n, dx=[0.3] * n, electrons=[5e4] * n, tick=[tick] * n,
        particle=[1] * 20 + [2] * 20,
    )  # fmt: skip
    particles = TrueParticles(
        id=[1, 2], pdg=[13, 2212], parent=[0, 0], process=[0, 0], kinetic_energy=[1, 1], x=[100, 100], y=[0, 0],
        z=[z[0]] * 2, t=[0, 0], semantic=[1, 0], instance=[1, 2], meta={"processes": ["primary"]},
    )  # fmt: skip
    groups = pixel_groups(pixels, steps, particles, geometry)
    assert set(groups[pixels.column <= 1003].tolist()) == {VERTEX}
    assert set(groups[(pixels.column > 1004) & (pixels.column < 1018)].tolist()) == {1}
    assert set(groups[pixels.column > 1022].tolist()) == {2}


def test_an_encoder_that_learned_particles_begins_a_segmentation(tmp_path: Path) -> None:
    result = trainer(tmp_path, "particle_classifier", "particle", iterations=30, validate_every=15).run()
    assert result["best_accuracy"] > 0.6
    learned = load_checkpoint(tmp_path / "best.ckpt")
    network = build("uresnet", **SMALL)
    report = initialise(network, tmp_path / "best.ckpt")
    own = network.state_dict()
    for name in ("backbone.stem.weight", "backbone.descents.0.blocks.blocks.0.conv1.weight"):
        assert name in report.loaded
        assert torch.equal(own[name], learned.state_dict[name])
    assert any(name.startswith("backbone.bottom") for name in report.loaded)
    assert all(name.startswith(("backbone.ascents", "semantic")) for name in report.missing)
    assert set(report.unused) == {"particle.weight", "particle.bias"}
    assert "weights taken over (backbone.bottom, backbone.descents, backbone.stem" in str(report)


def test_weights_that_fit_nowhere_are_refused(tmp_path: Path) -> None:
    card = trainer(tmp_path)._checkpoint.card
    save_checkpoint(tmp_path / "a.ckpt", Checkpoint(Architecture("x"), card, {"other": torch.zeros(2)}))
    with pytest.raises(ConfigurationError, match="none of its weights has name and shape of one of this network"):
        initialise(build("uresnet", **SMALL), tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="does not exist"):
        initialise(build("uresnet", **SMALL), tmp_path / "b.ckpt")


def test_images_of_one_group_weigh_the_same_whatever_their_size() -> None:
    large, small = image(0), image(1)
    small = LabelledImage(small.coords[:7], small.features[:7], small.labels[:7])
    store = ImageStore.collect([large, small]).in_one_group()
    batch = collate([store[0], store[1]])
    assert batch.groups is not None
    weights = group_weights(batch.coords[:, 0], batch.groups)
    sums = [float(weights[batch.coords[:, 0] == item].sum()) for item in (0, 1)]
    assert sums == pytest.approx([1.0, 1.0])


def test_every_row_of_an_image_has_the_scores_of_its_particle() -> None:
    network = build("particle_classifier", **SMALL).eval()
    batch = collate([image(0), image(1)])
    scores = network(batch.coords, batch.features)["particle"]
    for item in range(2):
        mine = scores[batch.coords[:, 0] == item]
        assert torch.equal(mine, mine[:1].expand_as(mine))
    alone = collate([image(1)])
    second = network(alone.coords, alone.features)["particle"]
    assert torch.allclose(second, scores[batch.coords[:, 0] == 1], atol=1e-6)
    assert network(batch.coords[:0], batch.features[:0])["particle"].shape == (0, 5)


def test_a_head_that_the_network_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the network 'uresnet' has no output 'particle'; it has semantic"):
        trainer(tmp_path, head="particle")


@pytest.mark.parametrize(
    ("pdg", "parent", "cosmic", "found"), [([-13], [0], [0], 2), ([11, 22, 13], [0, 1, 0], [0, 0, 1], 0)]
)
def test_the_particle_of_an_image(pdg: list[int], parent: list[int], cosmic: list[int], found: int) -> None:
    assert particle_number(_particles(pdg, parent, cosmic), "here") == found


def test_images_of_several_or_unknown_particles_are_refused() -> None:
    with pytest.raises(InputError, match=r"here: expected one primary particle, .* got 13, 2212"):
        particle_number(_particles([13, 2212], [0, 0], [0, 0]), "here")
    with pytest.raises(InputError, match="got 321"):
        particle_number(_particles([321], [0], [0]), "here")
    with pytest.raises(InputError, match="got none"):
        particle_number(_particles([], [], []), "here")


def _particles(pdg: list[int], parent: list[int], cosmic: list[int]) -> TrueParticles:
    n = len(pdg)
    zero = [0] * n
    return TrueParticles(
        id=range(1, n + 1), pdg=pdg, parent=parent, process=zero, kinetic_energy=zero, x=zero, y=zero, z=zero, t=zero,
        semantic=zero, instance=range(1, n + 1), cosmic=cosmic, meta={"processes": ["primary"]},
    )  # fmt: skip


def test_bfloat16_learns_and_keeps_weights_in_float32(tmp_path: Path) -> None:
    result = trainer(tmp_path, precision="bfloat16", iterations=20, validate_every=20).run()
    assert result["best_accuracy"] > 0.4
    weights = load_checkpoint(tmp_path / "last.ckpt").state_dict
    assert {value.dtype for name, value in weights.items() if "num_batches" not in name} == {torch.float32}


def test_float32_is_untouched_by_the_precision(tmp_path: Path) -> None:
    precision = Precision("float32", torch.device("cpu"))
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with precision.cast():
        product = torch.ones(1, 1) @ weight[:, None]
    precision.backward(product.sum(), optimizer)
    precision.step(optimizer)
    assert product.dtype == torch.float32
    assert weight.tolist() == [0.0]
    assert precision.state_dict() == {}


def test_precisions_that_are_unknown_or_need_a_gpu_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown precision 'bfloat'; did you mean 'bfloat16'"):
        Precision("bfloat", torch.device("cpu"))
    with pytest.raises(ConfigurationError, match="float16 needs a GPU; the device is cpu"):
        Precision("float16", torch.device("cpu"))


def test_training_ends_early_without_a_better_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stuck = trainer(tmp_path, iterations=100, schedule=Schedule("constant", 0.0, 100), validate_every=1, patience=3)
    stuck._network.eval()
    stuck._network.train = lambda mode=True: stuck._network  # type: ignore[method-assign, assignment]
    result = stuck.run()
    assert result["iteration"] == 4
    assert result["best_iteration"] == 1
    assert "no better validation for 3 iterations: stopped early" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "last.ckpt").training["iteration"] == 4  # type: ignore[index]


def test_without_tensorboard_training_says_so_once_and_logs_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    trainer(tmp_path, tensorboard=True).run()
    assert capsys.readouterr().err.count("TensorBoard is not installed") == 1
    assert len((tmp_path / "training.csv").read_text().splitlines()) == 5


def test_tensorboard_gets_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            seen.append((name, value, step))

        def close(self) -> None:
            seen.append(("closed", 0.0, 0))

    monkeypatch.setattr("larmlreco.train.log._tensorboard_writer", lambda folder: Writer())
    log = TrainingLog(tmp_path, tensorboard=True)
    log.add("validation", {"iteration": 7, "accuracy": 0.5, "Michel": math.nan})
    log.close()
    assert seen == [("validation/accuracy", 0.5, 7), ("closed", 0.0, 0)]


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer(tmp_path, tensorboard=True).run()
    seen = events.EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    with (tmp_path / "training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [event.step for event in seen.Scalars("training/loss")] == [1, 2, 3, 4]
    assert [event.value for event in seen.Scalars("training/loss")] == pytest.approx([float(r["loss"]) for r in rows])
    assert [event.step for event in seen.Scalars("validation/accuracy")] == [2, 4]


def test_rows_that_a_kill_cut_short_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text("iteration,loss\n1,0.5\n2,0.4\n3,0.")
    log = TrainingLog(tmp_path)
    log.forget_after(3)
    assert (tmp_path / "training.csv").read_text() == "iteration,loss\n1,0.5\n2,0.4\n"
    log.forget_after(1)
    assert (tmp_path / "training.csv").read_text() == "iteration,loss\n1,0.5\n"
