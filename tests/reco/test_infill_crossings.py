"""Crossings on dead wires: against every pair of pixels one by one, and what candidates make of them."""

import itertools

import numpy as np
import pytest

from larmlreco.geometry import crossing, detector
from larmlreco.products import Pixels
from larmlreco.reco.infill import CandidateSettings, plane_candidates, voxel_candidates
from larmlreco.reco.infill_crossings import CROSSING_FEATURES, Crossings, other_planes, plane_crossings

GEOMETRY = detector("microboone")
U, V, Y = GEOMETRY.readout_planes
MIDDLE = {"U": 1500, "V": 1500, "Y": 2328}  # wires that meet
NONE = np.zeros(0, dtype=np.int64)


def image(column, row, adc, infilled=None):
    zero = np.zeros(len(column), dtype=np.int32)
    return Pixels(
        tpc=zero,
        plane=zero,
        column=np.asarray(column),
        row=np.asarray(row),
        adc=np.asarray(adc),
        infilled=zero if infilled is None else infilled,
    )


def random_images(seed, n=60):
    random = np.random.default_rng(seed)
    out = {}
    for name, middle in MIDDLE.items():
        places = np.unique(np.column_stack([middle + random.integers(-25, 26, n), random.integers(0, 4, n)]), axis=0)
        out[name] = image(*places.T, random.uniform(10, 200, len(places)))
    return out


def pulse(charges, wire, row):
    return np.array([charges.get((wire, row + step), 0.0) for step in range(-2, 3)])


def shared(*pulses):
    return sum(map(min, zip(*pulses, strict=True))) / sum(map(max, zip(*pulses, strict=True)))


def one_by_one(images, geometry, tpc, plane, dead, tolerance=0.75):
    """By (column, row): features and whether central; every pair of pixels and every dead wire of a TPC."""
    readout = geometry.readout_planes_of(tpc)
    wires = {p.name: next(w for w in p.wire_planes if w.tpc == tpc) for p in readout}
    charges = {}
    for p in readout:
        image, channels = images[p.name], wires[p.name].channels
        charges[p.name] = {
            (int(wire), int(image.row[k])): float(image.adc[k])
            for k in range(len(image))
            for wire in np.flatnonzero(channels == p.channels[image.column[k]])
        }
    first, second = (charges[p.name] for p in readout if p is not plane)
    names = [p.name for p in readout if p is not plane]
    column = np.searchsorted(plane.channels, wires[plane.name].channels)
    pairs = []
    for one, other in itertools.product(first, second):
        if one[1] == other[1]:
            y, z, inside = crossing(wires[names[0]], one[0], wires[names[1]], other[0])
            if inside:
                pairs.append((one, other, float(wires[plane.name].wire_coordinate(y, z))))
    explained, choices = {}, {}
    for one, other, at in pairs:
        for side, pixel in enumerate((one, other)):
            choices[side, pixel] = choices.get((side, pixel), 0) + 1
        for wire in range(int(at) - 1, int(at) + 3):
            if abs(wire - at) <= tolerance and (wire, one[1]) in charges[plane.name]:
                value = shared(pulse(first, *one), pulse(second, *other), pulse(charges[plane.name], wire, one[1]))
                for side, pixel in enumerate((one, other)):
                    explained[side, pixel] = max(explained.get((side, pixel), 0.0), value)
    out = {}
    for one, other, at in pairs:
        for wire in range(max(int(at) - 1, 0), min(int(at) + 3, len(column))):
            if abs(wire - at) <= tolerance and dead[column[wire]]:
                p, q = pulse(first, *one), pulse(second, *other)
                sides = ((0, one), (1, other))
                values = (
                    float(p @ q / np.sqrt((p @ p) * (q @ q))),
                    shared(p[1:4], q[1:4]),
                    sorted(explained.get(side, 0.0) for side in sides),
                    sorted(np.log10(1 + choices[side]) for side in sides),
                    (first[one] + second[other]) / 2,
                    abs(wire - at) <= 0.5,
                )
                out.setdefault((int(column[wire]), one[1]), []).append(values)
    expected = {}
    for place, seen in out.items():
        best = max(seen, key=lambda v: (round(v[0], 6), v[4]))
        features = [best[0], max(v[1] for v in seen), np.log10(1 + len(seen)), *best[2], *best[3], best[4]]
        expected[place] = features, any(v[5] for v in seen)
    return expected


def check(found, expected):
    assert [tuple(site) for site in found.sites.tolist()] == sorted(expected, key=lambda site: site[::-1])
    wanted = [expected[tuple(site)] for site in found.sites.tolist()]
    np.testing.assert_allclose(found.features, [features for features, _ in wanted], rtol=1e-5)
    assert found.central.tolist() == [central for _, central in wanted]
    assert not found.limited


@pytest.mark.parametrize("plane", [U, V, Y])
@pytest.mark.parametrize("seed", range(3))
def test_crossings_are_those_of_every_pair_of_pixels(plane, seed):
    images = random_images(seed)
    dead = np.zeros(plane.n_columns, dtype=bool)
    dead[MIDDLE[plane.name] + np.arange(-10, 11, 2)] = True
    dead[MIDDLE[plane.name] + 3] = True
    alive = ~dead[images[plane.name].column]
    seen = images[plane.name]
    images[plane.name] = image(seen.column[alive], seen.row[alive], seen.adc[alive])
    expected = one_by_one(images, GEOMETRY, 0, plane, dead)
    assert len(expected) > 10
    check(plane_crossings(images, GEOMETRY, plane, dead, 40), expected)


def test_pixels_that_were_filled_in_do_not_cross_and_do_not_meet():
    images = random_images(5)
    dead = np.zeros(Y.n_columns, dtype=bool)
    dead[MIDDLE["Y"] - 5 : MIDDLE["Y"] + 5] = True
    before = plane_crossings(images, GEOMETRY, Y, dead, 40)
    more = {}
    for name, seen in images.items():
        extra = np.array([MIDDLE[name] + 30, MIDDLE[name] + 31])
        columns = (np.append(a, b) for a, b in ((seen.column, extra), (seen.row, [0, 1]), (seen.adc, [50.0, 60.0])))
        more[name] = image(*columns, np.append(np.zeros(len(seen), np.int32), [1, 1]))
    after = plane_crossings(more, GEOMETRY, Y, dead, 40)
    assert np.array_equal(before.sites, after.sites)
    assert np.array_equal(before.features, after.features)


def test_wires_far_from_live_ones_have_none():
    images = random_images(1)
    dead = np.zeros(Y.n_columns, dtype=bool)
    dead[MIDDLE["Y"] - 20 : MIDDLE["Y"] + 21] = True
    assert plane_crossings(images, GEOMETRY, Y, dead, 5).sites[:, 0].max() > MIDDLE["Y"] + 15
    near = np.abs(plane_crossings(images, GEOMETRY, Y, dead, 5).sites[:, 0] - MIDDLE["Y"])
    assert near.min() >= 16
    for everything in (np.ones(Y.n_columns, dtype=bool), np.zeros(Y.n_columns, dtype=bool)):
        none = plane_crossings(images, GEOMETRY, Y, everything, 40)
        assert none.sites.shape == (0, 2)
        assert none.features.shape == (0, len(CROSSING_FEATURES))
    empty = {name: image(NONE, NONE, NONE) for name in images}
    assert not len(plane_crossings(empty, GEOMETRY, Y, dead, 40).sites)


def test_neighbours_are_the_planes_that_see_the_same_charge():
    assert [p.name for p in other_planes(GEOMETRY, V)] == ["U", "Y"]
    apa = detector("protodunehd")
    assert [p.name for p in other_planes(apa, apa.readout_plane("tpc2_W"))] == ["tpc2_U", "tpc2_V"]


@pytest.mark.parametrize(("name", "tpc", "number"), [("protodunehd", 2, 0), ("protodunehd", 2, 2), ("icarus", 0, 1)])
def test_wires_that_wrap_or_are_cut_cross_where_they_are(name, tpc, number):
    geometry = detector(name)
    planes = geometry.volumes[tpc]
    random = np.random.default_rng(3)
    images = {}
    for p in planes:
        columns = np.sort(random.permutation(p.n_columns)[:80])
        images[p.name] = image(columns, random.integers(0, 2, 80), random.uniform(10, 200, 80))
    plane = planes[number]
    dead = random.random(plane.n_columns) < 0.3
    alive = ~dead[images[plane.name].column]
    seen = images[plane.name]
    images[plane.name] = image(seen.column[alive], seen.row[alive], seen.adc[alive])
    expected = one_by_one(images, geometry, tpc, plane, dead)
    assert len(expected) > 100
    check(plane_crossings(images, geometry, plane, dead, 40), expected)


def test_pixels_that_are_left_out_are_told():
    n = 700
    images = {
        "U": image(np.full(n, 1500) + np.arange(n) - 350, np.zeros(n, int), np.full(n, 50.0)),
        "V": image([1500], [0], [50.0]),
        "Y": image(NONE, NONE, NONE),
    }
    dead = np.zeros(Y.n_columns, dtype=bool)
    dead[MIDDLE["Y"]] = True
    assert plane_crossings(images, GEOMETRY, Y, dead, 40).limited
    settings = CandidateSettings(crossings=True)
    found = plane_candidates(np.array([[10, 0]]), dead, settings, 10, plane_crossings(images, GEOMETRY, Y, dead, 40))
    assert found.limited


def test_crossings_become_candidates_with_their_features():
    dead = np.zeros(50, dtype=bool)
    dead[20:24] = True
    few, more = np.full((2, 8), 0.25, np.float32), np.array([0.5, 99])
    few[0, [0, 7]] = more
    far = Crossings(np.array([[21, 400], [22, 7]]), few, np.array([True, False]))
    settings = CandidateSettings(halo=1, crossings=True)
    found = plane_candidates(np.array([[19, 6], [10, 300]]), dead, settings, 500, far)
    sites = {tuple(site): row.tolist() for site, row in zip(found.sites.tolist(), found.crossings, strict=True)}
    assert sites.pop((21, 400)) == [0.5, *[0.25] * 6, 99]
    assert (22, 7) not in sites  # it is not central, and no charge of this plane reaches it
    assert set(sites) == {(20, 5), (20, 6), (20, 7)}
    assert all(row == [0] * 8 for row in sites.values())
    outside = plane_candidates(np.array([[19, 6]]), dead, settings, 300, far)
    assert (21, 400) not in {tuple(site) for site in outside.sites.tolist()}
    alone = plane_candidates(np.zeros((0, 2), dtype=np.int64), dead, settings, 500, far)
    assert alone.sites.tolist() == [[21, 400]]
    nothing = plane_candidates(np.zeros((0, 2), dtype=np.int64), dead, settings, 500, Crossings.none())
    assert nothing.crossings.shape == (0, 8)
    with pytest.raises(ValueError, match="ask for crossings"):
        plane_candidates(np.array([[19, 6]]), dead, settings)
    with pytest.raises(ValueError, match="voxels have none"):
        voxel_candidates(np.zeros((1, 3), dtype=np.int64), None, settings)
