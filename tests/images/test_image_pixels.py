"""Images of wires and hits against loops over samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.plane_image import gaussian_share, image_of_samples, pixels_under_hit

from larmlreco.errors import InputError
from larmlreco.geometry import detector
from larmlreco.images import (
    ImageSettings,
    PlaneImage,
    dead_channels,
    hits_of_pixels,
    images_of_hits,
    images_of_wires,
    pixels_of_hits,
)
from larmlreco.io import open_file
from larmlreco.products import ChannelStatus, Hits, ProductKey, Wires
from larmlreco.reco.infill import with_infilled_pixels

UBOONE = detector("microboone")
Y = UBOONE.readout_plane("Y")


def views(channel: Any) -> Any:
    """Views of MicroBooNE's channels."""
    return np.digitize(channel, [2400, 4800])


def make_wires(rois: list[tuple[int, int, list[float]]]) -> Wires:
    """Wires from ROIs (channel, first sample, samples); each ROI on its own wire row, in order."""
    return Wires(
        channel=[r[0] for r in rois],
        plane=[-1] * len(rois),
        view=views([r[0] for r in rois]),
        n_samples=[6400] * len(rois),
        roi_wire=np.arange(len(rois)),
        roi_begin=[r[1] for r in rois],
        roi_length=[len(r[2]) for r in rois],
        adc=np.concatenate([np.zeros(0), *[r[2] for r in rois]]),
    )


def make_hits(rows: list[tuple[int, float, float, float]], **more: Any) -> Hits:
    """Hits from (channel, peak time, rms, integral), 4 rms long each way."""
    channel, peak, rms, integral = (np.array(c) for c in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    zero = np.zeros(len(rows), dtype=np.int32)
    columns = {
        **dict.fromkeys(("cryostat", "tpc", "plane", "wire", "signal_type"), zero),
        "view": views(channel),
        "channel": channel,
        "start_tick": np.floor(peak - 4 * rms),
        "end_tick": np.floor(peak + 4 * rms) + 1,
        "peak_time": peak,
        "rms": rms,
        "peak_amplitude": integral,
        "integral": integral,
        "summed_adc": integral,
    }
    return Hits(**(columns | more))


def places(image: PlaneImage) -> list[tuple[int, int]]:
    return list(zip(image.pixels.column.tolist(), image.pixels.row.tolist(), strict=True))


def check_against_oracle(rois: list[tuple[int, int, list[float]]], options: ImageSettings) -> None:
    images = images_of_wires(make_wires(rois), UBOONE, UBOONE.readout_planes, options)
    for plane in UBOONE.readout_planes:
        first = int(plane.channels[0])
        mine = [(w, c - first, b, s) for w, (c, b, s) in enumerate(rois) if 0 <= c - first < plane.n_columns]
        expected = image_of_samples(mine, options.rebin, options.threshold, options.rows(UBOONE))
        image = images[plane.name]
        assert places(image) == list(expected)
        np.testing.assert_allclose(image.pixels.adc, [q for q, _ in expected.values()], rtol=1e-6, atol=1e-4)
        links = [(i, wire) for i, (_, wires) in enumerate(expected.values()) for wire in sorted(wires)]
        assert list(zip(image.pixel.tolist(), image.source.tolist(), strict=True)) == links


integers = st.integers(-8, 40).map(float)  # whole numbers, so that sums at the threshold are exact
roi = st.tuples(
    st.sampled_from([0, 1, 2399, 2400, 4800, 4801, 8255]), st.integers(0, 60), st.lists(integers, max_size=30)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(roi, max_size=12), st.integers(1, 9), st.sampled_from([0, 40]))
def test_images_of_wires_are_those_of_the_oracle(
    rois: list[tuple[int, int, list[float]]], rebin: int, n_samples: int
) -> None:
    check_against_oracle(rois, ImageSettings(rebin=rebin, threshold=10.0, n_samples=n_samples))


def test_empty_event_gives_empty_images_of_all_planes() -> None:
    for images in (
        images_of_wires(make_wires([]), UBOONE, UBOONE.readout_planes),
        images_of_hits(make_hits([]), UBOONE, UBOONE.readout_planes),
        images_of_wires(make_wires([(5, 0, [])]), UBOONE, UBOONE.readout_planes),
    ):
        assert list(images) == ["U", "V", "Y"]
        for image in images.values():
            assert len(image.pixels) == len(image.pixel) == len(image.source) == 0
            assert (image.pixels.meta["n_rows"], image.pixels.meta["rebin"]) == (1008, 6)


def test_threshold_is_applied_to_the_sum_and_includes_its_value() -> None:
    wires = make_wires([(4800, 0, [2.0] * 5), (4801, 0, [2.0] * 4), (4802, 6, [9.5, 0.5])])
    image = images_of_wires(wires, UBOONE, [Y])["Y"]
    assert places(image) == [(0, 0), (2, 1)]
    np.testing.assert_array_equal(image.pixels.adc, [10, 10])


def test_wires_with_the_same_channel_and_overlapping_rois_add_up() -> None:
    wires = make_wires([(4800, 0, [8.0, 8.0]), (4800, 1, [8.0]), (4800, 1, [8.0])])
    image = images_of_wires(wires, UBOONE, [Y])["Y"]
    np.testing.assert_array_equal(image.pixels.adc, [32])
    np.testing.assert_array_equal(image.source, [0, 1, 2])


def test_image_does_not_depend_on_the_order_of_wires() -> None:
    generator = np.random.default_rng(4)
    rois = [
        (4800 + int(c), int(b), generator.normal(20, 5, 12).tolist()) for c, b in generator.integers(0, 40, (60, 2))
    ]
    image = images_of_wires(make_wires(rois), UBOONE, [Y])["Y"].pixels
    other = images_of_wires(make_wires(rois[::-1]), UBOONE, [Y])["Y"].pixels
    np.testing.assert_array_equal(image.column, other.column)
    np.testing.assert_allclose(image.adc, other.adc, rtol=1e-6)


def test_dead_channels_and_other_planes_have_no_pixels() -> None:
    rois = [(c, 0, [50.0] * 6) for c in (4800, 4801, 10)]
    status = ChannelStatus(channel=[4799, 4800, 4801], status=[1, 3, 4])
    np.testing.assert_array_equal(dead_channels(status), [4799, 4800])
    options = ImageSettings(dead_channels=dead_channels(status))
    images = images_of_wires(make_wires(rois), UBOONE, [Y], options)
    assert list(images) == ["Y"]
    np.testing.assert_array_equal(images["Y"].pixels.column, [1])
    dead_plane = ImageSettings(dead_channels=Y.channels)
    assert len(images_of_wires(make_wires(rois), UBOONE, [Y], dead_plane)["Y"].pixels) == 0
    with pytest.raises(InputError, match="dead channels: channel 9000 is outside microboone; valid: 0 to 8255"):
        images_of_wires(make_wires(rois), UBOONE, [Y], ImageSettings(dead_channels=[9000]))


def test_samples_beyond_the_window_are_left_out() -> None:
    image = images_of_wires(make_wires([(4800, 6040, [50.0] * 20)]), UBOONE, [Y])["Y"]
    assert places(image) == [(0, 1006), (0, 1007)]
    assert image.pixels.adc.tolist() == [100, 300]


def test_wrapped_planes_show_channels_in_order() -> None:
    hd = detector("protodunehd")
    channels = [0, 799, 800, 2080, 1600, 2560]
    n = len(channels)
    wires = Wires(
        channel=channels, plane=[-1] * n, view=[0] * n, n_samples=[5999] * n,
        roi_wire=np.arange(n), roi_begin=[6] * n, roi_length=[1] * n, adc=[20.0] * n,
    )  # fmt: skip
    images = images_of_wires(wires, hd, hd.active_readout_planes)
    assert {k: places(v) for k, v in images.items() if len(v.pixels)} == {
        "tpc1_U": [(0, 1), (799, 1)],
        "tpc1_V": [(0, 1)],
        "tpc1_W": [(0, 1)],
        "tpc2_U": [(0, 1)],
    }
    assert images["tpc1_U"].pixels.meta["n_columns"] == 800
    np.testing.assert_array_equal(images["tpc2_U"].source, [5])
    everything = images_of_wires(wires, hd, hd.readout_planes)
    assert places(everything["tpc0_W"]) == [(0, 1)]


def test_double_and_strided_samples() -> None:
    wires = make_wires([(4800, 0, [50.0] * 6)])
    strided = np.full(12, 50.0)[::2]
    again = Wires(**{f: getattr(wires, f) for f in wires.columns() if f != "adc"}, adc=strided)
    assert places(images_of_wires(again, UBOONE, [Y])["Y"]) == [(0, 0)]


@pytest.mark.parametrize(
    ("rois", "message"),
    [
        ([(8256, 0, [1.0])], "wires: channel 8256 is outside microboone; valid: 0 to 8255"),
        ([(-1, 0, [1.0])], "wires: channel -1 is outside microboone; valid: 0 to 8255"),
        ([(3, 0, [1.0]), (7, 5, [1, np.nan])], "wires: ROI 0 of channel 7 holds nan at sample 6; valid: finite ADC"),
        ([(7, 5, [-np.inf, 1])], "wires: ROI 0 of channel 7 holds -inf at sample 5; valid: finite ADC"),
        ([(7, -2, [1.0])], "wires: ROI 0 of channel 7 begins at sample -2 and has 1 samples; valid: 0 or more"),
    ],
)
def test_bad_wires_are_named(rois: list[tuple[int, int, list[float]]], message: str) -> None:
    with pytest.raises(InputError) as error:
        images_of_wires(make_wires(rois), UBOONE, [Y])
    assert str(error.value) == message


def test_second_roi_of_a_wire_is_named() -> None:
    wires = Wires(
        channel=[9], plane=[0], view=[0], n_samples=[6400],
        roi_wire=[0, 0], roi_begin=[0, 10], roi_length=[2, 1], adc=[1.0, 1.0, np.inf],
    )  # fmt: skip
    with pytest.raises(InputError, match="ROI 1 of channel 9 holds inf at sample 10"):
        images_of_wires(wires, UBOONE, [Y])


def test_rois_that_do_not_fit_are_named() -> None:
    wires = make_wires([(4800, 0, [1.0, 2.0])])
    columns = {f: getattr(wires, f) for f in wires.columns()}
    with pytest.raises(InputError, match="the ROIs have 2 samples together, adc has 1"):
        images_of_wires(Wires(**columns | {"adc": [1.0]}), UBOONE, [Y])
    with pytest.raises(InputError, match="ROI 0 is on wire row 1; valid: 0 to 0"):
        images_of_wires(Wires(**columns | {"roi_wire": [1]}), UBOONE, [Y])


def test_image_of_a_hit_is_its_gaussian() -> None:
    hits = make_hits([(4807, 100.3, 3.1, 900.0)])
    image = images_of_hits(hits, UBOONE, [Y], ImageSettings(threshold=0))["Y"]
    assert set(image.pixels.column.tolist()) == {7}
    expected = [900 * gaussian_share(100.3, 3.1, row, 6) for row in image.pixels.row.tolist()]
    np.testing.assert_allclose(image.pixels.adc, expected, rtol=1e-5, atol=1e-3)
    assert image.pixels.adc.sum() == pytest.approx(900)
    assert set(image.source.tolist()) == {0}


def test_narrow_and_repeated_hits() -> None:
    hits = make_hits([(4800, 5.4, 0.0, 20.0), (4800, 5.4, 0.0, 20.0), (4800, 5.6, 0.0, 30.0)])
    image = images_of_hits(hits, UBOONE, [Y])["Y"]
    assert places(image) == [(0, 0), (0, 1)]
    np.testing.assert_allclose(image.pixels.adc, [40, 30])
    np.testing.assert_array_equal(image.pixel, [0, 0, 1])
    np.testing.assert_array_equal(image.source, [0, 1, 2])


def test_hits_outside_the_window_have_no_pixels() -> None:
    hits = make_hits([(4800, -400.0, 2.0, 90.0), (4800, 1e9, 2.0, 90.0), (4800, 0.0, 2.0, 90.0)])
    image = images_of_hits(hits, UBOONE, [Y], ImageSettings(threshold=0))["Y"]
    assert set(image.source.tolist()) == {2}


def test_bad_hits_are_named() -> None:
    with pytest.raises(InputError, match="hits: peak_time of hit 1 on channel 4801 is nan"):
        images_of_hits(make_hits([(4800, 1.0, 1.0, 1.0), (4801, 2.0, 1.0, 1.0)], peak_time=[1.0, np.nan]), UBOONE, [Y])
    with pytest.raises(InputError, match="hits: channel 8300 is outside microboone"):
        images_of_hits(make_hits([(8300, 1.0, 1.0, 1.0)]), UBOONE, [Y])
    with pytest.raises(InputError, match="hits: channel 8300 is outside microboone"):
        pixels_of_hits(
            make_hits([(8300, 1.0, 1.0, 1.0)]), images_of_hits(make_hits([]), UBOONE, [Y])["Y"].pixels, UBOONE
        )


def test_pixels_of_hits_are_those_of_the_oracle() -> None:
    generator = np.random.default_rng(11)
    rois = [(4800 + int(c), int(b), generator.normal(4, 3, 40).tolist()) for c, b in generator.integers(0, 60, (80, 2))]
    image = images_of_wires(make_wires(rois), UBOONE, [Y])["Y"]
    start = generator.integers(0, 100, 300)
    stop = start + generator.integers(0, 30, 300)
    channel = generator.integers(4795, 4862, 300)
    rows = [(int(c), 10.0, 1.0, 1.0) for c in channel]
    hits = make_hits(rows, start_tick=start, end_tick=stop)
    hit, pixel = pixels_of_hits(hits, image.pixels, UBOONE)
    expected = [
        (i, p)
        for i in range(300)
        for p in pixels_under_hit(places(image), channel[i] - 4800, start[i], max(stop[i], start[i] + 1), 6)
    ]
    assert len(expected) > 100
    assert list(zip(hit.tolist(), pixel.tolist(), strict=True)) == expected
    back = hits_of_pixels(hits, image.pixels, UBOONE)
    assert list(zip(*(a.tolist() for a in back), strict=True)) == sorted((p, h) for h, p in expected)


def test_infilled_pixels_come_last_and_belong_to_no_hit() -> None:
    generator = np.random.default_rng(12)
    rois = [(4800 + int(c), int(b), [9.0] * 40) for c, b in generator.integers(0, 60, (40, 2))]
    image = images_of_wires(make_wires(rois), UBOONE, [Y])["Y"].pixels
    filled = with_infilled_pixels(image, np.array([[7, 1], [3, 2], [61, 0]]), [5.0] * 3, {})
    channel = generator.integers(4800, 4862, 200)
    hits = make_hits([(int(c), 10.0, 1.0, 1.0) for c in channel], start_tick=[0] * 200, end_tick=[60] * 200)
    measured = [pairs.tolist() for pairs in pixels_of_hits(hits, image, UBOONE)]
    assert [pairs.tolist() for pairs in pixels_of_hits(hits, filled, UBOONE)] == measured
    assert [pairs.tolist() for pairs in hits_of_pixels(hits, filled, UBOONE)] == [
        pairs.tolist() for pairs in hits_of_pixels(hits, image, UBOONE)
    ]
    everything = zip(*(pairs.tolist() for pairs in pixels_of_hits(hits, filled, UBOONE, infilled=True)), strict=True)
    extra = {(i, len(image) + k) for i, c in enumerate(channel) for k, w in enumerate((7, 3, 61)) if c - 4800 == w}
    assert set(everything) == set(zip(*measured, strict=True)) | extra


def test_hits_before_the_window_and_without_pixels() -> None:
    image = images_of_wires(make_wires([(4800, 0, [50.0] * 6)]), UBOONE, [Y])["Y"]
    hits = make_hits([(4800, 0.0, 1.0, 1.0)] * 3, start_tick=[-20, -20, 6], end_tick=[-10, 3, 12])
    hit, pixel = pixels_of_hits(hits, image.pixels, UBOONE)
    assert (hit.tolist(), pixel.tolist()) == ([1], [0])
    none = images_of_wires(make_wires([]), UBOONE, [Y])["Y"]
    assert len(pixels_of_hits(hits, none.pixels, UBOONE)[0]) == 0


def test_real_protodune_event(shared_path: Callable[[str], Path]) -> None:
    with np.load(shared_path("samples/protodunehd_run27409_evt40896_apa1.npz")) as data:
        channel, tick, adc = data["channel"], data["tick"].astype(np.int64), data["adc"]
    new_roi = np.flatnonzero(np.r_[True, (np.diff(channel) != 0) | (np.diff(tick) != 1)])
    length = np.diff(np.r_[new_roi, len(tick)])
    n = len(new_roi)
    wires = Wires(
        channel=channel[new_roi], plane=np.full(n, -1), view=np.zeros(n), n_samples=np.full(n, 5999),
        roi_wire=np.arange(n), roi_begin=tick[new_roi], roi_length=length, adc=adc,
    )  # fmt: skip
    hd = detector("protodunehd")
    images = images_of_wires(wires, hd, hd.active_readout_planes, ImageSettings(threshold=-np.inf))
    assert {name for name, image in images.items() if len(image.pixels)} == {"tpc2_U", "tpc2_V", "tpc2_W"}
    for name, image in images.items():
        on_plane = np.isin(channel, hd.readout_plane(name).channels)
        assert image.pixels.adc.sum(dtype=np.float64) == pytest.approx(adc[on_plane].sum(dtype=np.float64), rel=1e-6)


def test_images_of_the_art_sample_hold_all_charge(shared_path: Callable[[str], Path]) -> None:
    reference = json.loads(shared_path("samples/sim_uboone_art_10evt_reference.json").read_text())
    file = open_file(shared_path("samples/sim_uboone_art_10evt.root"))
    key = ProductKey("Wires", "butcher", "", "Reco1")
    everything = ImageSettings(threshold=-np.inf, n_samples=6400)
    for entry, expected in enumerate(reference["events"]):
        wires = file.read(entry, key)
        assert isinstance(wires, Wires)
        images = images_of_wires(wires, UBOONE, UBOONE.readout_planes, everything)
        for plane in UBOONE.readout_planes:
            total = images[plane.name].pixels.adc.sum(dtype=np.float64)
            assert total == pytest.approx(expected["roi_adc_sum"][plane.plane], rel=1e-6)
    file.close()
