"""True partners of pixels against the formula: the deposit with most charge, its wire on the other plane."""

import numpy as np
import pytest

from larmlreco.geometry import detector
from larmlreco.products import Pixels, TrueSteps
from larmlreco.truth.flow import partners, pixel_origin, true_wires

UBOONE = detector("microboone")
ROW = 300
TICK = ROW * 6 + 3.0


def steps_at(places: list[tuple[float, float]], electrons: list[float], tick: float = TICK) -> TrueSteps:
    n = len(places)
    y, z = np.array(places, dtype=np.float64).reshape(-1, 2).T
    return TrueSteps.from_columns(
        {
            "x": np.full(n, 1.0),
            "y": y,
            "z": z,
            "t": np.zeros(n),
            "de": np.ones(n),
            "dx": np.ones(n),
            "electrons": np.array(electrons),
            "tick": np.full(n, tick),
            "particle": np.ones(n, dtype=int),
        }
    )


def pixels_at(plane: int, columns: list[int], rows: list[int]) -> Pixels:
    n = len(columns)
    meta = {"detector": "microboone", "tpc": 0, "plane": plane, "rebin": 6}
    return Pixels(
        tpc=np.zeros(n, np.int32),
        plane=np.full(n, plane, np.int32),
        column=np.array(columns, np.int32),
        row=np.array(rows, np.int32),
        adc=np.full(n, 20, np.float32),
        meta=meta,
    )


def test_the_partner_is_the_wire_of_the_deposit_with_most_charge() -> None:
    """Two deposits on one collection wire, far apart in y: the larger one decides."""
    z = UBOONE.planes[2].position(1000)
    steps = steps_at([(-50.0, z), (60.0, z)], [3000.0, 9000.0])
    origin = pixel_origin(pixels_at(2, [1000], [ROW]), steps, UBOONE)
    assert origin.deposit.tolist() == [1]
    assert origin.electrons[0] == pytest.approx(12000 * 0.78, rel=0.2)
    for plane in UBOONE.planes[:2]:
        expected = round((plane.normal[0] * 60.0 + plane.normal[1] * float(z) - plane.first) / plane.pitch)
        assert true_wires(origin.deposit, steps, plane).tolist() == [expected]


def test_ties_go_to_the_lower_step() -> None:
    z = UBOONE.planes[2].position(1000)
    steps = steps_at([(0.0, z), (10.0, z), (20.0, z)], [5000.0] * 3)
    assert pixel_origin(pixels_at(2, [1000], [ROW]), steps, UBOONE).deposit.tolist() == [0]


def test_a_pixel_of_noise_has_no_deposit() -> None:
    z = UBOONE.planes[2].position(1000)
    steps = steps_at([(0.0, z)], [5000.0])
    origin = pixel_origin(pixels_at(2, [1000, 1000, 2000], [ROW, ROW + 200, ROW]), steps, UBOONE)
    assert origin.deposit.tolist() == [0, -1, -1]
    assert origin.electrons[1:].tolist() == [0, 0]
    assert true_wires(origin.deposit, steps, UBOONE.planes[0])[1:].tolist() == [-1, -1]


def test_nothing_comes_from_nothing() -> None:
    none, some = pixels_at(2, [], []), pixels_at(2, [5], [5])
    assert len(pixel_origin(none, steps_at([(0.0, 500.0)], [5e3]), UBOONE).deposit) == 0
    assert pixel_origin(some, steps_at([], []), UBOONE).deposit.tolist() == [-1]
    assert partners(np.zeros(0, np.int64), [], some).tolist() == []
    assert partners(np.array([5]), [5], none).tolist() == [-1]


def test_a_partner_is_unmatchable_without_a_pixel_on_its_wire_and_row() -> None:
    target = pixels_at(0, [7, 7, 9], [3, 5, 5])
    found = partners(np.array([7, 7, 9, 8, -1]), [5, 4, 5, 5, 5], target)
    assert found.tolist() == [1, -1, 2, -1, -1]
