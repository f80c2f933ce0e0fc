"""The portable engine against the brute-force oracle, dense convolution, gradients, and itself when scripted."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sparse_convolution as oracle

from larmlreco.sparse import portable

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

KERNELS = [
    *([2, 2], [3, 3], [4, 4], [5, 5], [3, 5], [1, 1], [3, 2]),
    *([2, 2, 2], [3, 3, 3], [4, 4, 4], [3, 1, 5], [1, 1, 1]),
]


def cloud(dimension, n=150, low=-6, high=7, items=2, seed=0):
    """Distinct sites in random order, about a third to a half of a small box full."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, items, n), random.integers(low, high, (n, dimension))])
    rows = np.unique(rows, axis=0)
    return torch.from_numpy(random.permutation(rows).astype(np.int64))


def rows_of(sites):
    return [tuple(row) for row in sites.tolist()]


def numbers(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def map_pairs(kernel_map, n):
    """The triples (tap, fine, coarse) of a portable map."""
    found, begin = [], 0
    for tap, count in enumerate(kernel_map[2].tolist()):
        if count < 0:
            found += [(tap, row, row) for row in range(n)]
            continue
        fine, coarse = kernel_map[0][begin : begin + count].tolist(), kernel_map[1][begin : begin + count].tolist()
        found += [(tap, f, c) for f, c in zip(fine, coarse, strict=True)]
        begin += count
    assert begin == len(kernel_map[0]) == len(kernel_map[1])
    return sorted(found)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_submanifold_convolution_is_the_oracles(kernel, dilation):
    sites = cloud(len(kernel))
    features, weight = numbers(len(sites), 3), numbers(int(np.prod(kernel)), 3, 4, seed=2)
    rows, spread = rows_of(sites), [dilation] * len(kernel)
    joined = portable.submanifold_map(sites, kernel, spread)
    ones = [1] * len(kernel)
    assert map_pairs(joined, len(sites)) == sorted(oracle.pairs(rows, rows, kernel, ones, spread))
    out = portable.convolve(features, weight, None, joined, len(sites), False, None, 1.0)
    expected = oracle.convolution(rows, features.numpy(), weight.numpy(), rows, kernel, ones, spread)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("stride", [2, 3])
def test_strided_and_transposed_convolution_are_the_oracles(kernel, stride):
    sites = cloud(len(kernel))
    steps = [stride] * len(kernel)
    rows = rows_of(sites)
    coarse, joined = portable.strided(sites, kernel, steps)
    assert rows_of(coarse) == oracle.coarse_sites(rows, steps)

    features, weight = numbers(len(sites), 3), numbers(int(np.prod(kernel)), 3, 4, seed=2)
    out = portable.convolve(features, weight, None, joined, len(coarse), False, None, 1.0)
    ones = [1] * len(kernel)
    expected = oracle.convolution(rows, features.numpy(), weight.numpy(), rows_of(coarse), kernel, steps, ones)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)

    back = numbers(len(coarse), 3, seed=3)
    out = portable.convolve(back, weight, None, joined, len(sites), True, None, 1.0)
    expected = oracle.transposed_convolution(rows_of(coarse), back.numpy(), weight.numpy(), rows, kernel, steps)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [[2, 2], [3, 3], [2, 2, 2], [3, 3, 3]], ids=str)
def test_children_are_all_sites_that_a_transposed_convolution_reaches(kernel):
    sites = cloud(len(kernel), n=20)
    steps = [2] * len(kernel)
    fine, joined = portable.children(sites, kernel, steps)
    expected = set()
    for row in rows_of(sites):
        for offset in oracle.tap_offsets(kernel, [1] * len(kernel)):
            expected.add((row[0], *(2 * x + d for x, d in zip(row[1:], offset, strict=True))))
    assert rows_of(fine) == sorted(expected)
    features, weight = numbers(len(sites), 2), numbers(int(np.prod(kernel)), 2, 2, seed=2)
    out = portable.convolve(features, weight, None, joined, len(fine), True, None, 1.0)
    reference = oracle.transposed_convolution(
        rows_of(sites), features.numpy(), weight.numpy(), rows_of(fine), kernel, steps
    )
    np.testing.assert_allclose(out.numpy(), reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
@pytest.mark.parametrize(("kernel", "stride"), [([2, 2], 2), ([3, 3], 2), ([2, 2, 2], 2), ([3, 3, 3], 3)], ids=str)
def test_pooling_is_the_oracles(mode, kernel, stride):
    sites, steps = cloud(len(kernel)), [stride] * len(kernel)
    features = numbers(len(sites), 3) - 3.0  # negative, so that an absent site cannot pass for a maximum of 0
    coarse, joined = portable.strided(sites, kernel, steps)
    out = portable.pool(features, joined, len(coarse), mode)
    expected = oracle.pooling(rows_of(sites), features.numpy(), rows_of(coarse), kernel, steps, mode)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
def test_pooling_over_neighbours_counts_the_site_itself(mode):
    sites = cloud(2)
    features = numbers(len(sites), 3)
    joined = portable.submanifold_map(sites, [3, 3], [1, 1])
    out = portable.pool(features, joined, len(sites), mode)
    expected = oracle.pooling(rows_of(sites), features.numpy(), rows_of(sites), [3, 3], [1, 1], mode)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
def test_pooling_of_items(mode):
    sites = cloud(3)
    features = numbers(len(sites), 2)
    items, out = portable.pool_items(features, sites, mode)
    assert items.tolist() == [0, 1]
    reduce = {"max": np.max, "sum": np.sum, "avg": np.mean}[mode]
    expected = [reduce(features.numpy()[sites[:, 0].numpy() == item], axis=0) for item in (0, 1)]
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)


def test_instance_norm_has_mean_0_and_variance_1_in_each_item():
    sites = cloud(3)
    out = portable.instance_norm(numbers(len(sites), 2) * 5.0 + 3.0, sites, 0.0).numpy()
    for item in (0, 1):
        mine = out[sites[:, 0].numpy() == item]
        np.testing.assert_allclose(mine.mean(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(mine.var(axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_full_grid_gives_dense_convolution(dimension):
    size = 6
    grid = np.stack(np.meshgrid(*[np.arange(size)] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    sites = torch.from_numpy(np.column_stack([np.zeros(len(grid), dtype=np.int64), grid]))
    order = torch.from_numpy(np.random.default_rng(3).permutation(len(sites)))
    features = numbers(len(sites), 3)
    dense_convolution = F.conv2d if dimension == 2 else F.conv3d
    dense_transposed = F.conv_transpose2d if dimension == 2 else F.conv_transpose3d

    def dense(values, side, channels):
        return values.t().reshape(1, channels, *[side] * dimension)

    def flat(values):
        return values.squeeze(0).flatten(1).t()

    weight = numbers(3**dimension, 3, 4, seed=2)
    kernel = weight.permute(2, 1, 0).reshape(4, 3, *[3] * dimension)
    joined = portable.submanifold_map(sites[order], [3] * dimension, [1] * dimension)
    out = portable.convolve(features[order], weight, None, joined, len(sites), False, None, 1.0)
    expected = flat(dense_convolution(dense(features, size, 3), kernel, padding=1))
    np.testing.assert_allclose(out.numpy(), expected[order].numpy(), rtol=1e-10, atol=1e-10)

    weight = numbers(2**dimension, 3, 4, seed=2)
    kernel = weight.permute(2, 1, 0).reshape(4, 3, *[2] * dimension)
    coarse, joined = portable.strided(sites, [2] * dimension, [2] * dimension)
    out = portable.convolve(features, weight, None, joined, len(coarse), False, None, 1.0)
    expected = flat(dense_convolution(dense(features, size, 3), kernel, stride=2))
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-10, atol=1e-10)

    back = numbers(len(coarse), 3, seed=4)
    kernel = weight.permute(1, 2, 0).reshape(3, 4, *[2] * dimension)
    out = portable.convolve(back, weight, None, joined, len(sites), True, None, 1.0)
    expected = flat(dense_transposed(dense(back, size // 2, 3), kernel, stride=2))
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-10, atol=1e-10)


def test_bias_residual_and_activation():
    sites = cloud(2)
    features, weight, bias = numbers(len(sites), 3), numbers(9, 3, 4, seed=2), numbers(4, seed=3)
    residual = numbers(len(sites), 4, seed=4)
    joined = portable.submanifold_map(sites, [3, 3], [1, 1])
    plain = portable.convolve(features, weight, None, joined, len(sites), False, None, 1.0)
    for slope in (0.0, 0.33, 1.0):
        out = portable.convolve(features, weight, bias, joined, len(sites), False, residual, slope)
        total = plain + bias + residual
        np.testing.assert_allclose(out.numpy(), torch.where(total > 0, total, slope * total).numpy(), rtol=1e-12)
    coarse, joined = portable.strided(sites, [2, 2], [2, 2])
    weight = numbers(4, 3, 4, seed=2)
    plain = portable.convolve(features, weight, None, joined, len(coarse), False, None, 1.0)
    out = portable.convolve(features, weight, bias, joined, len(coarse), False, None, 1.0)
    np.testing.assert_allclose(out.numpy(), (plain + bias).numpy(), rtol=1e-12)


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_gradients(scripted, transposed):
    convolve = torch.jit.script(portable.convolve) if scripted else portable.convolve
    sites = cloud(2, n=25)
    coarse, joined = portable.strided(sites, [3, 3], [2, 2])
    n_in, n_out = (len(coarse), len(sites)) if transposed else (len(sites), len(coarse))
    arguments = [numbers(n_in, 2), numbers(9, 2, 3, seed=2), numbers(3, seed=3), numbers(n_out, 3, seed=4)]
    leaves = [argument.requires_grad_() for argument in arguments]
    assert torch.autograd.gradcheck(lambda x, w, b, r: convolve(x, w, b, joined, n_out, transposed, r, 0.33), leaves)
    around = portable.submanifold_map(sites, [3, 3], [1, 1])
    x, weight, bias = numbers(len(sites), 2).requires_grad_(), leaves[1], leaves[2]
    assert torch.autograd.gradcheck(
        lambda x, w, b: convolve(x, w, b, around, len(sites), False, None, 0.0), (x, weight, bias)
    )


@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
def test_gradients_of_pooling_and_instance_norm(mode):
    sites = cloud(2, n=25)
    coarse, joined = portable.strided(sites, [2, 2], [2, 2])
    x = numbers(len(sites), 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: portable.pool(x, joined, len(coarse), mode), x)
    assert torch.autograd.gradcheck(lambda x: portable.instance_norm(x, sites, 1e-3), x)


def test_duplicate_rows_are_one_site():
    rows = torch.tensor([[0, 5, 5], [1, 0, 0], [0, 5, 5], [0, -3, 2], [1, 0, 0], [0, 5, 4]])
    sites, first_row, site_of_row = portable.distinct_sites(rows)
    first, of_row = oracle.distinct(rows_of(rows))
    assert first_row.tolist() == first == [0, 1, 3, 5]
    assert site_of_row.tolist() == of_row == [0, 1, 0, 2, 1, 3]
    assert torch.equal(sites, rows[first])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-4, 4), st.integers(-4, 4)), max_size=40))
def test_distinct_sites_keep_the_order_of_first_appearance(rows):
    coords = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    sites, first_row, site_of_row = portable.distinct_sites(coords)
    first, of_row = oracle.distinct(rows)
    assert first_row.tolist() == first
    assert site_of_row.tolist() == of_row
    assert rows_of(sites) == [rows[index] for index in first]


def test_empty_and_single():
    for rows in (torch.empty((0, 3), dtype=torch.int64), torch.tensor([[3, -7, 9]])):
        n = len(rows)
        sites, first_row, site_of_row = portable.distinct_sites(rows)
        assert torch.equal(sites, rows)
        assert first_row.tolist() == site_of_row.tolist() == list(range(n))
        around = portable.submanifold_map(sites, [3, 3], [1, 1])
        coarse, joined = portable.strided(sites, [2, 2], [2, 2])
        fine, _ = portable.children(coarse, [2, 2], [2, 2])
        assert (len(coarse), len(fine)) == (n, 4 * n)
        features = torch.ones(n, 2)
        weight = torch.ones(9, 2, 3)
        assert (
            portable.convolve(features, weight, torch.ones(3), around, n, False, None, 1.0).tolist() == [[3.0] * 3] * n
        )
        down = portable.convolve(features, weight[:4], None, joined, n, False, None, 1.0)
        assert down.tolist() == [[2.0] * 3] * n
        assert portable.convolve(down, torch.ones(4, 3, 1), None, joined, n, True, None, 1.0).tolist() == [[6.0]] * n
        assert portable.pool(features, joined, n, "max").tolist() == [[1.0, 1.0]] * n
        assert portable.pool_items(features, sites, "avg")[1].tolist() == [[1.0, 1.0]] * n
        assert portable.instance_norm(features, sites, 1e-8).tolist() == [[0.0, 0.0]] * n


@pytest.mark.parametrize("shift", [10**6, -(10**6), 2**40, -(2**62)])
def test_only_differences_of_coordinates_matter(shift):
    sites = cloud(3)
    moved = sites + torch.tensor([0, shift, shift, shift])
    here, there = (portable.submanifold_map(s, [3, 3, 3], [1, 1, 1]) for s in (sites, moved))
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: portable.submanifold_map(c, [3, 0, 3], [1] * 3), r"kernel_size: .* of 3 axes; got \[3, 0, 3\]"),
        (lambda c: portable.submanifold_map(c, [3, 3], [1, 1]), r"kernel_size: .* of 3 axes; got \[3, 3\]"),
        (lambda c: portable.submanifold_map(c, [3] * 3, [-1] * 3), "dilation: expected whole numbers above 0"),
        (lambda c: portable.strided(c, [2] * 3, [2, 0, 2]), "stride: expected whole numbers above 0"),
        (lambda c: portable.strided(c, [2] * 3, [2, 2]), r"stride: .* of 3 axes; got \[2, 2\]"),
        (lambda c: portable.children(c, [0] * 3, [2] * 3), "kernel_size: expected whole numbers above 0"),
        (lambda c: portable.children(c, [2] * 3, [-2] * 3), "stride: expected whole numbers above 0"),
        (lambda c: portable.joining_map(c, c, [2] * 3, [0] * 3), "stride: expected whole numbers above 0"),
    ],
)
def test_kernels_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]]))


@pytest.mark.parametrize("scripted", [False, True])
def test_a_box_too_large_for_keys_is_refused(scripted):
    function = torch.jit.script(portable.distinct_sites) if scripted else portable.distinct_sites
    far = torch.tensor([[0, 0, 0], [1, 2**31, 2**31]])
    with pytest.raises((ValueError, torch.jit.Error), match=r"coordinates span too large a box: .* below 2\^62"):
        function(far)
    sites, _, _ = function(torch.tensor([[0, 0, 0], [1, 2**30, 2**29]]))
    assert len(sites) == 2
    with pytest.raises(ValueError, match="coordinates span too large a box"):
        portable.submanifold_map(torch.tensor([[0, -(2**62), 0], [0, 2**62, 0]]), [3, 3], [1, 1])


def test_types_and_layouts():
    sites = cloud(3)
    joined = portable.submanifold_map(sites, [3, 3, 3], [1, 1, 1])
    wide = numbers(len(sites), 6)
    features, weight = wide[:, ::2], numbers(27, 4, 3, seed=2).transpose(1, 2)
    assert not features.is_contiguous()
    assert not weight.is_contiguous()
    double = portable.convolve(features, weight, None, joined, len(sites), False, None, 1.0)
    single = portable.convolve(features.float(), weight.float(), None, joined, len(sites), False, None, 1.0)
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=1e-4, atol=1e-5)
    strided_sites = torch.cat([sites, sites], 1)[:, : sites.shape[1]]
    assert not strided_sites.is_contiguous()
    again = portable.submanifold_map(strided_sites, [3, 3, 3], [1, 1, 1])
    assert all(torch.equal(a, b) for a, b in zip(joined, again, strict=True))


def test_row_order_is_the_callers():
    sites = cloud(3)
    features, weight = numbers(len(sites), 3), numbers(27, 3, 4, seed=2)
    order = torch.from_numpy(np.random.default_rng(5).permutation(len(sites)))

    def run(sites, features):
        joined = portable.submanifold_map(sites, [3, 3, 3], [1, 1, 1])
        return portable.convolve(features, weight, None, joined, len(sites), False, None, 1.0)

    assert torch.equal(run(sites, features)[order], run(sites[order], features[order]))


class Everything(torch.nn.Module):
    """One call of every function, for scripting."""

    def forward(self, coords: torch.Tensor, features: torch.Tensor, weight: torch.Tensor) -> list[torch.Tensor]:
        sites, first_row, site_of_row = portable.distinct_sites(coords)
        around = portable.submanifold_map(sites, [3, 3, 3], [2, 1, 1])
        coarse, joined = portable.strided(sites, [2, 2, 2], [2, 2, 2])
        fine, spread = portable.children(coarse, [2, 2, 2], [2, 2, 2])
        x = features.index_select(0, first_row)
        x = portable.convolve(x, weight, None, around, sites.size(0), False, x, 0.1)
        down = portable.convolve(x, weight[:8], weight[0, 0], joined, coarse.size(0), False, None, 0.0)
        up = portable.convolve(down, weight[8:16], None, spread, fine.size(0), True, None, 1.0)
        pooled = portable.pool(x, joined, coarse.size(0), "max")
        items, averages = portable.pool_items(x, sites, "avg")
        normed = portable.instance_norm(x, sites, 1e-8)
        return [x.index_select(0, site_of_row), down, up, pooled, items, averages, normed, coarse, fine]


def test_eager_scripted_and_reloaded_in_a_fresh_process_agree(tmp_path):
    coords = cloud(3)
    coords = torch.cat([coords, coords[:5]])
    features, weight = numbers(len(coords), 3).float(), numbers(27, 3, 3, seed=2).float()
    eager = Everything()(coords, features, weight)
    scripted = torch.jit.script(Everything())
    assert all(torch.equal(a, b) for a, b in zip(eager, scripted(coords, features, weight), strict=True))
    torch.jit.save(scripted, tmp_path / "everything.ts")
    torch.save([coords, features, weight, eager], tmp_path / "tensors.pt")
    program = (
        "import torch; import sys; assert 'larmlreco' not in sys.modules\n"
        f"coords, features, weight, expected = torch.load({str(tmp_path / 'tensors.pt')!r})\n"
        f"module = torch.jit.load({str(tmp_path / 'everything.ts')!r})\n"
        "for _ in range(3):\n"
        "    out = module(coords, features, weight)\n"
        "    assert all(torch.equal(a, b) for a, b in zip(expected, out, strict=True))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_kernel_maps_of_the_benchmark_have_the_counted_pairs(shared_path):
    import json

    levels = json.loads(shared_path("bench/meta.json").read_text())["3d512_10k"]["levels"]
    sites = torch.from_numpy(np.load(shared_path("bench/3d512_10k.npz"))["coords"].astype(np.int64))
    for level in levels:
        joined = portable.submanifold_map(sites, [3, 3, 3], [1, 1, 1])
        assert (len(sites), len(joined[0]) + len(sites)) == (level["n"], level["pairs3"])
        sites, _ = portable.strided(sites, [2, 2, 2], [2, 2, 2])
