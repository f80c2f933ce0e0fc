"""Run archives in Python and in the C++ host, and compare: compare.py HOST TEST_ARCHIVE [OPERATORS].

The exit status is 77 where this Python does not have larmlreco.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

if len(sys.argv) > 3:
    os.environ["LARMLRECO_OPERATORS"] = sys.argv[3]

try:
    import numpy as np
    import torch

    from larmlreco.card import Feature, ModelCard
    from larmlreco.export import export_archive
    from larmlreco.inference import load_archive
    from larmlreco.models import Architecture, Checkpoint, build
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOLERANCE = 1e-4
"""Largest difference of probabilities: another release of libtorch may sum in another order."""


def export(engine: str, dimension: int, path: Path) -> None:
    """An archive of a network whose norms have seen data."""
    torch.manual_seed(1)
    params = {"dimension": dimension, "classes": 5, "filters": 8, "depth": 4}
    network = build("uresnet", **params)
    for _ in range(20):
        network.raw(*(torch.from_numpy(array) for array in sample(dimension, 2000, 1)))
    card = ModelCard(
        task="semantic_segmentation",
        detector="none",
        dimension=dimension,
        class_names=("a", "b", "c", "d", "e"),
        features=(Feature("energy", "MeV"),),
        pixel_size=(1.0,) * dimension,
        pixel_units=("pixel",) * dimension,
    )
    export_archive(Checkpoint(Architecture("uresnet", params), card, network.state_dict()), path, engine)


def sample(dimension: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two items around the origin, in no order."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, 2, n), random.integers(-12, 12, (n, dimension))])
    return rows, random.gamma(2.0, 1.0, (n, 1)).astype(np.float32)


def compare(command: list[str], model: Path, coords: np.ndarray, features: np.ndarray, compressed: bool) -> float:
    """The largest difference between the outputs of the host and ours; ``AssertionError`` where it is too large."""
    source, target = model.with_name("in.npz"), model.with_name("out.npz")
    (np.savez_compressed if compressed else np.savez)(source, coords=coords, feats=features)
    subprocess.run([*command, str(model), str(source), "-o", str(target), "--threads", "1"], check=True)
    expected = load_archive(model)(coords, features)
    worst = 0.0
    with np.load(target) as found:
        assert set(found.files) == set(expected), found.files
        for key, value in expected.items():
            assert (found[key].shape, found[key].dtype) == (value.shape, value.dtype), key
            worst = max(worst, float(np.abs(found[key] - value).max(initial=0.0)))
    assert worst <= TOLERANCE, (str(model), len(coords), worst)
    return worst


def main() -> int:
    """Compare on 2D and 3D images of many rows, one row and none."""
    command, in_threads, operators = [sys.argv[1]], sys.argv[2], sys.argv[3:]
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        for engine in ("portable", "native") if operators else ("portable",):
            if engine == "native":
                command += ["--ops", *operators]
            for dimension in (2, 3):
                model = Path(name) / f"{engine}{dimension}.ts"
                export(engine, dimension, model)
                subprocess.run([in_threads, str(model), *(operators if engine == "native" else [])], check=True)
                for n in (2000, 1, 0):
                    worst = max(worst, compare(command, model, *sample(dimension, n, 0), compressed=dimension == 2))
    print(f"largest difference {worst:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
