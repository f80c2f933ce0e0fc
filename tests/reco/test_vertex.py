"""Vertices that stand and that fall, by the definition."""

import numpy as np
import pytest

from larmlreco.geometry import crossing, detector
from larmlreco.products import Pixels
from larmlreco.reco.candidates import PlanePixels, plane_pixels
from larmlreco.reco.vertex import best_points, plane_agreement, track_ends, vertex_score

UBOONE = detector("microboone")
ROW = 300
X = float(UBOONE.tick_to_x((ROW + 0.5) * 6 - 0.5))


def planes_of(places: np.ndarray, dead: tuple[int, ...] = ()) -> tuple[list[PlanePixels], list[np.ndarray]]:
    """Pixels of points (y, z) in one row, one pixel a point; and the point of each pixel."""
    planes, owners = [], []
    for readout, plane in zip(UBOONE.readout_planes, UBOONE.planes, strict=True):
        wire = plane.nearest_wire(places[:, 0], places[:, 1])
        column, first = np.unique(wire, return_index=True)
        alive = ~np.isin(plane.channels[column], dead)
        column, first = column[alive], first[alive]
        n = len(column)
        pixels = Pixels.from_columns(
            {"tpc": np.zeros(n), "plane": np.zeros(n), "column": column, "row": np.full(n, ROW), "adc": np.ones(n)}
        )
        planes.append(plane_pixels(pixels, readout, UBOONE, 0, np.array(dead, dtype=np.int64)))
        owners.append(first)
    return planes, owners


def in_space(places: np.ndarray) -> np.ndarray:
    return np.column_stack([np.full(len(places), X), places])


def share(vertex: tuple[float, float], places: np.ndarray, dead: tuple[int, ...] = ()) -> np.ndarray:
    planes, owners = planes_of(places, dead)
    return plane_agreement(in_space(np.array([vertex])), planes, in_space(places), owners, UBOONE, 6, 2.0, 6.0)


def test_a_vertex_with_its_points_around_it_stands() -> None:
    places = np.array([[10.0, 500.0], [10.5, 500.5], [9.6, 499.3]])
    found = share((10.0, 500.0), places)
    assert found.tolist() == [[1, 1, 1]]
    assert vertex_score(found).tolist() == [1]


def test_tracks_that_cross_on_two_planes_only_make_a_false_vertex() -> None:
    """Charge on the vertex' U wire and on its V wire, far from it in space; the collection plane shows nothing."""
    u, v, y = UBOONE.planes
    vertex = (10.0, 500.0)
    on_u = crossing(u, u.nearest_wire(*vertex), y, 1900)
    on_v = crossing(v, v.nearest_wire(*vertex), y, 1400)
    places = np.array([[float(on_u[0]), float(on_u[1])], [float(on_v[0]), float(on_v[1])]])
    found = share(vertex, places)
    assert found.tolist() == [[0, 0, 0]]
    assert vertex_score(found).tolist() == [0]


def test_part_of_the_charge_belongs_elsewhere() -> None:
    """Two of three pixels of the collection plane near the projection have their points far away in y."""
    z = float(UBOONE.planes[2].position(1666))
    places = np.array([[10.0, z], [90.0, z + 0.3], [90.0, z - 0.3]])
    found = share((10.0, z), places)
    assert found[0, 2] == pytest.approx(1 / 3)
    assert vertex_score(found)[0] == pytest.approx(1 / 3)


def test_a_dead_plane_has_no_say_and_two_dead_ones_leave_no_vertex() -> None:
    vertex, places = (10.0, 500.0), np.array([[10.0, 500.0]])
    wires = [int(plane.nearest_wire(*vertex)) for plane in UBOONE.planes]
    dead = [plane.channels[w - 10 : w + 11].tolist() for plane, w in zip(UBOONE.planes, wires, strict=True)]
    one = share(vertex, places, tuple(dead[2]))
    assert np.isnan(one[0, 2])
    assert vertex_score(one).tolist() == [1]
    assert vertex_score(share(vertex, places, (*dead[0], *dead[2]))).tolist() == [0]


def test_no_vertices_no_points() -> None:
    none = np.zeros((0, 2))
    planes, owners = planes_of(none)
    assert plane_agreement(np.zeros((0, 3)), planes, in_space(none), owners, UBOONE, 6, 2.0, 6.0).shape == (0, 3)
    assert vertex_score(np.zeros((0, 3))).tolist() == []
    assert share((10.0, 500.0), none).tolist() == [[0, 0, 0]]
    assert track_ends(np.zeros((0, 3)), 5).shape == (0, 3)


def test_ends_of_tracks() -> None:
    line = np.linspace([0.0, 0.0, 0.0], [10.0, 20.0, 30.0], 60)
    short = np.linspace([50.0, 0.0, 0.0], [50.0, 0.0, 2.0], 6)
    ends = track_ends(np.concatenate([line, short]), 30)
    assert sorted(ends.tolist()) == [[0, 0, 0], [10, 20, 30]]


def test_the_best_point_of_a_pixel() -> None:
    assert best_points(np.array([2, 0, 2, -1, 0]), np.array([0.5, 0.9, 0.7, 1.0, 0.9]), 4).tolist() == [1, -1, 2, -1]
    assert best_points(np.zeros(0, np.int64), np.zeros(0), 2).tolist() == [-1, -1]
