"""Layers over the engines: choice of the engine, norms and their folding, levels."""

import numpy as np
import pytest
import torch
from torch import nn

from larmlreco.errors import ConfigurationError
from larmlreco.models.preactivation import NormActivation
from larmlreco.sparse import native, portable
from larmlreco.sparse.layers import (
    BatchNorm,
    Convolution,
    EngineModule,
    GlobalPooling,
    Pooling,
    Pyramid,
    fold_norms,
    last_axis_fastest,
    use_engine,
)


def sites(n=60, seed=0):
    rows = np.unique(np.random.default_rng(seed).integers(-5, 6, (n, 2)), axis=0)
    return torch.from_numpy(np.column_stack([np.zeros(len(rows), dtype=np.int64), rows]))


def trained(layer, joined, n_in, n_out):
    """A layer whose norm has running statistics of its own and a weight and bias that are not 1 and 0."""
    with torch.no_grad():
        layer.norm.weight.uniform_(0.5, 2.0)
        layer.norm.bias.uniform_(-1.0, 1.0)
        for _ in range(5):
            layer.train()(torch.randn(n_in, layer.weight.shape[1], dtype=torch.float64) + 2.0, joined, n_out)
    return layer.eval()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.33, 1.0])
@torch.no_grad()
def test_a_folded_norm_changes_nothing(bias, transposed, slope):
    torch.manual_seed(0)
    fine = sites()
    coarse, joined = portable.strided(fine, [2, 2], [2, 2])
    n_in, n_out = (len(coarse), len(fine)) if transposed else (len(fine), len(coarse))
    layer = Convolution(3, 4, 4, transposed=transposed, bias=bias, norm_eps=1e-4, negative_slope=slope).double()
    if bias:
        layer.bias.uniform_(-1.0, 1.0)
    trained(layer, joined, n_in, n_out)
    features, residual = torch.randn(n_in, 3, dtype=torch.float64), torch.randn(n_out, 4, dtype=torch.float64)
    expected = layer(features, joined, n_out, residual)
    plain = layer(features, joined, n_out)
    fold_norms(nn.ModuleList([layer]))
    assert layer.norm is None
    fold_norms(nn.ModuleList([layer]))
    torch.testing.assert_close(layer(features, joined, n_out, residual), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(features, joined, n_out), plain, rtol=1e-12, atol=1e-12)


def test_batch_norm_is_torchs_and_takes_few_rows():
    torch.manual_seed(0)
    ours, theirs = BatchNorm(3, eps=1e-4), nn.BatchNorm1d(3, eps=1e-4)
    rows = torch.randn(20, 3) * 4.0 + 1.0
    torch.testing.assert_close(ours(rows), theirs(rows))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    assert ours(rows[:0]).shape == (0, 3)
    one = ours(rows[:1])
    torch.testing.assert_close(one, theirs.eval()(rows[:1]))


def test_norm_then_activation():
    layer = NormActivation(BatchNorm(2, eps=0.0), nn.LeakyReLU(0.1)).eval()
    rows = torch.tensor([[-2.0, 3.0]])
    assert layer(rows, torch.zeros(1, 3, dtype=torch.int64)).tolist() == [[pytest.approx(-0.2), 3.0]]


def test_levels_share_their_maps():
    rows = torch.cat([sites(), sites()[:3]])
    levels = Pyramid(2, depth=3)(rows)
    assert torch.equal(levels.sites[0], sites())
    assert torch.equal(levels.sites[0][levels.site_of_row], rows)
    assert torch.equal(rows[levels.first_row], levels.sites[0])
    assert [len(part) for part in (levels.sites, levels.around, levels.below)] == [3, 3, 2]
    for level in (0, 1):
        coarse, joined = portable.strided(levels.sites[level], [2, 2], [2, 2])
        assert torch.equal(coarse, levels.sites[level + 1])
        assert all(torch.equal(a, b) for a, b in zip(joined, levels.below[level], strict=True))


def test_engine_by_name(monkeypatch):
    network = nn.Sequential(Convolution(1, 1, 9), nn.Sequential(Pooling("max"), GlobalPooling("sum")))
    monkeypatch.setattr(native, "require", lambda: None)
    use_engine(network, "native")
    assert [layer.native for layer in network.modules() if isinstance(layer, EngineModule)] == [True, True]
    use_engine(network, "portable")
    assert not any(layer.native for layer in network.modules() if isinstance(layer, EngineModule))

    def absent():
        raise ConfigurationError("the library is absent")

    monkeypatch.setattr(native, "require", absent)
    with pytest.raises(ConfigurationError, match="the library is absent"):
        use_engine(network, "native")
    with pytest.raises(ConfigurationError, match="unknown engine 'cuda': valid: native, portable"):
        use_engine(network, "cuda")


@pytest.mark.parametrize("layer", [Pooling, GlobalPooling])
def test_an_unknown_pooling_is_named(layer):
    with pytest.raises(ConfigurationError, match="unknown pooling 'mean': valid: avg, max, sum"):
        layer("mean")


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_portable_network_names_no_native_operator():
    network = nn.ModuleDict({"levels": Pyramid(2, 2), "conv": Convolution(1, 1, 9), "pool": Pooling("avg")})
    for layer in network.values():
        assert "larmlreco::" not in str(torch.jit.script(layer).inlined_graph)


def test_permuting_taps():
    taps = torch.tensor([[float(10 * y + x)] for x in range(5) for y in range(3)]).reshape(15, 1, 1)
    assert last_axis_fastest(taps, [3, 5]).flatten().tolist() == [10.0 * y + x for y in range(3) for x in range(5)]
    assert last_axis_fastest(torch.ones(2, 3), [1, 1]).shape == (1, 2, 3)


@pytest.mark.parametrize(
    "sizes", [{"kernel_size": 0}, {"kernel_size": [3, 2.5]}, {"stride": -2}, {"stride": 2.5}, {"resample_size": 0}]
)
def test_a_pyramid_of_sizes_below_one_or_broken_is_refused(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))}: expected whole numbers above 0"):
        Pyramid(2, 2, **sizes)
