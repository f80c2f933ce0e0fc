"""Lines through dead regions against lengths that are known, and against tracks that were hidden."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from larmlreco.reco.dead import DeadBoxes
from larmlreco.reco.infill import CandidateSettings, FoundCandidates, plane_candidates, voxel_candidates

LINES = CandidateSettings(lines=True, reach=80, extension=20)


def slab(first: int, last: int) -> DeadBoxes:
    return DeadBoxes(np.array([[first, -1000, -1000]]), np.array([[last, 1000, 1000]]))


def pieces(point: npt.ArrayLike, direction: npt.ArrayLike, reach: float = 40.0) -> dict[tuple[int, ...], float]:
    """Length of a line in every site that it crosses, by small steps."""
    along = np.asarray(direction, dtype=np.float64)
    places = np.asarray(point) + np.arange(-reach, reach, 1e-3)[:, np.newaxis] * along / np.linalg.norm(along)
    sites, count = np.unique(np.floor(places + 0.5).astype(int), axis=0, return_counts=True)
    return {tuple(site): n * 1e-3 for site, n in zip(sites.tolist(), count.tolist(), strict=True)}


def by_site(found: FoundCandidates) -> dict[tuple[int, ...], list[float]]:
    return {tuple(site): lines for site, lines in zip(found.sites.tolist(), found.lines.tolist(), strict=True)}


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_line_through_the_middles_of_sites_is_met_exactly(dimension: int) -> None:
    path = np.repeat(np.arange(60)[:, np.newaxis], dimension, axis=1)
    hidden = (path[:, 0] >= 30) & (path[:, 0] < 34)
    found: Any
    if dimension == 2:
        found = plane_candidates(path[~hidden], np.isin(np.arange(60), path[hidden, 0]), LINES)
    else:
        found = voxel_candidates(path[~hidden], slab(30, 33), LINES)
    assert found.lines.shape == (len(found.sites), 2)
    for site, lines in by_site(found).items():
        expected = np.sqrt(dimension) if len(set(site)) == 1 else 0.0
        assert lines == pytest.approx([expected, expected], abs=1e-5)


@pytest.mark.parametrize("width", [1, 4, 10])
def test_hidden_pieces_of_straight_tracks_are_told(width: int) -> None:
    random = np.random.default_rng(width)
    right, of_found, missed = 0, 0, 0
    for _ in range(12):
        direction = random.normal(size=3)
        direction[0] = np.copysign(max(abs(direction[0]), np.abs(direction).max() / 2), direction[0])
        track = pieces(random.uniform(50, 51, 3), direction)
        coords = np.array(list(track))
        hidden = (coords[:, 0] >= 48) & (coords[:, 0] < 48 + width)
        found = by_site(voxel_candidates(random.permutation(coords[~hidden]), slab(48, 47 + width), LINES))
        for column in (0, 1):
            near = {tuple(c + s) for c in coords[hidden] for s in np.ndindex(3, 3, 3)}
            assert all(tuple(np.add(site, 1)) in near for site, lines in found.items() if lines[column] > 0.5)
        taken = {site for site, lines in found.items() if lines[0] > 0.3}
        long = {site for site in map(tuple, coords[hidden].tolist()) if track[site] > 0.3}
        right += len(taken & set(map(tuple, coords[hidden].tolist())))
        of_found += len(taken)
        missed += len(long - taken)
    assert right > 0.9 * of_found > 0
    assert missed < 0.2 * of_found


def test_what_ends_inside_goes_on_and_is_not_across() -> None:
    path = np.column_stack([np.arange(50), np.arange(50) // 2, np.full(50, 7)])
    found = by_site(voxel_candidates(path, slab(50, 90), LINES))
    ahead = [site for site, lines in found.items() if lines[1] > 0.5]
    assert {x for x, _, _ in ahead} >= set(range(50, 65))
    assert all(abs(y - x / 2) <= 2 and abs(z - 7) <= 1 for x, y, z in ahead)
    assert not any(lines[0] for lines in found.values())


def test_the_order_of_sites_does_not_matter_and_few_sites_make_no_line() -> None:
    random = np.random.default_rng(5)
    coords = np.unique(random.integers(0, 40, (900, 3)), axis=0)
    coords = coords[(coords[:, 0] < 18) | (coords[:, 0] > 21)]
    found = voxel_candidates(coords, slab(18, 21), LINES)
    again = voxel_candidates(np.asfortranarray(random.permutation(coords)).astype(np.int32), slab(18, 21), LINES)
    assert again.sites.tolist() == found.sites.tolist()
    np.testing.assert_allclose(again.lines, found.lines, atol=1e-6)
    assert np.isfinite(found.lines).all()
    one = voxel_candidates(np.array([[17, 5, 5], [17, 5, 5]]), slab(18, 21), LINES)
    assert len(one.sites)
    assert not one.lines.any()
    none = voxel_candidates(np.zeros((0, 3), dtype=np.int64), slab(18, 21), LINES)
    assert none.lines.shape == (0, 2)
    plain = voxel_candidates(coords, slab(18, 21))
    assert plain.lines.shape == (len(plain.sites), 0)
