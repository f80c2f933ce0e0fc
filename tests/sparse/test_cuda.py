"""The portable engine on a GPU gives what it gives on the CPU, in the same row order; the native one refuses."""

from collections.abc import Callable

import pytest
import torch

from larmlreco.models import build
from larmlreco.sparse import native, portable
from larmlreco.sparse.layers import POOLING_MODES, BatchNorm, Convolution, GlobalPooling, InstanceNorm, Pooling, Pyramid

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")

OPERATORS = (
    *("distinct_sites", "strided_sites", "submanifold_map", "joining_map"),
    *("map_pairs", "convolve", "weight_gradient", "join", "linear"),
)


def rows(dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffled rows of two items, some of them twice, some coordinates below zero."""
    generator = torch.Generator().manual_seed(1)
    coords = torch.randint(-15, 15, (800, 1 + dimension), generator=generator)
    coords[:, 0] = torch.randint(0, 2, (800,), generator=generator)
    return torch.cat([coords, coords[:50]]), torch.rand(850, 1, generator=generator) * 100


@needs_cuda
@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_outputs_are_those_of_the_cpu(dimension: int, order: str) -> None:
    torch.manual_seed(0)
    network = build("uresnet", dimension=dimension, classes=5, filters=8, depth=3, order=order).eval()
    coords, features = rows(dimension)
    with torch.inference_mode():
        expected = network(coords, features)["semantic"]
        got = network.cuda()(coords.cuda(), features.cuda())["semantic"]
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-4)


@needs_cuda
def test_gradients_are_those_of_the_cpu() -> None:
    coords, features = rows(3)
    gradients = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = build("uresnet", dimension=3, classes=5, filters=4, depth=2).double().to(device)
        logits = network.raw(coords.to(device), features.double().to(device))["semantic"]
        logits.square().mean().backward()
        gradients.append([p.grad.cpu() for p in network.parameters() if p.grad is not None])
    for cpu, cuda in zip(*gradients, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=1e-6, atol=1e-9)


@needs_cuda
@pytest.mark.parametrize("dimension", [2, 3])
def test_sites_and_kernel_maps_have_the_rows_of_the_cpu(dimension: int) -> None:
    coords, _ = rows(dimension)
    three, two, ones = [3] * dimension, [2] * dimension, [1] * dimension

    def everything(device: str) -> list[torch.Tensor]:
        sites, first_row, site_of_row = portable.distinct_sites(coords.to(device))
        coarse, below = portable.strided(sites, three, two)
        fine, above = portable.children(coarse, two, two)
        around = portable.submanifold_map(sites, three, ones)
        return [sites, first_row, site_of_row, coarse, fine, *around, *below, *above]

    for cpu, cuda in zip(everything("cpu"), everything("cuda"), strict=True):
        assert torch.equal(cuda.cpu(), cpu)


On = Callable[[torch.nn.Module], torch.nn.Module]
LAYERS: dict[str, Callable[[torch.Tensor, torch.Tensor, On], torch.Tensor]]
LAYERS = {
    "submanifold": lambda c, x, on: on(Convolution(3, 4, 27, bias=True, negative_slope=0.1))(
        x, portable.submanifold_map(c, [3] * 3, [1] * 3), len(c)
    ),
    "dilated": lambda c, x, on: on(Convolution(3, 4, 27))(x, portable.submanifold_map(c, [3] * 3, [2] * 3), len(c)),
    "even kernel": lambda c, x, on: on(Convolution(3, 4, 8))(x, portable.submanifold_map(c, [2] * 3, [1] * 3), len(c)),
    "batch norm": lambda c, x, on: on(BatchNorm(3))(x),
    "instance norm": lambda c, x, on: on(InstanceNorm(3))(x, c),
    **{
        f"global {mode}": lambda c, x, on, mode=mode: on(GlobalPooling(mode))(x, c)[1]  # type: ignore[misc]
        for mode in POOLING_MODES
    },
    **{
        f"{mode} pooling": lambda c, x, on, mode=mode: _down(c, x, on, Pooling(mode))  # type: ignore[misc]
        for mode in POOLING_MODES
    },
    "strided": lambda c, x, on: _down(c, x, on, Convolution(3, 4, 8)),
    "transposed": lambda c, x, on: _up(c, x, on),
}


def _down(coords: torch.Tensor, x: torch.Tensor, on: On, layer: torch.nn.Module) -> torch.Tensor:
    coarse, below = portable.strided(coords, [2] * 3, [2] * 3)
    out: torch.Tensor = on(layer)(x, below, len(coarse))
    return out


def _up(coords: torch.Tensor, x: torch.Tensor, on: On) -> torch.Tensor:
    fine, above = portable.children(coords, [2] * 3, [2] * 3)
    out: torch.Tensor = on(Convolution(3, 4, 8, transposed=True))(x, above, len(fine))
    return out


def forward_and_backward(name: str, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Output of a layer, and the gradient of the features, on the CPU."""
    torch.manual_seed(0)
    coords, _ = rows(3)
    sites = portable.distinct_sites(coords)[0]
    features = torch.rand(len(sites), 3, dtype=torch.float64).to(device).requires_grad_()
    out = LAYERS[name](sites.to(device), features, lambda layer: layer.double().to(device))
    (gradient,) = torch.autograd.grad(out.square().sum(), features)
    return out.detach().cpu(), gradient.cpu()


@needs_cuda
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_gives_what_it_gives_on_the_cpu(name: str) -> None:
    for cpu, cuda in zip(forward_and_backward(name, "cpu"), forward_and_backward(name, "cuda"), strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_of_these_tests_runs_on_the_cpu(name: str) -> None:
    out, gradient = forward_and_backward(name, "cpu")
    assert bool(out.isfinite().all())
    assert bool(gradient.isfinite().all())
    assert float(out.abs().max()) > 0.0


@needs_cuda
def test_an_empty_event_passes() -> None:
    network = build("uresnet", dimension=2, classes=5, filters=4, depth=2).eval().cuda()
    none = network(torch.zeros((0, 3), dtype=torch.int64, device="cuda"), torch.zeros((0, 1), device="cuda"))
    assert none["semantic"].shape == (0, 5)


@pytest.mark.skipif(not native.available(), reason="the operator library is not built")
def test_every_native_operator_has_an_answer_for_a_gpu() -> None:
    for name in OPERATORS:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"larmlreco::{name}", "CUDA")


@needs_cuda
@pytest.mark.skipif(not native.available(), reason="the operator library is not built")
def test_native_operators_refuse_tensors_on_a_gpu() -> None:
    with pytest.raises(NotImplementedError, match="the native engine runs on the CPU, got tensors on a GPU: use the"):
        Pyramid(2, 2, engine="native")(rows(2)[0].cuda())
