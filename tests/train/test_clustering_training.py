"""Training of clustering on toy events of lines."""

from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.labels import SEMANTIC_NAMES, Semantic
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint, load_checkpoint
from larmlreco.products import InputTag, TrueLabels, Voxels
from larmlreco.reco.clustering import ClusteringOptions
from larmlreco.train.augment import Augmentation
from larmlreco.train.clustering import GROUPS, ClusteringTrainer
from larmlreco.train.clustering_losses import ClusteringLoss
from larmlreco.train.images import LabelledImage
from larmlreco.train.schedule import Schedule
from larmlreco.train.store import ImageStore
from larmlreco.train.tasks import trainer_of
from larmlreco.train.trainer import Plan
from larmlreco.train.voxels import VoxelSource, _image

PARAMS = {"dimension": 3, "filters": 4, "depth": 2, "repetitions": 1, "extent": 20.0}


def events(n: int, seed: int = 0) -> ImageStore:
    """Events of a MIP, a HIP and a shower voxel by voxel in parallel lines; the last cluster is one of no class."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        along = np.arange(12)
        lines = [
            np.column_stack([along, np.full(12, y), np.full(12, z)]) for y, z in ((0, 0), (15, 0), (0, 15), (8, 8))
        ]
        labels = np.repeat([Semantic.MIP, Semantic.HIP, Semantic.SHOWER, -1], 12).astype(np.int8)
        coords = (np.concatenate(lines) + random.integers(0, 50, 3)).astype(np.int32)
        made.append(LabelledImage(coords, np.ones((48, 1), np.float32), labels, np.repeat(np.arange(4), 12)))
    return ImageStore.collect(made)


def trainer(directory: Path, iterations: int) -> ClusteringTrainer:
    torch.manual_seed(1)
    card = ModelCard(
        task="instance_clustering",
        detector="liquid_argon",
        dimension=3,
        class_names=SEMANTIC_NAMES,
        features=(Feature("energy", "MeV"),),
        pixel_size=(0.3,) * 3,
        pixel_units=("cm",) * 3,
    )
    plan = Plan(iterations=iterations, batch_size=3, schedule=Schedule("cosine", 2e-2, 40), validate_every=20)
    return ClusteringTrainer(
        Checkpoint(Architecture("clustering_uresnet", PARAMS), card),
        build("clustering_uresnet", **PARAMS),
        events(8),
        events(3, seed=1),
        plan,
        Augmentation(flip_axes=(0, 1, 2), permute_axes=True),
        ClusteringLoss(),
        ClusteringOptions(founder_threshold=0.2),
        (50.0, 1.99, 1.99, 1.99),
        directory,
        torch.device("cpu"),
    )


def test_training_learns_to_tell_tracks_apart(tmp_path: Path) -> None:
    result = trainer(tmp_path, 40).run()
    assert result["best_accuracy"] > 0.8
    kept = load_checkpoint(tmp_path / "best.ckpt")
    assert kept.card.metrics["clusters"]["track"]["published"]["sbd"] == 0.717
    assert set(kept.card.metrics["classes"]) == set(GROUPS)
    log = (tmp_path / "training.csv").read_text().splitlines()
    assert log[0].startswith("iteration,loss,accuracy,pixels,embedding,seediness,smoothness")
    first, last = (float(line.split(",")[1]) for line in (log[1], log[-1]))
    assert last < first


def test_a_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    trainer(tmp_path / "whole", 8).run()
    first = trainer(tmp_path / "parts", 4)
    first.run()
    second = trainer(tmp_path / "parts", 8)
    second.resume(first.last)
    second.run()
    whole, parts = (load_checkpoint(tmp_path / name / "last.ckpt").state_dict for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_the_table_names_what_does_not_fit(tmp_path: Path) -> None:
    data = {"dimension": 3, "training": [str(tmp_path / "none_*.root")], "validation": ["x"]}
    table = {"task": "clustering", "output": str(tmp_path), "iterations": 1, "data": data}
    with pytest.raises(InputError, match="no file matches"):
        trainer_of(table, torch.device("cpu"))
    with pytest.raises(ConfigurationError, match=r"training\.loss\.embedding_loss: .* does not know \"hinge\""):
        trainer_of({**table, "loss": {"embedding_loss": "hinge"}}, torch.device("cpu"))


def test_truth_without_clusters_is_refused() -> None:
    voxels = Voxels.from_columns(
        {
            "x": [1],
            "y": [1],
            "z": [1],
            "energy": [1.0],
            "pitch": [0.3],
            "origin_x": [0],
            "origin_y": [0],
            "origin_z": [0],
        }
    )
    truth = TrueLabels.from_columns({"label": [1]}, {"scheme": "larmlreco"})
    source = VoxelSource(InputTag("voxels"), InputTag("truth"), clusters=True)
    with pytest.raises(InputError, match="here: the true labels have no clusters, which this training needs"):
        _image(voxels, truth, source, "here")
    with_clusters = TrueLabels.from_columns({"label": [1], "cluster": [4], "particle": [2]}, {"scheme": "larmlreco"})
    groups = _image(voxels, with_clusters, source, "here").groups
    assert groups is not None
    assert groups.tolist() == [4]
