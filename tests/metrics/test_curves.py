import math

import numpy as np
import pytest

from larmlreco.metrics.curves import Curve, CurveSet, border_distance
from larmlreco.metrics.semantic import SemanticMetrics


def test_bins_are_half_open_and_the_last_one_closed() -> None:
    curve = Curve((0, 10, 20), "MeV")
    curve.add(np.array([0.0, 9.9, 10.0, 20.0, 20.1, -1.0, math.nan]), np.array([True, False, True, True] + [True] * 3))
    found = curve.summary()
    assert found["count"] == [2, 2]
    assert found["value"] == [0.5, 1.0]
    assert found["events"] == [1, 1]
    assert found["unit"] == "MeV"


def test_error_of_a_bin_takes_the_event_as_the_unit() -> None:
    curve = Curve((0, 1), "")
    for wrong in (0, 100, 0, 100):
        curve.add(0.5, np.arange(100) < wrong)
    assert curve.summary()["value"] == [0.5]
    assert curve.summary()["error"][0] == pytest.approx(0.5 / math.sqrt(3))


def test_edges_must_rise() -> None:
    with pytest.raises(ValueError, match=r"edges must be at least two rising numbers; got \[1, 1\]"):
        Curve([1, 1], "")


def test_curves_of_classes_and_rows_without_truth() -> None:
    curves = CurveSet(("track", "shower"), (0, 10, 100), "pixel")
    curves.add(np.array([1, 1, 50, 50]), np.array([0, 1, 1, -1]), np.array([0, 0, -1, 1]))
    found = curves.summary()
    assert found["all"]["count"] == [2, 1]
    assert found["track"]["value"][0] == 0
    assert found["shower"]["value"] == [1, 1]
    assert "0 to      10 pixel" in curves.table()


def test_an_empty_event_adds_nothing() -> None:
    curves = CurveSet(("a",), (0, 1), "")
    none = np.zeros(0, np.int32)
    curves.add(0.5, none, none)
    assert curves.summary()["all"]["count"] == [0]
    assert curves.table() == "  no pixels"


def test_border_distance_is_that_of_the_nearest_face() -> None:
    columns, rows = np.array([0, 5, 99, 50]), np.array([25, 48, 25, 25])
    assert border_distance((columns, rows), (100, 50)).tolist() == [0, 1, 0, 24]


def test_error_rate_is_the_mean_over_events_that_have_the_class() -> None:
    metrics = SemanticMetrics(("track", "shower"))
    assert metrics.add(np.array([0, 0, 1]), np.array([0, 1, 1])) == pytest.approx(1 / 3)
    metrics.add(np.array([0, 0]), np.array([0, 0]))
    assert math.isnan(metrics.add(np.array([-1]), np.array([0])))
    rates = metrics.summary()["error_rates"]
    assert rates["track"]["mean"] == pytest.approx(0.25)
    assert rates["track"]["error"] == pytest.approx(np.std([0.5, 0], ddof=1) / math.sqrt(2))
    assert rates["shower"] == {
        "mean": 0.0,
        "error": pytest.approx(math.nan, nan_ok=True),
        "std": rates["shower"]["std"],
        "events": 1,
    }
