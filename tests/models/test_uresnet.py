"""The U-ResNet: rows, sizes, training, both block orders."""

import numpy as np
import pytest
import torch

from larmlreco.errors import ConfigurationError
from larmlreco.models import UResNet, build
from larmlreco.models.preactivation import NORMS, PreActivation
from larmlreco.sparse.layers import Convolution, fold_norms

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")


def image(dimension, n=200, items=2, seed=0):
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, items, n), random.integers(-20, 20, (n, dimension))])
    rows = random.permutation(np.unique(rows, axis=0)).astype(np.int64)
    return torch.from_numpy(rows), torch.from_numpy(random.gamma(2.0, 1.0, (len(rows), 1)).astype(np.float32))


def small(dimension=2, **params):
    torch.manual_seed(3)
    return build("uresnet", dimension=dimension, classes=3, filters=4, **{"depth": 3, "repetitions": 1, **params})


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize(
    "sizes", [{"depth": 1}, {"depth": 2, "repetitions": 3}, {"depth": 4, "kernel_size": 5}], ids=str
)
def test_outputs_belong_to_the_rows_of_the_input(dimension, order, sizes):
    network = small(dimension, order=order, **sizes).eval()
    coords, features = image(dimension)
    with torch.no_grad():
        scores = network(coords, features)["semantic"]
        shuffle = torch.randperm(len(coords), generator=torch.Generator().manual_seed(0))
        shuffled = network(coords[shuffle], features[shuffle])["semantic"]
        logits = network.raw(coords, features)["semantic"]
    assert scores.shape == (len(coords), 3)
    torch.testing.assert_close(scores.sum(1), torch.ones(len(coords)))
    torch.testing.assert_close(torch.softmax(logits, 1), scores)
    torch.testing.assert_close(shuffled, scores[shuffle], rtol=1e-5, atol=1e-6)


def test_widths_grow_linearly():
    network = build("uresnet", dimension=3, classes=5, filters=16, depth=5, repetitions=2)
    widths = [level.blocks.blocks[0].conv1.weight.shape for level in network.backbone.descents]
    assert widths == [(27, w, w) for w in (16, 32, 48, 64)]
    assert network.backbone.bottom.blocks[1].conv2.weight.shape == (27, 80, 80)
    assert [level.up.conv.weight.shape for level in network.backbone.ascents] == [
        (8, b, a) for a, b in ((64, 80), (48, 64), (32, 48), (16, 32))
    ]
    assert network.backbone.ascents[0].blocks.blocks[0].conv1.weight.shape == (27, 128, 64)


@torch.no_grad()
def test_batch_items_do_not_see_one_another():
    network = small(3).eval()
    coords, features = image(3)
    together = network(coords, features)["semantic"]
    for item in (0, 1):
        mine = coords[:, 0] == item
        torch.testing.assert_close(network(coords[mine], features[mine])["semantic"], together[mine])


@torch.no_grad()
def test_duplicate_rows_get_the_output_of_the_first():
    network = small().eval()
    coords, features = image(2)
    once = network(coords, features)["semantic"]
    twice = network(torch.cat([coords, coords[:50]]), torch.cat([features, features[:50] + 7.0]))["semantic"]
    assert torch.equal(twice, torch.cat([once, once[:50]]))


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("training", [False, True])
def test_empty_and_single_inputs(order, training):
    network = small(order=order).train(training)
    for n in (0, 1):
        out = network(torch.zeros((n, 3), dtype=torch.int64), torch.ones(n, 1))["semantic"]
        assert out.shape == (n, 3)
        assert bool(torch.isfinite(out).all())
        out.sum().backward()


@pytest.mark.parametrize("order", ["post", "pre"])
def test_float64_scripted_and_folded_agree(order):
    network = small(3, order=order, negative_slope=0.2).double()
    coords, features = image(3)
    for _ in range(3):  # running statistics that are not those of a fresh norm
        network.train()(coords, features.double() * 3.0)
    network.eval()
    with torch.no_grad():
        expected = network(coords, features.double())["semantic"]
        assert expected.dtype == torch.float64
        assert torch.equal(torch.jit.script(network)(coords, features.double())["semantic"], expected)
        fold_norms(network)
        norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
        assert len(norms) == {"post": 0, "pre": 10}[order]
        assert all(layer.norm is None for layer in network.modules() if isinstance(layer, Convolution))
        torch.testing.assert_close(network(coords, features.double())["semantic"], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(torch.jit.script(network)(coords, features.double())["semantic"], expected)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu"])
@pytest.mark.parametrize("norm", NORMS)
def test_norm_and_activation_before_a_convolution_leave_their_input_alone(norm, activation):
    torch.manual_seed(0)
    sites, features = torch.tensor([[0, 1], [0, 5], [1, 2], [1, 3]]), torch.randn(4, 4, requires_grad=True)
    before = features.detach().clone()
    layer = PreActivation(9, 9, 4, norm, activation=activation).last(4)
    out = layer(features, sites)
    normed = {
        "batch_norm": lambda x: torch.nn.functional.batch_norm(x, None, None, training=True, eps=1e-4),
        "instance_norm": lambda x: torch.cat(
            [(rows - rows.mean(0)) * (rows.var(0, correction=0) + 1e-4).rsqrt() for rows in (x[:2], x[2:])]
        ),
        "none": lambda x: x,
    }[norm](before)
    expected = {"relu": normed.relu(), "leaky_relu": torch.where(normed > 0, normed, 0.01 * normed)}
    expected["elu"] = torch.where(normed > 0, normed, normed.exp() - 1)
    torch.testing.assert_close(out, expected[activation])
    assert torch.equal(features, before)
    out.square().sum().backward()
    assert bool(features.grad.isfinite().all())


def test_it_learns_and_every_weight_gets_a_gradient():
    network = small(2, depth=2)
    coords, features = image(2)
    labels = (features[:, 0] > 2.0).long()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network.logits(coords, features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in network.parameters())
    assert losses[-1] < 0.2 * losses[0]


@torch.no_grad()
def test_two_runs_give_the_same_bits():
    network = small(3).eval()
    coords, features = image(3)
    assert torch.equal(network(coords, features)["semantic"], network(coords, features)["semantic"])


def test_input_scaling():
    charge = torch.tensor([[0.09], [9.99], [-4.0]])
    scaled = UResNet(2, 2, filters=1, depth=1).scaling(charge)
    torch.testing.assert_close(scaled, torch.tensor([[0.0], [2.0], [-1.0]]), rtol=1e-5, atol=1e-6)
    linear = UResNet(2, 2, filters=1, depth=1, input_log=False, input_scale=0.1, input_shift=-1.0).scaling(charge)
    torch.testing.assert_close(linear, charge * 0.1 - 1.0)


@pytest.mark.parametrize(
    ("coords", "features", "message"),
    [
        (torch.zeros(4, 4).long(), torch.ones(4, 1), r"coordinates must have the shape \(rows, 3\)"),
        (torch.zeros(4).long(), torch.ones(4, 1), r"coordinates must have the shape \(rows, 3\)"),
        (torch.zeros(4, 3), torch.ones(4, 1), "coordinates must be integers of 64 bits"),
        (torch.zeros(4, 3).int(), torch.ones(4, 1), "coordinates must be integers of 64 bits"),
        (torch.zeros(4, 3).long(), torch.ones(3, 1), r"features must have the shape \(4, 1\)"),
        (torch.zeros(4, 3).long(), torch.ones(4, 2), r"features must have the shape \(4, 1\)"),
        (torch.zeros(4, 3).long(), torch.ones(4, 1).long(), "features must be floating-point numbers"),
        (
            torch.zeros(4, 3).long(),
            torch.tensor([[1.0], [2.0], [float("nan")], [1.0]]),
            "features must be finite; row 2, column 0 is not",
        ),
        (torch.zeros(4, 3).long(), torch.full((4, 1), float("inf")), "features must be finite; row 0, column 0 is not"),
    ],
)
def test_bad_input_is_named(coords, features, message):
    network = small().eval()
    with pytest.raises(ValueError, match=message):
        network(coords, features)
    with pytest.raises(torch.jit.Error, match=message):
        torch.jit.script(network)(coords, features)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dimension": 4}, "dimension must be 2 or 3; got 4"),
        ({"depth": 0}, "depth must be at least 1; got 0"),
        ({"kernel_size": 0}, r"kernel_size: expected whole numbers above 0, .* got \[0, 0\]"),
        ({"kernel_size": "3"}, r"kernel_size: expected whole numbers above 0, .* got \['3'\]"),
        ({"filters": 0}, "filters must be at least 1; got 0"),
        ({"order": "middle"}, "unknown order 'middle'; valid: post, pre"),
        ({"input_offset": 0.0}, "the offset of a logarithm must be above 0; got 0.0"),
        ({"width": 3}, "unexpected keyword argument 'width'"),
        ({"engine": "fast"}, "unknown engine 'fast': valid: native, portable"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigurationError, match=message):
        build("uresnet", **{"dimension": 2, "classes": 2, **params})
