"""Losses of infill against loops over sites, their gradients and what they make the network learn."""

import math

import pytest
import torch

from larmlreco.errors import ConfigurationError
from larmlreco.train.infill_losses import InfillLoss


def sites(n=30, seed=0, dtype=torch.float64):
    """Log-odds, energies and targets of sites, a third of which hold charge."""
    generator = torch.Generator().manual_seed(seed)
    logit = torch.randn(n, generator=generator, dtype=dtype)
    energy = torch.rand(n, generator=generator, dtype=dtype) * 3
    target = torch.rand(n, generator=generator, dtype=dtype) * 4
    return logit, energy, torch.where(torch.arange(n) % 3 == 0, target, 0.0)


def test_the_published_loss_is_that_of_its_definition():
    logit, energy, target = sites()
    loss = InfillLoss("published", energy_weight=0.5, energy_unit=2.0)
    with torch.no_grad():
        loss.log_weights.copy_(torch.tensor([0.3, -0.9]))
    found = loss(logit, energy, target)
    track = nontrack = 0.0
    for x, e, t in zip(logit.tolist(), energy.tolist(), target.tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        squared = (p - (t != 0)) ** 2 + 0.5 * (p * e / 2 - t / 2) ** 2
        if t != 0:
            track += squared / len(target)
        else:
            nontrack += squared / len(target)
    total = math.exp(0.3) + math.exp(-0.9)
    assert float(found["track"].detach()) == pytest.approx(track, rel=1e-5)
    assert float(found["nontrack"].detach()) == pytest.approx(nontrack, rel=1e-5)
    expected = (math.exp(0.3) * track + math.exp(-0.9) * nontrack) / total
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_weights_of_the_published_loss_learn_and_run_to_the_smaller_term():
    logit, energy, target = sites()
    loss = InfillLoss("published")
    assert loss.weights().tolist() == [0.5, 0.5]
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    terms = loss(logit, energy, target)
    smaller = 0 if terms["track"] < terms["nontrack"] else 1
    before = float(terms["loss"].detach())
    for _ in range(300):
        optimizer.zero_grad()
        terms = loss(logit, energy, target)
        terms["loss"].backward()
        optimizer.step()
    assert float(loss.weights()[smaller]) > 0.95
    assert float(loss.weights().sum()) == pytest.approx(1.0)
    assert float(terms["loss"].detach()) < before


def test_the_cross_entropy_is_that_of_its_definition():
    logit, energy, target = sites()
    found = InfillLoss("cross_entropy", energy_weight=0.25, energy_unit=2.0)(logit, energy, target)
    active = deviance = 0.0
    for x, e, t in zip(logit.tolist(), energy.tolist(), target.tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        active -= math.log(p if t else 1 - p)
        if t:
            deviance += e / 2 - t / 2 * math.log(e / 2)
    n = int((target != 0).sum())
    assert float(found["active"]) == pytest.approx(active / n, rel=1e-5)
    assert float(found["energy"]) == pytest.approx(deviance / n, rel=1e-5)
    assert float(found["loss"]) == pytest.approx((active + 0.25 * deviance) / n, rel=1e-5)


def test_the_energy_that_is_learned_is_the_mean():
    """Of a skewed distribution, whose median would give sums that are too small."""
    target = torch.distributions.LogNormal(0.0, 1.0).sample((4000,)) + 1e-3
    scale = torch.zeros((), requires_grad=True)
    loss = InfillLoss(energy_unit=0.7)
    optimizer = torch.optim.Adam([scale], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(torch.zeros(4000), torch.nn.functional.softplus(scale).expand(4000), target)["loss"].backward()
        optimizer.step()
    learned = float(torch.nn.functional.softplus(scale.detach()))
    assert learned == pytest.approx(float(target.mean()), rel=0.01)
    assert learned > 1.4 * float(target.median())


@pytest.mark.parametrize("kind", ["cross_entropy", "published"])
@pytest.mark.parametrize("held", ["none", "nothing", "all"])
def test_no_candidates_and_only_empty_or_only_full_ones(kind, held):
    n = 0 if held == "none" else 5
    logit = torch.zeros(n, requires_grad=True)
    energy = torch.zeros(n, requires_grad=True)
    target = torch.ones(n) if held == "all" else torch.zeros(n)
    terms = InfillLoss(kind)(logit, energy, target)
    terms["loss"].backward()
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    assert logit.grad is not None
    assert bool(torch.isfinite(logit.grad).all())
    assert energy.grad is not None
    assert bool(torch.isfinite(energy.grad).all())
    if n == 0:
        assert float(terms["loss"].detach()) == 0


@pytest.mark.parametrize("kind", ["cross_entropy", "published"])
def test_gradients_are_those_of_finite_differences(kind):
    logit, energy, target = sites(9, dtype=torch.float32)
    loss = InfillLoss(kind, 0.5)
    for number in (0, 1):
        given = [logit.clone(), energy.clone() + 0.2]
        given[number].requires_grad_()
        loss(*given, target)["loss"].backward()
        gradient = given[number].grad
        assert gradient is not None
        for i in range(9):
            values = []
            for step in (-1e-2, 1e-2):
                moved = [g.detach().clone() for g in given]
                moved[number][i] += step
                values.append(float(loss(*moved, target)["loss"].detach()))
            assert float(gradient[i]) == pytest.approx((values[1] - values[0]) / 2e-2, rel=2e-2, abs=1e-3)


def test_only_the_published_loss_has_weights_to_learn():
    assert [w.requires_grad for w in InfillLoss("cross_entropy").parameters()] == [False]
    assert [w.requires_grad for w in InfillLoss("published").parameters()] == [True]


def test_an_unknown_loss_is_named():
    with pytest.raises(ConfigurationError, match="unknown loss 'focal'; valid: cross_entropy, published"):
        InfillLoss("focal")
