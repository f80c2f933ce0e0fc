"""The native engine against sums by definition, gradients by differences, and itself on other instruction sets."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sparse_convolution as oracle

from larmlreco.sparse import native, portable
from larmlreco.sparse.layers import Convolution, Pyramid

needs_library = pytest.mark.skipif(not native.available(), reason="the operator library is not built")

KERNELS = [
    *([1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [3, 5], [3, 2], [17, 1]),
    *([1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4], [3, 1, 5]),
]


def cloud(dimension, n=300, low=-6, high=7, items=2, seed=0):
    """Distinct sites in random order, more than one block of the engine's maps."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, items, n), random.integers(low, high, (n, dimension))])
    return torch.from_numpy(random.permutation(np.unique(rows, axis=0)).astype(np.int64))


def rows_of(sites):
    return [tuple(row) for row in sites.tolist()]


def numbers(*shape, seed=1, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def map_pairs(kernel_map):
    fine, coarse, counts = torch.ops.larmlreco.map_pairs(kernel_map)
    taps = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return sorted(zip(taps.tolist(), fine.tolist(), coarse.tolist(), strict=True))


@pytest.fixture(params=torch.ops.larmlreco.instruction_sets() if native.available() else [])
def instruction_set(request):
    before = torch.ops.larmlreco.use_instruction_set(request.param)
    yield request.param
    torch.ops.larmlreco.use_instruction_set(before)


@needs_library
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("dilation", [1, 2, 5])
def test_submanifold_convolution_is_the_oracles(kernel, dilation):
    sites = cloud(len(kernel))
    rows, spread, ones = rows_of(sites), [dilation] * len(kernel), [1] * len(kernel)
    joined = native.submanifold_map(sites, kernel, spread)
    assert map_pairs(joined) == sorted(oracle.pairs(rows, rows, kernel, ones, spread))
    features, weight = numbers(len(sites), 3), numbers(int(np.prod(kernel)), 3, 4, seed=2)
    out = native.convolve(features, weight, None, joined, len(sites), False, None, 1.0)
    expected = oracle.convolution(rows, features.numpy(), weight.numpy(), rows, kernel, ones, spread)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)
    # The transpose joins the same pairs the other way.
    out = native.convolve(features, weight, None, joined, len(sites), True, None, 1.0)
    expected = np.zeros((len(sites), 4))
    for tap, source, target in oracle.pairs(rows, rows, kernel, ones, spread):
        expected[source] += features[target].numpy() @ weight[tap].numpy()
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)


@needs_library
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("stride", [2, 3])
def test_strided_and_transposed_convolution_are_the_oracles(kernel, stride):
    sites = cloud(len(kernel))
    rows, steps, ones = rows_of(sites), [stride] * len(kernel), [1] * len(kernel)
    coarse, joined = native.strided(sites, kernel, steps)
    assert sorted(rows_of(coarse)) == oracle.coarse_sites(rows, steps)
    assert map_pairs(joined) == sorted(oracle.pairs(rows, rows_of(coarse), kernel, steps, ones))
    assert map_pairs(native.joining_map(sites, coarse, kernel, steps)) == map_pairs(joined)

    features, weight = numbers(len(sites), 3), numbers(int(np.prod(kernel)), 3, 4, seed=2)
    out = native.convolve(features, weight, None, joined, len(coarse), False, None, 1.0)
    expected = oracle.convolution(rows, features.numpy(), weight.numpy(), rows_of(coarse), kernel, steps, ones)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)
    back = numbers(len(coarse), 3, seed=3)
    out = native.convolve(back, weight, None, joined, len(sites), True, None, 1.0)
    expected = oracle.transposed_convolution(rows_of(coarse), back.numpy(), weight.numpy(), rows, kernel, steps)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)


@needs_library
@pytest.mark.parametrize("kernel", [[2, 2], [3, 3, 3]], ids=str)
def test_children_are_those_of_the_portable_engine(kernel):
    sites, steps = cloud(len(kernel), n=20), [2] * len(kernel)
    fine, joined = native.children(sites, kernel, steps)
    expected_fine, expected = portable.children(sites, kernel, steps)
    assert torch.equal(fine, expected_fine)
    features, weight = numbers(len(sites), 2), numbers(int(np.prod(kernel)), 2, 2, seed=2)
    out = native.convolve(features, weight, None, joined, len(fine), True, None, 1.0)
    torch.testing.assert_close(
        out, portable.convolve(features, weight, None, expected, len(fine), True, None, 1.0), rtol=1e-12, atol=1e-12
    )


@needs_library
@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
@pytest.mark.parametrize(("kernel", "stride"), [([2, 2], 2), ([3, 3], 2), ([2, 2, 2], 2), ([3, 3, 3], 3)], ids=str)
def test_pooling_is_the_oracles(mode, kernel, stride):
    sites, steps = cloud(len(kernel)), [stride] * len(kernel)
    features = numbers(len(sites), 3) - 3.0
    coarse, joined = native.strided(sites, kernel, steps)
    out = native.pool(features, joined, len(coarse), mode)
    expected = oracle.pooling(rows_of(sites), features.numpy(), rows_of(coarse), kernel, steps, mode)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)


@needs_library
@pytest.mark.parametrize("name", ["2d_20k", "3d512_10k", "3d512_30k", "3d512_100k"])
def test_counts_of_the_benchmark_inputs(shared_path, name):
    meta = json.loads(shared_path("bench/meta.json").read_text())[name]
    with np.load(shared_path(f"bench/{name}.npz"), allow_pickle=False) as file:
        coords = torch.from_numpy(file["coords"].astype(np.int64))
    levels = Pyramid(coords.shape[1] - 1, len(meta["levels"]), engine="native")(coords)
    counted = [{"n": len(s), "pairs3": len(m[0])} for s, m in zip(levels.sites, levels.around, strict=True)]
    assert counted == meta["levels"]
    assert torch.equal(levels.sites[0][levels.site_of_row], coords)
    assert torch.equal(levels.sites[0], coords[levels.first_row])


@needs_library
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 2)] + [st.integers(-4, 4)] * 3), min_size=1, max_size=60),
    st.integers(-(2**50), 2**50),
)
def test_duplicates_are_one_site_with_the_first_row(rows, far):
    rows = [(item, x + far, y - far, z) for item, x, y, z in rows]
    sites, first_row, site_of_row = native.distinct_sites(torch.tensor(rows))
    first, _ = oracle.distinct(rows)
    assert sorted(first_row.tolist()) == first
    assert [rows_of(sites)[site] for site in site_of_row.tolist()] == rows
    assert rows_of(sites) == [rows[row] for row in first_row.tolist()]


@needs_library
@pytest.mark.parametrize(
    "channels", [(1, 16), (16, 16), (32, 16), (5, 3), (16, 33), (48, 48), (9, 64), (24, 80), (7, 130)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set_and_width(instruction_set, channels, dtype):
    sites = cloud(3, n=700)
    c_in, c_out = channels
    features, weight = numbers(len(sites), c_in, dtype=dtype), numbers(27, c_in, c_out, seed=2, dtype=dtype)
    bias, residual = numbers(c_out, seed=3, dtype=dtype), numbers(len(sites), c_out, seed=4, dtype=dtype)
    gradient = numbers(len(sites), c_out, seed=5, dtype=dtype)
    joined = native.submanifold_map(sites, [3] * 3, [1] * 3)
    reference = portable.submanifold_map(sites, [3] * 3, [1] * 3)
    eps = 200 * torch.finfo(dtype).eps * (27 * c_in) ** 0.5
    for slope in (0.0, 0.2, 1.0):
        for transposed in (False, True):
            out = native.convolve(features, weight, bias, joined, len(sites), transposed, residual, slope)
            double = [t.double() for t in (features, weight, bias, residual)]
            expected = portable.convolve(*double[:3], reference, len(sites), transposed, double[3], slope)
            torch.testing.assert_close(out.double(), expected, rtol=eps, atol=eps)
    out = torch.ops.larmlreco.weight_gradient(features, gradient, joined, 27, False)
    source, target, counts = torch.ops.larmlreco.map_pairs(joined)
    begin = 0
    for tap, count in enumerate(counts.tolist()):
        pairs = slice(begin, begin + count)
        expected = features.double()[source[pairs]].T @ gradient.double()[target[pairs]]
        torch.testing.assert_close(out[tap].double(), expected, rtol=10 * eps, atol=10 * eps)
        begin += count


@needs_library
@pytest.mark.parametrize("channels", [(1, 16), (16, 16), (6, 33), (48, 64), (32, 80)])
@pytest.mark.parametrize("transposed", [False, True])
def test_bfloat16_inference(instruction_set, channels, transposed):
    sites = cloud(3, n=700)
    c_in, c_out = channels
    half = torch.bfloat16
    features, weight = numbers(len(sites), c_in, dtype=half), numbers(27, c_in, c_out, seed=2, dtype=half)
    bias, residual = numbers(c_out, seed=3, dtype=half), numbers(len(sites), c_out, seed=4, dtype=half)
    joined = native.submanifold_map(sites, [3] * 3, [1] * 3)
    out = native.convolve(features, weight, bias, joined, len(sites), transposed, residual, 0.1)
    assert out.dtype == half
    wide = [tensor.double() for tensor in (features, weight, bias, residual)]
    expected = native.convolve(*wide[:3], joined, len(sites), transposed, wide[3], 0.1)
    # Sums are exact to float32; the result is rounded to 8 bits.
    torch.testing.assert_close(out.double(), expected, rtol=2**-8, atol=1e-3)


@needs_library
def test_instruction_sets_are_chosen_by_name():
    valid = torch.ops.larmlreco.instruction_sets()
    assert valid[-1] == "baseline"
    with pytest.raises(ValueError, match=rf"unknown instruction set 'avx1': valid here: {', '.join(valid)}"):
        torch.ops.larmlreco.use_instruction_set("avx1")


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_from_run_to_run_and_for_any_number_of_threads(dtype):
    sites = cloud(3, n=9000, low=-20, high=20)
    features, weight = numbers(len(sites), 48, dtype=dtype), numbers(27, 48, 80, seed=2, dtype=dtype)
    gradient = numbers(len(sites), 80, seed=3, dtype=dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            joined = native.submanifold_map(sites, [3] * 3, [1] * 3)
            out = native.convolve(features, weight, None, joined, len(sites), False, None, 0.0)
            by_weight = torch.ops.larmlreco.weight_gradient(features, gradient, joined, 27, False)
            results.append([*joined, out, by_weight])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@needs_library
@pytest.mark.parametrize("kernel", [2, 3])
def test_maps_of_many_sites_are_the_same_for_any_number_of_threads(kernel):
    """Enough sites for several pieces of work in every loop of the engine."""
    coords = cloud(3, n=20000, low=-20, high=21)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            sites, first_row, site_of_row = native.distinct_sites(torch.cat([coords, coords]))
            coarse, below = native.strided(sites, [kernel] * 3, [2] * 3)
            far = native.submanifold_map(sites, [3] * 3, [9] * 3)
            results.append([sites, first_row, site_of_row, coarse, *below, *far])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert sorted(rows_of(results[0][0])) == sorted(rows_of(coords))


LEVELS = """
import multiprocessing, subprocess, sys, threading, torch
from larmlreco.sparse import native
coords = torch.stack([torch.arange(30000) * step // 1000 % 97 for step in (0, 61, 1003, 7919)], 1)

def levels(count):
    for _ in range(count):
        sites, _, _ = native.distinct_sites(coords)
        for _ in range(3):
            native.submanifold_map(sites, [3] * 3, [1] * 3)
            sites, below = native.strided(sites, [2] * 3, [2] * 3)
        features = torch.ones(len(below[7]), 1)
        native.convolve(features, torch.ones(8, 1, 8), None, below, len(sites), False, None, 0.0)

torch.set_num_threads(2)
"""

WAYS = {
    "more threads than cores": """
torch.set_num_threads(8)
levels(5)
""",
    "several callers": """
callers = [threading.Thread(target=levels, args=(3,)) for _ in range(3)]
[caller.start() for caller in callers]
[caller.join() for caller in callers]
""",
    "the child of a fork": """
levels(1)
child = multiprocessing.get_context("fork").Process(target=levels, args=(1,))
child.start()
child.join()
assert child.exitcode == 0
""",
    "a busy machine": """
busy = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(8)]
levels(10)
[process.kill() for process in busy]
""",
}


@needs_library
@pytest.mark.parametrize("way", WAYS)
def test_the_engine_never_waits_for_threads_that_do_not_run(way, tmp_path):
    """OpenMP ends a loop when its last thread is there: never after a fork, very late on a machine with other work."""
    program = tmp_path / "program.py"
    program.write_text(LEVELS + WAYS[way] + "print('done')\n")
    running = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, _ = running.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert printed == "done\n"


@needs_library
def test_a_site_has_the_same_bits_in_any_order_of_rows():
    sites = cloud(3, n=1000)
    order = torch.randperm(len(sites), generator=torch.Generator().manual_seed(0))
    features, weight = numbers(len(sites), 16, dtype=torch.float32), numbers(27, 16, 16, seed=2, dtype=torch.float32)
    outs = []
    for rows in (torch.arange(len(sites)), order):
        joined = native.submanifold_map(sites[rows], [3] * 3, [1] * 3)
        outs.append(native.convolve(features[rows], weight, None, joined, len(sites), False, None, 1.0))
    assert torch.equal(outs[0][order], outs[1])


@needs_library
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("way", ["submanifold", "even", "down", "up"])
def test_gradients(way, slope):
    sites = cloud(3, n=40, low=-2, high=3)
    coarse, below = native.strided(sites, [3] * 3, [2] * 3)
    joined, n_in, n_out, transposed, taps = {
        "submanifold": (native.submanifold_map(sites, [3] * 3, [1] * 3), len(sites), len(sites), False, 27),
        "even": (native.submanifold_map(sites, [2] * 3, [1] * 3), len(sites), len(sites), False, 8),
        "down": (below, len(sites), len(coarse), False, 27),
        "up": (below, len(coarse), len(sites), True, 27),
    }[way]
    tensors = (numbers(n_in, 2), numbers(taps, 2, 3, seed=2), numbers(3, seed=3), numbers(n_out, 3, seed=4))
    for tensor in tensors:
        tensor.requires_grad_()

    def layer(features, weight, bias, residual):
        return native.convolve(features, weight, bias, joined, n_out, transposed, residual, slope)

    assert torch.autograd.gradcheck(layer, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, tensors, fast_mode=True)


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("n", [0, 1, 70_000])
def test_joined_and_linear_features_are_those_of_torch(n, dtype):
    left, right = numbers(n, 3, dtype=dtype), numbers(n, 5, seed=2, dtype=dtype)
    weight, bias = numbers(7, 8, seed=3, dtype=dtype), numbers(7, seed=4, dtype=dtype)
    joined = native.join(left, right)
    assert torch.equal(joined, torch.cat([left, right], 1))
    for added in (bias, None):
        expected = torch.nn.functional.linear(joined, weight, added)
        torch.testing.assert_close(native.linear(joined, weight, added), expected)
        torch.testing.assert_close(native.linear(joined, weight.requires_grad_(), added), expected)
        weight = weight.detach()


@needs_library
def test_gradients_of_joined_and_linear_features():
    tensors = (numbers(9, 2), numbers(9, 3, seed=2), numbers(4, 5, seed=3), numbers(4, seed=4))
    for tensor in tensors:
        tensor.requires_grad_()

    def layer(left, right, weight, bias):
        return native.linear(native.join(left, right), weight, bias)

    assert torch.autograd.gradcheck(layer, tensors)
    assert torch.autograd.gradgradcheck(layer, tensors)


@needs_library
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: native.join(x, x[1:]), ValueError, r"join: expected 6 rows .* channels, got \[5, 4\]"),
        (lambda x: native.join(x, x[0]), ValueError, r"join: expected features \(sites, channels\)"),
        (lambda x: native.join(x, x.float()), TypeError, "join: expected type Double, got Float"),
        (lambda x: native.join(x.half(), x.half()), TypeError, "expected float32, float64 or bfloat16, got Half"),
        (lambda x: native.linear(x, x[:, :3], None), ValueError, "linear: expected 6 rows .* of 3 channels, got"),
        (lambda x: native.linear(x, x[0], None), ValueError, r"expected features \(sites, C_in\) and weight"),
        (lambda x: native.linear(x, x, x[0]), ValueError, r"bias: expected 6 values of the features' type, got \[4\]"),
    ],
)
def test_bad_tensors_to_join_or_transform(call, error, message):
    with pytest.raises(error, match=message):
        call(numbers(6, 4))


@needs_library
def test_opcheck():
    sites = cloud(3, n=60, low=-2, high=3)
    ops = torch.ops.larmlreco
    three, ones = [3] * 3, [1] * 3
    joined = native.submanifold_map(sites, three, ones)
    coarse, below = native.strided(sites, [2] * 3, [2] * 3)
    features, weight = numbers(len(sites), 2).requires_grad_(), numbers(27, 2, 3, seed=2).requires_grad_()
    bias, residual = numbers(3, seed=3).requires_grad_(), numbers(len(sites), 3, seed=4).requires_grad_()
    halving = numbers(8, 2, 3, seed=2).requires_grad_()
    for op, arguments in (
        (ops.distinct_sites, (sites,)),
        (ops.submanifold_map, (sites, three, ones)),
        (ops.submanifold_map, (sites, [2] * 3, ones)),
        (ops.strided_sites, (sites, [2] * 3, [2] * 3)),
        (ops.joining_map, (sites, coarse, [2] * 3, [2] * 3, ones)),
        (ops.map_pairs, (joined,)),
        (ops.convolve, (features, weight, bias, joined, len(sites), False, residual, 0.1)),
        (ops.convolve, (features, halving, None, below, len(coarse), False, None, 1.0)),
        (ops.weight_gradient, (features, residual, joined, 27, False)),
        (ops.join, (features, residual)),
        (ops.linear, (features, weight[0].T, bias)),
        (ops.linear, (features.detach(), weight[0].T.detach(), None)),
    ):
        torch.library.opcheck(op.default, arguments)


@needs_library
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("dimension", [2, 3])
def test_no_site_and_one(n, dimension):
    coords = torch.full((n, 1 + dimension), -3)
    levels = Pyramid(dimension, 3, engine="native")(coords)
    assert [len(sites) for sites in levels.sites] == [n] * 3
    features = numbers(n, 4, dtype=torch.float32).requires_grad_()
    taps = 3**dimension
    around = Convolution(4, 5, taps, bias=True, engine="native")
    down = Convolution(5, 6, 2**dimension, engine="native")
    up = Convolution(6, 4, 2**dimension, transposed=True, engine="native")
    fine = around(features, levels.around[0], n)
    out = up(down(fine, levels.below[0], n), levels.below[0], n)
    assert out.shape == (n, 4)
    out.sum().backward()
    assert features.grad.shape == (n, 4)
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in around.parameters())
    if n == 1:
        torch.testing.assert_close(fine, features @ around.weight[taps // 2] + around.bias)


@needs_library
def test_non_contiguous_tensors():
    sites = cloud(2)
    wide = numbers(len(sites), 8)
    weight = numbers(4, 9, 3, seed=2).transpose(0, 1)
    joined = native.submanifold_map(sites.T.contiguous().T, [3, 3], [1, 1])
    out = native.convolve(wide[:, ::2], weight, None, joined, len(sites), False, None, 1.0)
    expected = native.convolve(
        wide[:, ::2].contiguous(), weight.contiguous(), None, joined, len(sites), False, None, 1.0
    )
    assert torch.equal(out, expected)


@needs_library
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: native.distinct_sites(c.float()), TypeError, "expected coordinates of type int64, got Float"),
        (lambda c: native.distinct_sites(c[:, :2]), ValueError, r"expected coordinates \(N, 3\) or \(N, 4\)"),
        (lambda c: native.distinct_sites(c * 2**40), ValueError, "which a 64-bit key cannot hold"),
        (lambda c: native.distinct_sites(c * 2**61), ValueError, "which a 64-bit key cannot hold"),
        (lambda c: native.submanifold_map(c, [3, 3], [1, 1]), ValueError, "kernel_size: expected 3 values"),
        (lambda c: native.submanifold_map(c, [3, 0, 3], [1] * 3), ValueError, "expected positive values"),
        (lambda c: native.submanifold_map(c, [301] * 3, [1] * 3), ValueError, "expected at most 4096 taps"),
        (lambda c: native.submanifold_map(c, [3] * 3, [-1] * 3), ValueError, "dilation: expected positive values"),
        (lambda c: native.strided(c, [2] * 3, [2, 0, 2]), ValueError, "stride: expected positive values"),
        (
            lambda c: native.submanifold_map(torch.cat([c, c[5:6]]), [3] * 3, [1] * 3),
            ValueError,
            r"expected distinct input sites, got rows 5 and \d+ with the same coordinates",
        ),
        (lambda c: native.joining_map(c, c[:, :3], [2] * 3, [2] * 3), ValueError, "coordinates of one width"),
    ],
)
def test_bad_coordinates(call, error, message):
    with pytest.raises(error, match=message):
        call(cloud(3))


@needs_library
def test_bad_tensors_of_a_convolution():
    sites = cloud(3)
    n = len(sites)
    joined = native.submanifold_map(sites, [3] * 3, [1] * 3)
    good = {
        "features": numbers(n, 4),
        "weight": numbers(27, 4, 5),
        "bias": numbers(5),
        "kernel_map": joined,
        "n_out": n,
        "transposed": False,
        "residual": numbers(n, 5),
        "negative_slope": 0.0,
    }
    native.convolve(**good)
    for name, value, error, message in (
        ("features", numbers(n - 1, 4), ValueError, f"features: expected {n} rows"),
        ("features", numbers(n, 3), ValueError, "of 4 channels"),
        ("features", numbers(n, 4, dtype=torch.float16), TypeError, "expected float32, float64 or bfloat16, got Half"),
        ("weight", numbers(27, 20), ValueError, r"weight: expected \(taps, C_in, C_out\)"),
        ("weight", numbers(27, 4, 5, dtype=torch.float32), TypeError, "weight: expected the type of the features"),
        ("weight", numbers(8, 4, 5), ValueError, "expected a kernel map of 8 taps"),
        ("bias", numbers(4), ValueError, "bias: expected 5 values"),
        ("residual", numbers(n, 4), ValueError, f"residual: expected {n} rows"),
        ("n_out", n + 1, ValueError, f"n_out: expected {n}"),
        ("kernel_map", joined[:3], ValueError, "expected a kernel map of 4 or 8 tensors, got 3"),
        ("kernel_map", portable.submanifold_map(sites, [3] * 3, [1] * 3) * 4, ValueError, "4 or 8 tensors, got 12"),
        ("kernel_map", [joined[0], joined[0], *joined[2:]], ValueError, "tensor 1 of a kernel map: expected Byte"),
    ):
        with pytest.raises(error, match=message):
            native.convolve(**{**good, name: value})


@needs_library
@pytest.mark.parametrize("megabytes", [50, 300, 1000])
def test_more_voxels_than_memory_holds(megabytes):
    program = """
import resource, sys, torch
torch.set_num_threads(2)
from larmlreco.sparse import native
n = 2_000_000
axes = torch.arange(n)
coords = torch.stack([axes * 0, axes // 10000, axes // 100 % 100, axes % 100], 1)
native.submanifold_map(coords[:100_000], [3] * 3, [1] * 3)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
try:
    sites, _, _ = native.distinct_sites(coords)
    joined = native.submanifold_map(sites, [3] * 3, [1] * 3)
    features, weight = torch.zeros(n, 64), torch.zeros(27, 64, 64)
    native.convolve(features, weight, None, joined, n, False, None, 1.0)
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(megabytes)], capture_output=True, text=True, check=True, timeout=300
    )
    assert "out of memory" in done.stdout or "can't allocate memory" in done.stdout


class _Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pyramid = Pyramid(3, 2, engine="native")
        self.around = Convolution(2, 4, 27, bias=True, norm_eps=1e-4, negative_slope=0.1, engine="native")
        self.down = Convolution(4, 6, 8, engine="native")
        self.up = Convolution(6, 4, 8, transposed=True, engine="native")

    def forward(self, coords, features):
        levels = self.pyramid(coords)
        fine = self.around(features.index_select(0, levels.first_row), levels.around[0], levels.sites[0].size(0))
        coarse = self.down(fine, levels.below[0], levels.sites[1].size(0))
        out = self.up(coarse, levels.below[0], fine.size(0)) + fine
        return out.index_select(0, levels.site_of_row)


@needs_library
def test_a_scripted_network_runs_in_a_process_that_knows_only_the_library(tmp_path):
    net = _Net().eval()
    coords = cloud(3)
    coords = torch.cat([coords, coords[:7]])  # duplicates get their output, too
    features = numbers(len(coords), 2, dtype=torch.float32)
    expected = net(coords, features).detach()
    scripted = torch.jit.script(net)
    torch.testing.assert_close(scripted(coords, features), expected, rtol=0, atol=0)
    scripted.save(tmp_path / "net.ts")
    torch.save([coords, features, expected], tmp_path / "data.pt")
    program = """
import sys, torch
assert not any(name.startswith("larmlreco") for name in sys.modules)
torch.ops.load_library(sys.argv[1])
coords, features, expected = torch.load(sys.argv[3])
assert torch.equal(torch.jit.load(sys.argv[2])(coords, features), expected)
"""
    arguments = [native.LIBRARY, tmp_path / "net.ts", tmp_path / "data.pt"]
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, cwd=tmp_path)


@needs_library
def test_torch_compile_traces_through_the_operators():
    sites = cloud(3, n=60)
    weight, features = numbers(27, 2, 3, seed=2), numbers(len(sites), 2)

    def layer(sites, features):
        joined = torch.ops.larmlreco.submanifold_map(sites, [3, 3, 3], [1, 1, 1])
        return torch.ops.larmlreco.convolve(features, weight, None, joined, sites.size(0), False, None, 0.0)

    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert torch.equal(compiled(sites, features), layer(sites, features))


def test_without_the_library_the_portable_engine_serves_and_says_so_once(tmp_path):
    program = """
import warnings
from larmlreco.errors import ConfigurationError
from larmlreco.sparse import native
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert [native.best_engine(), native.best_engine()] == ["portable", "portable"]
(warning,) = said
assert "the portable engine serves, several times slower than the native one" in str(warning.message)
try:
    native.require()
except ConfigurationError as error:
    print(error)
"""
    absent = tmp_path / "absent.so"
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    for path, reason in ((absent, "does not exist"), (broken, "broken.so")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"LARMLRECO_OPERATORS": str(path), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("the native engine needs the operator library of larmlreco: ")
        assert reason in done.stdout
        assert "install larmlreco with --no-build-isolation" in done.stdout
        assert len(done.stdout.splitlines()) == 1


@needs_library
def test_best_engine_is_native_here():
    assert native.best_engine() == "native"
    native.require()
