"""Training on images of planes whose labels are images too, as in LArCV2 files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.models.checkpoint import load_checkpoint
from larmlreco.products import InputTag, Pixels, Product, ProductKey
from larmlreco.train.job import TrainingParameters, make_trainer
from larmlreco.train.label_images import PixelSource, labels_at, pixel_images

SIZE = 32

Change = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]

SOURCE = PixelSource(InputTag("data"), InputTag("segment"), ("plane0",), 10.0, (1, 0))


def pixels(dense: npt.ArrayLike) -> Pixels:
    """What the reader of LArCV2 files makes of an image (columns, rows)."""
    image = np.asarray(dense, dtype=np.float32)
    column, row = np.nonzero(image)
    n = len(column)
    return Pixels(
        tpc=np.zeros(n), plane=np.zeros(n), column=column, row=row, adc=image[column, row],
        meta={"n_columns": image.shape[0], "n_rows": image.shape[1]},
    )  # fmt: skip


def write(path: Path, events: Sequence[tuple[Product, ...]], labels: tuple[str, ...] = ("data", "segment")) -> Path:
    with RootWriter(str(path), Process("LArCV", "1", "", "", {})) as writer:
        for number, products in enumerate(events, 1):
            keys = [ProductKey("Pixels", label, "plane0", "LArCV") for label in labels]
            writer.write((1, 1, number), dict(zip(keys, products, strict=True)))
    return path


def event(seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Charges (32, 32) and labels of their pixels: 0 below 20, 1 up to 60, else 2; background has a label nowhere."""
    random = np.random.default_rng(seed)
    charge = random.uniform(5, 100, (SIZE, SIZE)) * (random.random((SIZE, SIZE)) < 0.3)
    return charge, np.where(charge < 20, 0, np.where(charge < 60, 1, 2))


def test_pixels_have_the_labels_of_the_image_beside_them(tmp_path: Path) -> None:
    made = [event(seed) for seed in range(3)]
    path = write(tmp_path / "a.root", [(pixels(charge), pixels(label)) for charge, label in made])
    images = pixel_images([path], SOURCE)
    assert len(images) == 3
    for image, (charge, label) in zip(images, made, strict=False):
        column, row = image.coords.T
        assert len(image.coords) == np.count_nonzero(charge >= 10)
        assert np.array_equal(image.features[:, 0], charge[column, row].astype(np.float32))
        assert np.array_equal(image.labels, np.array([-1, 1, 0])[label[column, row]])


def test_labels_at_places() -> None:
    coords, labelled = np.array([[3, 4], [0, 0], [3, 4]]), np.array([[0, 0], [9, 9]])
    assert labels_at(coords, labelled, np.array([7.0, 8.0]), "here").tolist() == [-1, 7, -1]
    assert labels_at(coords[:0], labelled, np.array([7.0, 8.0]), "here").tolist() == []
    assert labels_at(coords, labelled[:0], np.zeros(0), "here").tolist() == [-1, -1, -1]
    with pytest.raises(InputError, match="here: the image of labels holds values that are no class numbers"):
        labels_at(coords, labelled, np.array([7.0, 8.5]), "here")


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        (lambda label: label + 1, ("data", "segment"), r"holds the value 3; expected 0 \(no label\) to 2"),
        (lambda label: label[:, :16], ("data", "segment"), r"has \(32, 32\) columns and rows, that of its labels"),
        (lambda label: label, ("data", "other"), r"holds no Pixels segment:plane0; training needs images and images"),
    ],
)
def test_labels_that_do_not_fit(
    tmp_path: Path,
    change: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]],
    labels: tuple[str, str],
    message: str,
) -> None:
    charge, label = event(1)
    path = write(tmp_path / "a.root", [(pixels(charge), pixels(change(label)))], labels)
    with pytest.raises(InputError, match=message):
        pixel_images([path], SOURCE)


def job(folder: Path, **data: object) -> TrainingParameters:
    return TrainingParameters(
        output=str(folder / "out"), iterations=4, batch_size=4, validate_every=4, schedule={"rate": 1e-2},
        model={"params": {"filters": 4, "depth": 2, "repetitions": 1}},
        data={
            "training": [str(folder / "train.root")], "validation": [str(folder / "validation.root")],
            "views": ["plane0"], "images": "data", "scheme": "track_shower", "label_classes": ["shower", "track"],
            "detector": "larcv", "rebin": 1, **data,
        },
    )  # fmt: skip


def test_a_training_on_images_with_labels(tmp_path: Path) -> None:
    for name, seeds in (("train", range(8)), ("validation", range(50, 52))):
        write(tmp_path / f"{name}.root", [tuple(map(pixels, event(seed))) for seed in seeds])
    trainer = make_trainer(job(tmp_path), torch.device("cpu"))
    trainer.run()
    card = load_checkpoint(trainer.best).card
    labels = np.concatenate([event(seed)[1].ravel() for seed in range(50, 52)])
    counts = {name: figure["count"] for name, figure in card.metrics["classes"].items()}
    assert counts == {"shower": np.count_nonzero(labels == 1), "track": np.count_nonzero(labels == 2)}
    assert (card.detector, card.planes, card.class_names) == ("larcv", ("plane0",), ("track", "shower"))


def test_classes_that_are_not_of_the_scheme_are_refused(tmp_path: Path) -> None:
    for path in ("train.root", "validation.root"):
        (tmp_path / path).touch()
    with pytest.raises(ConfigurationError, match=r"label_classes: the scheme track_shower has no class 'Michel'"):
        make_trainer(job(tmp_path, label_classes=["Michel"]), torch.device("cpu"))
    with pytest.raises(ConfigurationError, match=r"scheme: track_shower is for files that hold images of labels"):
        make_trainer(job(tmp_path, images=None, detector="microboone", label_classes=[]), torch.device("cpu"))
