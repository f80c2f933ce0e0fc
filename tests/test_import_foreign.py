"""Checkpoints of MinkowskiEngine and SPINE in all their variants, against an oracle; what cannot be read is named."""

import json

import numpy as np
import pytest
import torch
from oracles import minkowski_uresnet as oracle

from larmlreco.archive import read_archive
from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models.foreign import load_foreign
from larmlreco.sparse import native

BASE = {"dimension": 3, "widths": [3, 6], "in_channels": 1, "repetitions": 1, "classes": 3, "activation": "leaky_relu"}
VARIANTS = {
    "2D": {"dimension": 2, "repetitions": 2},
    "deep": {"dimension": 2, "widths": [2, 4, 6, 8, 10]},
    "channels": {"in_channels": 4, "classes": 2},
    "relu, bias": {"activation": "relu", "bias": True},
    "elu, bias, eps": {"activation": "elu", "bias": True, "eps": 1e-3},
    "prelu": {"activation": "prelu"},
    "selu, instance norm": {"activation": "selu", "norm": "instance_norm"},
    "relu, instance norm, bias": {"activation": "relu", "norm": "instance_norm", "bias": True},
    "prelu, no norm": {"activation": "prelu", "norm": "none"},
    "tanh": {"activation": "tanh", "dimension": 2},
    "no activation": {"activation": "none"},
    "kernel 5": {"input_kernel": 5, "dimension": 2},
    "kernel 1": {"input_kernel": 1, "in_channels": 2},
    "kernel 2": {"input_kernel": 2},
}


def image(dimension, channels, n=60, seed=0):
    """Two batch items, negative coordinates, rows mixed."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, 2, n), random.integers(-4, 4, (n, dimension))])
    rows = random.permutation(np.unique(rows, axis=0))
    return rows, random.gamma(2.0, 1.0, (len(rows), channels)).astype(np.float32)


def spine_config(params):
    activation = {"leaky_relu": {"name": "lrelu", "negative_slope": 0.33}}.get(params["activation"])
    norm = params.get("norm", "batch_norm")
    return {
        "num_input": params["in_channels"],
        "num_classes": params["classes"],
        "filters": params["widths"][0],
        "depth": len(params["widths"]),
        "reps": params["repetitions"],
        "data_dim": params["dimension"],
        "input_kernel": params.get("input_kernel", 3),
        "allow_bias": params.get("bias", False),
        "activation": activation or params["activation"],
        "norm_layer": {"name": norm, "eps": params.get("eps", 1e-5)} if norm == "batch_norm" else norm,
        **({"ghost": True} if params.get("ghost") else {}),
    }


def architecture(params):
    size = params.get("resample_size", 2)
    return {
        "family": "U-ResNet, pre-activation",
        "dimension": params["dimension"],
        "in_channels": params["in_channels"],
        "filters": params["widths"][0],
        "depth": len(params["widths"]),
        "planes": params["widths"],
        "blocks_per_level": params["repetitions"],
        "classes": params["classes"],
        "activation": params["activation"],
        "negative_slope": 0.33 if params["activation"] == "leaky_relu" else None,
        "norm": f"{params.get('norm', 'batch_norm')}, eval mode",
        "bn_eps": params.get("eps", 1e-5),
        "conv_bias": params.get("bias", False),
        "stem": f"stem: conv k{params.get('input_kernel', 3)} s1",
        "down": f"down.i: norm, act, conv k{size} s2 from level i to level i+1",
        "up": f"up.i: norm, act, transposed conv k{size} s2 from level i+1 to level i",
    }


def made(origin, params, prefix=""):
    """Content of a checkpoint file, input, and the logits of the oracle."""
    weights = oracle.Weights()
    network = oracle.UResNet(oracle.SPINE if origin == "spine" else oracle.PLAIN, weights, **params)
    coords, features = image(params["dimension"], params["in_channels"])
    expected = network(coords, features)
    state_dict = {prefix + name: torch.from_numpy(np.array(value)) for name, value in weights.values.items()}
    described = {"model": {"name": "uresnet", "modules": {"uresnet": spine_config(params)}}}
    described = {"spine_config": described} if origin == "spine" else {"architecture": architecture(params)}
    return {"state_dict": state_dict, **described}, coords, features, expected


def check(path, origin, coords, features, expected, engine, tmp_path):
    checkpoint, others = load_foreign(path, origin)
    assert others == []
    double = checkpoint.network().eval().double()
    with torch.no_grad():
        found = double.raw(torch.from_numpy(coords), torch.from_numpy(features).double())
    np.testing.assert_allclose(found["semantic"], expected[0], rtol=1e-10, atol=1e-10)
    export_archive(checkpoint, tmp_path / "model.ts", engine, [(coords, features)])
    outputs = load_archive(tmp_path / "model.ts")(coords, features)
    np.testing.assert_allclose(outputs["logits"], expected[0], rtol=1e-4, atol=1e-4 * np.abs(expected[0]).max())
    return outputs


@pytest.mark.parametrize("origin", ["minkowski", "spine"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(origin, variant, tmp_path):
    file, coords, features, expected = made(origin, {**BASE, **VARIANTS[variant]})
    torch.save(file, tmp_path / "x.ckpt")
    engine = "native" if native.available() and variant == "relu, instance norm, bias" else "portable"
    check(tmp_path / "x.ckpt", origin, coords, features, expected, engine, tmp_path)


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_kernel_3_between_levels_and_any_widths(engine, tmp_path):
    if engine == "native" and not native.available():
        pytest.skip("the operator library is not built")
    file, coords, features, expected = made("minkowski", {**BASE, "widths": [3, 5, 4], "resample_size": 3})
    torch.save(file, tmp_path / "x.ckpt")
    check(tmp_path / "x.ckpt", "minkowski", coords, features, expected, engine, tmp_path)


def test_anisotropic_first_kernel_of_spine(tmp_path):
    file, coords, features, expected = made("spine", {**BASE, "input_kernel": [3, 1, 5]})
    torch.save(file, tmp_path / "x.ckpt")
    check(tmp_path / "x.ckpt", "spine", coords, features, expected, "portable", tmp_path)


def test_ghost_head(tmp_path):
    file, coords, features, expected = made("spine", {**BASE, "ghost": True})
    torch.save(file, tmp_path / "x.ckpt")
    outputs = check(tmp_path / "x.ckpt", "spine", coords, features, expected, "portable", tmp_path)
    np.testing.assert_allclose(outputs["ghost"], torch.softmax(torch.from_numpy(expected[1]), 1), atol=1e-5)
    assert "ghost" in read_archive(tmp_path / "model.ts")[0].outputs


def test_prefixes_the_files_of_a_training_and_float64(tmp_path):
    file, coords, features, expected = made("spine", BASE, prefix="module.uresnet.")
    state_dict = {name: value.double() for name, value in file["state_dict"].items()}
    torch.save({"global_step": 7, "state_dict": state_dict, "optimizer": {"state": {}, "param_groups": []}},
               tmp_path / "snapshot-7.ckpt")  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(file["spine_config"]))
    out = str(tmp_path / "model.ts")
    arguments = ["export", str(tmp_path / "snapshot-7.ckpt"), "--from", "spine", "-o", out]
    assert main([*arguments, "--architecture", str(tmp_path / "job.json")]) == 0
    np.testing.assert_allclose(load_archive(out)(coords, features)["logits"], expected[0], rtol=1e-4, atol=1e-4)


def test_a_bare_state_dict_and_yaml(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML (extra spine) is not installed")
    file, coords, features, expected = made("spine", BASE)
    torch.save(file["state_dict"], tmp_path / "weights.pt")
    (tmp_path / "uresnet.yaml").write_text(yaml.safe_dump(spine_config(BASE)))
    checkpoint, _ = load_foreign(tmp_path / "weights.pt", "spine", tmp_path / "uresnet.yaml")
    with torch.no_grad():
        logits = checkpoint.network().eval()(torch.from_numpy(coords), torch.from_numpy(features))["logits"]
    np.testing.assert_allclose(logits, expected[0], rtol=1e-4, atol=1e-4)


def test_other_modules_of_a_chain_are_left_out_and_said(tmp_path, capsys):
    file, coords, features, expected = made("spine", BASE, prefix="uresnet_ppn.uresnet.")
    file["state_dict"]["uresnet_ppn.ppn.final.kernel"] = torch.zeros(1)
    file["state_dict"]["grappa_shower.edge.weight"] = torch.zeros(1)
    modules = {"uresnet_ppn": {"uresnet": spine_config(BASE), "ppn": {"depth": 2}}, "grappa_shower": {"x": 1}}
    file["spine_config"] = {"model": {"name": "full_chain", "modules": {"chain": {}, **modules}}}
    torch.save(file, tmp_path / "x.ckpt")
    out = str(tmp_path / "model.ts")
    assert main(["export", str(tmp_path / "x.ckpt"), "--from", "spine", "-o", out]) == 0
    assert "left out: 2 weights of other modules, uresnet_ppn.ppn.final.kernel the first" in capsys.readouterr().err
    np.testing.assert_allclose(load_archive(out)(coords, features)["logits"], expected[0], rtol=1e-4, atol=1e-4)
    file["state_dict"]["attention.weight"] = torch.zeros(1)
    torch.save(file, tmp_path / "x.ckpt")
    with pytest.raises(ConfigurationError, match=r"unknown weight 'attention\.weight' in .*x\.ckpt"):
        load_foreign(tmp_path / "x.ckpt", "spine")


def test_facts_for_the_card(tmp_path):
    file, *_ = made("spine", BASE)
    torch.save(file, tmp_path / "x.ckpt")
    facts = {"detector": "microboone", "class_names": ["shower", "track", "other"], "pixel_size": [0.3, 0.3, 0.3]}
    (tmp_path / "card.json").write_text(json.dumps(facts))
    arguments = ["export", str(tmp_path / "x.ckpt"), "--from", "spine", "-o", str(tmp_path / "m.ts")]
    assert main([*arguments, "--card", str(tmp_path / "card.json")]) == 0
    card, _ = read_archive(tmp_path / "m.ts")
    assert (card.detector, card.class_names) == ("microboone", ("shower", "track", "other"))
    assert card.training == {"origin": "spine", "checkpoint": "x.ckpt"}
    with pytest.raises(ConfigurationError, match="the card has 2 for class_names; the network has 3"):
        load_foreign(tmp_path / "x.ckpt", "spine", card={"class_names": ["a", "b"]})
    with pytest.raises(InputError, match="unknown key 'detecter' in the model card; did you mean 'detector'"):
        load_foreign(tmp_path / "x.ckpt", "spine", card={"detecter": "x"})


@pytest.mark.parametrize("origin", ["minkowski", "spine"])
def test_a_weight_that_is_unknown_missing_or_of_another_shape_is_named(origin, tmp_path):
    stem = {"minkowski": "encoder.0.0", "spine": "backbone.encoder.encoding_block.0.0"}[origin]
    for name, change, message in (
        (
            f"{stem}.conv3.kernel",
            torch.zeros(27, 3, 3),
            r"unknown weight '.*conv3\.kernel' with the shape \(27, 3, 3\)",
        ),
        ("attention.weight", torch.zeros(3), r"unknown weight 'attention\.weight' with the shape \(3,\)"),
        (f"{stem}.conv1.offset", torch.zeros(3), r"unknown weight '.*conv1\.offset'"),
        (f"{stem}.conv1.bias", torch.zeros(1, 3), r"unknown weight '.*conv1\.bias'"),
        (f"{stem}.conv1.kernel", torch.zeros(8, 3, 3), r"conv1\.kernel' has the shape \(8, 3, 3\); the architecture"),
        (f"{stem}.norm1.bn.weight", torch.zeros(4), r"norm1\.bn\.weight' has the shape \(4,\); the architecture"),
        (
            f"{stem}.conv1.kernel",
            None,
            "the checkpoint lacks 1 weights of the network .* first of them '.*conv1.weight'",
        ),
    ):
        file, *_ = made(origin, BASE)
        file["state_dict"].pop(name, None)
        if change is not None:
            file["state_dict"][name] = change
        torch.save(file, tmp_path / "x.ckpt")
        with pytest.raises(ConfigurationError, match=message) as raised:
            load_foreign(tmp_path / "x.ckpt", origin)
        assert len(str(raised.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fliters": 3}, "uresnet: unknown option 'fliters'; did you mean 'filters'"),
        ({"activation": "mish"}, "unknown activation 'mish'; .*valid: celu, elu, lrelu"),
        ({"activation": {"name": "lrelu", "slope": 1}}, "activation lrelu: unknown option 'slope'; .*negative_slope"),
        ({"activation": {"negative_slope": 1}}, "activation: expected a name, or a mapping with 'name'"),
        ({"norm_layer": "pixel_norm"}, "unknown norm_layer 'pixel_norm'; .*valid: batch_norm, instance_norm, none"),
        ({"norm_layer": {"name": "batch_norm", "affine": False}}, "affine must be true; got False"),
        ({"filters": "16"}, "filters must be int; got '16'"),
        ({"reps": 0}, "repetitions must be at least 1; got 0"),
        ({"data_dim": 4}, "dimension must be 2 or 3; got 4"),
    ],
)
def test_options_of_spine_that_are_wrong(change, message, tmp_path):
    file, *_ = made("spine", BASE)
    file["spine_config"] = {**spine_config(BASE), **change}
    torch.save(file, tmp_path / "x.ckpt")
    with pytest.raises(ConfigurationError, match=message):
        load_foreign(tmp_path / "x.ckpt", "spine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": True}, "architecture: unknown option 'attention'; "),
        ({"family": "ResNet, post-activation"}, "family must be 'U-ResNet, pre-activation'; got 'ResNet"),
        ({"activation": "swish"}, "unknown activation 'swish'; .*valid: celu, elu"),
        ({"activation": "relu", "negative_slope": 0.1}, "negative_slope must be absent for the activation 'relu'"),
        ({"norm": "group_norm"}, "unknown norm 'group_norm'; .*valid: batch_norm"),
        ({"stem": "a convolution"}, "stem must be a text with 'k<kernel size> s<stride>', s1; got 'a convolution'"),
        ({"up": "conv k3 s2"}, "up must be a convolution k2 s2, as down; got 'conv k3 s2'"),
        ({"concat": "cat(up, skip), up first"}, "concat must be 'skip channels first'; got"),
        ({"planes": [3, 6, 9]}, r"planes must be 2 numbers, the first of them 3; got \[3, 6, 9\]"),
        ({"classes": None}, "classes must be int; got None"),
    ],
)
def test_descriptions_that_are_wrong(change, message, tmp_path):
    file, *_ = made("minkowski", BASE)
    file["architecture"].update(change)
    torch.save(file, tmp_path / "x.ckpt")
    with pytest.raises(ConfigurationError, match=message):
        load_foreign(tmp_path / "x.ckpt", "minkowski")


def test_files_that_are_no_checkpoints(tmp_path, capsys):
    file, *_ = made("spine", BASE)
    torch.save(file, tmp_path / "x.ckpt")
    out = ["-o", str(tmp_path / "m.ts")]

    def fails(arguments, message, status=InputError.exit_status):
        assert main(["export", *map(str, arguments), *out]) == status
        assert message in capsys.readouterr().err

    fails([tmp_path / "absent", "--from", "spine"], "absent does not exist")
    (tmp_path / "text").write_text("neither")
    fails([tmp_path / "text", "--from", "spine"], "text is no checkpoint of tensors and plain values")
    (tmp_path / "cut").write_bytes((tmp_path / "x.ckpt").read_bytes()[:2000])
    fails([tmp_path / "cut", "--from", "spine"], "cut is no checkpoint of tensors and plain values")
    torch.save([1, 2], tmp_path / "list")
    fails([tmp_path / "list", "--from", "spine"], "expected a dictionary of weights; got list")
    torch.save({"weights": 3}, tmp_path / "odd")
    fails([tmp_path / "odd", "--from", "spine"], "expected weights by name, or under 'state_dict'; it has weights")
    wrong = ConfigurationError.exit_status
    fails([tmp_path / "x.ckpt", "--from", "minkowski"], "--architecture FILE", wrong)
    fails([tmp_path / "x.ckpt", "--architecture", "x.json"], "ours hold both: add --from", wrong)
    (tmp_path / "a.json").write_text("[]")
    fails([tmp_path / "x.ckpt", "--from", "spine", "--architecture", tmp_path / "a.json"], "must hold a JSON object")
    fails([tmp_path / "x.ckpt", "--from", "spine", "--architecture", tmp_path / "no.json"], "no.json cannot be read")
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other")
    (tmp_path / "a.json").write_text(json.dumps(spine_config(BASE)))
    fails([tmp_path / "other", "--from", "spine", "--architecture", tmp_path / "a.json"],
          "expected one network with the weight 'backbone.encoder.input_layer.kernel'", wrong)  # fmt: skip
