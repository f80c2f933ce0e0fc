"""Random dead regions against their definition, site by site."""

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.train.dead_regions import Boxes, RandomRegions, RegionSettings, Slabs, random_regions


def grid(n: int, dimension: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n)] * dimension, indexing="ij"), -1).reshape(-1, dimension)


def test_widths_of_slabs_and_boxes_site_by_site():
    tilt = np.array([np.cos(0.5), np.sin(0.5), 0.0])
    regions = RandomRegions(
        Slabs(np.array([[1.0, 0.0, 0.0], tilt]), np.array([3.0, 8.0]), np.array([2.0, 5.0])),
        Boxes(np.array([[0, 0, 0], [4, 4, 4]]), np.array([[2, 3, 9], [6, 4, 5]])),
    )
    sites = grid(12, 3)
    for site, width in zip(sites.tolist(), regions.widths(sites).tolist(), strict=True):
        x, y, z = site
        holding = [0.0]
        holding += [2.0] * (3 <= x < 5)
        holding += [5.0] * bool(0 <= np.cos(0.5) * x + np.sin(0.5) * y - 8 < 5)
        holding += [2.0] * (x < 2 and y < 3 and z < 9)
        holding += [4.0] * (4 <= x < 10 and 4 <= y < 8 and 4 <= z < 9)
        assert width == max(holding), site
    assert np.array_equal(regions.contains(sites), regions.widths(sites) > 0)
    assert regions.contains(np.zeros((0, 3), np.int64)).shape == (0,)


def test_regions_of_planes_are_blocks_of_wires():
    random = np.random.default_rng(1)
    coords = random.integers(100, 200, (50, 2))
    for _ in range(50):
        regions = random_regions(coords, RegionSettings(2, 5, 30), random)
        plane = grid(60, 2) * [4, 40] + [60, 0]
        dead = regions.contains(plane)
        for wire in np.unique(plane[:, 0]):
            assert len(set(dead[plane[:, 0] == wire])) == 1
        assert regions.contains(coords).any()


def test_every_region_holds_a_site_and_widths_are_those_asked_for():
    random = np.random.default_rng(2)
    coords = random.integers(0, 300, (40, 3))
    widths, slabs, tilted, boxes = [], 0, 0, 0
    for _ in range(300):
        regions = random_regions(coords, RegionSettings(1, 1, 12), random)
        assert regions.contains(coords).any()
        widths.append(float(regions.widths(coords).max()))
        boxes += len(regions.boxes.low)
        straight = (np.abs(regions.slabs.normal) == 1).any(axis=1)
        slabs, tilted = slabs + int(straight.sum()), tilted + int((~straight).sum())
    counts = np.bincount(np.array(widths, int), minlength=13)
    assert counts[0] == 0
    assert len(counts) == 13
    # w has the probability 1/w over the sum of those of 1 to 12: 32 % for 1, 2.7 % for 12
    assert counts[1] / 300 == pytest.approx(0.322, abs=0.1)
    assert counts[7:].sum() / 300 == pytest.approx(0.21, abs=0.09)
    assert min(slabs, tilted, boxes) > 60
    assert slabs + tilted + boxes == 300


def test_regions_follow_from_the_generator():
    coords = np.random.default_rng(0).integers(0, 50, (20, 3))
    first, second = (random_regions(coords, RegionSettings(), np.random.default_rng(5)) for _ in range(2))
    sites = grid(50, 3)
    assert np.array_equal(first.widths(sites), second.widths(sites))


@pytest.mark.parametrize("settings", [{"least": 0}, {"most_width": 0}, {"least": 4, "most": 3}])
def test_settings_that_do_not_fit(settings):
    with pytest.raises(ConfigurationError, match="dead regions: least and most_width must be at least 1"):
        RegionSettings(**settings)
