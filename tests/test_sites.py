"""Sites as numbers and rows, against dictionaries; pieces against scipy and scikit-learn."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from larmlreco.sites import SiteBox, connected_pieces, match_sites, rows_of


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
    far = np.array([[-(2**30), 0, 0], [2**30, 2**21, 2**21]])
    with pytest.raises(ValueError, match=r"sites from .* to \[1073741824, 2097152, 2097152\] are too far apart"):
        SiteBox.around(far)


def test_pieces_are_those_of_an_image_with_26_neighbours() -> None:
    random = np.random.default_rng(4)
    image = random.random((20, 20, 20)) < 0.08
    voxels = random.permutation(np.argwhere(image))
    expected, n = ndimage.label(image, np.ones((3, 3, 3)))
    found = connected_pieces(voxels)
    assert found.max() + 1 == n
    assert len(np.unique(np.column_stack([found, expected[tuple(voxels.T)]]), axis=0)) == n


@pytest.mark.parametrize("seed", [1, 2])
def test_pieces_of_pixels_are_those_of_dbscan_with_one_of_them(seed: int) -> None:
    from sklearn.cluster import DBSCAN

    sites = np.random.default_rng(seed).integers(0, 25, (120, 2))
    wanted = DBSCAN(eps=1.99, min_samples=1).fit_predict(sites)
    assert connected_pieces(sites).tolist() == wanted.tolist()


def test_pieces_connect_by_corners_within_a_group() -> None:
    line = np.column_stack([np.arange(6), np.zeros(6, int), np.zeros(6, int)])
    assert connected_pieces(line, np.array([1, 1, 0, -1, 0, 0])).tolist() == [0, 0, 1, -1, 2, 2]
    assert connected_pieces(line[[0, 0, 1]]).tolist() == [0, 0, 0]
    assert connected_pieces(line[[0, 0, 1]], np.array([0, 1, 1])).tolist() == [0, 1, 1]
    assert connected_pieces(line[:0]).tolist() == []
    index = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 3], [0, 0, 11], [0, 1, 0], [5, 5, 5], [6, 6, 6]])
    assert connected_pieces(index, np.array([0, 0, 0, 0, 0, 1, 2])).tolist() == [0, 0, 1, 2, 0, 3, 4]
    assert connected_pieces(np.array([[-3, -3, -3], [-2, -2, -2]]), np.array([4, 4])).tolist() == [0, 0]
