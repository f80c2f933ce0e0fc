"""Archives: what export writes and refuses to write, and the verbs export and inspect."""

import dataclasses
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

import larmlreco.export
from larmlreco.archive import pack, read_archive, seal, unpack
from larmlreco.card import Feature, ModelCard
from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError, InputError, OutputError
from larmlreco.evaluation.record import Evaluation
from larmlreco.export import checkpoint_of_archive, export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Architecture, Checkpoint, build, save_checkpoint
from larmlreco.sparse import native


def checkpoint(dimension=2, **params):
    """A network whose norms have seen data."""
    torch.manual_seed(1)
    params = {"dimension": dimension, "classes": 2, "filters": 4, "depth": 3, "repetitions": 1, **params}
    network = build("uresnet", **params)
    rows = torch.unique(torch.randint(-20, 20, (300, dimension + 1)), dim=0)
    for _ in range(3):
        network.raw(rows, torch.rand(len(rows), 1) * 5.0)
    card = ModelCard(
        task="semantic_segmentation",
        detector="microboone",
        dimension=dimension,
        class_names=("track", "shower"),
        features=(Feature("adc", "ADC"),),
        pixel_size=(1, 6) if dimension == 2 else (0.3, 0.3, 0.3),
        pixel_units=("wire", "tick") if dimension == 2 else ("cm", "cm", "cm"),
        planes=("U", "V", "Y") if dimension == 2 else (),
        threshold=10.0,
        rebin=6,
        training={"seed": 1, "data": "none", "flips": (True, False)},
    )
    return Checkpoint(Architecture("uresnet", params), card).with_state(network.state_dict(), None, {"accuracy": 0.5})


def sample(dimension=2, n=400, seed=0):
    random = np.random.default_rng(seed)
    rows = np.unique(random.integers(-20, 20, (n, dimension)), axis=0)
    coords = np.column_stack([np.zeros(len(rows), dtype=np.int64), random.permutation(rows)])
    return coords, random.gamma(2.0, 1.0, (len(rows), 1)).astype(np.float32)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("order", ["post", "pre"])
def test_an_archive_gives_the_outputs_of_its_network_in_a_fresh_process(dimension, order, tmp_path):
    path = tmp_path / "model.ts"
    source = checkpoint(dimension, order=order)
    coords, features = sample(dimension)
    card = export_archive(source, path, samples=[(coords, features)])
    with torch.inference_mode():
        expected = source.network().eval()(torch.from_numpy(coords), torch.from_numpy(features))["semantic"].numpy()
    here = load_archive(path, engine="portable")(coords, features)["semantic"]
    np.testing.assert_allclose(here, expected, rtol=0, atol=1e-5)

    np.savez(tmp_path / "sample.npz", coords=coords, features=features, here=here)
    program = (
        "import torch, numpy as np, sys\n"
        f"file = np.load({str(tmp_path / 'sample.npz')!r})\n"
        "extra = {'card.json': ''}\n"
        f"module = torch.jit.load({str(path)!r}, _extra_files=extra)\n"
        "assert b'semantic_segmentation' in extra['card.json']\n"
        "with torch.jit.optimized_execution(False):\n"
        "    out = module(torch.from_numpy(file['coords']), torch.from_numpy(file['features']))\n"
        "assert np.array_equal(out['semantic'].numpy(), file['here'])\n"
        "for _ in range(3):\n"
        "    out = module(torch.from_numpy(file['coords']), torch.from_numpy(file['features']))\n"
        "    assert np.allclose(out['semantic'].numpy(), file['here'], rtol=0, atol=1e-5)\n"
        "assert not any(name.startswith('larmlreco') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    assert load_archive(path).card == card


@pytest.mark.skipif(not native.available(), reason="the native engine is not built")
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_portable_archive_holds_a_native_program_and_its_weights_once(dimension, tmp_path, monkeypatch):
    source, path = checkpoint(dimension), tmp_path / "model.ts"
    export_archive(source, path)
    export_archive(source, tmp_path / "native.ts", "native")
    coords, features = sample(dimension)
    outputs = {}
    for engine in ("portable", "native"):
        archive = load_archive(path, engine=engine)
        assert archive.engine == engine
        outputs[engine] = archive(coords, features)["semantic"]
    np.testing.assert_allclose(outputs["native"], outputs["portable"], rtol=0, atol=1e-5)
    alone = load_archive(tmp_path / "native.ts")(coords, features)["semantic"]
    assert np.array_equal(outputs["native"], alone)
    by_itself = load_archive(path)
    assert by_itself.engine == "native"
    assert np.array_equal(by_itself(coords, features)["semantic"], alone)

    records = read_archive(path)[1]
    second = {name: record for name, record in records.items() if name.startswith("extra/native/")}
    weights = sum(len(record) for name, record in records.items() if name.startswith("constants/"))
    assert not any(name.startswith("extra/native/constants/") and len(second[name]) > 64 for name in second)
    code = sum(len(record) for name, record in second.items() if name.startswith("extra/native/code/"))
    assert sum(map(len, second.values())) < code + weights / 2

    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(native, "_warned", False)
    with pytest.warns(UserWarning, match="the portable engine serves"):
        without = load_archive(path)
    assert without.engine == "portable"
    assert np.array_equal(without(coords, features)["semantic"], outputs["portable"])
    back = checkpoint_of_archive(path).network().eval()
    with torch.inference_mode():
        again = back(torch.from_numpy(coords), torch.from_numpy(features))["semantic"].numpy()
    np.testing.assert_allclose(again, outputs["portable"], rtol=0, atol=1e-5)


@pytest.mark.skipif(not native.available(), reason="the native engine is not built")
def test_an_altered_native_program_is_refused(tmp_path):
    path = tmp_path / "model.ts"
    export_archive(checkpoint(), path)
    records = unpack(path.read_bytes())
    code = next(name for name in records if name.startswith("extra/native/code/"))
    path.write_bytes(pack({**records, code: records[code] + b"\n"}))
    with pytest.raises(InputError, match="was altered"):
        load_archive(path)
    path.write_bytes(pack(records))
    card, intact = read_archive(path)
    for broken in (b"not json", b"[]", b'{"constants/0": "absent"}'):
        path.write_bytes(seal({**intact, "extra/native/same.json": broken}, card)[1])
        with pytest.raises(InputError, match=r"same\.json names records that it does not hold"):
            load_archive(path)


def test_where_the_operators_are_absent_an_archive_is_portable_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "available", lambda: False)
    export_archive(checkpoint(), tmp_path / "model.ts")
    monkeypatch.undo()
    assert load_archive(tmp_path / "model.ts").engine == "portable"
    with pytest.raises(ConfigurationError, match=r"model\.ts has no program for the engine native; valid: portable"):
        load_archive(tmp_path / "model.ts", engine="native")


def test_the_card_is_complete(tmp_path):
    source = checkpoint()
    card = export_archive(source, tmp_path / "model.ts")
    assert card.engine == "portable"
    assert card.torch_version == torch.__version__
    assert card.network == {"name": "uresnet", "params": source.architecture.params}
    assert list(card.outputs) == ["semantic"]
    assert card.training == {"seed": 1, "data": "none", "flips": [True, False]}
    assert card.metrics == {"accuracy": 0.5}
    assert re.fullmatch("[0-9a-f]{64}", card.sha256)
    assert read_archive(tmp_path / "model.ts")[0] == card


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_norms_are_folded_and_the_network_is_frozen(tmp_path):
    export_archive(checkpoint(), tmp_path / "model.ts")
    module = torch.jit.load(tmp_path / "model.ts")
    assert list(module.parameters()) == []
    assert "batch_norm" not in str(module.graph)


def test_nothing_names_the_machine_that_exported(tmp_path):
    export_archive(checkpoint(), tmp_path / "model.ts")
    content = (tmp_path / "model.ts").read_bytes()
    assert str(larmlreco.export.__file__).rpartition("/larmlreco/")[0].encode() not in content
    assert str(tmp_path).encode() not in content


def test_the_same_checkpoint_gives_the_same_weights_and_nothing_else_is_left(tmp_path):
    source = checkpoint()
    export_archive(source, tmp_path / "a.ts")
    export_archive(source, tmp_path / "a.ts")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ts"]
    with zipfile.ZipFile(tmp_path / "a.ts") as container:
        assert container.testzip() is None


def test_an_archive_that_differs_from_its_network_is_not_written(tmp_path, monkeypatch):
    def wrong(network):
        for layer in network.modules():
            if isinstance(layer, larmlreco.sparse.layers.Convolution):
                layer.fold_norm()
                layer.weight.data *= 1.01

    monkeypatch.setattr(larmlreco.export, "fold_norms", wrong)
    with pytest.raises(
        OutputError, match=r"does not give the outputs of its network: 'semantic' on sample 0 with 2000"
    ):
        export_archive(checkpoint(), tmp_path / "model.ts")
    assert not (tmp_path / "model.ts").exists()


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_a_network_whose_probabilities_rounding_decides_is_written(engine, tmp_path):
    if engine == "native" and not native.available():
        pytest.skip("the operator library is not built")
    source = checkpoint(3)
    weights = {**source.state_dict, "semantic.weight": source.state_dict["semantic.weight"] * 1e4}
    export_archive(source.with_state(weights, None), tmp_path / "model.ts", engine)


def test_a_card_that_disagrees_with_the_network_is_refused(tmp_path):
    source = checkpoint()
    two = dataclasses.replace(source.card, features=(Feature("adc", "ADC"), Feature("time", "us")))
    with pytest.raises(ConfigurationError, match=r"network and its model card disagree: features must have the shape"):
        export_archive(dataclasses.replace(source, card=two), tmp_path / "model.ts")


def test_the_native_engine_where_it_is_absent(tmp_path, monkeypatch):
    def absent():
        raise ConfigurationError("the native engine needs its library")

    monkeypatch.setattr(native, "require", absent)
    with pytest.raises(ConfigurationError, match="the native engine needs its library"):
        export_archive(checkpoint(), tmp_path / "model.ts", engine="native")


def test_a_directory_that_is_absent_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write the archive .*: No such file or directory"):
        export_archive(checkpoint(), tmp_path / "no" / "model.ts")


def test_verbs(tmp_path, capsys):
    save_checkpoint(tmp_path / "best.ckpt", checkpoint())
    coords, features = sample()
    np.savez(tmp_path / "event.npz", coords=coords.astype(np.int32), feats=features)
    model = str(tmp_path / "model.ts")
    real = ["--compare-on", str(tmp_path / "event.npz")]
    assert main(["export", str(tmp_path / "best.ckpt"), "-o", model, *real]) == 0
    assert "semantic_segmentation for microboone, engine portable, SHA-256" in capsys.readouterr().out
    assert main(["inspect", model]) == 0
    shown = capsys.readouterr().out
    for line in (
        r"detector\s+microboone",
        r"planes\s+U, V, Y",
        r"class_names\s+track, shower",
        r"features\.0\s+name adc, unit ADC",
        r"metrics\.accuracy\s+0\.5",
        r"network\.params\.filters\s+4",
    ):
        assert re.search(line, shown)
    assert main(["inspect", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_archive(model)[0].to_dict()
    Evaluation("MPV", "job.fcl", ("a.root",), 3, {"evaluation": {"accuracy": 0.9}}).save(tmp_path / "mpv")
    evaluated = ["--evaluation", str(tmp_path / "mpv")]
    assert main(["export", str(tmp_path / "best.ckpt"), "-o", model, *evaluated]) == 0
    expected = {"MPV": {"job": "job.fcl", "events": 3, "evaluation": {"accuracy": 0.9}}}
    assert read_archive(model)[0].metrics == expected


def test_verbs_on_bad_files(tmp_path, capsys):
    (tmp_path / "text").write_text("neither")
    assert main(["inspect", str(tmp_path / "text")]) == InputError.exit_status
    assert "is no TorchScript archive, or it was cut short or altered" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "absent")]) == InputError.exit_status
    assert "cannot be read: No such file or directory" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "text"), "-o", str(tmp_path / "x.ts")]) == InputError.exit_status
    assert "is no checkpoint made by larmlreco train" in capsys.readouterr().err
    save_checkpoint(tmp_path / "best.ckpt", checkpoint())
    arguments = ["export", str(tmp_path / "best.ckpt"), "-o", str(tmp_path / "x.ts")]
    assert main([*arguments, "--compare-on", str(tmp_path / "text")]) == InputError.exit_status
    assert "expected an npz file with arrays coords and feats" in capsys.readouterr().err


def test_the_container_round_trips():
    records = {"version": b"3\n", "data/0": bytes(range(256)), "code/x.py": b""}
    assert unpack(pack(records)) == records
    assert pack(records) == pack(dict(records))


@pytest.mark.parametrize("order", ["post", "pre"])
def test_the_weights_of_an_archive_come_back(order, tmp_path):
    path = tmp_path / "model.ts"
    source = checkpoint(order=order)
    random = torch.Generator().manual_seed(2)
    learned = {
        name: value * (1 + 0.1 * torch.rand(value.shape, generator=random))
        + 0.01 * torch.rand(value.shape, generator=random)
        for name, value in source.state_dict.items()
        if "norm" in name and value.is_floating_point()
    }
    export_archive(source.with_state({**source.state_dict, **learned}, None), path)
    coords, features = sample()
    network = checkpoint_of_archive(path).network().eval()
    with torch.inference_mode():
        again = network(torch.from_numpy(coords), torch.from_numpy(features))["semantic"].numpy()
    np.testing.assert_allclose(again, load_archive(path)(coords, features)["semantic"], rtol=0, atol=1e-5)
    assert sorted(network.state_dict()) == sorted(checkpoint(order=order).state_dict)


def test_weights_of_an_archive_of_another_version_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.ts"
    export_archive(checkpoint(), path)
    monkeypatch.setattr(larmlreco.export, "build", lambda name, engine, **params: build(name, **{**params, "depth": 2}))
    with pytest.raises(ConfigurationError, match="made of another version of the network 'uresnet'"):
        checkpoint_of_archive(path)


def test_the_mean_of_a_checkpoint_and_an_archive(tmp_path):
    first, second = tmp_path / "first.ts", tmp_path / "second.ckpt"
    export_archive(checkpoint(), first)
    begun = checkpoint_of_archive(first)
    learned = {name: value + value.is_floating_point() for name, value in begun.state_dict.items()}
    save_checkpoint(second, begun.with_state(learned, None, {"accuracy": 0.5}))
    assert main(["export", str(second), "--average-with", str(first), "-o", str(tmp_path / "mean.ts")]) == 0
    mean = checkpoint_of_archive(tmp_path / "mean.ts")
    assert mean.card.metrics == {}
    name = "semantic.weight"
    torch.testing.assert_close(mean.state_dict[name], begun.state_dict[name] + 0.5)
    save_checkpoint(second, checkpoint(depth=2))
    assert main(["export", str(second), "--average-with", str(first), "-o", str(tmp_path / "none.ts")]) == 3
