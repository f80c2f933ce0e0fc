"""Parts of images that are taken away on purpose."""

import numpy as np
import pytest
from larmlreco.modules.ChannelMask_module import ChannelMask
from larmlreco.modules.RegionMask_module import RegionMask

from larmlreco.errors import ConfigurationError
from larmlreco.framework.testing import ModuleHarness
from larmlreco.geometry import detector
from larmlreco.images.mask import random_runs, random_slabs, rows_of
from larmlreco.products import Assns, ChannelStatus, DeadRegions, Pixels, Voxels

UBOONE = detector("microboone")
COLLECTION_FIRST = 4800


def runs_of(flags: np.ndarray) -> list[tuple[int, int]]:
    """First column and length of every run of flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_runs_have_the_widths_asked_for_and_touch_nothing_dead(seed: int) -> None:
    random = np.random.default_rng(seed)
    alive = random.random(800) > 0.02
    masked = random_runs(alive, 0.1, (2, 7), random)
    runs = runs_of(masked)
    assert {length for _, length in runs} <= set(range(2, 8))
    assert all(alive[first - 1 : first + length + 1].all() for first, length in runs)
    assert 0.1 * alive.sum() <= masked.sum() < 0.1 * alive.sum() + 7


@pytest.mark.parametrize(("n", "fraction", "widths"), [(0, 0.5, (1, 2)), (5, 0.5, (9, 9)), (30, 1.0, (3, 3))])
def test_runs_that_do_not_fit_are_left_out(n: int, fraction: float, widths: tuple[int, int]) -> None:
    masked = random_runs(np.ones(n, dtype=bool), fraction, widths, np.random.default_rng(1))
    assert len(masked) == n
    assert all(length == widths[0] for _, length in runs_of(masked))
    assert random_runs(np.zeros(n, dtype=bool), fraction, widths, np.random.default_rng(1)).sum() == 0


def test_slabs_cross_the_box_of_the_voxels() -> None:
    index = np.random.default_rng(1).integers(0, [20, 40, 60], (50, 3))
    low, high = random_slabs(index, 200, (2, 5), np.random.default_rng(2))
    length = high - low + 1
    for first, last, width in zip(low, high, length, strict=True):
        axis = int(np.argmin(width))
        assert 2 <= width[axis] <= 5
        assert index[:, axis].min() <= first[axis] <= index[:, axis].max()
        others = [a for a in range(3) if a != axis]
        assert (first[others] < index[:, others].min(axis=0)).all()
        assert (last[others] > index[:, others].max(axis=0)).all()
    assert len({int(np.argmin(width)) for width in length}) == 3
    assert random_slabs(index[:0], 3, (2, 5), np.random.default_rng(2))[0].shape == (0, 3)


def plane_image(columns: np.ndarray) -> Pixels:
    n = len(columns)
    meta = {"tpc": 0, "plane": 2, "view": "Y", "n_rows": 1008, "rebin": 6, "threshold": 10.0}
    values = {"tpc": np.zeros(n), "plane": np.full(n, 2), "column": columns, "row": np.arange(n) % 9, "adc": columns}
    return Pixels.from_columns(values, meta)


def test_rows_of_an_image_keep_meta_and_origin() -> None:
    pixels = plane_image(np.arange(5))
    some = rows_of(pixels, np.array([3, 1]))
    assert (some.column.tolist(), some.adc.tolist(), some.meta) == ([3, 1], [3.0, 1.0], pixels.meta)


def test_masked_channels_are_dead_and_the_image_stays() -> None:
    pixels = plane_image(np.arange(3456))
    dead = COLLECTION_FIRST + np.arange(100, 110)
    status = ChannelStatus.from_columns({"channel": dead, "status": np.ones(10)})
    tested = ModuleHarness(
        ChannelMask,
        {"detector": "microboone", "planes": ["Y"], "channel_status": "chstatus", "channels": [4800], "fraction": 0.05},
    )
    event = tested.process({"images:Y": pixels, "chstatus": status})
    kept, links = event.get(Pixels, "Y"), event.get(Assns, "Y")
    both, masked = event.get(ChannelStatus), event.get(ChannelStatus, "masked")
    masked_channels = set(masked.channel[masked.status == 1].tolist())
    assert 4800 in masked_channels
    assert masked_channels & set(dead.tolist()) == set()
    assert set(both.channel[both.status == 1].tolist()) >= masked_channels | set(dead.tolist())
    assert set((4800 + kept.column).tolist()) == set(range(4800, 8256)) - masked_channels
    assert (pixels.column[links.right] == kept.column[links.left]).all()
    again = tested.process({"images:Y": pixels, "chstatus": status})
    assert again.get(Pixels, "Y").column.tolist() == kept.column.tolist()
    other = tested.process({"images:Y": pixels, "chstatus": status}, id="1:1:2")
    assert other.get(Pixels, "Y").column.tolist() != kept.column.tolist()
    assert len(tested.process({"images:Y": plane_image(np.zeros(0, dtype=int))}).get(Pixels, "Y")) == 0
    with pytest.raises(ConfigurationError, match="nothing is masked"):
        ModuleHarness(ChannelMask, {"detector": "microboone", "fraction": 0.0})


def test_masked_regions_hold_no_voxel() -> None:
    random = np.random.default_rng(1)
    x, y, z = np.unique(random.integers(0, 40, (400, 3)), axis=0).T
    columns = {"x": x, "y": y, "z": z, "energy": np.ones(len(x)), "pitch": [0.3]}
    voxels = Voxels.from_columns(columns | {f"origin_{axis}": [-5.0] for axis in "xyz"})
    tested = ModuleHarness(RegionMask, {"slabs": 2, "widths": [3, 3], "boxes": [[-5, -5, -5, -2, -2, -2]]})
    event = tested.process({"voxels": voxels})
    kept, regions, links = event.get(Voxels), event.get(DeadRegions), event.get(Assns)
    assert len(regions) == 3
    expected = []
    for row in range(len(voxels)):
        middle = -5.0 + (np.array([x[row], y[row], z[row]]) + 0.5) * 0.3
        if not any(
            all(low <= m <= high for low, m, high in zip(a, middle, b, strict=True))
            for a, b in zip(regions.low, regions.high, strict=True)
        ):
            expected.append(row)
    assert links.right.tolist() == expected
    assert kept.x.tolist() == x[expected].tolist()
    assert 0 < len(expected) < len(voxels)
    empty = tested.process({"voxels": Voxels.empty()})
    assert (len(empty.get(Voxels)), len(empty.get(DeadRegions))) == (0, 1)
    with pytest.raises(ConfigurationError, match="nothing is masked"):
        ModuleHarness(RegionMask, {"slabs": 0})
