"""The C++ test of the engine under the compiler's sanitizers, and installing without a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_engine_under_sanitizers(tmp_path, sanitizers):
    for tool in ("cmake", "c++", "ctest"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    configure = ["cmake", "-S", ROOT, "-B", tmp_path, "-DLARMLRECO_WITH_TORCH=OFF", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"]
    run([*configure, f"-DLARMLRECO_SANITIZE={sanitizers}"])
    run(["cmake", "--build", tmp_path, "--parallel", "2"])
    # The thread sanitizer cannot map its shadow with much randomisation of addresses, as some kernels have it.
    unrandomised = ["setarch", "-R"] if sanitizers == "thread" and shutil.which("setarch") else []
    run([*unrandomised, "ctest", "--test-dir", tmp_path, "--output-on-failure"])


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_building_without_a_compiler_succeeds_and_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"],
        cwd=ROOT,
        env={**os.environ, "CC": str(tmp_path / "no-compiler"), "CXX": str(tmp_path / "no-compiler")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning: the native engine was not built, the portable one will serve: " in done.stderr
    assert "no-compiler" in done.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
