"""Places that planes share, shifts between them, and scores of candidates from shifts, by geometry and by formula."""

import numpy as np
import pytest

from larmlreco.geometry import WirePlane, crossing, detector
from larmlreco.products import Pixels
from larmlreco.reco.candidates import PlanePixels, find_candidates, plane_pixels
from larmlreco.reco.shifts import (
    REACH,
    Said,
    frame_of,
    place_z,
    said_of_pixels,
    shift_between,
    shift_input,
    shift_scores,
    shifted_wires,
    wire_places,
)

UBOONE = detector("microboone")


def planes_with(places: list[list[tuple[int, int]]], dead: tuple[int, ...] = ()) -> list[PlanePixels]:
    out = []
    for of, readout in zip(places, UBOONE.readout_planes, strict=True):
        column, row = np.array(of, dtype=np.int32).reshape(-1, 2).T
        zero = np.zeros(len(of))
        pixels = Pixels.from_columns({"tpc": zero, "plane": zero, "column": column, "row": row, "adc": 50.0 + zero})
        out.append(plane_pixels(pixels, readout, UBOONE, 0, np.array(dead, dtype=np.int64)))
    return out


@pytest.mark.parametrize(("name", "tpc"), [("microboone", 0), ("sbnd", 0), ("sbnd", 1), ("protodunehd", 2)])
def test_a_shift_is_a_height_and_leads_to_the_partner(name: str, tpc: int) -> None:
    """Wires of two planes that cross inside: the shift from one leads to the other and says how high they cross."""
    planes = detector(name).tpcs[tpc].planes
    frame = frame_of(planes)
    random = np.random.default_rng(1)
    for source in planes:
        for target in planes:
            if source is target:
                continue
            left, right = (random.integers(0, plane.n_wires, 4000) for plane in (source, target))
            y, z, inside = crossing(source, left, target, right)
            left, right, y, z = left[inside], right[inside], y[inside], z[inside]
            assert len(left) > 50
            at = z - (y - frame.middle) * frame.slopes[source.plane]
            shift = shift_between(at, target, right, frame)
            height = shift / frame.shift_per_height(source.plane, target.plane)
            assert height == pytest.approx(y - frame.middle, abs=1e-6)
            if not target.wrapped and len(target.sections) == 1:
                assert shifted_wires(at, shift, target, frame) == pytest.approx(right, abs=1e-6)


def test_wires_fill_the_places_once() -> None:
    """Each wire of the collection plane has one place, and those of the others share all places among them."""
    frame = frame_of(UBOONE.planes)
    last = UBOONE.planes[-1]
    assert wire_places(last, np.arange(last.n_wires), frame).tolist() == list(range(last.n_wires))
    z = place_z(np.arange(last.n_wires), frame)
    assert np.abs(last.wire_coordinate(frame.middle, z) - np.arange(last.n_wires)).max() < 0.5
    for number in (0, 1):
        pixels: list[list[tuple[int, int]]] = [[], [], []]
        pixels[number] = [(wire, 3) for wire in range(UBOONE.planes[number].n_wires)]
        rows = shift_input(planes_with(pixels), frame)
        places = np.sort(rows.coords[:, 1])
        assert np.array_equal(places, np.arange(places[0], places[-1] + 1))
        assert set(np.bincount(rows.entry)) == {2}


def test_planes_without_places_are_refused() -> None:
    with pytest.raises(ValueError, match="run along the beam"):
        frame_of(detector("icarus").tpcs[0].planes)
    u, v, _ = UBOONE.planes
    with pytest.raises(ValueError, match="parallel wires"):
        frame_of([u, v, u])


def test_empty_planes_give_no_rows() -> None:
    planes = planes_with([[], [], []])
    frame = frame_of(UBOONE.planes)
    rows = shift_input(planes, frame)
    assert rows.coords.shape == (0, 3)
    said = said_of_pixels(rows, planes, frame, {"flow_Y2U": [], "matchable_Y2U": []}, "UVY")
    assert said[2].wire.shape == (0, 3)
    assert shift_scores(find_candidates(planes), said, 1.0).shape == (0,)


def test_what_is_said_of_a_pixel_is_the_mean_over_its_rows() -> None:
    planes = planes_with([[(900, 5)], [], [(1000, 5)]])
    frame = frame_of(UBOONE.planes)
    rows = shift_input(planes, frame)
    n = len(rows.plane)
    assert n == 3
    shift = np.array([4.0, 8.0, 1.0])
    seen = np.array([0.2, 0.6, 0.9])
    said = said_of_pixels(rows, planes, frame, {"flow_U2Y": shift, "matchable_U2Y": seen}, "UVY")
    assert list(said) == [0]
    wires = [float(UBOONE.planes[2].wire_coordinate(frame.middle, rows.z[i] + 0.3 * shift[i])) for i in (0, 1)]
    assert said[0].wire[0, 2] == pytest.approx(np.mean(wires))
    assert said[0].matchable[0, 2] == pytest.approx(0.4)
    assert np.isnan(said[0].wire[0, :2]).all()


def wire_at(plane: WirePlane) -> int:
    return int(plane.nearest_wire(31.3, 700.4))


def test_scores_by_formula() -> None:
    """The nearer to what was said the better, the mean of the sources, nothing where no source has a pixel."""
    wires = [wire_at(plane) for plane in UBOONE.planes]
    planes = planes_with([[(w, 5)] for w in wires])
    found = find_candidates(planes)
    assert len(found) == 1
    nan = np.nan
    of_y = Said(np.array([[wires[0] + 1.0, wires[1] - 3.0, nan]]), np.array([[0.8, 0.5, nan]]))
    of_u = Said(np.array([[nan, wires[1] + 0.0, wires[2] + 0.0]]), np.array([[nan, 1.0, 0.0]]))
    from_y = 2 * REACH - 4 / 2.5 + np.log(0.8) + np.log(0.5)
    from_u = 2 * REACH + np.log(0.99) + np.log(0.01)
    assert shift_scores(found, {2: of_y}, 2.5).tolist() == pytest.approx([from_y])
    assert shift_scores(found, {2: of_y, 0: of_u}, 2.5).tolist() == pytest.approx([(from_y + from_u) / 2])
    dead = planes_with([[(wires[0], 5)], [(wires[1], 5)], []], tuple(UBOONE.planes[2].channels[wires[2] - 3 :][:6]))
    pairs = find_candidates(dead)
    assert len(pairs) == 1
    assert np.isnan(shift_scores(pairs, {2: Said(np.zeros((0, 3)), np.zeros((0, 3)))}, 2.5)).all()
    unseen = shift_scores(pairs, {0: of_u}, 2.5)
    assert unseen.tolist() == pytest.approx(
        [2 * REACH - abs(pairs.wire[0, 2] - wires[2]) / 2.5 + np.log(0.99) + np.log(0.99)]
    )
