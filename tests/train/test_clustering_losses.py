"""Losses of clustering against loops over voxels and clusters, their gradients, and a toy that is learned."""

import math

import numpy as np
import pytest
import torch

from larmlreco.errors import ConfigurationError
from larmlreco.metrics.clustering import compare_partitions
from larmlreco.models import build
from larmlreco.models.clustering import activated
from larmlreco.reco.clustering import ClusteringOptions, seeded_clusters
from larmlreco.train.clustering_losses import ClusteringLoss, kernel_cross_entropy, kernel_exponent, lovasz_hinge


def toy(n=120, seed=0, dtype=torch.float64):
    """Outputs (not yet leaves of a graph) with item, group and cluster of each voxel."""
    generator = torch.Generator().manual_seed(seed)
    outputs = {
        "embedding": torch.rand((n, 3), generator=generator, dtype=dtype) * 2 - 1,
        "margin": torch.rand((n, 1), generator=generator, dtype=dtype) + 0.2,
        "seediness": torch.rand((n, 1), generator=generator, dtype=dtype),
    }
    item, group = torch.arange(n) % 2, torch.arange(n) // 4 % 3 - 1
    return outputs, item, group, torch.arange(n) // 20 + 10


def by_loops(outputs, item, group, cluster, piece, loss):
    """The terms from their definitions, one voxel and one cluster at a time."""
    e, m, s = (outputs[key].tolist() for key in ("embedding", "margin", "seediness"))
    found = {}
    for part in sorted({(int(i), int(g)) for i, g in zip(item, group, strict=True) if g >= 0}):
        kernel, seeds, smooth = [], [], []
        for number in sorted(set(piece.tolist())):
            rows = [i for i in range(len(e)) if (int(item[i]), int(group[i])) == part and int(piece[i]) == number]
            members = {}
            for i in rows:
                members.setdefault(int(cluster[i]), []).append(i)
            members = {c: r for c, r in members.items() if len(r) >= loss.min_size}
            rows = [i for i in rows if int(cluster[i]) in members]
            for c, own in members.items():
                mu = [sum(e[i][a] for i in own) / len(own) for a in range(3)]
                sigma = sum(m[i][0] for i in own) / len(own)
                inside, outside = [], []
                for i in rows:
                    p = math.exp(-sum((e[i][a] - mu[a]) ** 2 for a in range(3)) / (2 * sigma**2))
                    if int(cluster[i]) == c:
                        inside.append(-math.log(p))
                        seeds.append((s[i][0] - p) ** 2)
                        smooth.append((m[i][0] - sigma) ** 2)
                    else:
                        outside.append(-math.log(1 - p))
                value = 0.5 * sum(inside) / len(inside) + 0.5 * sum(outside) / max(len(outside), 1)
                kernel.append((value, loss.lone_weight if len(members) == 1 else 1.0))
        if kernel:
            mean = sum(v * w for v, w in kernel) / sum(w for _, w in kernel)
            found[part] = {"embedding": mean, "seediness": np.mean(seeds), "smoothness": np.mean(smooth)}
    weights = {part: loss.group_weights[part[1]] if loss.group_weights else 1.0 for part in found}
    return {
        key: sum(found[part][key] * weights[part] for part in found) / sum(weights.values())
        for key in ("embedding", "seediness", "smoothness")
    }


@pytest.mark.parametrize("min_size", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 3])
def test_terms_are_those_of_the_definitions(min_size, pieces):
    outputs, item, group, cluster = toy()
    piece = torch.arange(len(item)) * pieces // len(item)
    loss = ClusteringLoss(
        min_size=min_size,
        embedding_weight=2.0,
        seediness_weight=3.0,
        smoothness_weight=0.5,
        lone_weight=0.3,
        group_weights=(2.0, 1.0),
    )
    found = loss(outputs, item, group, cluster, piece)
    expected = by_loops(outputs, item, group, cluster, piece, loss)
    for key, value in expected.items():
        assert float(found[key]) == pytest.approx(value, rel=1e-5)
    total = 2 * expected["embedding"] + 3 * expected["seediness"] + 0.5 * expected["smoothness"]
    assert float(found["loss"]) == pytest.approx(total, rel=1e-5)


def test_kernel_terms_have_exact_gradients():
    generator = torch.Generator().manual_seed(1)
    points = torch.rand((12, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    centre = torch.rand((3, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    width = (torch.rand(3, generator=generator, dtype=torch.float64) + 0.3).requires_grad_()
    own = torch.arange(12).unsqueeze(1) % 3 == torch.arange(3)

    def cross_entropy(p, c, w):
        return kernel_cross_entropy(kernel_exponent(p, c, w), own)

    def lovasz(p, c, w):
        return lovasz_hinge(2 * torch.exp(-kernel_exponent(p, c, w)) - 1, own)

    assert torch.autograd.gradcheck(cross_entropy, (points, centre, width))
    assert torch.autograd.gradcheck(lovasz, (points, centre, width))


def test_the_lovasz_hinge_is_the_jaccard_loss_of_hard_predictions():
    own = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool).unsqueeze(1)
    predicted = torch.tensor([1, 1, 0, 1, 0, 0]).unsqueeze(1)
    # At logits +-1 a wrong voxel has the error 2 and a right one 0, so the loss is twice 1 - 2 / 4.
    logits = predicted.double() * 2 - 1
    assert float(lovasz_hinge(logits, own)) == pytest.approx(2 * (1 - 2 / 4))
    assert float(lovasz_hinge(own.double() * 2 - 1, own)) == 0.0


def test_far_and_coinciding_voxels_keep_finite_losses_and_gradients():
    embedding = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]], requires_grad=True)
    outputs = {
        "embedding": embedding,
        "margin": torch.full((4, 1), 1e-4, requires_grad=True),
        "seediness": torch.full((4, 1), 0.5, requires_grad=True),
    }
    zero = torch.zeros(4, dtype=torch.int64)
    for kind in ("cross_entropy", "lovasz"):
        loss = ClusteringLoss(kind, min_size=1)(outputs, zero, zero, torch.tensor([0, 0, 0, 1]))["loss"]
        assert bool(torch.isfinite(loss))
        grads = torch.autograd.grad(loss, list(outputs.values()), allow_unused=True)
        assert all(g is None or bool(torch.isfinite(g).all()) for g in grads)


def test_without_clusters_the_loss_is_nothing():
    outputs, item, group, cluster = toy()
    leaf = outputs["embedding"].requires_grad_()
    for groups, size in ((torch.full_like(group, -1), 1), (group, 100)):
        loss = ClusteringLoss(min_size=size)(outputs, item, groups, cluster)["loss"]
        assert float(loss.detach()) == 0.0
        assert float(torch.autograd.grad(loss, leaf)[0].abs().sum()) == 0.0
    empty = {key: value[:0] for key, value in outputs.items()}
    assert float(ClusteringLoss()(empty, item[:0], group[:0], cluster[:0])["loss"].detach()) == 0.0


def test_pairs_are_thinned_where_there_are_too_many():
    arguments = toy(2000)
    few = ClusteringLoss(most_pairs=4000)(*arguments)
    every = ClusteringLoss()(*arguments)
    assert float(few["embedding"]) == pytest.approx(float(every["embedding"]), rel=0.2)
    assert float(few["seediness"]) == pytest.approx(float(every["seediness"]))


def test_an_unknown_loss_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"unknown embedding_loss 'hinge'; .*cross_entropy, lovasz"):
        ClusteringLoss("hinge")


@pytest.mark.parametrize("kind", ["cross_entropy", "lovasz"])
def test_a_toy_is_learned_in_seconds(kind):
    torch.manual_seed(0)
    along = torch.arange(24)
    zero = torch.zeros_like(along)
    # Three lines, two of which cross.
    lines = [(along, zero + 12, zero), (zero + 12, along, zero), (along, zero, zero + 20)]
    coords = torch.cat([torch.stack([zero, *line], 1) for line in lines])
    cluster = torch.arange(3).repeat_interleave(24)
    coords, rows = np.unique(coords.numpy(), axis=0, return_index=True)
    coords, cluster = torch.from_numpy(coords), cluster[torch.from_numpy(rows)]
    features = torch.ones(len(coords), 1)
    network = build("clustering_uresnet", dimension=3, filters=8, depth=3, repetitions=1, extent=20.0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    item = torch.zeros(len(coords), dtype=torch.int64)
    losses = []
    for _ in range(60):
        loss = ClusteringLoss(kind)(activated(network.raw(coords, features)), item, item, cluster)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(w.grad is not None and bool(w.grad.abs().sum() > 0) for w in network.parameters())
    out = {key: value.detach().numpy() for key, value in activated(network.raw(coords, features)).items()}
    found, _ = seeded_clusters(out["embedding"], out["margin"][:, 0], out["seediness"][:, 0], ClusteringOptions(0.3))
    assert compare_partitions(cluster.numpy(), found).ari > 0.9
