"""What ``larmlreco bench`` prints is there, and what can be counted is right; never how fast anything is."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from oracles import proposal_free_clustering
from oracles import sparse_convolution as oracle

from larmlreco.benchmark import Image, read_image
from larmlreco.benchmark_clustering import embedded_voxels, published_clusters, straight_tracks
from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.models import build
from larmlreco.sparse import elsewhere, native
from larmlreco.sparse.layers import fold_norms

ENGINES = ["portable", "native"] if native.available() else ["portable"]
KEYS = ("engine", "n_voxels", "total_ms", "map_ms", "gflop", "gflops", "sgemm_gflops", "peak_rss_mb", "threads")


@pytest.fixture
def input_path(tmp_path):
    def write(dimension=2, name="image", n=200, side=16):
        random = np.random.default_rng(0)
        axes = np.unique(random.integers(0, side, (n, dimension)), axis=0)
        coords = np.column_stack([np.zeros(len(axes)), axes]).astype(np.int32)
        features = random.gamma(2.0, 1.0, (len(coords), 1)).astype(np.float32)
        path = tmp_path / f"{name}.npz"
        np.savez(path, coords=random.permutation(coords), feats=features, spatial_shape=np.full(dimension, side))
        return path

    return write


def bench(*arguments):
    return main(["bench", "--filters", "2", "--depth", "2", "--rounds", "1", *map(str, arguments)])


def test_json(input_path, capsys):
    path = input_path()
    assert bench("--input", path, "--dim", 2, "--engine", *ENGINES, "--backward", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    rows = rows if len(ENGINES) > 1 else [rows]
    assert [row["engine"] for row in rows] == ENGINES
    image = read_image(path)
    for row in rows:
        assert set(KEYS) <= set(row)
        assert (row["fma_peak_gflops"] is not None) == native.available()
        assert row["n_voxels"] == len(image.coords)
        assert row["gflop"] == pytest.approx(1e-9 * flop_by_definition(image), rel=1e-12)
        assert row["gflops"] == pytest.approx(row["gflop"] / row["total_ms"] * 1e3)
        assert row["max_difference"] < 1e-5
        assert row["step_ratio"] == pytest.approx(row["step_ms"] / row["forward_ms"])
        assert row["peak_rss_mb"] >= 0.0


def flop_by_definition(image):
    """Of the U-ResNet with 2 and 4 channels, two blocks a level and five classes."""
    fine = [tuple(row) for row in image.coords.tolist()]
    coarse = oracle.coarse_sites(fine, [2, 2])
    ones = [1, 1]
    around_fine = len(oracle.pairs(fine, fine, [3, 3], ones, ones))
    around_coarse = len(oracle.pairs(coarse, coarse, [3, 3], ones, ones))
    multiplications = around_fine * (1 * 2 + 4 * 2 * 2) + around_coarse * 4 * 4 * 4  # stem, encoder, bottom
    multiplications += len(fine) * 2 * (2 * 4)  # down and up: each fine site has one coarse one
    multiplications += around_fine * (4 * 2 + 3 * 2 * 2) + len(fine) * 4 * 2  # decoder, and the shortcut over the join
    return 2 * (multiplications + len(fine) * 2 * 5)


def test_table_and_plot(input_path, tmp_path, capsys):
    inputs = [input_path(3, "small", 60), input_path(3, "large", 300)]
    assert bench("--input", *inputs, "--engine", ENGINES[-1], "--plot", tmp_path / "cost.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["engine", "input", "voxels", "threads"]
    assert "dense" not in lines[0]
    assert [line.split()[1] for line in lines[1:3]] == ["small", "large"]
    assert lines[3].startswith("U-ResNet of 2 filters, depth 2; this machine, 1 thread(s): sgemm ")
    assert (tmp_path / "cost.png").stat().st_size > 1000


@pytest.mark.parametrize(("batch", "name"), [(1, "image[512]"), (2, "image[2x512]")])
def test_dense(input_path, capsys, batch, name):
    path = input_path(2)
    assert bench("--input", path, "--engine", ENGINES[-1], "--dense", "--batch", batch, "--json") == 0
    sparse, dense = json.loads(capsys.readouterr().out)
    assert dense["engine"] == "dense"
    assert dense["input"] == sparse["input"] == name
    assert dense["batch"] == sparse["batch"] == batch
    assert dense["n_voxels"] == sparse["n_voxels"] == batch * len(read_image(path).coords)
    assert max(sparse["max_difference"], dense["max_difference"]) < 1e-5
    assert sparse["dense_time_ratio"] == pytest.approx(dense["total_ms"] / sparse["total_ms"])
    assert sparse["dense_memory_ratio"] > 0.0


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("library", ["dense", "spconv", "minkowski"])
def test_other_libraries_give_our_numbers(dimension, library):
    module = {"spconv": "spconv", "minkowski": "MinkowskiEngine"}.get(library)
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    torch.manual_seed(0)
    network = build("uresnet", dimension=dimension, classes=3, filters=4, depth=3)
    shape = [16] * dimension
    axes = torch.randint(0, 16, (200, dimension)).unique(dim=0)
    coords = torch.cat([torch.randint(0, 2, (len(axes), 1)), axes[torch.randperm(len(axes))]], 1)
    features = torch.rand(len(coords), 1)
    network.train().raw(coords, features)  # statistics of the norms
    fold_norms(network.eval())
    moved = {
        "dense": lambda: elsewhere.on_dense(network, shape, 2),
        "spconv": lambda: elsewhere.on_spconv(network, shape, 2),
        "minkowski": lambda: elsewhere.on_minkowski(network),
    }[library]()
    with torch.inference_mode():
        expected, found = network.raw(coords, features)["semantic"], moved.raw(coords, features)["semantic"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_the_densest_crop_has_most_voxels():
    coords = np.array([[0, 1, 1], [0, 9, 9], [0, 10, 11], [0, 12, 13]])
    crop = Image("image", coords, np.arange(4, dtype=np.float32).reshape(-1, 1), (16, 16)).densest_crops(8, 1)
    assert crop.shape == (8, 8)
    assert crop.coords.tolist() == [[0, 1, 1], [0, 2, 3], [0, 4, 5]]
    assert crop.features.ravel().tolist() == [1.0, 2.0, 3.0]


def test_a_batch_holds_the_densest_crops_and_begins_again_where_there_are_fewer():
    coords = np.array([[0, 1, 1], [0, 9, 5], [0, 10, 3]])
    features = np.arange(3, dtype=np.float32).reshape(-1, 1)
    batch = Image("image", coords, features, (16, 8)).densest_crops(8, 4)
    assert batch.items == 4
    assert batch.name == "image[4x8]"
    # Crops start at 4, 8 and 0 along the first axis: two, two voxels and one; then again at 4.
    assert batch.coords.tolist() == [[0, 5, 5], [0, 6, 3], [1, 1, 5], [1, 2, 3], [2, 1, 1], [3, 5, 5], [3, 6, 3]]
    assert batch.features.ravel().tolist() == [1.0, 2.0, 1.0, 2.0, 0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--dim", "3"], 3, "image has 2 axes; --dim asks for 3"),
        (["--threads", "0"], 3, "--threads must be at least 1; got 0"),
        (["--dense", "--batch", "0"], 3, "--batch must be at least 1; got 0"),
        (["--batch", "2"], 3, "--batch goes with --dense"),
        (["--engine", "spconv", "--backward"], 3, "engine spconv: only portable and native run backward here"),
    ],
)
def test_bad_options(input_path, capsys, options, status, message):
    assert bench("--input", input_path(), *options) == status
    assert message in capsys.readouterr().err


def test_an_image_wider_than_keys_is_refused(tmp_path, capsys):
    far = np.array([[0, 0, 0, 0], [0, 2**40, 2**40, 2**40]])
    np.savez(tmp_path / "far.npz", coords=far, feats=np.ones((2, 1)), spatial_shape=np.full(3, 2**41))
    assert bench("--input", tmp_path / "far.npz") == 4
    assert "larmlreco bench: far: " in capsys.readouterr().err


@pytest.mark.parametrize(("engine", "module"), [("spconv", "spconv"), ("minkowski", "MinkowskiEngine")])
def test_absent_libraries_are_named(input_path, capsys, engine, module):
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    assert bench("--input", input_path(), "--engine", engine) == 3
    error = capsys.readouterr().err
    assert f"this engine needs {module}" in error
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"coords": np.zeros((2, 3))}, "expected arrays coords, feats and spatial_shape"),
        (
            {"coords": np.zeros((2, 3)), "feats": np.zeros((2, 1)), "spatial_shape": np.array([4, 4])},
            r"expected integer coords \(N, 1 \+ axes\)",
        ),
        (
            {"coords": np.zeros((2, 3), int), "feats": np.zeros((3, 1)), "spatial_shape": np.array([4, 4])},
            r"expected feats \(2, 1\); got \(3, 1\)",
        ),
        (
            {"coords": np.zeros((1, 3), int), "feats": np.array([[np.nan]]), "spatial_shape": np.array([4, 4])},
            "expected finite feats; row 0 is not",
        ),
        (
            {"coords": np.array([[0, 1, 4]]), "feats": np.ones((1, 1)), "spatial_shape": np.array([4, 4])},
            r"with voxels in \[4, 4\]; row 0 is \[0, 1, 4\]",
        ),
        (
            {"coords": np.zeros((2, 3), int), "feats": np.ones((2, 1)), "spatial_shape": np.array([4, 4])},
            "expected distinct coords",
        ),
    ],
)
def test_bad_inputs(tmp_path, arrays, message):
    np.savez(tmp_path / "image.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "image.npz")
    whole = (tmp_path / "image.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="expected arrays coords"):
        read_image(tmp_path / "cut.npz")


def test_cost_of_clustering(tmp_path, capsys):
    plot = tmp_path / "cost.png"
    arguments = ["bench", "--clusters", "5", "30", "--voxels", "100", "400", "--rounds", "1", "--plot", str(plot)]
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["voxels"], row["clusters"]) for row in rows] == [(100, 5), (400, 5), (400, 30)]
    assert [row["different"] for row in rows] == [0, 0, 0]
    assert plot.stat().st_size > 1000
    assert main(arguments) == 0
    head = "voxels clusters fast s published s DBSCAN s different"
    assert capsys.readouterr().out.splitlines()[0].split() == head.split()


def test_published_clusters_are_those_of_the_definition():
    arrays = embedded_voxels(150, 6)
    label, _ = proposal_free_clustering.plain_clusters(*(a.tolist() for a in arrays), 0.5, 0.5, assign_all=True)
    assert published_clusters(*arrays).tolist() == label


def test_straight_tracks_are_connected():
    tracks = straight_tracks(60, 2)
    for mine in (tracks[::2], tracks[1::2]):
        assert (np.abs((np.diff(mine, axis=0) + 384) % 768 - 384).max(axis=1) == 1).all()


@pytest.mark.parametrize(
    "arguments", [("--clusters", "0"), ("--clusters", "2", "--voxels", "0"), ("--clusters", "3", "--voxels", "29")]
)
def test_impossible_numbers_of_clusters_are_refused(arguments, capsys):
    assert main(["bench", *arguments]) == ConfigurationError.exit_status
    assert "must" in capsys.readouterr().err
