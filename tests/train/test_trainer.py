import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError, LarmlrecoError
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint, load_checkpoint
from larmlreco.train.augment import Augmentation
from larmlreco.train.images import LabelledImage, batch_indices, collate
from larmlreco.train.losses import semantic_loss
from larmlreco.train.schedule import Schedule
from larmlreco.train.semantic import Trainer
from larmlreco.train.store import ImageStore
from larmlreco.train.trainer import Plan

PARAMS = {"dimension": 2, "classes": 5, "filters": 4, "depth": 2, "repetitions": 1}


def images(n: int, seed: int = 0) -> ImageStore:
    """Images that can be learned: the class follows from the charge."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        coords = np.unique(rng.integers(0, 30, (80, 2)), axis=0).astype(np.int32)
        labels = rng.integers(0, 5, len(coords)).astype(np.int8)
        features = (10.0 * 4.0**labels + rng.normal(0, 0.1, len(coords))).astype(np.float32)[:, None]
        made.append(LabelledImage(coords, features, labels))
    return ImageStore.collect(made)


def trainer(directory: Path, iterations: int, seed: int = 3, params: dict[str, int] = PARAMS, **plan: float) -> Trainer:
    torch.manual_seed(seed)
    network = build("uresnet", **params)
    card = ModelCard(
        task="semantic_segmentation",
        detector="microboone",
        dimension=2,
        class_names=SEMANTIC_NAMES,
        features=(Feature("adc", "ADC"),),
        pixel_size=(1.0, 6.0),
        pixel_units=("wire", "tick"),
    )
    return Trainer(
        Checkpoint(Architecture("uresnet", params), card),
        network,
        images(12),
        images(4, seed=1),
        Plan(
            iterations=iterations,
            batch_size=5,
            schedule=Schedule("cosine", 2e-2, 80),
            seed=seed,
            **{"validate_every": 10, "checkpoint_every": 7, **plan},
        ),
        Augmentation(flip_axes=(0, 1), scale_sigma=0.05, dead_probability=0.2),
        SEMANTIC_NAMES,
        directory,
        torch.device("cpu"),
    )


def test_training_learns_and_logs(tmp_path: Path) -> None:
    result = trainer(tmp_path, 80, validate_every=40).run()
    assert result["iteration"] == 80
    assert result["best_accuracy"] > 0.6
    assert len((tmp_path / "training.csv").read_text().splitlines()) == 81
    best = load_checkpoint(tmp_path / "best.ckpt")
    assert best.card.metrics["accuracy"]["value"] == pytest.approx(result["best_accuracy"])
    assert best.network().semantic.out_features == 5


def test_a_resumed_training_gives_the_same_weights(tmp_path: Path) -> None:
    trainer(tmp_path / "whole", 20).run()
    # A kill after iteration 17 leaves the checkpoint of 14 and rows of the log that are then written again.
    killed = trainer(tmp_path / "parts", 20)
    killed._plan = Plan(17, 5, Schedule("cosine", 2e-2, 80), seed=3, validate_every=10, checkpoint_every=7)
    save = killed._save
    killed._save = lambda path, metrics=None: None if killed._iteration == 17 else save(path, metrics)  # type: ignore[method-assign]
    killed.run()
    resumed = trainer(tmp_path / "parts", 20)
    resumed.resume(tmp_path / "parts" / "last.ckpt")
    resumed.run()
    whole = load_checkpoint(tmp_path / "whole" / "last.ckpt")
    parts = load_checkpoint(tmp_path / "parts" / "last.ckpt")
    for name, value in whole.state_dict.items():
        assert torch.equal(value, parts.state_dict[name]), name
    rows = [(tmp_path / name / "training.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert [row.split(",")[0] for row in rows[0]] == [row.split(",")[0] for row in rows[1]]


def test_frozen_norms_keep_their_statistics_and_the_rest_goes_on_learning(tmp_path: Path) -> None:
    trainer(tmp_path / "half", 10, validate_every=5, checkpoint_every=5, norm_momentum=0.5).run()
    frozen = trainer(tmp_path / "frozen", 20, norm_freeze=0.5, norm_momentum=0.5)
    frozen.run()
    half = load_checkpoint(tmp_path / "half" / "last.ckpt").state_dict
    last = load_checkpoint(tmp_path / "frozen" / "last.ckpt").state_dict
    for name, value in half.items():
        learned = not name.startswith("scaling.") and name.rsplit(".", 1)[1] in ("weight", "bias")
        assert torch.equal(value, last[name]) != learned, name


def test_an_interrupt_ends_with_a_checkpoint(tmp_path: Path) -> None:
    stopped = trainer(tmp_path, 1000)
    step = stopped._step

    def step_then_signal() -> dict[str, float]:
        row = step()
        if row["iteration"] == 3:
            signal.raise_signal(signal.SIGTERM)
        return row

    stopped._step = step_then_signal  # type: ignore[method-assign]
    result = stopped.run()
    assert result["interrupted"]
    assert load_checkpoint(tmp_path / "last.ckpt").training["iteration"] == 3  # type: ignore[index]


def test_resume_refuses_another_architecture(tmp_path: Path) -> None:
    trainer(tmp_path, 2).run()
    other = trainer(tmp_path / "other", 2, params={**PARAMS, "filters": 8})
    with pytest.raises(ConfigurationError, match=r"holds the architecture .*'filters': 4.* the training asks for"):
        other.resume(tmp_path / "last.ckpt")


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    trainer(tmp_path, 7).run()
    before = (tmp_path / "last.ckpt").read_bytes()
    broken = trainer(tmp_path, 30)
    broken.resume(tmp_path / "last.ckpt")
    with torch.no_grad():
        broken._network.semantic.weight.fill_(torch.nan)  # type: ignore[union-attr,operator]
    with pytest.raises(LarmlrecoError, match="the loss is nan at iteration 7; the last checkpoint is intact"):
        broken.run()
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_wrong_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        trainer(tmp_path, 1, optimizer="adm")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="2 class weights for 5 classes; expected one each for HIP"):
        trainer(tmp_path, 1, class_weights=(1.0, 2.0))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        Schedule("cosin", 1.0, 10)


def test_every_epoch_shows_every_image_once_whatever_the_batch_size() -> None:
    seen = np.concatenate([batch_indices(7, 3, seed=5, iteration=i) for i in range(7)])
    for epoch in range(3):
        assert sorted(seen[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert not np.array_equal(seen[:7], seen[7:14])


def test_store_round_trip_and_truncated_file(tmp_path: Path) -> None:
    store = images(5)
    store.save(tmp_path / "a.npz")
    again = ImageStore.load(tmp_path / "a.npz")
    assert len(again) == 5
    assert np.array_equal(again[3].coords, store[3].coords)
    both = ImageStore.concatenate([store, ImageStore.collect([]), again])
    assert len(both) == 10
    assert np.array_equal(both[8].labels, store[3].labels)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="is no image store, or it was cut short"):
        ImageStore.load(tmp_path / "a.npz")


def test_loss_is_cross_entropy_over_labelled_rows_only() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [9.0, -9.0]], requires_grad=True)
    loss = semantic_loss(logits, torch.tensor([0, 1, -1]))
    expected = -(torch.log_softmax(logits, 1)[0, 0] + torch.log_softmax(logits, 1)[1, 1]) / 2
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    none = semantic_loss(logits, torch.tensor([-1, -1, -1]))
    none.backward()
    assert float(none.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0  # type: ignore[union-attr]


def test_augmentation_keeps_labels_with_their_charge() -> None:
    image = images(1)[0]
    augmented = Augmentation(flip_axes=(0, 1), dead_probability=1.0)(image, np.random.default_rng(4))
    assert 0 < len(augmented.coords) < len(image.coords)
    pairs = set(zip(image.features[:, 0].tolist(), image.labels.tolist(), strict=True))
    assert set(zip(augmented.features[:, 0].tolist(), augmented.labels.tolist(), strict=True)) <= pairs
    empty = LabelledImage(np.zeros((0, 2), np.int32), np.zeros((0, 1), np.float32), np.zeros(0, np.int8))
    assert len(Augmentation(flip_axes=(0,), dead_probability=1.0)(empty, np.random.default_rng(1)).coords) == 0


def test_collate_numbers_the_items() -> None:
    batch = collate([images(1)[0], images(1, seed=1)[0]])
    assert batch.coords.dtype == torch.int64
    assert batch.coords[:, 0].unique().tolist() == [0, 1]
    assert batch.n_items == 2
