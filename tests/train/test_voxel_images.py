"""Data sets of voxels: our own files and PILArNet's, schemes, bad input, and a training on them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.labels import SEMANTIC_NAMES, SPINE_NAMES
from larmlreco.models.checkpoint import load_checkpoint
from larmlreco.products import InputTag, Product, ProductKey, TrueLabels, Voxels
from larmlreco.train.job import TrainingParameters, image_data, make_trainer
from larmlreco.train.voxels import VoxelSource, voxel_images

ENERGY = (0.1, 0.4, 1.6, 6.4, 25.6)


def event(n: int, seed: int, pitch: float = 0.3, scheme: str = "larmlreco") -> tuple[Voxels, TrueLabels]:
    """Voxels whose class follows from the energy."""
    random = np.random.default_rng(seed)
    index = np.unique(random.integers(0, 20, (n, 3)), axis=0)
    label = random.integers(0, 5, len(index))
    columns = dict(zip("xyz", index.T, strict=True)) | {"energy": np.array(ENERGY)[label], "pitch": [pitch]}
    voxels = Voxels.from_columns(columns | {f"origin_{axis}": [0.0] for axis in "xyz"})
    return voxels, TrueLabels(label=label.astype(np.int32), meta={"scheme": scheme})


def write(path: Path, events: list[dict[str, tuple[Product | None, ...]]]) -> Path:
    """A file of our own; of every event its images (voxels, truth) by instance."""
    with RootWriter(path, Process("Sim")) as writer:
        for number, images in enumerate(events):
            products = {
                ProductKey(type(p).__name__, label, name, "Sim"): p
                for name, pair in images.items()
                for label, p in zip(("voxels", "truth"), pair, strict=False)
                if p is not None
            }
            writer.write((1, 1, number + 1), products)
    return path


def sample(path: Path, n: int, seed: int = 0) -> Path:
    return write(path, [{"thin": event(60, seed + i), "smeared": event(90, 99 + seed + i)} for i in range(n)])


def test_images_are_the_voxels_with_their_labels(tmp_path: Path) -> None:
    path = sample(tmp_path / "a.root", 4)
    images = voxel_images([path], VoxelSource(images={"thin": 1.0, "smeared": 0.5}), tmp_path / "kept")
    assert len(images) == 6
    voxels, truth = event(60, 1)
    second = images[1]
    assert second.coords.tolist() == np.stack([voxels.x, voxels.y, voxels.z], axis=1).tolist()
    assert second.features[:, 0].tolist() == voxels.energy.tolist()
    assert second.labels.tolist() == truth.label.tolist()
    again = voxel_images([path], VoxelSource(images={"thin": 1.0, "smeared": 0.5}), tmp_path / "kept")
    assert np.array_equal(again.coords, images.coords)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert len(voxel_images([path], VoxelSource(images={"thin": 1.0}), tmp_path / "kept")) == 4


def test_labels_are_mapped_into_the_scheme_to_learn(tmp_path: Path) -> None:
    path = sample(tmp_path / "a.root", 1)
    images = voxel_images([path], VoxelSource(images={"thin": 1.0}, scheme="spine"))
    expected = np.array([SPINE_NAMES.index(name) for name in ("track", "track", "shower", "delta", "Michel")])
    assert images[0].labels.tolist() == expected[event(60, 0)[1].label].tolist()


def test_pilarnet_files_are_data_sets_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, rows in (("point", [[1, 2, 3, 0, 0.5, 0, 0, 0]]), ("cluster", [[1, 0, 0, 0, 2]])):
            file.create_dataset(name, (1,), dtype=h5py.vlen_dtype(np.float32))[0] = np.ravel(rows)
    images = voxel_images([tmp_path / "a.h5"], VoxelSource(scheme="track_shower"))
    assert images[0].coords.tolist() == [[1, 2, 3]]
    assert images[0].labels.tolist() == [1]
    with pytest.raises(InputError, match=r"a\.h5, entry 0: no mapping from class scheme spine to larmlreco; valid: "):
        voxel_images([tmp_path / "a.h5"], VoxelSource())


def test_bad_files_are_named(tmp_path: Path) -> None:
    good, pitch = event(20, 0), event(20, 1, pitch=0.5)
    source = VoxelSource()

    def refused(message: str, *events: dict[str, tuple[Product | None, ...]], source: VoxelSource = source) -> None:
        with pytest.raises(InputError, match=message):
            voxel_images([write(tmp_path / "bad.root", list(events))], source)

    refused(
        "entry 1: its voxels measure 0.5 cm, expected 0.3; a network learns voxels of one size",
        *({"": e} for e in (good, pitch)),
    )
    refused(
        "holds no TrueLabels truth; training needs voxels and their true labels; there: Voxels_voxels__Sim",
        {"": good[:1]},
    )
    refused("entry 1: the event has no true labels for its voxels", {"": good}, {"": (good[0], None)})
    refused("entry 1: the event has no true labels for its voxels", {"": good}, {"": (good[0], event(5, 3)[1])})
    refused("entry 1: Voxels_voxels__Sim is missing", {"": good}, {"": (None, good[1])})
    refused(
        "entry 0: label 9 is outside the scheme larmlreco with 5 classes: HIP",
        {"": (good[0], TrueLabels(label=np.full(len(good[0]), 9), meta=good[1].meta))},
    )
    refused("entry 0: the labels are of an unknown scheme 'mine'; valid: larmlreco", {"": event(20, 0, scheme="mine")})
    refused(
        r"has 2 images of voxels called voxels; expected one, or say which \(images\): a, b", {"a": good, "b": good}
    )
    refused("holds no Voxels voxels:thin; .* there: ", {"": good}, source=VoxelSource(images={"thin": 1.0}))
    with pytest.raises(InputError, match=r"missing\.root does not exist"):
        voxel_images([tmp_path / "missing.root"], source)


def job(tmp_path: Path, **changes: object) -> dict[str, object]:
    data = {
        "dimension": 3,
        "training": [str(tmp_path / "train_*.root")],
        "validation": [str(tmp_path / "validation.root")],
        "images": {"thin": 1.0, "smeared": 0.5},
    }
    return {
        "output": str(tmp_path / "out"),
        "iterations": 4,
        "batch_size": 4,
        "schedule": {"rate": 1e-2},
        "model": {"params": {"filters": 4, "depth": 2, "repetitions": 1}},
        "validate_every": 4,
        "class_weights": [1, 1, 1, 1, 1],
        "augmentation": {"flip_axes": [0, 1, 2], "permute_axes": True},
        "data": data | changes,
    }


def test_a_training_on_voxels_and_what_its_card_says(tmp_path: Path) -> None:
    sample(tmp_path / "train_0.root", 6)
    sample(tmp_path / "validation.root", 2, seed=50)
    trainer = make_trainer(TrainingParameters(**job(tmp_path)), torch.device("cpu"))
    assert trainer.run()["iteration"] == 4
    card = load_checkpoint(trainer.best).card
    assert (card.dimension, card.pixel_size, card.pixel_units) == (3, (0.3, 0.3, 0.3), ("cm", "cm", "cm"))
    assert (card.detector, card.class_names) == ("liquid_argon", SEMANTIC_NAMES)
    assert card.features[0].unit == "MeV"
    assert card.training["images"] == 9
    of_a_detector: Any = job(tmp_path, detector="sbnd")["data"]
    assert image_data(of_a_detector, lambda _: None, "semantic_segmentation").card["detector"] == "sbnd"


def test_parameters_of_the_other_dimension_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"training\.data\.views: larmlreco train has no parameter 'views'"):
        make_trainer(TrainingParameters(**job(tmp_path, views=["U"])), torch.device("cpu"))
    with pytest.raises(
        ConfigurationError, match=r"training\.data\.dimension: larmlreco train does not know 4; valid: 2 \(planes\), 3"
    ):
        make_trainer(TrainingParameters(**job(tmp_path, dimension=4)), torch.device("cpu"))
    with pytest.raises(InputError, match=r"training\.data\.training: no file matches"):
        make_trainer(TrainingParameters(**job(tmp_path)), torch.device("cpu"))


def test_a_wrong_key_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'training: {\n output: "x" iterations: 1\n data: { dimension: 3\n  trainings: [] }\n}\n'
    (tmp_path / "job.fcl").write_text(text)
    assert main(["train", "-c", str(tmp_path / "job.fcl")]) == 3
    assert "training.data.trainings" in (message := capsys.readouterr().err)
    assert "job.fcl:4" in message


def test_labels_can_be_an_image_of_larcv(tmp_path: Path) -> None:
    sparse = Path(__file__).parents[1] / "io" / "data" / "larcv_sparse3d.root"
    source = VoxelSource(InputTag("data"), InputTag("fivetypes"), label_image="larmlreco")
    images = voxel_images([sparse], source)
    assert len(images) == 2
    assert images[0].coords.tolist() == [[0, 0, 0], [1, 2, 0], [1, 2, 3], [5, 4, 3]]
    assert images[0].labels.tolist() == [0, 1, 2, 4]
    # Voxels without a label in the image count for nothing, values between two classes are damage.
    voxels, _ = event(20, 0)
    columns = {
        name: column[:5] for name, column in voxels.to_columns().items() if not name.startswith(("origin", "pitch"))
    }
    place = {name: column for name, column in voxels.to_columns().items() if name.startswith(("origin", "pitch"))}
    labels = Voxels.from_columns(columns | place | {"energy": np.arange(5)})
    image = voxel_images([write(tmp_path / "a.root", [{"": (voxels, labels)}])], VoxelSource(label_image="larmlreco"))[
        0
    ]
    assert image.labels.tolist() == [0, 1, 2, 3, 4] + [-1] * (len(voxels) - 5)
    wrong = Voxels.from_columns(columns | place | {"energy": np.full(5, 0.5)})
    with pytest.raises(InputError, match="entry 0: the image of labels holds values that are no class numbers"):
        voxel_images([write(tmp_path / "b.root", [{"": (voxels, wrong)}])], VoxelSource(label_image="larmlreco"))
