"""Whole networks computed by MinkowskiEngine and by SPINE, with their weights."""

import numpy as np
import pytest
import torch
from oracles import minkowski_uresnet as oracle

from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models.foreign import load_foreign
from larmlreco.sparse import native

NETWORKS = {"uresnet3d.pt": "minkowski", "spine_uresnet.pt": "spine"}


@pytest.fixture(scope="module", params=NETWORKS)
def golden(request, shared_path):
    path = shared_path(f"minkowski/{request.param}")
    checkpoint, others = load_foreign(path, NETWORKS[request.param])
    assert others == []
    return checkpoint, torch.load(path, weights_only=True)


@torch.no_grad()
def test_logits_in_float64(golden):
    checkpoint, file = golden
    network = checkpoint.network().eval().double()
    logits = network.raw(file["coords"].long(), file["feats"].double())["semantic"]
    np.testing.assert_allclose(logits.numpy(), file["logits_float64"].numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_logits_of_the_archive(golden, engine, tmp_path):
    if engine == "native" and not native.available():
        pytest.skip("the operator library is not built")
    checkpoint, file = golden
    export_archive(checkpoint, tmp_path / "model.ts", engine)
    archive = load_archive(tmp_path / "model.ts")
    order = np.random.default_rng(0).permutation(len(file["coords"]))
    outputs = archive(file["coords"].numpy()[order], file["feats"].numpy()[order])
    np.testing.assert_allclose(outputs["logits"], file["logits"].numpy()[order], rtol=1e-4, atol=2e-5)
    expected = torch.softmax(file["logits_float64"], 1).numpy()[order]
    np.testing.assert_allclose(outputs["semantic"], expected, rtol=1e-4, atol=1e-5)


def test_the_oracle_of_other_networks_gives_these_as_well(golden):
    checkpoint, file = golden
    params = checkpoint.architecture.params
    names = oracle.PLAIN if "stem.kernel" in file["state_dict"] else oracle.SPINE
    network = oracle.UResNet(
        names,
        oracle.Weights({name: value.numpy() for name, value in file["state_dict"].items()}),
        **{key: params[key] for key in ("dimension", "widths", "in_channels", "repetitions", "classes", "activation")},
        eps=params["norm_eps"],
    )
    item = file["coords"][:, 0].numpy() == 1
    logits, _ = network(file["coords"].numpy()[item], file["feats"].numpy()[item])
    np.testing.assert_allclose(logits, file["logits_float64"].numpy()[item], rtol=1e-10, atol=1e-11)
