"""Truth that lies beside a file of events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.errors import InputError
from larmlreco.io.truth_npz import TruthArchive

NAMES = np.array(["hip", "mip", "shower", "delta", "michel"])


def archive(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "run": np.array([5]),
        "subrun": np.array([1]),
        "event": np.array([9]),
        "class_names": NAMES,
    }
    for name in ("t", "de", "dx", "electrons", "tick", "track"):
        arrays[f"ev0_step_{name}"] = np.ones(2)
    arrays["ev0_step_xyz"] = np.arange(6.0).reshape(2, 3)
    for name in ("id", "pdg", "parent", "ke", "t", "t0", "semantic", "instance", "cosmic"):
        arrays[f"ev0_track_{name}"] = np.ones(1)
    arrays |= {"ev0_track_xyz": np.ones((1, 3)), "ev0_track_process": np.array(["primary"])}
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_products(tmp_path: Path) -> None:
    truth = TruthArchive(archive(tmp_path / "t.npz"))
    steps, particles = truth.read(5, 1, 9)
    assert steps.z.tolist() == [2, 5]
    assert particles.meta["processes"] == ["primary"]
    assert particles.process.tolist() == [0]
    assert len(truth.channel_status()) == 0


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"truth .*absent.npz does not exist"):
        TruthArchive(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="is not a readable npz archive"):
        TruthArchive(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(InputError, match="lacks the arrays run, subrun, event, class_names; expected truth by event"):
        TruthArchive(tmp_path / "other.npz")
    with pytest.raises(InputError, match="has the classes mip, hip, shower, delta, michel; expected HIP, MIP, shower"):
        TruthArchive(archive(tmp_path / "order.npz", class_names=NAMES[[1, 0, 2, 3, 4]]))
    with pytest.raises(InputError, match=r"has no event 5:1:8; it has 1: 5:1:9$"):
        TruthArchive(archive(tmp_path / "t.npz")).read(5, 1, 8)
    with pytest.raises(InputError, match="lacks the array ev0_step_tick, or it is damaged"):
        TruthArchive(archive(tmp_path / "less.npz", ev0_step_tick=None)).read(5, 1, 9)


def test_the_reference_sample_holds_what_it_says(shared_path: Callable[[str], Path]) -> None:
    truth = TruthArchive(shared_path("samples/sim_uboone_art_split99_2evt_truth.npz"))
    for run, subrun, event in truth.event_ids:
        steps, particles = truth.read(run, subrun, event)
        assert len(steps) > 1000
        assert set(steps.particle.tolist()) <= set(particles.id.tolist())
