"""Whole networks computed by MinkowskiEngine and by SPINE, with their weights."""

import numpy as np
import pytest
import torch

from larmlreco.errors import ConfigurationError
from larmlreco.models import build
from larmlreco.models.minkowski import MINKOWSKI_RULES, SPINE_RULES, translate_weights
from larmlreco.sparse.layers import fold_norms

NETWORKS = {
    "uresnet3d.pt": (MINKOWSKI_RULES, {"filters": 8, "depth": 3}),
    "spine_uresnet.pt": (SPINE_RULES, {"filters": 16, "depth": 4}),
}


@pytest.fixture(scope="module", params=NETWORKS)
def golden(request, shared_path):
    rules, size = NETWORKS[request.param]
    file = torch.load(shared_path(f"minkowski/{request.param}"), weights_only=True)
    network = build(
        "uresnet",
        **size,
        dimension=3,
        classes=5,
        order="pre",
        negative_slope=0.33,
        input_log=False,
        input_shift=0.0,
    )
    weights = translate_weights(file["state_dict"], rules, size["depth"], 3)
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert unexpected == []
    assert all(name.startswith("scaling.") for name in missing)
    return network.eval(), file


@torch.no_grad()
def test_logits(golden):
    network, file = golden
    logits = network.logits(file["coords"].long(), file["feats"])
    np.testing.assert_allclose(logits.numpy(), file["logits"].numpy(), rtol=1e-4, atol=2e-5)
    double = network.double().logits(file["coords"].long(), file["feats"].double())
    network.float()
    np.testing.assert_allclose(double.numpy(), file["logits_float64"].numpy(), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_logits_with_folded_norms_and_permuted_rows(golden):
    network, file = golden
    fold_norms(network)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(file["coords"])))
    logits = network.logits(file["coords"].long()[order], file["feats"][order])
    np.testing.assert_allclose(logits.numpy(), file["logits"][order].numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("key", ["encoder.0.0.conv3.kernel", "attention.weight", "stem.offset"])
def test_an_unknown_weight_is_named(key):
    with pytest.raises(ConfigurationError, match=f"unknown weight '{key}' with the shape"):
        translate_weights({key: torch.zeros(27, 1, 8)}, MINKOWSKI_RULES, 3, 3)
