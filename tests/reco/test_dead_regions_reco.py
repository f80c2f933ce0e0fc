"""Dead regions against loops over sites."""

import numpy as np
import pytest

from larmlreco.errors import InputError
from larmlreco.geometry import detector
from larmlreco.reco.dead import DeadBoxes, DeadVoxelFinder, dead_boxes, dead_voxels, gap_widths

UBOONE = detector("microboone")


@pytest.mark.parametrize("seed", range(3))
def test_widths_are_those_of_runs_along_the_axes(seed: int) -> None:
    random = np.random.default_rng(seed)
    low = random.integers(0, 12, (3, 3))
    boxes = DeadBoxes(low, low + random.integers(0, 6, (3, 3)))
    sites = random.integers(0, 18, (60, 3))

    def dead(site: tuple[int, ...]) -> bool:
        return any(
            all(a <= s <= b for a, s, b in zip(x, site, y, strict=True))
            for x, y in zip(boxes.low, boxes.high, strict=True)
        )

    expected = []
    for site in sites.tolist():
        runs = []
        for axis in range(3):
            run = 0
            for sign in (-1, 1):
                at = list(site)
                while dead(tuple(at)):
                    run += 1
                    at[axis] += sign
            runs.append(max(run - 1, 0))
        expected.append(min(runs))
    assert gap_widths(sites, boxes).tolist() == expected
    assert (gap_widths(sites, DeadBoxes(np.array([[-99, -99, -99]]), np.array([[99, 99, 99]])), most=7) == 7).all()


def test_boxes_in_cm_hold_the_voxels_whose_middle_they_hold() -> None:
    boxes = dead_boxes([[0.0, 0.3, -3.0]], [[0.3, 0.75, 3.0]], [0.0, 0.0, -1.5], 0.3)
    assert (boxes.low.tolist(), boxes.high.tolist()) == ([[0, 1, -5]], [[0, 2, 14]])
    assert dead_boxes([], [], [0, 0, 0], 0.3).contains(np.zeros((2, 3), dtype=np.int64)).tolist() == [False, False]


@pytest.mark.parametrize("min_planes", [1, 2, 3])
def test_voxels_are_dead_that_too_few_planes_see(min_planes: int) -> None:
    random = np.random.default_rng(3)
    channels = random.choice(UBOONE.n_channels, 2500, replace=False)
    origin, pitch = np.array([0.0, -116.25, 0.0]), 0.9
    found = dead_voxels(UBOONE, channels, origin, pitch, min_planes)
    index = np.column_stack([random.integers(-1, n, 200) for n in (290, 262, 1156)])
    dead = set(channels.tolist())
    active = UBOONE.tpcs[0].active
    assert active is not None
    for site, said in zip(index.tolist(), found.contains(index), strict=True):
        x, y, z = origin + (np.array(site) + 0.5) * pitch
        if not all(a < p < b for (a, b), p in zip(active, (x, y, z), strict=True)):
            assert not said
            continue
        seen = 0
        for plane in UBOONE.planes:
            wire = int(plane.nearest_wire(y, z))
            seen += wire >= 0 and int(plane.channels[wire]) not in dead
        assert said == (seen < min_planes)


def test_voxels_of_a_detector_with_several_tpcs() -> None:
    mine = detector("sbnd")
    channels = np.concatenate([plane.channels for plane in mine.tpcs[1].planes[:2]])
    active = [tpc.active for tpc in mine.tpcs]
    assert active[0] is not None
    assert active[1] is not None
    origin = np.minimum(active[0][:, 0], active[1][:, 0])
    found = dead_voxels(mine, channels, origin, 1.0)
    for tpc, expected in ((0, False), (1, True)):
        box = active[tpc]
        assert box is not None
        index = np.floor((box.mean(axis=1) - origin) / 1.0).astype(np.int64)[np.newaxis]
        assert found.contains(index).tolist() == [expected]


def test_voxels_of_one_tpc_are_dead_whatever_their_x() -> None:
    channels = np.concatenate([plane.channels[100:140] for plane in UBOONE.planes])
    origin = np.array([-50.0, -116.25, 0.0])
    found, given = dead_voxels(UBOONE, channels, origin, 0.9), dead_voxels(UBOONE, channels, origin, 0.9, tpc=0)
    index = np.stack(np.meshgrid(np.arange(60, 300, 40), np.arange(0, 250, 5), np.arange(0, 300, 5)), -1).reshape(-1, 3)
    assert found.contains(index).any()
    np.testing.assert_array_equal(given.contains(index), found.contains(index))
    for shift in (-500, 900):
        np.testing.assert_array_equal(given.contains(index + np.array([shift, 0, 0])), found.contains(index))
        assert not found.contains(index + np.array([shift, 0, 0])).any()
    with pytest.raises(InputError, match="microboone has the TPCs 0 to 0; the voxels are of TPC 2"):
        dead_voxels(UBOONE, channels, origin, 0.9, tpc=2)


def test_boxes_and_channels_together() -> None:
    box = [[0.0, 0.0, 0.0], [3.0, 3.0, 3.0]]
    channels = np.concatenate([plane.channels for plane in UBOONE.planes[:2]])
    origin, inside, outside = np.zeros(3), np.array([[1, 1, 1]]), np.array([[100, 100, 100]])
    alone = DeadVoxelFinder([box], None, 2)
    assert alone.find(channels, origin, 0.3).contains(np.concatenate([inside, outside])).tolist() == [True, False]
    more = alone.find(channels, origin, 0.3, [[[29.0] * 3, [31.0] * 3]])
    assert more.contains(outside).all()
    finder = DeadVoxelFinder([], UBOONE, 2)
    none = np.zeros(0, dtype=np.int64)
    for dead, expected in ((channels, True), (none, False), (channels, True)):
        assert finder.find(dead, origin, 0.3).contains(outside).tolist() == [expected]
