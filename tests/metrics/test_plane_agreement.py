"""The agreement of planes on charge, counted by hand."""

import math

import numpy as np
import pytest

from larmlreco.metrics.agreement import PlaneAgreement


def test_ratios_correlation_and_matched_charge() -> None:
    charges = [np.array([10.0, 20.0, 40.0, 99.0]), np.array([20.0, 40.0, 80.0]), np.array([5.0, 5.0, 40.0, 10.0])]
    rows = [np.array([1, 2, 4, 9]), np.array([1, 2, 4]), np.array([1, 2, 4, 5])]
    pixel = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, -1, 3], [2, 2, 2]])
    agreement = PlaneAgreement("UVY")
    agreement.add(pixel, charges, rows)
    found = agreement.summary()
    assert found["three_plane_points"] == 4
    assert found["matched_charge"]["U"]["value"] == pytest.approx(70 / 169)
    assert found["matched_charge"]["V"]["value"] == 1
    assert found["matched_charge"]["Y"]["value"] == pytest.approx(50 / 60)
    assert found["pairs"]["U/V"]["ratio"] == pytest.approx(0.5, rel=0.02)
    assert found["pairs"]["U/V"]["row_correlation"] == pytest.approx(1)
    expected = np.corrcoef([10, 20, 40], [5, 5, 40])[0, 1]
    assert found["pairs"]["U/Y"]["row_correlation"] == pytest.approx(expected)
    assert found["pairs"]["U/Y"]["ratio_low"] == pytest.approx(1, rel=0.02)
    assert found["pairs"]["U/Y"]["ratio_high"] == pytest.approx(4, rel=0.02)
    assert "4 points seen on three planes" in agreement.table()


def test_without_points() -> None:
    agreement, none = PlaneAgreement("UVY"), np.zeros(0)
    agreement.add(np.zeros((0, 3), np.int64), [none] * 3, [none] * 3)
    found = agreement.summary()
    assert found["three_plane_points"] == 0
    assert math.isnan(found["pairs"]["U/V"]["ratio"])
    assert math.isnan(found["pairs"]["U/V"]["row_correlation"])
    assert "nan" in agreement.table()
