"""Sites as numbers, against dictionaries."""

import itertools

import numpy as np
import pytest

from larmlreco.sites import SiteBox, match_sites, rows_of


def test_rows_are_the_first_with_the_wanted_number() -> None:
    random = np.random.default_rng(1)
    for n, k in ((40, 30), (0, 5), (5, 0), (1, 1)):
        keys, wanted = random.integers(-20, 20, n), random.integers(-25, 25, k)
        first: dict[int, int] = {}
        for row, key in enumerate(keys.tolist()):
            first.setdefault(key, row)
        found = rows_of(wanted, keys)
        assert found.dtype == np.int64
        assert found.tolist() == [first.get(key, -1) for key in wanted.tolist()]


def test_matching_against_dictionaries() -> None:
    random = np.random.default_rng(3)
    for dimension, (n, k) in itertools.product((2, 3), ((40, 30), (0, 5), (5, 0))):
        wanted = random.integers(-4, 4, (n, dimension))
        sites = random.integers(-4, 4, (k, dimension)).astype(np.int32)
        first: dict[tuple[int, ...], int] = {}
        for row, site in enumerate(sites.tolist()):
            first.setdefault(tuple(site), row)
        assert match_sites(wanted, sites).tolist() == [first.get(tuple(site), -1) for site in wanted.tolist()]


def test_a_box_numbers_its_sites_in_their_order() -> None:
    sites = np.array([[5, -3, 2], [4, 0, 2], [4, 0, 1]], np.int32)
    box = SiteBox.around(sites, np.zeros((0, 3), np.int64), margin=1)
    everything = np.array(list(itertools.product(range(3, 7), range(-4, 2), range(4))))
    assert box.keys(everything).tolist() == list(range(len(everything)))
    assert box.sites(box.keys(sites)).tolist() == sites.tolist()
    assert box.holds(np.array([[3, -4, 0], [6, 1, 3], [7, 0, 1], [4, -5, 1]])).tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match="invalid"):
        box.keys(np.array([[7, 0, 1]]))
    with pytest.raises(ValueError, match="at least one"):
        SiteBox.around(np.zeros((0, 3), np.int64))
