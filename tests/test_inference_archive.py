"""Loading archives, checking them against a job, running them."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from larmlreco.archive import CARD_RECORD, pack, read_archive, seal
from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Architecture, Checkpoint, build
from larmlreco.sparse import native

PARAMS = {"dimension": 2, "classes": 2, "filters": 2, "depth": 2, "repetitions": 1}
CARD = ModelCard(
    task="semantic_segmentation",
    detector="microboone",
    dimension=2,
    class_names=("track", "shower"),
    features=(Feature("adc", "ADC"),),
    pixel_size=(1.0, 6.0),
    pixel_units=("wire", "tick"),
    planes=("U", "V", "Y"),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("archives") / "model.ts"
    network = build("uresnet", **PARAMS)
    export_archive(Checkpoint(Architecture("uresnet", PARAMS), CARD, network.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def archive(path):
    return load_archive(path)


def rewritten(path, where, **facts):
    """The archive with other facts on its card, and the right hash."""
    card, records = read_archive(path)
    where.write_bytes(seal(records, dataclasses.replace(card, **facts))[1])
    return where


COORDS = np.array([[0, 3, 4], [0, 3, 5], [1, -7, 2]])
FEATURES = np.array([[20.0], [30.0], [25.0]], dtype=np.float32)


def test_outputs_belong_to_the_rows(archive):
    out = archive(COORDS, FEATURES)["semantic"]
    assert (out.shape, out.dtype) == ((3, 2), np.float32)
    np.testing.assert_allclose(out.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(archive(COORDS[::-1], FEATURES[::-1])["semantic"], out[::-1], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int64, np.uint32])
def test_mirrored_scores_are_the_mean_over_all_mirror_images(archive, dtype):
    random = np.random.default_rng(0)
    coords = np.column_stack([np.zeros(300, int), random.integers(0, 40, (300, 2))]).astype(dtype)
    features = random.gamma(2, 20, (300, 1)).astype(np.float32)
    plain, mean = archive.class_scores(coords, features), archive.class_scores(coords, features, mirrored=True)
    np.testing.assert_array_equal(plain, archive(coords, features)["semantic"])
    expected = np.zeros((300, 2))
    for wire in (1, -1):
        for row in (1, -1):
            turned = np.column_stack([coords[:, 0], wire * coords[:, 1].astype(int), row * coords[:, 2].astype(int)])
            expected += archive(turned, features)["semantic"] / 4
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert abs(mean - plain).max() > 1e-4
    assert archive.class_scores(coords[:0], features[:0], mirrored=True).shape == (0, 2)
    with pytest.raises(InputError, match="integers"):
        archive.class_scores(coords.astype(float), features, mirrored=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64])
def test_any_integers_will_do(archive, dtype):
    coords = np.abs(COORDS)
    expected = archive(coords, FEATURES)["semantic"]
    assert np.array_equal(archive(coords.astype(dtype), FEATURES.astype(np.float64))["semantic"], expected)


def test_read_only_and_non_contiguous_arrays_without_a_warning(archive):
    expected = archive(COORDS, FEATURES)["semantic"]
    coords = np.asfortranarray(COORDS)
    features = np.repeat(FEATURES, 2, axis=1)[:, ::2]
    coords.flags.writeable = features.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(archive(coords, features)["semantic"], expected)


def test_no_rows_are_an_input_like_any_other(archive):
    assert archive(np.zeros((0, 3), dtype=np.int32), np.zeros((0, 1)))["semantic"].shape == (0, 2)


def test_loading_gives_no_warning(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_archive(path)


@pytest.mark.parametrize(
    ("coords", "features", "message"),
    [
        (COORDS.astype(float), FEATURES, "coordinates must be integers; got float64"),
        (COORDS[:, :2], FEATURES, r"coordinates must have the shape \(rows, 3\), the batch item first; got \[3, 2\]$"),
        (COORDS, FEATURES[:2], r"features must have the shape \(3, 1\); got \[2, 1\]$"),
        (COORDS, np.array([[1.0], [np.nan], [1.0]]), "features must be finite; row 1, column 0 is not$"),
    ],
)
def test_bad_input_is_one_line_that_names_it(archive, path, coords, features, message):
    with pytest.raises(InputError, match=message) as raised:
        archive(coords, features)
    assert str(raised.value).startswith(f"archive {path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("portable", r"coordinates span too large a box: .* the product must stay below 2\^62$"),
        ("native", r"coordinates span .*, which a 64-bit key cannot hold: expected at most 2\^31 voxels along an axis"),
    ],
)
def test_a_box_that_is_too_large_is_named(path, engine, message):
    if engine == "native" and not native.available():
        pytest.skip("the native engine is not built")
    with pytest.raises(InputError, match=message) as raised:
        load_archive(path, engine=engine)(COORDS * 2**33, FEATURES)
    assert str(raised.value).startswith(f"archive {path}: ")
    assert "\n" not in str(raised.value)


def test_too_little_memory_is_named(archive, path):
    class Greedy:
        def __call__(self, coords, features):
            return {"semantic": torch.empty((1 << 60,))}

    greedy = type(archive)(path, archive.card, Greedy(), archive.device, archive.engine)
    with pytest.raises(InputError, match="the memory does not suffice for 3 rows"):
        greedy(COORDS, FEATURES)


def test_a_fitting_job_passes(archive):
    archive.check(detector="microboone")
    archive.check(
        detector="microboone",
        planes=["Y"],
        class_names=("track", "shower"),
        task="semantic_segmentation",
        outputs=["semantic"],
    )
    archive.check(detector="protodunehd", planes=["Z"], allow_other_detector=True)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"detector": "sbnd"}, "the job needs the detector sbnd; the card has microboone"),
        ({"planes": ["Y", "Z", "W"]}, "the job needs the planes W, Z; the card has U, V, Y"),
        ({"class_names": ("shower", "track")}, "the job needs the classes shower, track; the card has track, shower"),
        ({"task": "flow"}, "the job needs the task flow; the card has semantic_segmentation"),
        ({"outputs": ["embedding"]}, "the job needs the outputs embedding; the card has semantic"),
        (
            {"detector": "sbnd", "class_names": ("a",), "allow_other_detector": True},
            "the job needs the classes a; the card has track, shower",
        ),
    ],
)
def test_a_job_that_does_not_fit_is_told_what_and_what_would(archive, path, job, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        archive.check(**{"detector": "microboone", **job})
    assert str(raised.value).startswith(f"archive {path}: ")


@pytest.mark.parametrize("keep", [0, 0.1, 0.5, 0.999])
def test_an_archive_cut_short_is_refused(path, tmp_path, keep):
    content = path.read_bytes()
    (tmp_path / "cut.ts").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"cut\.ts is no TorchScript archive, or it was cut short or altered"):
        load_archive(tmp_path / "cut.ts")


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_an_altered_archive_gives_an_error_or_the_right_numbers(path, archive, tmp_path_factory, place, bit):
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    altered = tmp_path_factory.getbasetemp() / "altered.ts"
    altered.write_bytes(content)
    try:
        loaded = load_archive(altered)
    except InputError:
        return
    # Some bytes of a zip container mean nothing: dates, attributes, the version that wrote it.
    assert np.array_equal(loaded(COORDS, FEATURES)["semantic"], archive(COORDS, FEATURES)["semantic"])


def test_altered_weights_and_cards_with_right_checksums_are_refused(path, tmp_path):
    card, records = read_archive(path)
    weights = dict(records)
    name = max(weights, key=lambda name: len(weights[name]) if "constants/" in name else 0)
    weights[name] = bytes(len(weights[name]))
    boasting = dataclasses.replace(card, metrics={"accuracy": 1.0})
    for changed, facts in ((weights, card), (records, boasting), ({**records, "more": b"1"}, card)):
        (tmp_path / "x.ts").write_bytes(pack({**changed, CARD_RECORD: facts.to_json().encode()}))
        with pytest.raises(InputError, match="was altered: its content does not have the SHA-256 that its card names"):
            load_archive(tmp_path / "x.ts")


def test_other_files_are_refused(path, tmp_path):
    with pytest.raises(InputError, match=r"absent\.ts cannot be read: No such file or directory"):
        load_archive(tmp_path / "absent.ts")
    _, records = read_archive(path)
    (tmp_path / "plain.ts").write_bytes(pack(records))
    with pytest.raises(InputError, match=r"plain\.ts holds no model card \(extra/card\.json\)"):
        load_archive(tmp_path / "plain.ts")


def test_a_newer_format_is_refused(path, tmp_path):
    newer = rewritten(path, tmp_path / "newer.ts", format_version=2)
    with pytest.raises(InputError, match=r"newer\.ts: format version 2; this larmlreco reads version 1"):
        load_archive(newer)


def absent():
    raise ConfigurationError("the native engine needs its library")


def test_a_native_archive_without_the_library_says_what_to_do(path, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "require", absent)
    with pytest.raises(ConfigurationError, match=r"native\.ts: the native engine needs its library"):
        load_archive(rewritten(path, tmp_path / "native.ts", engine="native"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_absent_is_named(path):
    with pytest.raises(ConfigurationError, match="no CUDA device is available for device cuda; valid here: cpu"):
        load_archive(path, device="cuda")


def test_threads(path):
    before = torch.get_num_threads()
    try:
        load_archive(path, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
