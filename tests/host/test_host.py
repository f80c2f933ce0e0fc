"""The C++ host: built against the libtorch of this Python and against Debian's, its numbers and its errors."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.archive import CARD_RECORD, pack, read_archive, seal
from larmlreco.card import Feature, ModelCard
from larmlreco.export import export_archive
from larmlreco.models import Architecture, Checkpoint, build
from larmlreco.models.foreign import load_foreign
from larmlreco.sparse import native

ROOT = Path(__file__).resolve().parents[2]


def make(where, *settings):
    """Build the host; skips where the tools are absent."""
    for tool in ("cmake", "c++", "ctest"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    configure = ["cmake", "-S", ROOT / "torchscript/host", "-B", where, f"-DPython3_EXECUTABLE={sys.executable}"]
    for command in ([*configure, *settings], ["cmake", "--build", where, "--parallel", "2"]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return where / "larmlreco_host"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    operators = [f"-DLARMLRECO_OPERATORS={native.LIBRARY}"] if native.available() else []
    prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    return make(tmp_path_factory.mktemp("host"), prefix, *operators)


@pytest.fixture(scope="module")
def oldest_host(tmp_path_factory):
    """The host on the oldest libtorch that must load our archives."""
    if not list(Path("/usr/lib").glob("*/cmake/Torch/TorchConfig.cmake")):
        pytest.skip("Debian's libtorch-dev is not installed")
    return make(tmp_path_factory.mktemp("oldest_host"))


def run_ctest(where):
    command = ["ctest", "--test-dir", str(where), "--output-on-failure"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed, 0 tests failed out of 2" in done.stdout
    assert "Skipped" not in done.stdout


def test_numbers_equal_those_of_python(host):
    run_ctest(host.parent)


def test_portable_archives_run_in_the_oldest_libtorch(oldest_host):
    run_ctest(oldest_host.parent)


@pytest.mark.parametrize(("name", "origin"), [("uresnet3d.pt", "minkowski"), ("spine_uresnet.pt", "spine")])
def test_networks_of_minkowskiengine_run_in_the_oldest_libtorch(oldest_host, shared_path, tmp_path, name, origin):
    path = shared_path(f"minkowski/{name}")
    file = torch.load(path, weights_only=True)
    export_archive(load_foreign(path, origin)[0], tmp_path / "model.ts")
    np.savez(tmp_path / "in.npz", coords=file["coords"].numpy(), feats=file["feats"].numpy())
    done = run(oldest_host, tmp_path / "model.ts", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["logits"], file["logits"].numpy(), rtol=1e-4, atol=2e-5)


def run(host, *arguments):
    return subprocess.run([str(host), *map(str, arguments)], capture_output=True, text=True, check=False)


PARAMS = {"dimension": 2, "classes": 2, "filters": 2, "depth": 2, "repetitions": 1}
CARD = ModelCard(
    task="semantic_segmentation",
    detector="microboone",
    dimension=2,
    class_names=("track", "Grüße"),
    features=(Feature("adc", "ADC"),),
    pixel_size=(1.0, 6.0),
    pixel_units=("wire", "tick"),
    training={"sha256": "of the data"},
)
COORDS = np.array([[0, 3, 4], [0, 3, 5], [1, -7, 2]])
FEATURES = np.array([[20.0], [30.0], [25.0]], dtype=np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("archives") / "model.ts"
    export_archive(Checkpoint(Architecture("uresnet", PARAMS), CARD, build("uresnet", **PARAMS).state_dict()), path)
    return path


def save(path, **arrays):
    np.savez(path, **{"coords": COORDS, "feats": FEATURES, **arrays})
    return path


def test_it_prints_the_card(host, model):
    done = run(host, model)
    assert done.returncode == 0
    assert ModelCard.from_json(done.stdout, "the host") == read_archive(model)[0]


def test_it_takes_any_integers_and_orders_of_axes(host, model, tmp_path):
    def outputs(**arrays):
        done = run(host, model, save(tmp_path / "in.npz", **arrays), "-o", tmp_path / "out.npz", "--device", "auto")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1] == "semantic [3, 2]"
        with np.load(tmp_path / "out.npz") as found:
            return found["semantic"]

    expected = outputs()
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-6)
    for coords in (COORDS.astype(np.int16), COORDS.astype(np.int8), np.asfortranarray(COORDS)):
        assert np.array_equal(outputs(coords=coords), expected)
    assert np.array_equal(outputs(feats=FEATURES.astype(np.float64)), expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"coords": COORDS.astype(float)}, "coordinates must be integers; got Double"),
        ({"coords": COORDS[:, :2]}, "coordinates must have the shape (rows, 3), the batch item first; got [3, 2]"),
        ({"feats": FEATURES[:2]}, "features must have the shape (3, 1); got [2, 1]"),
        ({"feats": FEATURES * np.nan}, "features must be finite; row 0, column 0 is not"),
        ({"coords": COORDS * 2**33}, "coordinates span too large a box"),
        ({"coords": COORDS.astype(np.uint32)}, "array coords: its type is u4; valid: i1 to i8, u1, f2, f4, f8"),
        ({"coords": COORDS.astype(">i4")}, "array coords: its type is >i4; valid: little-endian integers"),
        ({"feats": np.array(["a", "b", "c"])}, "array feats: its type is <U1; valid: little-endian"),
    ],
)
def test_bad_input(host, model, tmp_path, arrays, message):
    done = run(host, model, save(tmp_path / "in.npz", **arrays), "-o", tmp_path / "out.npz")
    fails(done, message)
    assert not (tmp_path / "out.npz").exists()


def fails(done, message):
    assert done.returncode == 1, done.stdout
    assert message in done.stderr
    assert done.stderr.startswith("larmlreco_host: ")
    assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr


def test_files_that_are_absent_cut_short_or_others(host, model, tmp_path):
    fails(run(host, tmp_path / "absent.ts"), "absent.ts cannot be read: No such file or directory")
    fails(run(host, ROOT / "setup.cfg"), "is no TorchScript archive, or it was cut short or altered")
    content = model.read_bytes()
    for keep in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.ts").write_bytes(content[:keep])
        fails(run(host, tmp_path / "cut.ts"), "is no TorchScript archive, or it was cut short or altered")
    source, target = save(tmp_path / "in.npz"), tmp_path / "out.npz"
    (tmp_path / "cut.npz").write_bytes(source.read_bytes()[:100])
    fails(run(host, model, tmp_path / "cut.npz", "-o", target), "cut.npz: it is no zip container, or it was cut short")
    np.savez(tmp_path / "other.npz", coords=COORDS)
    fails(run(host, model, tmp_path / "other.npz", "-o", target), "has no array feats; it needs coords and feats")
    fails(run(host, model, source, "-o", tmp_path / "no" / "out.npz"), "cannot be written: No such file or directory")


def test_an_altered_archive_is_refused(host, model, tmp_path):
    card, records = read_archive(model)
    name = max(records, key=lambda name: len(records[name]) if "constants/" in name else 0)
    boasting = dataclasses.replace(card, metrics={"accuracy": 1.0})
    for changed, facts in (({**records, name: bytes(len(records[name]))}, card), (records, boasting)):
        (tmp_path / "x.ts").write_bytes(pack({**changed, CARD_RECORD: facts.to_json().encode()}))
        fails(run(host, tmp_path / "x.ts"), "was altered: its content does not have the SHA-256 that its card names")
    (tmp_path / "x.ts").write_bytes(pack(records))
    fails(run(host, tmp_path / "x.ts"), "holds no model card (extra/card.json)")
    code = next(name for name in records if name.endswith(".py"))
    (tmp_path / "x.ts").write_bytes(seal({**records, code: b"def forward(:"}, card)[1])
    fails(run(host, tmp_path / "x.ts"), "cannot be loaded by this libtorch")


def test_a_native_archive_without_its_library(host, model, tmp_path):
    card, records = read_archive(model)
    (tmp_path / "native.ts").write_bytes(seal(records, dataclasses.replace(card, engine="native"))[1])
    fails(run(host, tmp_path / "native.ts"), "is for the native engine, whose operator library is not loaded")
    fails(run(host, tmp_path / "native.ts", "--ops", tmp_path / "no.so"), "the operator library cannot be loaded")
    if native.available():
        assert run(host, tmp_path / "native.ts", "--ops", native.LIBRARY).returncode == 0


def test_command_lines_that_are_wrong(host, model, tmp_path):
    assert run(host, "--help").stdout.startswith("usage: larmlreco_host MODEL.ts")
    for arguments, message in (
        ([], "an archive is missing; see --help"),
        ([model, "in.npz"], "an input and an output belong together"),
        ([model, "--treads", "1"], "unknown option --treads; valid: -o, --device, --threads, --ops, --help"),
        ([model, "--threads"], "--threads needs a value"),
        ([model, "--threads", "0"], "--threads must be a number from 1 to 4096; got 0"),
        ([model, "--device", "tpu"], "unknown device tpu; valid: cpu, cuda, cuda:N, auto"),
        ([model, "a", "b"], "unexpected argument b"),
    ):
        fails(run(host, *arguments), message)
    if not torch.cuda.is_available():
        fails(run(host, model, "--device", "cuda"), "no CUDA device is available for device cuda; valid here: cpu")
