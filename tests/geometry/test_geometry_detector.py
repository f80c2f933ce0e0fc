"""Channels, readout planes, drift and clocks of a detector."""

from pathlib import Path

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.geometry import detector, detector_names
from larmlreco.geometry import load as load_module


def test_names() -> None:
    assert detector_names() == ("dunefd", "icarus", "microboone", "protodunehd", "sbnd")


def test_unknown_detector_lists_the_valid_names() -> None:
    with pytest.raises(ConfigurationError) as error:
        detector("microbone")
    assert str(error.value) == (
        "unknown detector 'microbone'; did you mean 'microboone'? valid: dunefd, icarus, microboone, protodunehd, "
        "sbnd, or the path of a .json data file"
    )


def test_detector_from_a_file_of_ones_own(tmp_path: Path) -> None:
    text = (Path(load_module.__file__).parent / "microboone.json").read_text()
    own = tmp_path / "own.json"
    own.write_text(text.replace('"drift_speed": 0.1098', '"drift_speed": 0.2'))
    assert detector(str(own)).drift_speed == 0.2
    own = tmp_path / "broken.json"
    own.write_text(text.replace('"drift_speed": 0.1098,', ""))
    with pytest.raises(ConfigurationError, match="the key 'drift_speed' is missing"):
        detector(str(own))
    with pytest.raises(ConfigurationError, match="No such file"):
        detector(str(tmp_path / "absent.json"))


@pytest.mark.parametrize("name", detector_names())
def test_channels_and_wires_lead_to_each_other(name: str) -> None:
    mine = detector(name)
    tpc = np.concatenate([np.full(p.n_wires, p.tpc) for p in mine.planes])
    plane = np.concatenate([np.full(p.n_wires, p.plane) for p in mine.planes])
    wire = np.concatenate([np.arange(p.n_wires) for p in mine.planes])
    channels = mine.channel_of(tpc, plane, wire)
    every = np.arange(mine.n_channels)
    index, *found = mine.wires_of_channels(every)
    assert len(index) == len(wire)
    np.testing.assert_array_equal(mine.channel_of(*found), every[index])
    np.testing.assert_array_equal(np.sort(channels), np.sort(every[index]))
    np.testing.assert_array_equal(mine.channel_plane[every[index]], found[1])
    np.testing.assert_array_equal(np.unique(index), np.flatnonzero(mine.channel_readout >= 0))


@pytest.mark.parametrize("name", detector_names())
def test_every_read_channel_has_one_column(name: str) -> None:
    mine = detector(name)
    for index, plane in enumerate(mine.readout_planes):
        assert (mine.channel_readout[plane.channels] == index).all()
        np.testing.assert_array_equal(mine.channel_column[plane.channels], np.arange(plane.n_columns))
    assert len({p.name for p in mine.readout_planes}) == len(mine.readout_planes)


def test_readout_planes_are_named_after_tpc_and_view() -> None:
    assert [p.name for p in detector("microboone").readout_planes] == ["U", "V", "Y"]
    assert [p.name for p in detector("sbnd").readout_planes][2:4] == ["tpc0_Y", "tpc1_U"]
    hd = detector("protodunehd")
    assert [p.name for p in hd.active_readout_planes][:6] == [
        "tpc1_U",
        "tpc1_V",
        "tpc1_W",
        "tpc2_U",
        "tpc2_V",
        "tpc2_W",
    ]
    assert [p.n_columns for p in hd.readout_planes][:4] == [480, 800, 800, 480]
    with pytest.raises(ConfigurationError, match=r"microboone has no plane 'W'; valid: U, V, Y"):
        detector("microboone").readout_plane("W")


def test_wrapped_channel_reads_wires_of_both_faces() -> None:
    hd = detector("protodunehd")
    index, tpc, plane, wire = hd.wires_of_channels([0, 2560 + 1600])
    assert list(zip(index, tpc, plane, wire, strict=True)) == [
        (0, 0, 0, 0),
        (0, 0, 0, 800),
        (0, 1, 0, 400),
        (1, 2, 2, 0),
    ]
    assert [p.name for p in hd.readout_planes_of(1)] == ["tpc1_U", "tpc1_V", "tpc1_W"]
    assert [p.name for p in hd.readout_planes_of(0)] == ["tpc1_U", "tpc1_V", "tpc0_W"]
    assert hd.plane(0, 0).wrapped
    assert not hd.plane(0, 2).wrapped


def test_sbnd_reads_1664_of_1670_collection_wires() -> None:
    sbnd = detector("sbnd")
    plane = sbnd.readout_plane("tpc1_Y")
    assert plane.n_columns - np.isin(plane.channels, sbnd.unread_channels).sum() == 1664


def test_microboone_drift_is_that_of_the_samples() -> None:
    uboone = detector("microboone")
    x = np.array([0.0, 100.0, 256.04])
    np.testing.assert_allclose(uboone.x_to_tick(x, t0=10.0), 800 + x / (0.1098 * 0.5) + 10 / 0.5)
    assert uboone.tick_to_clock(800) == 3200
    assert uboone.clock_to_tick(2400) == 0
    assert int(uboone.x_to_tick(256.04)) < uboone.n_samples


@pytest.mark.parametrize("name", detector_names())
def test_ticks_and_x_are_inverse_in_every_tpc(name: str) -> None:
    mine = detector(name)
    ticks = np.linspace(0, mine.n_samples, 7)
    for tpc in mine.tpcs:
        x = mine.tick_to_x(ticks, tpc.index, t0=3.0)
        np.testing.assert_allclose(mine.x_to_tick(x, tpc.index, t0=3.0), ticks, atol=1e-8)
        if tpc.active is not None:
            middle = tpc.active.mean(axis=1)
            assert mine.x_to_tick(middle[0], tpc.index) > mine.trigger_sample
            assert all(p.nearest_wire(middle[1], middle[2]) >= 0 for p in tpc.planes)


def test_drift_takes_arrays_of_tpcs() -> None:
    sbnd = detector("sbnd")
    np.testing.assert_allclose(sbnd.tick_to_x([410.0, 410.0, 510.0], [0, 1, 1]), [-201.45, 201.45, 201.45 - 7.815])


def test_wrong_wires_and_channels_name_the_valid_range() -> None:
    uboone = detector("microboone")
    with pytest.raises(InputError, match="Wires butcher: channel 8256 is outside microboone; valid: 0 to 8255"):
        uboone.check_channels([0, 8256], "Wires butcher")
    with pytest.raises(InputError, match="microboone has no wire 2400 on plane 0 of TPC 0; valid: TPC 0 to 0, plane 0"):
        uboone.channel_of(0, [2, 0], [2400, 2400])
    with pytest.raises(InputError, match="no wire 0 on plane 3"):
        uboone.channel_of(0, 3, 0)
    with pytest.raises(ConfigurationError, match="microboone has no TPC 1; valid: 0 to 0"):
        uboone.plane(1, 0)
    with pytest.raises(ConfigurationError, match=r"has no plane 'W'; valid: 0 \(U\), 1 \(V\), 2 \(Y\)"):
        uboone.plane(0, "W")
    assert uboone.channel_of(0, 0, np.zeros(0, int)).shape == (0,)
    assert uboone.wires_of_channels([])[0].shape == (0,)


def test_views_tell_another_detector() -> None:
    """Channels of MicroBooNE all exist in SBND, but from the end of its first plane on they have other views."""
    mine, other = detector("microboone"), detector("sbnd")
    channels = np.arange(mine.n_channels)
    views = np.repeat([0, 1, 2], [2400, 2400, 3456])
    mine.check_views(channels, views, "wires")
    mine.check_views(channels, np.full(len(views), 6), "wires")
    other.check_channels(channels, "wires")
    other.check_views(channels[:1984], views[:1984], "wires")
    with pytest.raises(InputError, match=r"wires: channel 1984 has the view 0, and \d+ of 8256 .* plane tpc0_V"):
        other.check_views(channels, views, "wires")
    with pytest.raises(InputError, match="channel 8256 is outside microboone"):
        mine.check_views([8256], [0], "wires")
    mine.check_name("", "images")
    with pytest.raises(ConfigurationError, match="images are of the detector sbnd; the module that reads them has"):
        mine.check_name("sbnd", "images")
