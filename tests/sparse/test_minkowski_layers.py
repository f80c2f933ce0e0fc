"""Every layer computed by MinkowskiEngine itself, with its weights."""

import json

import numpy as np
import pytest
import torch

from larmlreco.sparse import native, portable
from larmlreco.sparse.layers import BatchNorm, GlobalPooling, InstanceNorm, last_axis_fastest

LAYERS = [
    *("conv_k3s1", "conv_k3s1_bias", "conv_k2s2", "conv_k3s2", "conv_k1s1", "conv_k1s1_bias", "conv_k3s1_dilation2"),
    *("conv_k2s1", "conv_k5s1", "conv_k4s4", "conv_kaniso", "conv_k3s1_on_stride2", "conv_k2s2_on_stride2"),
    *("conv_k3s1_on_stride4", "tconv_k2s2", "tconv_k2s2_bias", "tconv_k3s2", "tconv_k2s2_on_stride4"),
    *("batchnorm_eval", "instancenorm", "linear", "maxpool_k2s2", "maxpool_k3s2", "sumpool_k2s2", "avgpool_k2s2"),
    *("globalavgpool", "globalmaxpool", "globalsumpool"),
]
CASES = [f"{layer}_d{d}_{sign}" for layer in LAYERS for d in (2, 3) for sign in ("pos", "neg")]


@pytest.fixture(scope="module")
def golden(shared_path):
    with np.load(shared_path("minkowski/layers.npz"), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_all_cases_are_here(golden):
    assert sorted(golden["cases"].tolist()) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", [portable, native], ids=["portable", "native"])
def test_layer(golden, engine, case):
    if engine is native and not native.available():
        pytest.skip("the operator library is not built")
    fields = {name.split("/")[1]: value for name, value in golden.items() if name.startswith(case + "/")}
    params = json.loads(str(fields["params"]))
    features = torch.from_numpy(fields["in_feats"])
    units = torch.tensor([1, *params["in_tensor_stride"]])
    sites = torch.from_numpy(fields["in_coords"].astype(np.int64)) // units
    expected_sites = torch.from_numpy(fields["out_coords"].astype(np.int64))

    out_sites, out = LAYER_OF_OP[params["op"]](engine, params, fields, sites, features, expected_sites)

    out_sites = out_sites * torch.tensor([1, *params["out_tensor_stride"]])
    order = np.lexsort(out_sites.numpy().T[::-1])
    np.testing.assert_array_equal(out_sites.numpy()[order], fields["out_coords"])
    np.testing.assert_allclose(out.detach().numpy()[order], fields["out_feats"], rtol=1e-5, atol=1e-5)


def convolution(engine, params, fields, sites, features, expected_sites):
    kernel, stride = params["kernel_size"], params["stride"]
    weight = last_axis_fastest(torch.from_numpy(fields["weight"]), kernel)
    bias = torch.from_numpy(fields["bias"]).reshape(-1) if params["bias"] else None
    if stride == [1] * len(stride):
        joined = engine.submanifold_map(sites, kernel, params["dilation"])
        return sites, engine.convolve(features, weight, bias, joined, len(sites), False, None, 1.0)
    coarse, joined = engine.strided(sites, kernel, stride)
    return coarse, engine.convolve(features, weight, bias, joined, len(coarse), False, None, 1.0)


def transposed_convolution(engine, params, fields, sites, features, expected_sites):
    kernel = params["kernel_size"]
    weight = last_axis_fastest(torch.from_numpy(fields["weight"]), kernel)
    bias = torch.from_numpy(fields["bias"]).reshape(-1) if params["bias"] else None
    fine = expected_sites // torch.tensor([1, *params["out_tensor_stride"]])
    joined = engine.joining_map(fine, sites, kernel, params["stride"])
    return fine, engine.convolve(features, weight, bias, joined, len(fine), True, None, 1.0)


def batch_norm(engine, params, fields, sites, features, expected_sites):
    layer = BatchNorm(features.shape[1], eps=params["eps"]).eval()
    names = ("weight", "bias", "running_mean", "running_var")
    layer.load_state_dict({name: torch.from_numpy(fields[name]) for name in names}, strict=False)
    return sites, layer(features)


def instance_norm(engine, params, fields, sites, features, expected_sites):
    layer = InstanceNorm(features.shape[1], params["eps"])
    layer.load_state_dict({name: torch.from_numpy(fields[name]).reshape(-1) for name in ("weight", "bias")})
    return sites, layer(features, sites)


def linear(engine, params, fields, sites, features, expected_sites):
    weight, bias = torch.from_numpy(fields["weight"]), torch.from_numpy(fields["bias"])
    return sites, torch.nn.functional.linear(features, weight, bias)


def pooling(mode):
    def layer(engine, params, fields, sites, features, expected_sites):
        coarse, joined = engine.strided(sites, params["kernel_size"], params["stride"])
        return coarse, engine.pool(features, joined, len(coarse), mode)

    return layer


def global_pooling(mode):
    def layer(engine, params, fields, sites, features, expected_sites):
        items, out = GlobalPooling(mode)(features, sites)
        out_sites = torch.zeros((len(items), sites.shape[1]), dtype=torch.int64)
        out_sites[:, 0] = items
        return out_sites, out

    return layer


LAYER_OF_OP = {
    "MinkowskiConvolution": convolution,
    "MinkowskiConvolutionTranspose": transposed_convolution,
    "MinkowskiBatchNorm": batch_norm,
    "MinkowskiInstanceNorm": instance_norm,
    "MinkowskiLinear": linear,
    "MinkowskiMaxPooling": pooling("max"),
    "MinkowskiSumPooling": pooling("sum"),
    "MinkowskiAvgPooling": pooling("avg"),
    "MinkowskiGlobalAvgPooling": global_pooling("avg"),
    "MinkowskiGlobalMaxPooling": global_pooling("max"),
    "MinkowskiGlobalSumPooling": global_pooling("sum"),
}
