"""The producer of voxels from true steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from larmlreco.modules.TrueVoxelMaker_module import TrueVoxelMaker
from oracles.voxel_truth import truth_of_voxels

from larmlreco.framework.testing import ModuleHarness
from larmlreco.io.truth_npz import TruthArchive
from larmlreco.products import ProductKey, TrueLabels, TrueParticles, TrueSteps, Voxels

LOW = np.array([0.0, -116.25, 0.0])


def harness(**parameters: object) -> ModuleHarness:
    return ModuleHarness(TrueVoxelMaker, {"detector": "microboone", **parameters})


def process(tested: ModuleHarness, steps: TrueSteps, particles: TrueParticles) -> tuple[Voxels, TrueLabels]:
    keys = [ProductKey(kind, "largeant", "", "INPUT") for kind in ("TrueSteps", "TrueParticles")]
    result = tested.process(dict(zip(keys, (steps, particles), strict=True)))
    return result.get(Voxels), result.get(TrueLabels)


def truth(rows: list[tuple[float, float, float, float, int]]) -> tuple[TrueSteps, TrueParticles]:
    """Steps (x, y, z, MeV, particle) of a muon, 1, its delta ray, 5, and a shower, 7."""
    columns = np.array(rows, dtype=float).reshape(-1, 5)
    steps = dict(zip(("x", "y", "z", "de", "particle"), columns.T, strict=True))
    steps |= {"t": np.zeros(len(columns)), "dx": np.full(len(columns), 0.1)}
    particles = {"id": [1, 5, 7], "pdg": [13, 11, 11], "parent": [0, 1, 0], "process": [0, 0, 0]}
    particles |= {"semantic": [1, 3, 2], "instance": [1, 5, 7], "kinetic_energy": [100, 5, 50]}
    particles |= {name: [0, 0, 0] for name in "xyzt"}
    return TrueSteps.from_columns(steps), TrueParticles.from_columns(particles, {"processes": ["primary"]})


def test_steps_become_voxels_of_the_active_volume() -> None:
    rows = [(0.1, -116.2, 0.1, 1.0, 1), (0.2, -116.2, 0.2, 0.5, 5), (10.0, 0.0, 500.0, 2.0, 7), (-1.0, 0, 0, 9.0, 1)]
    voxels, labels = process(harness(), *truth(rows))
    assert np.stack([voxels.x, voxels.y, voxels.z], axis=1).tolist() == [[0, 0, 0], [33, 387, 1666]]
    assert voxels.energy.tolist() == [1.5, 2.0]
    assert voxels.origin.tolist() == [pytest.approx([0, -116.25, 0])]
    assert voxels.meta["shape"] == [854, 775, 3456]
    assert labels.label.tolist() == [1, 2]
    assert labels.particle.tolist() == [1, 7]
    assert labels.meta["target"] == "Voxels_tested__TEST"


def test_smearing_and_threshold() -> None:
    rows = [(10.05, 0.0, 500.1, 2.0, 7)]
    voxels, labels = process(harness(smear=0.4), *truth(rows))
    assert len(voxels) > 5
    assert voxels.energy.sum() == pytest.approx(2.0)
    assert set(labels.label.tolist()) == {2}
    assert len(process(harness(threshold=3.0), *truth(rows))[0]) == 0


def test_an_event_without_steps() -> None:
    voxels, labels = process(harness(), *truth([]))
    assert len(voxels) == len(labels) == 0


def test_a_step_of_an_unknown_particle_is_named() -> None:
    with pytest.raises(ValueError, match="a true step belongs to particle 9, which is not among the particles"):
        process(harness(), *truth([(10.0, 0.0, 500.0, 2.0, 9)]))


def test_the_reference_sample_against_the_oracle(shared_path: Callable[[str], Path]) -> None:
    archive = TruthArchive(shared_path("samples/sim_uboone_art_10evt_truth.npz"))
    steps, particles = archive.read(*archive.event_ids[0])
    some = np.flatnonzero(steps.z < 400)[:4000]
    steps = TrueSteps.from_columns({name: column[some] for name, column in steps.to_columns().items()})
    voxels, labels = process(harness(), steps, particles)
    row = {int(number): i for i, number in enumerate(particles.id)}
    place = np.stack([steps.x, steps.y, steps.z], axis=1).astype(np.float64) - LOW
    rows = [(*p, e, row[k]) for p, e, k in zip(place.tolist(), steps.de.tolist(), steps.particle.tolist(), strict=True)]
    instance = [row[int(i)] for i in particles.instance]
    expected = truth_of_voxels(rows, particles.semantic.tolist(), instance, 5000, 0.3)
    found = list(zip(voxels.x.tolist(), voxels.y.tolist(), voxels.z.tolist(), strict=True))
    inside = {v: e for v, e in expected.items() if v[0] < 854 and v[1] < 775}
    # A step on the border between two voxels may round to either.
    assert len(set(found) ^ set(inside)) <= 2
    common = [(i, inside[v]) for i, v in enumerate(found) if v in inside]
    agree = [labels.label[i] == e[1] and particles.id[e[2]] == labels.particle[i] for i, e in common]
    assert np.mean(agree) > 0.998
