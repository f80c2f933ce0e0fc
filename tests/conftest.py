"""Fixtures that all tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("LARMLRECO_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared_path() -> Callable[[str], Path]:
    """Path of a reference data file outside the checkout; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = _SHARED / name
        if not path.exists():
            pytest.skip(f"reference data {name} is not here (set LARMLRECO_SHARED)")
        return path

    return find
