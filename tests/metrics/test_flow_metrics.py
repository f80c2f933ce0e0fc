"""Figures of partners and of points, counted by hand."""

import math

import numpy as np
import pytest

from larmlreco.metrics.flow import DISTANCES, PUBLISHED, FlowMetrics
from larmlreco.metrics.points import THRESHOLDS, PointMetrics


def flags(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def test_fractions_within_wires() -> None:
    metrics = FlowMetrics()
    metrics.add(
        "Y2U",
        predicted=np.array([10, 12, 15, 20, -1, 99, 50, 8]),
        true=np.array([10, 10, 10, 10, 10, -1, 50, 10]),
        matchable=flags(1, 1, 1, 1, 1, 0, 0, 0),
        dead=flags(0, 0, 0, 0, 0, 0, 1, 1),
        said_matchable=flags(1, 1, 1, 0, 0, 1, 1, 0),
        candidates=np.array([1, 1, 2, 20, 0, 3, 4, 4]),
    )
    found = metrics.summary()
    assert found["accuracy"]["value"] == pytest.approx(2 / 5)
    assert found["directions"]["Y2U"] == found["within_wires"]["Y2U"]["2"]
    assert [found["within_wires"]["all"][str(d)]["value"] for d in DISTANCES] == pytest.approx([2 / 5, 3 / 5, 4 / 5])
    assert found["curves"]["all"][:6] == pytest.approx([1 / 5, 1 / 5, 2 / 5, 2 / 5, 2 / 5, 3 / 5])
    assert found["curves"]["all"][10:] == pytest.approx([4 / 5] * 11)
    assert found["within_wires"]["into dead wires"]["2"]["value"] == 1
    assert found["within_wires"]["into dead wires"]["2"]["count"] == 2
    assert found["within_wires"]["1 to 3 candidates"]["2"]["value"] == pytest.approx(2 / 3)
    assert found["within_wires"]["16 to 63 candidates"]["10"]["value"] == 1
    assert found["matchability"]["efficiency"]["value"] == pytest.approx(3 / 5)
    assert found["matchability"]["purity"]["value"] == pytest.approx(3 / 4)
    assert found["published_Y2U"] == {"2": 0.32, "5": 0.60, "10": 0.78}
    table = metrics.table()
    assert "published Y2U" in table
    assert f"{100 * PUBLISHED[10]:.0f}" in table


def test_an_empty_event_counts_for_nothing() -> None:
    metrics, none = FlowMetrics(), np.zeros(0, np.int64)
    metrics.add("Y2U", none, none, flags(), flags(), flags(), none)
    assert math.isnan(metrics.summary()["accuracy"]["value"])
    assert FlowMetrics().summary()["accuracy"]["count"] == 0
    assert "nan" in FlowMetrics().table()
    with pytest.raises(ValueError, match="one entry for each pixel"):
        metrics.add("Y2U", none, np.zeros(1, np.int64), flags(), flags(), flags(), none)


def test_ghosts_completeness_and_distance() -> None:
    metrics = PointMetrics()
    true = np.array([[0.0, 0, 0], [5.0, 0, 0], [20.0, 0, 0]])
    points = np.array([[0.3, 0, 0], [5.0, 0.8, 0], [12.0, 0, 0], [0.0, 0.1, 0]])
    metrics.add(points, np.array([0.9, 0.35, 0.15, 1.0]), true, np.array([1.0, 2.0, 5.0]))
    found = metrics.summary()
    at = {t: i for i, t in enumerate(THRESHOLDS)}
    assert found["points"] == 4
    assert found["ghosts"][at[0.0]]["value"] == pytest.approx(1 / 4)
    assert found["ghosts"][at[0.2]]["value"] == 0
    assert found["completeness"][at[0.0]]["value"] == pytest.approx(3 / 8)
    assert found["completeness"][at[0.4]]["value"] == pytest.approx(1 / 8)
    assert found["curve"][0] == 0
    assert dict(zip(found["curve_cm"], found["curve"], strict=True))[0.5] == pytest.approx(1 / 2)
    assert found["curve_cm"][-1] == 2.0
    assert found["curve"][-1] == pytest.approx(3 / 4)
    assert found["distance_cm"]["50 %"] == pytest.approx(0.3, abs=0.011)
    assert found["distance_cm"]["95 %"] == pytest.approx(7.0, abs=0.011)
    assert metrics.ghosts_at(2 / 8) == pytest.approx(0)
    assert metrics.ghosts_at(0.375) == 0
    assert math.isnan(metrics.ghosts_at(0.95))
    assert "ghosts at 95 % completeness" in metrics.table()


def test_ghosts_are_interpolated_between_thresholds() -> None:
    """Half of the charge is lost between 0.1 and 0.2, and with it the only ghost."""
    metrics = PointMetrics()
    true = np.array([[0.0, 0, 0], [50.0, 0, 0]])
    points = np.array([[0.0, 0, 0], [50.0, 0, 0], [20.0, 0, 0]])
    metrics.add(points, np.array([1.0, 0.15, 0.15]), true, np.ones(2))
    assert metrics.ghosts_at(0.75) == pytest.approx(1 / 6)


def test_events_without_points_or_truth() -> None:
    metrics, none = PointMetrics(), np.zeros((0, 3))
    metrics.add(none, np.zeros(0), none, np.zeros(0))
    assert math.isnan(metrics.summary()["ghosts"][0]["value"])
    metrics.add(none, np.zeros(0), np.zeros((1, 3)), np.ones(1))
    assert metrics.summary()["completeness"][0]["value"] == 0
    metrics.add(np.zeros((2, 3)), np.ones(2), none, np.zeros(0))
    assert metrics.summary()["ghosts"][0]["value"] == 1
    assert math.isinf(metrics.quantile(0.5))
    assert math.isnan(PointMetrics().quantile(0.5))
