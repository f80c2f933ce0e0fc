"""Dead channels of an event: by status, by configuration, or silent ones."""

import logging

import numpy as np
import pytest

from larmlreco.geometry import detector
from larmlreco.images import DeadChannelFinder, silent_channels
from larmlreco.products import ChannelStatus, Pixels

READOUT = detector("microboone").readout_plane("V")
LOG = logging.getLogger("larmlreco.test")


def pixels_on(*columns: int) -> Pixels:
    n = len(columns)
    zeros = np.zeros(n)
    return Pixels.from_columns(
        {"tpc": zeros, "plane": zeros, "column": columns, "row": np.arange(n), "adc": np.ones(n)}
    )


def test_silent_channels_have_no_pixel() -> None:
    found = silent_channels(pixels_on(5, 5, 2399), READOUT)
    assert found.tolist() == [c for c in range(2400, 4800) if c not in (2405, 4799)]
    assert len(silent_channels(pixels_on(), READOUT)) == 2400


@pytest.mark.parametrize("longest", [1, 2, 3, 400, 2400])
def test_long_silent_runs_may_be_left_out(longest: int) -> None:
    random = np.random.default_rng(longest)
    columns = np.unique(random.integers(0, 2400, 900))
    silent = [c for c in range(2400) if c not in set(columns.tolist())]
    expected = []
    for c in silent:
        first = last = c
        while first - 1 in silent:
            first -= 1
        while last + 1 in silent:
            last += 1
        if last - first + 1 <= longest:
            expected.append(int(READOUT.channels[c]))
    assert silent_channels(pixels_on(*columns), READOUT, longest).tolist() == expected
    assert len(silent_channels(pixels_on(), READOUT, longest)) == (2400 if longest == 2400 else 0)


def test_a_status_rules_and_its_absence_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    finder = DeadChannelFinder([7, 7, 3], silent_is_dead=True, log=LOG, expected="chstatus")
    status = ChannelStatus.from_columns({"channel": [1, 2, 3], "status": [4, 1, -1]})
    images = [(pixels_on(*range(2390)), READOUT)]
    assert finder.find(status, images).tolist() == [2, 3, 7]
    with caplog.at_level(logging.WARNING):
        assert finder.find(None, images).tolist() == [3, 7, *range(4790, 4800)]
        finder.find(None, images)
    assert [r.message for r in caplog.records] == [
        "there is no status of channels chstatus; silent wires are taken as dead"
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert DeadChannelFinder([], silent_is_dead=False, log=LOG).find(None, images).tolist() == []
        finder = DeadChannelFinder([], silent_is_dead=True, log=LOG, longest_silent=32)
        for _ in range(2):
            finder.find(None, images)
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "no status of channels is configured; silent wires are taken as dead in runs of up to 32")
    ]
