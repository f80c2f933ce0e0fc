"""The producer of voxels from points, and the true labels of such voxels."""

from typing import Any

import numpy as np
import pytest
from larmlreco.modules.PointVoxelMaker_module import PointVoxelMaker
from larmlreco.modules.TruthLabeller_module import TruthLabeller

from larmlreco.argon import recombined_electrons
from larmlreco.errors import ConfigurationError
from larmlreco.framework.testing import ModuleHarness
from larmlreco.geometry import detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    Assns,
    Hits,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueLabels,
    TrueParticles,
    TrueSteps,
    Voxels,
)
from larmlreco.truth.voxels import nearest_voxels

UBOONE = detector("microboone")
MIDDLE = np.array([100.15, 0.1, 500.1])


def points(offset: Any, charge: Any = 42.3, **columns: Any) -> SpacePoints:
    """Points at offsets (cm) from a place in the middle, with the same charge on all planes."""
    place = MIDDLE + np.asarray(offset, dtype=float).reshape(-1, 3)
    n = len(place)
    values: dict[str, Any] = {
        "charge": np.broadcast_to(charge, (n, 3)),
        "pixel": np.repeat(np.arange(n)[:, np.newaxis], 3, axis=1),
        "score": np.full(n, 0.9),
        **columns,
    }
    flags = {"dead_0": 1, "infilled_0": 64, "infilled_1": 128}
    return SpacePoints(x=place[:, 0], y=place[:, 1], z=place[:, 2], meta={"flags": flags}, **values)


def harness(**parameters: Any) -> ModuleHarness:
    return ModuleHarness(PointVoxelMaker, {"detector": "microboone", **parameters})


def hits(n: int) -> Hits:
    return Hits.from_columns({name: np.zeros(n) for name in Hits.columns()})


def test_points_become_voxels_with_energy_and_links() -> None:
    # 0.63 MeV in 3 mm, as a minimum ionising particle leaves: its electrons, in ADC ticks of 200.
    adc = float(recombined_electrons(np.array([0.63]), np.array([0.3]), UBOONE.electric_field)[0]) / 200
    given = points(
        [[0, 0, 0], [0.05, 0, 0], [3, 0, 0]],
        adc * np.array([[1, 1, 1], [1, 1, 1], [1, 0, 1]]),
        hit=[[0, -1, 2], [0, 1, -1], [-1, -1, -1]],
        flags=[0, 64, 0],
    )
    scores = np.eye(5)[[1, 1, 2]]
    labels = SemanticScores(scores=scores, label=[1, 1, 2], meta={"class_names": list(SEMANTIC_NAMES)})
    result = harness(hits="gaushit", segmentation="classes").process(
        {"flow": given, "gaushit": hits(3), "classes": labels}
    )
    voxels = result.get(Voxels)
    assert voxels.energy == pytest.approx([1.26, 0.63], rel=1e-4)
    middle = voxels.origin[0] + (np.column_stack([voxels.x, voxels.y, voxels.z]) + 0.5) * 0.3
    assert np.abs(middle - MIDDLE - [[0, 0, 0], [3, 0, 0]]).max() <= 0.16
    assert voxels.infilled == pytest.approx([0.5, 0])
    assert voxels.two_planes == pytest.approx([0, 1])
    links = result.get(Assns)
    assert (links.left.tolist(), links.right.tolist()) == ([0, 0, 1], [0, 1, 2])
    assert links.meta == {"left": "Voxels_tested__TEST", "right": "SpacePoints_flow__INPUT"}
    to_hits = result.get(Assns, "hits")
    assert (to_hits.left.tolist(), to_hits.right.tolist()) == ([0, 0, 0], [0, 1, 2])
    assert result.get(SemanticScores).label.tolist() == [1, 2]
    assert voxels.meta["tpc"] == 0
    assert voxels.meta["mev_per_charge"] == pytest.approx(0.63 / adc, rel=1e-6)


def test_no_points() -> None:
    scores = SemanticScores(scores=np.zeros((0, 5)), label=[], meta={"class_names": list(SEMANTIC_NAMES)})
    result = harness(hits="gaushit", segmentation="classes").process(
        {"flow": points(np.zeros((0, 3))), "gaushit": hits(0), "classes": scores}
    )
    assert len(result.get(Voxels)) == len(result.get(Assns)) == len(result.get(Assns, "hits")) == 0
    assert result.get(Voxels).pitch.tolist() == [pytest.approx(0.3)]
    assert result.get(SemanticScores).scores.shape == (0, 5)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"tested.images: microboone has no TPC 'tpc1'; valid: ''"):
        harness(images=["tpc1"])
    other = points([[0, 0, 0]])
    other = SpacePoints.from_columns(other.to_columns(), {"detector": "sbnd"})
    with pytest.raises(ConfigurationError, match="SpacePoints_flow__INPUT holds points of sbnd, the job says microb"):
        harness().process({"flow": other})
    bad = SpacePoints(x=[np.nan], y=[0.0], z=[0.0])
    with pytest.raises(ValueError, match="point 0 has a place or an energy that is not finite"):
        harness().process({"flow": bad})


def test_points_outside_the_volume_are_counted() -> None:
    voxels = harness().process({"flow": points([[0, 0, 0], [0, 500, 0], [1000, 0, 0]])}).get(Voxels)
    assert len(voxels) == 1
    assert voxels.meta["n_outside"] == 2


def test_points_of_other_programs_have_voxels_without_energy() -> None:
    voxels = harness().process({"flow": SpacePoints(x=[100.0], y=[0.0], z=[500.0])}).get(Voxels)
    assert voxels.energy.tolist() == [0]


def truth(rows: list[tuple[float, float, float, float, float, int]]) -> tuple[TrueSteps, TrueParticles]:
    """Steps (offset x, y, z in cm, tick that belongs to x + shift, MeV, particle) of a muon, 1, and a shower, 7."""
    columns = np.array(rows, dtype=float).reshape(-1, 6)
    x, y, z = MIDDLE[:, np.newaxis] + columns[:, :3].T
    n = len(columns)
    steps = TrueSteps.from_columns(
        {"x": x, "y": y, "z": z, "tick": UBOONE.x_to_tick(x + columns[:, 3]), "de": columns[:, 4]}
        | {"particle": columns[:, 5], "electrons": np.full(n, 1e4), "t": np.zeros(n), "dx": np.full(n, 0.1)}
    )
    particles = {"id": [1, 7], "pdg": [13, 11], "parent": [0, 0], "process": [0, 0], "semantic": [1, 2]}
    particles |= {"instance": [1, 7], "kinetic_energy": [100, 50]} | {name: [0, 0] for name in "xyzt"}
    return steps, TrueParticles.from_columns(particles, {"processes": ["primary"]})


def labelled(given: SpacePoints, steps: TrueSteps, particles: TrueParticles) -> TrueLabels:
    voxels = harness().process({"flow": given}).get(Voxels)
    keys = [ProductKey(kind, "largeant", "", "INPUT") for kind in ("TrueSteps", "TrueParticles")]
    event = {ProductKey("Voxels", "voxels", "", "INPUT"): voxels, **dict(zip(keys, (steps, particles), strict=True))}
    return (
        ModuleHarness(TruthLabeller, {"detector": "microboone", "images": None, "voxels": "voxels"})
        .process(event)
        .get(TrueLabels)
    )


def test_true_labels_of_voxels_made_of_points() -> None:
    """A muon whose charge came late, so that it seems to be 30 cm further, and a shower; a ghost 2 cm away."""
    steps, particles = truth([(-30, 0, 0, 30, 1.0, 1), (-30, 0, 0.9, 30, 0.5, 1), (5, 0, 0, 0, 2.0, 7)])
    given = points([[0, 0, 0], [0, 0, 0.9], [5, 0.6, 0], [0, 2, 0], [-30, 0, 0]])
    labels = labelled(given, steps, particles)
    # In the order of the voxels: x, then y, then z.
    assert labels.label.tolist() == [-1, 1, 1, -1, 2]
    assert labels.particle.tolist() == [-1, 1, 1, -1, 7]
    assert labels.cluster.tolist() == [-1, 0, 0, -1, 1]
    assert labels.meta["target"] == "Voxels_voxels__INPUT"


def test_labels_without_truth_or_voxels() -> None:
    steps, particles = truth([])
    assert labelled(points([[0, 0, 0]]), steps, particles).label.tolist() == [-1]
    assert len(labelled(points(np.zeros((0, 3))), *truth([(0, 0, 0, 0, 1.0, 1)]))) == 0


def test_nearest_voxels_against_loops() -> None:
    random = np.random.default_rng(1)
    mine, theirs = random.integers(0, 12, (60, 3)), np.unique(random.integers(0, 12, (40, 3)), axis=0)
    energy = random.integers(1, 4, len(theirs))
    expected = []
    for voxel in mine:
        distance = ((theirs - voxel) ** 2).sum(axis=1)
        order = np.lexsort((np.arange(len(theirs)), -energy, distance))
        expected.append(int(order[0]) if distance[order[0]] <= 9 else -1)
    assert nearest_voxels(mine, theirs, energy, 3.0).tolist() == expected
    assert nearest_voxels(mine[:0], theirs, energy, 3.0).tolist() == []
    assert nearest_voxels(mine[:2], theirs[:0], energy[:0], 3.0).tolist() == [-1, -1]
