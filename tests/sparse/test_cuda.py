"""The portable engine on a GPU gives what it gives on the CPU, in the same row order."""

import pytest
import torch

from larmlreco.models import build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")


def rows(dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffled rows of two items, some of them twice, some coordinates below zero."""
    generator = torch.Generator().manual_seed(1)
    coords = torch.randint(-15, 15, (800, 1 + dimension), generator=generator)
    coords[:, 0] = torch.randint(0, 2, (800,), generator=generator)
    return torch.cat([coords, coords[:50]]), torch.rand(850, 1, generator=generator) * 100


@pytest.mark.parametrize("dimension", [2, 3])
def test_outputs_are_those_of_the_cpu(dimension: int) -> None:
    torch.manual_seed(0)
    network = build("uresnet", dimension=dimension, classes=5, filters=8, depth=3).eval()
    coords, features = rows(dimension)
    with torch.inference_mode():
        expected = network(coords, features)["semantic"]
        got = network.cuda()(coords.cuda(), features.cuda())["semantic"]
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-4)


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


def test_an_empty_event_passes() -> None:
    network = build("uresnet", dimension=2, classes=5, filters=4, depth=2).eval().cuda()
    none = network(torch.zeros((0, 3), dtype=torch.int64, device="cuda"), torch.zeros((0, 1), device="cuda"))
    assert none["semantic"].shape == (0, 5)
