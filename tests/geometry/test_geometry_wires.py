"""Wire planes against the published wire positions, and against each other."""

import bz2
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.geometry import Detector, WirePlane, crossing, detector, detector_names

TOLERANCE = 0.03  # cm


def _inner(item: dict[str, Any]) -> dict[str, Any]:
    return next(iter(item.values()))


def _published(path: Path) -> list[dict[str, Any]]:
    """The planes of a published wires file: anode, face, plane, and arrays by wire; cm."""
    store = json.loads(bz2.decompress(path.read_bytes()))["Store"]
    points = np.array([[_inner(p)[axis] for axis in "xyz"] for p in store["points"]]) / 10
    planes = []
    for anode in map(_inner, store["anodes"]):
        for face in (_inner(store["faces"][i]) for i in anode["faces"]):
            for plane in (_inner(store["planes"][i]) for i in face["planes"]):
                wires = [_inner(store["wires"][i]) for i in plane["wires"]]
                column = {k: np.array([w[k] for w in wires]) for k in ("ident", "channel", "segment", "tail", "head")}
                where = {"anode": anode["ident"], "face": face["ident"], "plane": plane["ident"]}
                planes.append(where | column | {"tail": points[column["tail"]], "head": points[column["head"]]})
    return planes


@pytest.mark.parametrize(
    ("name", "file", "tpc_of"),
    [
        ("microboone", "wires/microboone-celltree-wires-v2.1.json.bz2", lambda anode, face: 0),
        ("sbnd", "wires/sbnd-wires-geometry-v0202.json.bz2", lambda anode, face: anode),
        ("protodunehd", "wires/protodunehd-wires-larsoft-v1.json.bz2", lambda anode, face: 2 * anode + 1 - face),
    ],
)
def test_wire_ends_and_channels_agree_with_published(
    name: str, file: str, tpc_of: Callable[[int, int], int], shared_path: Callable[[str], Path]
) -> None:
    published = _published(shared_path(file))
    mine = detector(name)
    assert len(published) == len(mine.planes)
    assert sum(len(p["ident"]) for p in published) == sum(p.n_wires for p in mine.planes)
    for theirs in published:
        plane = mine.plane(tpc_of(theirs["anode"], theirs["face"]), theirs["plane"])
        wire = theirs["ident"]
        np.testing.assert_array_equal(plane.channels[wire], theirs["channel"])
        np.testing.assert_array_equal(plane.segments[wire], theirs["segment"])
        lower = np.where((theirs["tail"][:, 1] < theirs["head"][:, 1])[:, None], theirs["tail"], theirs["head"])
        upper = theirs["tail"] + theirs["head"] - lower
        assert np.abs(plane.starts[wire] - lower).max() < TOLERANCE
        assert np.abs(plane.ends[wire] - upper).max() < TOLERANCE


@pytest.mark.parametrize(
    ("name", "wires"),
    [
        ("microboone", (2400, 2400, 3456)),
        ("sbnd", (1984, 1984, 1670)),
        ("icarus", (2112, 5600, 5600)),
        ("protodunehd", (1148, 1148, 480)),
        ("dunefd", (1149, 1148, 480)),
    ],
)
def test_number_of_wires(name: str, wires: tuple[int, ...]) -> None:
    for tpc in detector(name).tpcs:
        assert tuple(p.n_wires for p in tpc.planes) == wires


@pytest.mark.parametrize(("name", "channels"), [("icarus", (1056, 1056, 5600, 5600)), ("dunefd", (800, 800, 480, 480))])
def test_channels_of_one_anode(name: str, channels: tuple[int, ...]) -> None:
    mine = detector(name)
    read = np.unique(mine.wire_channels)
    first_anode = read[read < {"icarus": 13824, "dunefd": 2560}[name]]
    assert len(first_anode) == sum(channels)


def test_icarus_channels_are_in_larsoft_order() -> None:
    # LArSoft: first induction in halves of 1056 + 96 without a wire; 96 or 64 such channels before the next planes
    icarus = detector("icarus")
    assert [int(p.channels[0]) for p in icarus.planes] == [
        *(0, 2400, 8128, 13824, 16192, 21984),
        *(27648, 30048, 35776, 41472, 43840, 49632),
    ]
    first = icarus.plane(0, "I1")
    assert first.channels[1056] == 1152
    np.testing.assert_array_equal(icarus.channel_of(0, 0, [1055, 1056]), [1055, 1152])
    assert icarus.channel_readout[1100] == -1
    assert [(t.cryostat, t.number) for t in icarus.tpcs] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_split_wires_are_found_by_their_half() -> None:
    plane = detector("icarus").plane(0, 0)
    np.testing.assert_array_equal(plane.nearest_wire([-181.7, -181.7, -400.0], [-1.0, 1.0, 1.0]), [0, 1056, -1])
    np.testing.assert_allclose(plane.wire_coordinate([-181.55, -181.55], [-1.0, 1.0]), [0.5, 1056.5])


def test_microboone_wires_lie_where_the_samples_say() -> None:
    uboone = detector("microboone")
    y, z = np.array([10.0, -80.0]), np.array([500.0, 900.0])
    half = np.sqrt(3) / 2
    expected = [(-half * y + 0.5 * z + 101.44) / 0.3, (half * y + 0.5 * z + 99.76) / 0.3, (z - 0.25) / 0.3]
    for plane, wire in zip(uboone.planes, expected, strict=True):
        np.testing.assert_allclose(plane.wire_coordinate(y, z), wire, atol=2e-3)
        np.testing.assert_array_equal(plane.nearest_wire(y, z), np.rint(wire))


def _planes(mine: Detector) -> list[WirePlane]:
    return list(mine.planes[:6])


@pytest.mark.parametrize("name", detector_names())
def test_wires_pass_through_both_ends_and_have_the_pitch(name: str) -> None:
    for plane in _planes(detector(name)):
        wire = np.arange(plane.n_wires)
        for points in (plane.starts, plane.ends):
            inward = 0.999 * points + 0.001 * (plane.starts + plane.ends) / 2
            np.testing.assert_allclose(plane.wire_coordinate(inward[:, 1], inward[:, 2]), wire, atol=1e-6)
        assert (np.linalg.norm(plane.ends - plane.starts, axis=1) > 0.1).all()


@pytest.mark.parametrize("name", detector_names())
def test_crossing_lies_on_both_wires(name: str) -> None:
    generator = np.random.default_rng(3)
    for tpc in detector(name).tpcs[:2]:
        for i, j in ((0, 1), (0, 2), (1, 2)):
            a, b = tpc.planes[i], tpc.planes[j]
            wire_a, wire_b = generator.integers(0, a.n_wires, 2000), generator.integers(0, b.n_wires, 2000)
            y, z, inside = crossing(a, wire_a, b, wire_b)
            assert inside.any()
            for plane, wire in ((a, wire_a), (b, wire_b)):
                np.testing.assert_allclose(
                    plane.normal[0] * y + plane.normal[1] * z, plane.position(wire), rtol=0, atol=1e-8
                )
                start, end = plane.starts[wire[inside], 1:], plane.ends[wire[inside], 1:]
                place = np.column_stack([y, z])[inside]
                detour = np.linalg.norm(place - start, axis=1) + np.linalg.norm(place - end, axis=1)
                np.testing.assert_allclose(detour, np.linalg.norm(end - start, axis=1), atol=5e-3)


def test_crossing_outside_the_plane_and_of_parallel_wires() -> None:
    u, _, y = detector("microboone").planes
    assert not crossing(u, 0, y, 3000)[2]
    with pytest.raises(ValueError, match="wires of the planes U and U are parallel and do not cross"):
        crossing(u, 0, u, 5)


def test_crossing_broadcasts_and_takes_nothing() -> None:
    u, v, _ = detector("microboone").planes
    across, _, inside = crossing(u, np.arange(4)[:, None] + 1000, v, np.arange(3) + 1000)
    assert across.shape == inside.shape == (4, 3)
    assert crossing(u, np.zeros(0, int), v, np.zeros(0, int))[0].shape == (0,)
