"""Candidates against a search over all pixels of a row, by the definition; limits; wires that wrap."""

import itertools

import numpy as np
import pytest

from larmlreco.geometry import Detector, crossing, detector
from larmlreco.products import Pixels
from larmlreco.reco.candidates import (
    DEAD,
    FEATURES,
    NEAR,
    SEEN,
    Candidates,
    CandidateSettings,
    PlanePixels,
    candidate_coords,
    candidate_features,
    find_candidates,
    plane_pixels,
)

UBOONE = detector("microboone")
NONE = np.zeros(0, dtype=np.int64)


def pixels_of(places: list[tuple[int, int]], adc: list[float] | None = None) -> Pixels:
    column, row = np.array(places, dtype=np.int32).reshape(-1, 2).T
    n = len(column)
    charge = np.full(n, 50.0) if adc is None else np.array(adc)
    return Pixels.from_columns({"tpc": np.zeros(n), "plane": np.zeros(n), "column": column, "row": row, "adc": charge})


def planes_with(
    places: list[list[tuple[int, int]]], dead: tuple[int, ...] = (), adc: list[list[float]] | None = None
) -> list[PlanePixels]:
    images = [pixels_of(p, adc[i] if adc else None) for i, p in enumerate(places)]
    channels = np.array(dead, dtype=np.int64)
    return [
        plane_pixels(image, readout, UBOONE, 0, channels)
        for image, readout in zip(images, UBOONE.readout_planes, strict=True)
    ]


def by_search(
    places: list[list[tuple[int, int]]], dead: set[int], tolerance: float
) -> set[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """(row, wires, states) of every candidate, by looking at every pair and triple of pixels."""
    planes = UBOONE.planes
    found: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    seen = [set(p) for p in places]
    for (u, row), (v, row_v), (y, row_y) in itertools.product(*places):
        if row == row_v == row_y:
            at = planes[2].wire_coordinate(*crossing(planes[0], u, planes[1], v)[:2])
            inside = any(
                crossing(planes[p], a, planes[q], b)[2] for p, a, q, b in ((0, u, 1, v), (0, u, 2, y), (1, v, 2, y))
            )
            if abs(at - y) <= tolerance and inside:
                found.add((row, (u, v, y), (SEEN,) * 3))
    for third in range(3):
        p, q = (i for i in range(3) if i != third)
        for (a, row), (b, row_b) in itertools.product(places[p], places[q]):
            y_at, z_at, crosses = crossing(planes[p], a, planes[q], b)
            if row != row_b or not crosses:
                continue
            coordinate = float(planes[third].wire_coordinate(y_at, z_at))
            wire = int(np.floor(coordinate + 0.5))
            on_plane = 0 <= wire < planes[third].n_wires
            near = {r for w, r in seen[third] if abs(w - coordinate) <= tolerance}
            if not on_plane or int(planes[third].channels[wire]) in dead:
                state = DEAD
            elif row not in near and near & {row - 1, row + 1}:
                state = NEAR
            else:
                continue
            wires, states = [0] * 3, [SEEN] * 3
            wires[p], wires[q], wires[third] = a, b, wire if on_plane else -1
            states[third] = state
            found.add((row, tuple(wires), tuple(states)))
    return found


def as_set(found: Candidates) -> set[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    return {
        (int(r), tuple(w), tuple(s))
        for r, w, s in zip(found.row, found.wire.tolist(), found.state.tolist(), strict=True)
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("tolerance", [0.75, 1.6])
def test_all_candidates_and_no_others(seed: int, tolerance: float) -> None:
    random = np.random.default_rng(seed)
    places = []
    for plane in UBOONE.planes:
        y, z = random.uniform(-10, 10, 40), random.uniform(500, 510, 40)
        wire = plane.nearest_wire(y, z)
        places.append(sorted({(int(w), int(r)) for w, r in zip(wire, random.integers(3, 7, 40), strict=True)}))
    dead = {int(UBOONE.planes[p].channels[places[p][5][0]]) for p in range(3)}
    places = [[(w, r) for w, r in of if UBOONE.planes[p].channels[w] not in dead] for p, of in enumerate(places)]
    planes = planes_with(places, tuple(dead))
    found = find_candidates(planes, CandidateSettings(tolerance))
    assert as_set(found) == by_search(places, dead, tolerance)
    assert len(as_set(found)) == len(found) > 20
    order = np.lexsort((found.wire[:, 2], found.wire[:, 1], found.wire[:, 0], found.row))
    assert order.tolist() == list(range(len(found)))


def test_a_true_point_is_found_where_its_wires_cross() -> None:
    y, z = 31.3, 700.4
    wires = [int(plane.nearest_wire(y, z)) for plane in UBOONE.planes]
    planes = planes_with([[(w, 100)] for w in wires])
    found = find_candidates(planes)
    assert found.wire.tolist() == [wires]
    assert found.entry.tolist() == [[0, 0, 0]]
    assert found.y[0] == pytest.approx(y, abs=0.3)
    assert found.z[0] == pytest.approx(z, abs=0.3)
    u, v = crossing(UBOONE.planes[0], wires[0], UBOONE.planes[1], wires[1])[:2]
    assert found.residual[0] == pytest.approx(wires[2] - float(UBOONE.planes[2].wire_coordinate(u, v)))


def test_wires_that_cross_beyond_the_detector_make_no_candidate() -> None:
    planes = planes_with([[(0, 5)], [(2399, 5)], [(1000, 5)]])
    assert len(find_candidates(planes)) == 0


def test_empty_planes_and_one_hit() -> None:
    assert len(find_candidates(planes_with([[], [], []]))) == 0
    one = planes_with([[], [], [(1000, 5)]])
    found = find_candidates(one)
    assert len(found) == 0
    assert candidate_features(one, found).shape == (0, len(FEATURES))
    assert candidate_coords(found, one).shape == (0, 4)


def test_two_planes_are_too_few() -> None:
    with pytest.raises(ValueError, match="candidates need 3 planes; got 2"):
        find_candidates(planes_with([[], [], []])[:2])
    with pytest.raises(ValueError, match="above 0"):
        CandidateSettings(tolerance=0)


def test_a_burst_is_limited_and_says_so() -> None:
    """A row in which all wires fire keeps its strongest pixels; the other rows lose nothing."""
    burst = [[(w, 50) for w in range(plane.n_wires)] for plane in UBOONE.planes]
    wires = [int(plane.nearest_wire(31.3, 700.4)) for plane in UBOONE.planes]
    charge = [[10.0 + (w == wires[p]) for w, _ in of] + [40.0] for p, of in enumerate(burst)]
    places = [[*of, (wires[p], 60)] for p, of in enumerate(burst)]
    found = find_candidates(planes_with(places, adc=charge), CandidateSettings(row_limit=30))
    assert found.limited_rows.tolist() == [50]
    assert [wires] == found.wire[found.row == 60].tolist()
    assert wires in found.wire[found.row == 50].tolist()
    assert (np.bincount(found.row)[50]) <= 3 * 30 * 30


def test_the_limit_of_pairs_halves_the_limit_of_rows() -> None:
    burst = [[(w, r) for r in (1, 2) for w in range(1000, 1100)] for _ in UBOONE.planes]
    found = find_candidates(planes_with(burst), CandidateSettings(row_limit=100, pair_limit=3 * 2 * 25 * 25))
    assert found.limited_rows.tolist() == [1, 2]
    assert all(len(np.unique(found.wire[found.row == 1, p])) <= 25 + 2 for p in range(3))


def test_features() -> None:
    wires = [int(plane.nearest_wire(31.3, 700.4)) for plane in UBOONE.planes]
    places = [[(w, 100), (w, 101)] for w in wires]
    planes = planes_with(places, adc=[[20.0, 25.0], [30.0, 35.0], [40.0, 45.0]])
    found = find_candidates(planes)
    assert found.row.tolist() == [100, 101]
    named = dict(zip((name for name, _ in FEATURES), candidate_features(planes, found, 2.0).T.tolist(), strict=True))
    assert [named[f"charge_{p}"] for p in range(3)] == [[40, 50], [60, 70], [80, 90]]
    assert [named[f"charge_before_{p}"] for p in range(3)] == [[0, 40], [0, 60], [0, 80]]
    assert [named[f"charge_after_{p}"] for p in range(3)] == [[50, 0], [70, 0], [90, 0]]
    assert [named[f"candidates_{p}"] for p in range(3)] == [[1, 1]] * 3
    assert [named[f"dead_{p}"] for p in range(3)] == [[0, 0]] * 3
    assert named["residual"] == pytest.approx(found.residual.tolist())
    coords = candidate_coords(found, planes)
    assert coords[:, :2].tolist() == [[0, 100], [0, 101]]
    assert coords[0, 2:].tolist() == [round(found.y[0] / 0.6), round(found.z[0] / 0.6)]


def test_a_channel_that_wraps_stands_for_each_of_its_wires() -> None:
    """A point of ProtoDUNE-HD is found although its channels read wires on both faces, two on this one."""
    mine: Detector = detector("protodunehd")
    tpc = mine.tpcs[2]
    _, y, z = ((tpc.planes[0].starts[900] + tpc.planes[0].ends[900]) / 2).tolist()
    readouts = mine.readout_planes_of(2)
    planes = []
    for readout, plane in zip(readouts, tpc.planes, strict=True):
        wire = int(plane.nearest_wire(y, z))
        column = int(mine.channel_column[plane.channels[wire]])
        planes.append(plane_pixels(pixels_of([(column, 7)]), readout, mine, 2, NONE))
        assert wire in planes[-1].wire
        assert set(planes[-1].pixel) == {0}
    assert len(planes[0].wire) == 2
    found = find_candidates(planes, CandidateSettings(1.0))
    near = np.hypot(found.y - y, found.z - z)
    assert near.min() < 0.6
    with pytest.raises(ValueError, match="has no wires in TPC 5"):
        plane_pixels(pixels_of([(0, 0)]), readouts[0], mine, 5, NONE)


def test_rows_are_taken_in_runs_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    places = []
    for plane in UBOONE.planes:
        wire = plane.nearest_wire(random.uniform(-10, 10, 200), random.uniform(500, 510, 200))
        places.append(sorted({(int(w), int(r)) for w, r in zip(wire, random.integers(0, 9, 200), strict=True)}))
    planes = planes_with(places)
    whole = find_candidates(planes)
    for size in (1, 500, 3000):
        monkeypatch.setattr("larmlreco.reco.candidates._CHUNK_PAIRS", size)
        parts = find_candidates(planes)
        assert len(parts) == len(whole) > 100
        assert np.array_equal(parts.entry, whole.entry)
        assert np.array_equal(parts.y, whole.y)


@pytest.mark.parametrize("name", ["microboone", "sbnd", "icarus", "protodunehd", "dunefd"])
def test_points_anywhere_in_any_detector_are_found(name: str) -> None:
    """Random points in the first and last active TPC: their own wires make a candidate near each of them."""
    mine = detector(name)
    random = np.random.default_rng(1)
    volumes = [tpc for tpc in mine.tpcs if tpc.active is not None]
    for tpc in (volumes[0], volumes[-1]):
        assert tpc.active is not None
        readouts = mine.readout_planes_of(tpc.index)
        low, high = tpc.active[1:, 0] + 5, tpc.active[1:, 1] - 5
        places = random.uniform(low, high, (40, 2))
        planes = []
        for readout in readouts:
            plane = next(p for p in readout.wire_planes if p.tpc == tpc.index)
            channels = plane.channels[plane.nearest_wire(places[:, 0], places[:, 1])]
            columns = mine.channel_column[channels]
            rows = np.arange(len(columns))
            planes.append(
                plane_pixels(
                    pixels_of(list(zip(columns.tolist(), rows.tolist(), strict=True))), readout, mine, tpc.index, NONE
                )
            )
        found = find_candidates(planes, CandidateSettings(1.0))
        seen = (found.state == SEEN).all(axis=1)
        for row, (y, z) in enumerate(places):
            mine_too = seen & (found.row == row)
            assert np.hypot(found.y[mine_too] - y, found.z[mine_too] - z).min(initial=np.inf) < 0.6, (tpc.index, y, z)
