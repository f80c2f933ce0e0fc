import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from larmlreco.metrics.ratio import EventRatio, percent
from larmlreco.metrics.semantic import SemanticMetrics, confusion_matrix


def test_confusion_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 5, 1000), rng.integers(0, 5, 1000)
    ours = confusion_matrix(truth, predicted, 5)
    assert np.array_equal(ours[:, :5], sklearn_confusion(truth, predicted, labels=range(5)))
    assert not ours[:, 5].any()


def test_pixels_without_truth_do_not_count_and_unclassified_ones_are_wrong() -> None:
    metrics = SemanticMetrics(("track", "shower"))
    metrics.add(np.array([0, 0, 1, -1]), np.array([0, -1, 1, 1]))
    summary = metrics.summary()
    assert summary["accuracy"]["value"] == pytest.approx(2 / 3)
    assert summary["confusion"] == [[1, 0, 1], [0, 1, 0]]
    assert summary["icpf"]["mean"] == pytest.approx(1 / 3)


def test_accuracy_is_that_of_scikit_learn_over_all_events() -> None:
    rng = np.random.default_rng(2)
    metrics = SemanticMetrics(("a", "b", "c"))
    truths, predictions = [], []
    for _ in range(20):
        truth, predicted = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
        metrics.add(truth, predicted)
        truths.append(truth)
        predictions.append(predicted)
    expected = accuracy_score(np.concatenate(truths), np.concatenate(predictions))
    assert metrics.summary()["accuracy"]["value"] == pytest.approx(expected)
    assert "ICPF over 20 events" in metrics.table()


def test_empty_event_does_not_count() -> None:
    metrics = SemanticMetrics(("a", "b"))
    metrics.add(np.zeros(0, np.int32), np.zeros(0, np.int32))
    summary = metrics.summary()
    assert summary["events"] == 0
    assert math.isnan(summary["accuracy"]["value"])
    assert "all" in metrics.table()


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (np.array([0, 1]), np.array([0]), "expected equal shapes"),
        (np.array([7]), np.array([0]), "true label 7 is outside the 2 classes"),
        (np.array([0]), np.array([2]), "predicted label 2 is outside the 2 classes"),
    ],
)
def test_bad_labels_are_refused(truth: np.ndarray, predicted: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, predicted, 2)


def test_error_of_a_ratio_is_that_of_the_bootstrap_over_events() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(50, 500, 400)
    c = rng.binomial(n, np.clip(rng.normal(0.9, 0.05, 400), 0, 1))
    ratio = EventRatio()
    for right, total in zip(c, n, strict=True):
        ratio.add(int(right), int(total))
    draws = rng.integers(0, 400, (2000, 400))
    bootstrap = (c[draws].sum(1) / n[draws].sum(1)).std()
    assert ratio.error == pytest.approx(bootstrap, rel=0.1)
    assert math.isnan(EventRatio().error)


def test_a_figure_that_is_not_known_is_a_dash() -> None:
    assert percent(0.5, 0.0123, 6) == " 50.00 +-  1.23"
    assert percent(math.nan, math.nan) == "- +- -"
    metrics = SemanticMetrics(("a", "b"))
    metrics.add(np.array([0, 0]), np.array([0, 1]))
    assert "nan" not in metrics.table()
