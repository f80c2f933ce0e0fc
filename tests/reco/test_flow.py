"""Choices and points from scores, by the formulas."""

import numpy as np
import pytest

from larmlreco.geometry import detector
from larmlreco.products import Pixels
from larmlreco.reco.candidates import Candidates, CandidateSettings, PlanePixels, find_candidates, plane_pixels
from larmlreco.reco.flow import FLAGS, choose, make_points, partner_pixels, partner_wires

UBOONE = detector("microboone")
Y, Z = 31.3, 700.4
WIRES = [int(plane.nearest_wire(Y, Z)) for plane in UBOONE.planes]


def planes_with(places: list[list[tuple[int, int]]], dead: tuple[int, ...] = ()) -> list[PlanePixels]:
    out = []
    for of, readout in zip(places, UBOONE.readout_planes, strict=True):
        column, row = np.array(of, dtype=np.int32).reshape(-1, 2).T
        zero = np.zeros(len(of))
        pixels = Pixels.from_columns(
            {"tpc": zero, "plane": zero, "column": column, "row": row, "adc": 50.0 + np.arange(len(of))}
        )
        out.append(plane_pixels(pixels, readout, UBOONE, 0, np.array(dead, dtype=np.int64)))
    return out


def test_a_softmax_over_the_candidates_of_a_pixel_and_no_partner() -> None:
    """One collection pixel with two candidates far apart: shares e^s / (1 + sum e^s)."""
    far = [int(plane.nearest_wire(-60.0, float(UBOONE.planes[2].position(WIRES[2])))) for plane in UBOONE.planes]
    planes = planes_with([[(WIRES[0], 5), (far[0], 5)], [(WIRES[1], 5), (far[1], 5)], [(WIRES[2], 5)]])
    found = find_candidates(planes)
    assert len(found) == 2
    scores = np.where(found.wire[:, 0] == WIRES[0], 2.0, 1.0)
    choices = choose(found, planes, scores, [2, 2, 1])
    total = 1 + np.exp(2) + np.exp(1)
    best = choices[2]
    assert found.wire[best.candidate[0]].tolist() == WIRES
    assert best.probability[0] == pytest.approx(np.exp(2) / total)
    assert best.matched[0].tolist() == pytest.approx([(total - 1) / total] * 3)
    assert best.count.tolist() == [2]
    assert partner_wires(best, found).tolist() == [WIRES]
    assert partner_pixels(best, found, planes).tolist() == [[0, 0, 0]]
    assert choices[0].probability.tolist() == pytest.approx([np.exp(s) / (1 + np.exp(s)) for s in (2, 1)])


def test_neighbouring_candidates_are_one_answer() -> None:
    near = [(WIRES[1] + k, 5) for k in (-1, 0, 1)]
    planes = planes_with([[(WIRES[0], 5)], near, [(WIRES[2], 5)]])
    found = find_candidates(planes, CandidateSettings(2.0))
    assert len(found) == 3
    choice = choose(found, planes, [1.0, 3.0, 2.0], [1, 3, 1])[2]
    weights = np.exp([1.0, 3.0, 2.0])
    assert choice.candidate.tolist() == [1]
    assert choice.probability[0] == pytest.approx(weights.sum() / (1 + weights.sum()))


def test_a_pixel_minds_what_others_could_choose_instead() -> None:
    """Candidate 0 has a slightly higher score than 1, but its pixel on the first plane has a much better one, 2."""
    planes = planes_with([[(5, 1), (9, 1)], [(5, 1), (9, 1), (30, 1)], [(50, 1), (70, 1)]])
    entry = np.array([[0, 0, 0], [1, 1, 0], [0, 2, 1]])
    wire = np.column_stack([planes[p].wire[entry[:, p]] for p in range(3)])
    one = np.ones(3)
    found = Candidates(entry, wire, np.zeros((3, 3), np.int64), one.astype(np.int64), one, one, 0 * one, entry[:0, 0])
    scores = np.array([2.0, 1.9, 5.0])
    choice = choose(found, planes, scores, [2, 3, 2])[2]
    assert choice.candidate.tolist() == [1, 2]
    total = 1 + np.exp(2.0) + np.exp(1.9)
    assert choice.probability[0] == pytest.approx(np.exp(1.9) / total)
    scores[2] = 0.0
    assert choose(found, planes, scores, [2, 3, 2])[2].candidate.tolist() == [0, 2]


def test_pixels_without_candidates_and_ties() -> None:
    near = [(WIRES[1] + k, 5) for k in (-1, 0, 1)]
    planes = planes_with([[(WIRES[0], 5), (1, 9)], near, [(WIRES[2], 5)]])
    found = find_candidates(planes, CandidateSettings(2.0))
    choices = choose(found, planes, np.zeros(3), [2, 3, 1])
    assert choices[0].candidate.tolist() == [0, -1]
    assert choices[0].probability[1] == 0
    assert choices[0].matched[1].tolist() == [0, 0, 0]
    assert partner_wires(choices[0], found)[1].tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match="expected 3 finite scores"):
        choose(found, planes, [0.0, np.nan, 0.0], [2, 3, 1])


def test_the_point_of_a_pixel() -> None:
    planes = planes_with([[(WIRES[0], 300)], [(WIRES[1], 300)], [(WIRES[2], 300)]])
    found = find_candidates(planes)
    choices = choose(found, planes, [2.0], [1, 1, 1])
    points = make_points(found, planes, choices, UBOONE, 6)
    score = np.exp(2) / (1 + np.exp(2))
    assert points.score.tolist() == pytest.approx([score])
    assert points.x[0] == pytest.approx((300 * 6 + 2.5 - 800) * 0.5 * 0.1098)
    assert points.y[0] == pytest.approx(Y, abs=0.2)
    assert points.z[0] == pytest.approx(Z, abs=0.2)
    assert points.flags.tolist() == [0]
    assert points.pixel.tolist() == [[0, 0, 0]]
    assert points.charge.tolist() == [[50, 50, 50]]
    assert points.consistency[0] == pytest.approx(abs(found.residual[0]) * 0.3)
    normals = np.array([plane.normal for plane in UBOONE.planes])
    inverse = np.linalg.inv(normals.T @ normals * 12 / 0.09) / score
    row = (6 * 0.5 * 0.1098) ** 2 / 12 / score
    expected = [row, 0, inverse[0, 0], 0, inverse[1, 0], inverse[1, 1]]
    assert points.covariance[0].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_dead_plane_leaves_points_of_two(dead: int) -> None:
    places = [[] if p == dead else [(w, 300)] for p, w in enumerate(WIRES)]
    plane = UBOONE.planes[dead]
    planes = planes_with(places, tuple(plane.channels[WIRES[dead] - 1 : WIRES[dead] + 2].tolist()))
    found = find_candidates(planes)
    points = make_points(found, planes, choose(found, planes, [1.0], [len(p) for p in places]), UBOONE, 6)
    assert points.flags.tolist() == [FLAGS[f"dead_{dead}"]]
    assert points.pixel[0, dead] == -1
    assert points.charge[0, dead] == 0
    assert points.consistency.tolist() == [-1]
    assert np.hypot(points.y[0] - Y, points.z[0] - Z) < 0.6


def test_charge_below_threshold_is_flagged() -> None:
    planes = planes_with([[(WIRES[0], 300)], [(WIRES[1], 301)], [(WIRES[2], 300)]])
    found = find_candidates(planes)
    points = make_points(found, planes, choose(found, planes, [1.0], [1, 1, 1]), UBOONE, 6)
    assert points.flags.tolist() == [FLAGS["near_1"]]


def test_points_of_all_dead_planes_and_of_low_score() -> None:
    channels = tuple(int(UBOONE.planes[p].channels[WIRES[p]]) for p in range(3))
    nothing = planes_with([[], [], []], channels)
    found = find_candidates(nothing)
    assert len(make_points(found, nothing, choose(found, nothing, [], [0, 0, 0]), UBOONE, 6).x) == 0
    planes = planes_with([[(w, 300)] for w in WIRES])
    found = find_candidates(planes)
    choices = choose(found, planes, [0.0], [1, 1, 1])
    assert len(make_points(found, planes, choices, UBOONE, 6, 0.5).x) == 1
    assert len(make_points(found, planes, choices, UBOONE, 6, 0.51).x) == 0


def test_no_two_points_are_alike_and_order_is_fixed() -> None:
    random = np.random.default_rng(3)
    places = []
    for plane in UBOONE.planes:
        wire = plane.nearest_wire(random.uniform(-10, 10, 200), random.uniform(500, 510, 200))
        places.append(sorted({(int(w), int(r)) for w, r in zip(wire, random.integers(3, 9, 200), strict=True)}))
    planes = planes_with(places)
    found = find_candidates(planes)
    scores = random.normal(0, 1, len(found))
    points = make_points(found, planes, choose(found, planes, scores, [len(p) for p in places]), UBOONE, 6)
    assert len(points.x) > 100
    assert len(np.unique(np.column_stack([points.x, points.y, points.z]), axis=0)) == len(points.x)
    assert (np.diff(points.candidate) > 0).all()
    with_pixel = set(points.pixel[:, 2].tolist())
    chosen = choose(found, planes, scores, [len(p) for p in places])[2].candidate
    assert set(np.flatnonzero(chosen >= 0).tolist()) - with_pixel == set()
