"""Trainings in processes of their own: killed, on a full disk, and several that learn together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from larmlreco.models.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parent / "train_small.py"


def start(directory: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(SCRIPT), str(directory), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).state_dict)


def test_a_kill_in_the_middle_of_a_checkpoint_leaves_the_one_before_and_resume_gives_the_same_weights(
    tmp_path: Path,
) -> None:
    finish(start(tmp_path / "whole", "--iterations", "6"))
    killed = start(tmp_path / "killed", "--iterations", "6", "--hang-in-checkpoint", "4")
    partial = tmp_path / "killed" / "last.ckpt.partial"
    deadline = time.monotonic() + 240
    while not (partial.exists() and partial.read_bytes() == b"half"):
        assert killed.poll() is None, killed.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = load_checkpoint(tmp_path / "killed" / "last.ckpt")
    assert left.training is not None
    assert left.training["iteration"] == 2
    finish(start(tmp_path / "killed", "--iterations", "6", "--resume"))
    whole, resumed = weights(tmp_path / "whole" / "last.ckpt"), weights(tmp_path / "killed" / "last.ckpt")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    rows = [(tmp_path / name / "training.csv").read_text().splitlines() for name in ("whole", "killed")]
    assert [row.split(",")[:3] for row in rows[0]] == [row.split(",")[:3] for row in rows[1]]


def test_a_full_disk_ends_the_training_with_one_line_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    finish(start(tmp_path, "--iterations", "2"))
    before = (tmp_path / "last.ckpt").read_bytes()
    process = start(tmp_path, "--iterations", "6", "--resume", "--file-limit", "20000")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 5, err
    assert "cannot write the checkpoint" in out
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert not (tmp_path / "last.ckpt.partial").exists()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_learn_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    finish(start(tmp_path / "one", "--iterations", "4", "--batch-size", "4", "--network", "without_norm"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two = start(
        tmp_path / "two", "--iterations", "4", "--batch-size", "2", "--network", "without_norm", launcher=launcher
    )
    finish(two)
    one, both = weights(tmp_path / "one" / "last.ckpt"), weights(tmp_path / "two" / "last.ckpt")
    for name, value in one.items():
        assert torch.allclose(value, both[name], rtol=1e-4, atol=1e-6), name
    logs = [(tmp_path / name / "training.csv").read_text().splitlines() for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 5  # one process writes
    for alone, together in zip(logs[0][1:], logs[1][1:], strict=True):
        first, second = alone.split(","), together.split(",")
        assert float(first[1]) == pytest.approx(float(second[1]), rel=1e-4)
        assert float(first[2]) == pytest.approx(float(second[2]))
        assert float(first[3]) == float(second[3])
