"""Wires from npz archives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.io import open_file
from larmlreco.io.npz import NpzReader
from larmlreco.products import ChannelStatus, ProductKey, Wires

WIRES, STATUS = (ProductKey(kind, "wires", "", "NPZ") for kind in ("Wires", "ChannelStatus"))
SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, samples: dict[tuple[int, int], float], **changed: Any) -> Path:
    cells = list(samples)
    arrays: dict[str, Any] = {
        "channel": np.array([c for c, _ in cells], dtype=np.int32),
        "tick": np.array([t for _, t in cells], dtype=np.int16),
        "adc": np.array(list(samples.values()), dtype=np.float32),
        "channels": np.arange(4, dtype=np.int32),
        "n_ticks": np.int32(20),
        "bad_channel_ranges": np.array([[2, 0, 20], [9, 0, 20], [2, 3, 4]], dtype=np.int32),
        "run": np.int64(7),
        "event": np.int64(8),
    }
    np.savez(path, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return path


def wires_of(path: Path) -> Wires:
    wires = open_file(path).read(0, WIRES)
    assert isinstance(wires, Wires)
    return wires


@SETTINGS
@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 19)), st.floats(-9, 9, width=32), max_size=40))
def test_every_sample_lies_in_a_roi(tmp_path: Path, samples: dict[tuple[int, int], float]) -> None:
    """ROIs hold exactly the samples, none touches the next, and both are in order; also in an empty event."""
    wires = wires_of(write(tmp_path / "x.npz", samples))
    assert wires.channel.tolist() == sorted({channel for channel, _ in samples})
    found: dict[tuple[int, int], float] = {}
    first = np.concatenate([[0], np.cumsum(wires.roi_length)])
    ends: dict[int, int] = {}
    for i, (wire, begin, length) in enumerate(zip(wires.roi_wire, wires.roi_begin, wires.roi_length, strict=True)):
        channel = int(wires.channel[wire])
        assert begin > ends.get(channel, -1)
        ends[channel] = int(begin + length)
        for tick in range(length):
            found[channel, int(begin) + tick] = float(wires.adc[first[i] + tick])
    assert found == samples
    assert wires.roi_wire.tolist() == sorted(wires.roi_wire.tolist())
    assert len(wires.adc) == len(samples)
    assert (wires.n_samples == 20).all()


def test_bad_channels_and_ids(tmp_path: Path) -> None:
    reader = open_file(write(tmp_path / "x.npz", {(0, 1): 1.0}))
    assert list(reader.event_ids) == [(7, 0, 8)]
    assert list(reader.subrun_ids) == [(7, 0)]
    status = reader.read(0, STATUS)
    assert isinstance(status, ChannelStatus)
    assert status.channel.tolist() == [2, 9]
    assert status.status.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("samples", "changed", "text"),
    [
        ({(0, 20): 1.0}, {}, "input {path}: tick 20 of channel 0 is outside the 20 ticks of the event"),
        ({(0, -1): 1.0}, {}, "input {path}: tick -1 of channel 0 is outside the 20 ticks of the event"),
        ({(10240, 1): 1.0}, {}, "input {path}: channel 10240 is outside protodunehd; valid: 0 to 10239"),
        (
            {(1, 3): 1.0, (1, 4): 1.0},
            {"tick": np.array([3, 3])},
            "input {path}: channel 1 has tick 3 twice",
        ),
        (
            {},
            {"adc": None, "run": None},
            (
                "input {path} lacks the arrays adc, run; expected an event of wires with channel, tick, adc, n_ticks, "
                "bad_channel_ranges, run, event; it has channel, tick, channels, n_ticks, bad_channel_ranges, event"
            ),
        ),
        (
            {(1, 3): 1.0},
            {"tick": np.zeros(4)},
            "input {path}: channel, tick and adc have the shapes [(1,), (4,), (1,)], not one",
        ),
    ],
)
def test_bad_content(tmp_path: Path, samples: Any, changed: Any, text: str) -> None:
    path = write(tmp_path / "x.npz", samples, **changed)
    with pytest.raises(InputError) as caught:
        wires_of(path)
    assert str(caught.value) == text.format(path=path)


def test_the_arrays_of_a_large_archive_are_not_all_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **{f"a{i}": np.zeros(1) for i in range(30)})
    with pytest.raises(InputError, match=r"; it has a0, a1, a2, a3, a4, a5, a6, a7, \.\.\. \(30 in all\)$"):
        open_file(path)


def test_not_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(InputError, match=r"x\.npz does not exist"):
        NpzReader(path)
    path.write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(InputError, match=r"x\.npz is not a readable npz archive: "):
        open_file(path)
    with pytest.raises(ConfigurationError):
        NpzReader(write(path, {}), detector_name="nowhere")


def test_protodune_event(shared_path: Callable[[str], Path]) -> None:
    path = shared_path("samples/protodunehd_run27409_evt40896_apa1.npz")
    reader = open_file(path)
    assert list(reader.event_ids) == [(27409, 0, 40896)]
    wires = wires_of(path)
    content = np.load(path)
    assert wires.channel.tolist() == np.unique(content["channel"]).tolist()
    assert wires.adc.sum(dtype=np.float64) == content["adc"].sum(dtype=np.float64)
    assert wires.roi_length.sum() == len(content["adc"]) == len(wires.adc)
    # 800, 800 and 960 channels an APA, U first; this is the second APA
    expected = np.searchsorted([800, 1600, 2560], wires.channel - 2560, side="right")
    assert wires.plane.tolist() == expected.tolist()
    assert wires.view.tolist() == expected.tolist()
    status = reader.read(0, STATUS)
    assert isinstance(status, ChannelStatus)
    assert len(status) == 41
    assert ((status.channel >= 2560) & (status.channel < 5120)).sum() == 15
    assert not set(status.channel) & set(wires.channel)
