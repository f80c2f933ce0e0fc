import numpy as np

from larmlreco.images.tiles import tile_numbers


def test_pixels_of_one_square_share_a_number() -> None:
    column, row = np.array([0, 255, 256, 300, 0]), np.array([0, 100, 0, 255, 256])
    assert tile_numbers((column, row), 256).tolist() == [0, 0, 2, 2, 1]


def test_without_tiles_and_without_pixels() -> None:
    none = np.zeros(0, np.int32)
    assert tile_numbers((np.array([5, 900]), np.array([7, 2])), 0).tolist() == [0, 0]
    assert tile_numbers((none, none), 16).shape == (0,)


def test_negative_coordinates_have_tiles_of_their_own() -> None:
    assert len(set(tile_numbers((np.array([-1, 0]),), 4).tolist())) == 2
