"""Candidates in dead regions by their definition."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from larmlreco.reco.dead import DeadAnywhere, DeadBoxes, DeadWires
from larmlreco.reco.infill import (
    CandidateSettings,
    FoundCandidates,
    infill_features,
    plane_candidates,
    voxel_candidates,
)
from larmlreco.reco.infill_crossings import CROSSING_FEATURES

ALONE = CandidateSettings(reach=0, partners=0, extension=0, halo=2)


def slab(axis: int, first: int, last: int) -> DeadBoxes:
    low, high = np.full((1, 3), -1000), np.full((1, 3), 1000)
    low[0, axis], high[0, axis] = first, last
    return DeadBoxes(low, high)


def as_set(sites: Any) -> set[tuple[int, ...]]:
    return {tuple(site) for site in np.asarray(sites).tolist()}


@pytest.mark.parametrize("seed", range(4))
def test_the_halo_is_all_dead_sites_near_charge_at_a_border(seed: int) -> None:
    random = np.random.default_rng(seed)
    coords = np.unique(random.integers(0, 30, (60, 2)), axis=0)
    dead = np.zeros(30, dtype=bool)
    dead[random.integers(0, 30, 8)] = True
    coords = coords[~dead[coords[:, 0]]]
    found = plane_candidates(coords, dead, ALONE)
    expected = set()
    for w, r in coords.tolist():
        if any(0 <= w + s < 30 and dead[w + s] for s in (-2, -1, 1, 2)):
            for dw, dr in product(range(-2, 3), repeat=2):
                if 0 <= w + dw < 30 and dead[w + dw]:
                    expected.add((w + dw, r + dr))
    assert as_set(found.sites) == expected
    assert not found.limited


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 3, 10])
def test_a_straight_track_is_covered_through_a_slab(axis: int, width: int) -> None:
    random = np.random.default_rng(width)
    for _ in range(5):
        step = random.normal(size=3)
        step[axis] = np.sign(step[axis]) * max(abs(step[axis]), 0.5 * np.abs(step).max())
        path = np.unique(
            np.rint(200 + np.arange(-60, 60, 0.5)[:, None] * step / np.abs(step).max()).astype(int), axis=0
        )
        dead = slab(axis, 200, 199 + width)
        hidden = dead.contains(path)
        found = voxel_candidates(path[~hidden], dead)
        assert as_set(path[hidden]) <= as_set(found.sites)
        assert len(found.sites) < 120 * (width + 4)


def test_a_track_that_ends_inside_is_continued() -> None:
    path = np.column_stack([np.arange(100), np.arange(100) // 2])
    dead = np.zeros(200, dtype=bool)
    dead[80:120] = True
    found = as_set(plane_candidates(path[:80], dead, CandidateSettings(extension=10)).sites)
    assert as_set(path[80:89]) <= found
    assert max(w for w, _ in found) < 95
    assert len(as_set(plane_candidates(path[:80], dead, CandidateSettings(extension=0)).sites) & as_set(path[85:])) == 0


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_candidates_are_dead_distinct_sorted_and_not_measured(dimension: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    coords = random.integers(-40, 40, (500, dimension))
    if dimension == 3:
        dead: Any = DeadAnywhere(
            (slab(0, 3, 7), slab(2, -9, -9), DeadBoxes(np.array([[0, 0, 0]]), np.array([[9, 5, 4]])))
        )
        found = voxel_candidates(coords, dead)
        again = voxel_candidates(np.asfortranarray(random.permutation(coords)).astype(np.int32), dead)
    else:
        wires = random.random(40) < 0.3
        dead = DeadWires(wires)
        found = plane_candidates(coords, wires)
        again = plane_candidates(np.asfortranarray(random.permutation(coords)).astype(np.int32), wires)
    assert found.sites.dtype == np.int64
    assert dead.contains(found.sites).all()
    assert found.sites.tolist() == [list(site) for site in sorted(as_set(found.sites))]
    assert not as_set(found.sites) & as_set(coords)
    assert again.sites.tolist() == found.sites.tolist()


def test_the_number_of_candidates_does_not_grow_with_the_region() -> None:
    path = np.column_stack([np.arange(60)] * 3)
    counts = []
    for last in (90, 200, 5000):
        counts.append(len(voxel_candidates(path, slab(0, 60, last)).sites))
    assert counts[0] == counts[1] == counts[2] < 1000
    everything = voxel_candidates(path, slab(0, -1000, 1000))
    assert 0 < len(everything.sites) < 100 * len(path)


def test_limits_hold_and_are_told() -> None:
    random = np.random.default_rng(1)
    coords = np.unique(random.integers(0, 60, (4000, 2)), axis=0)
    dead = np.zeros(60, dtype=bool)
    dead[20:30] = True
    coords = coords[~dead[coords[:, 0]]]
    full = plane_candidates(coords, dead)
    few = plane_candidates(coords, dead, CandidateSettings(limit=50))
    assert (len(few.sites), few.limited, full.limited) == (50, True, False)
    assert as_set(few.sites) <= as_set(full.sites)
    assert set(few.sites[:, 0].tolist()) <= {20, 21, 28, 29}
    track = np.column_stack([np.arange(60), np.arange(60)])[~dead]
    whole = plane_candidates(track, dead)
    short = plane_candidates(track, dead, CandidateSettings(pair_limit=1, extension=0))
    assert (whole.limited, short.limited) == (False, True)
    assert as_set(short.sites) < as_set(whole.sites)


def test_empty_images_single_sites_and_wrong_shapes() -> None:
    dead = np.ones(10, dtype=bool)
    assert plane_candidates(np.zeros((0, 2), dtype=np.int64), dead).sites.shape == (0, 2)
    assert voxel_candidates(np.zeros((0, 3), dtype=np.int64), slab(0, 1, 2)).sites.shape == (0, 3)
    assert plane_candidates(np.array([[5, 5]]), np.zeros(10, dtype=bool)).sites.shape == (0, 2)
    one = plane_candidates(np.array([[5, 1], [5, 1]]), dead, n_rows=3).sites
    assert as_set(one) == {(w, r) for w in range(3, 8) for r in range(3)} - {(5, 1)}
    with pytest.raises(ValueError, match=r"must be integers \(N, 2\); got int64 \(1, 3\)"):
        plane_candidates(np.zeros((1, 3), dtype=np.int64), dead)
    with pytest.raises(ValueError, match=r"must be integers \(N, 3\); got float64"):
        voxel_candidates(np.zeros((1, 3)), slab(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 or more"):
        CandidateSettings(reach=-1)
    with pytest.raises(ValueError, match="value must be zero"):
        CandidateSettings(value="one")  # type: ignore[arg-type]


def test_features_say_what_is_measured() -> None:
    def some(n: int, n_lines: int = 0, n_crossings: int = 0) -> FoundCandidates:
        lines, crossings = (np.full((n, width), 0.5, dtype=np.float32) for width in (n_lines, n_crossings))
        crossings[:, -1:] = 49.5
        return FoundCandidates(np.zeros((n, 3), dtype=np.int64), False, lines, crossings)

    features = infill_features([3.0, 4.0], some(2))
    assert features.tolist() == [[3, 0], [4, 0], [0, 1], [0, 1]]
    assert features.dtype == np.float32
    assert infill_features([3.0], some(2), CandidateSettings(value="minus_one"))[1:].tolist() == [[-1, 1], [-1, 1]]
    drawn = infill_features([3.0, 4.0], some(50), CandidateSettings(value="random"), np.random.default_rng(1))
    assert set(drawn[2:, 0].tolist()) == {3.0, 4.0}
    assert infill_features([], some(1), CandidateSettings(value="random")).tolist() == [[0, 1]]
    assert infill_features([3.0], some(1, 2)).tolist() == [[3, 0, 0, 0], [0, 1, 0.5, 0.5]]
    assert CandidateSettings(lines=True).features == ("charge", "is_candidate", "across", "onward")
    scaled = infill_features([3.0], some(1, 2, 3), charge_scale=2.0)
    np.testing.assert_allclose(scaled, [[6, 0, 0, 0, 0, 0, 0], [0, 1, 0.5, 0.5, 0.5, 0.5, 2]], rtol=1e-6)
    names = CandidateSettings(lines=True, crossings=True).features
    assert names[4:] == CROSSING_FEATURES
