"""Producer and evaluator of particles, and the truth in place of a stage, on in-memory events and in a job."""

import numpy as np
import pytest
from oracles.michel_finding import MICHEL, MIP, Toy, assemble, track

from larmlreco.errors import ConfigurationError
from larmlreco.framework import fhicl
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import HarnessResult, ModuleHarness
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.metrics.particles import ParticleMetrics, match_particles
from larmlreco.products import (
    Assns,
    Clusters,
    ParticleFlag,
    Particles,
    Product,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueLabels,
    TrueParticles,
    TrueSteps,
    Voxels,
)
from larmlreco.reco.clustering_places import cluster_of_rows
from larmlreco.resources import fcl_directory

META = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
END = np.array([100.0, 50, 50])
X, Y = np.eye(3)[:2]
TOY = assemble([(track(END - X * 60, X, 60, False), MIP, -1), (track(END, Y, 25, False), MICHEL, 0)])
TAGS = {"voxels": "voxels", "segmentation": "scores", "truth": "labels"}


def key(product: Product, label: str) -> ProductKey:
    return ProductKey(type(product).__name__, label, "", "INPUT")


def voxels(toy: Toy) -> Voxels:
    place = {"origin_x": [-3.0], "origin_y": [0.0], "origin_z": [0.0], "pitch": [0.3]}
    columns = dict(zip("xyz", toy.voxels.T, strict=True)) | {"energy": np.full(len(toy.voxels), 0.5)} | place
    return Voxels.from_columns(columns, {"shape": [768, 768, 768]})


def points(toy: Toy) -> SpacePoints:
    x, y, z = ((toy.voxels + 0.5) * 0.3).T
    return SpacePoints(x=x, y=y, z=z, charge=np.full((len(x), 3), 7.0))


def scores(toy: Toy) -> SemanticScores:
    return SemanticScores(scores=np.eye(5)[toy.label].reshape(-1, 5), label=toy.label, meta=META)


def labels(toy: Toy) -> TrueLabels:
    return TrueLabels(label=toy.label, cluster=toy.michel + 1, particle=toy.michel + 2, meta=META)


def run(
    name: str, kind: str, products: dict[str | ProductKey, Product], label: str, **parameters: object
) -> HarnessResult:
    """What a module puts, added to ``products``."""
    result = ModuleHarness(Registry().load(name, "test", kind), parameters, label=label).process(products)
    for made in result.principal.product_keys():
        product = result.principal.product(made)
        if made.process == "TEST" and product is not None:
            products[ProductKey(made.type, made.label, made.instance, "INPUT")] = _renamed(product)
    return result


def _renamed(product: Product) -> Product:
    """Branches as of the input's process."""
    meta = {k: v.replace("_TEST", "_INPUT") if isinstance(v, str) else v for k, v in product.meta.items()}
    return type(product).from_columns(product.to_columns(), meta)


def chain(toy: Toy, base: Product, **parameters: object) -> tuple[HarnessResult, dict[str | ProductKey, Product]]:
    """Clusters, Michel electrons and particles of an event."""
    products: dict[str | ProductKey, Product] = {key(base, "voxels"): base}
    products |= {key(p, label): p for label, p in (("segmentation", scores(toy)), ("truth", labels(toy)))}
    kind = {"input_type": type(base).__name__}
    run("ParticleClusterer", "producer", products, "clusters", archive=None, **kind)
    run("MichelFinder", "producer", products, "michels", **kind)
    return run("ParticleSummary", "producer", products, "particles", **kind, **parameters), products


@pytest.mark.parametrize("base", [voxels, points])
def test_a_muon_and_its_michel_electron(base) -> None:  # type: ignore[no-untyped-def]
    result, products = chain(TOY, base(TOY))
    found = result.get(Particles)
    assert found.semantic.tolist() == [MIP, MICHEL]
    assert found.parent.tolist() == [-1, 0]
    assert found.michel.tolist() == [-1, 0]
    assert len(products[ProductKey("Michels", "michels", "", "INPUT")]) == 1
    x0 = -3.0 if base is voxels else 0.0
    assert found.end[0] == pytest.approx((END + 0.5) * 0.3 + [x0, 0, 0], abs=0.7)
    assert found.length[0] == pytest.approx(18, abs=0.6)
    assert found.flags[0] & ParticleFlag.START_BY_MICHEL
    assert bool(found.flags[0] & ParticleFlag.CONTAINED) == (base is voxels)
    assert found.energy_charge[0] == pytest.approx(0.5 * 60 if base is voxels else 7.0 * 60, rel=0.02)
    assert found.meta["clusters"] == "Clusters_clusters__INPUT"
    assert found.meta["flags"]["CONTAINED"] == 1
    links = result.get(Assns)
    assert links.meta == {"left": "Particles_particles__TEST", "right": "Clusters_clusters__INPUT"}
    assert links.left.tolist() == links.right.tolist() == found.cluster.tolist() == [0, 1]


def test_the_volume_is_that_of_the_detector_or_as_given() -> None:
    for parameters in ({"detector": "microboone"}, {"volume": [0, -116.25, 0, 256.04, 116.25, 1036.8]}):
        found = chain(TOY, voxels(TOY), **parameters)[0].get(Particles)
        assert found.border[0] == pytest.approx(40.5 * 0.3 - 3, abs=0.01)
    with pytest.raises(ConfigurationError, match="detector and volume both say what the volume is"):
        chain(TOY, voxels(TOY), detector="microboone", volume=[0.0] * 6)
    with pytest.raises(ConfigurationError, match="five numbers above 0"):
        chain(TOY, voxels(TOY), energy_scale=[1.0])


def test_an_empty_event_has_no_particles() -> None:
    none = TOY.without(np.ones(len(TOY.label), bool))
    for base in (voxels, points):
        result, _ = chain(none, base(none))
        assert len(result.get(Particles)) == len(result.get(Assns)) == 0
        assert result.get(Particles).meta["class_names"] == list(SEMANTIC_NAMES)


def test_clusters_of_something_else_are_refused() -> None:
    _, products = chain(TOY, voxels(TOY))
    held = products[ProductKey("Clusters", "clusters", "", "INPUT")]
    for meta, message in (
        ({"target": "Voxels_other__INPUT"}, "holds clusters of Voxels_other__INPUT; expected .* Voxels_voxels__INPUT"),
        ({"scheme": "spine"}, "holds classes of the scheme 'spine'; expected 'larmlreco'"),
    ):
        wrong = Clusters.from_columns(held.to_columns(), {**held.meta, **meta})
        with pytest.raises(ConfigurationError, match=message):
            run("ParticleSummary", "producer", {**products, key(wrong, "clusters"): wrong}, "particles")


def test_without_michels_there_are_no_parents() -> None:
    found = chain(TOY, voxels(TOY), michels=None)[0].get(Particles)
    assert found.parent.tolist() == found.michel.tolist() == [-1, -1]
    assert found.meta["michels"] == ""


def test_the_truth_can_take_the_place_of_classes_and_clusters() -> None:
    products: dict[str | ProductKey, Product] = {
        key(p, n): p for n, p in (("voxels", voxels(TOY)), ("truth", labels(TOY)))
    }
    made = run("TrueScores", "producer", products, "segmentation").get(SemanticScores)
    assert np.array_equal(made.label, TOY.label)
    assert (made.scores.argmax(axis=1) == TOY.label).all()
    result = run("TrueClusterMaker", "producer", products, "clusters")
    clusters = result.get(Clusters)
    assert clusters.semantic.tolist() == [MIP, MICHEL]
    assert clusters.n.tolist() == [int((TOY.label == MIP).sum()), int((TOY.label == MICHEL).sum())]
    assert np.array_equal(cluster_of_rows(result.get(Assns), len(TOY.label)), TOY.michel + 1)
    unknown = TrueLabels(label=np.full(len(TOY.label), -1), meta=META)
    products[key(unknown, "truth")] = unknown
    assert len(run("TrueClusterMaker", "producer", products, "clusters").get(Clusters)) == 0
    assert (run("TrueScores", "producer", products, "segmentation").get(SemanticScores).scores == -1).all()


def truth_of(toy: Toy) -> dict[str | ProductKey, Product]:
    places = (toy.voxels + 0.5) * 0.3 - [3.0, 0, 0]
    n = len(places)
    steps = TrueSteps.from_columns(
        dict(zip("xyz", places.T, strict=True))
        | {"t": np.arange(n), "de": np.full(n, 0.5), "dx": np.full(n, 0.3), "particle": toy.michel + 2}
    )
    columns = {"id": [1, 2], "pdg": [13, 11], "parent": [0, 1], "process": [0, 0], "kinetic_energy": [60.0, 14.0]}
    columns |= {name: [0, 0] for name in "xyzt"} | {"semantic": [MIP, MICHEL], "instance": [1, 2]}
    particles = TrueParticles.from_columns(columns, {"processes": ["primary"]})
    return {key(steps, "largeant"): steps, key(particles, "largeant"): particles}


def evaluated(toy: Toy, products: dict[str | ProductKey, Product]) -> dict[str, dict[str, dict[str, float]]]:
    module = Registry().load("ParticleEvaluator", "test", "analyzer")
    tested = ModuleHarness(module, {"steps": "largeant"}, label="evaluation")
    tested.process({**products, **truth_of(toy)})
    assert tested.module.table().count("MIP") == 2  # type: ignore[attr-defined]
    return tested.module.results()["all"]  # type: ignore[attr-defined]


def test_the_evaluator_compares_particles_with_true_clusters() -> None:
    _, products = chain(TOY, voxels(TOY))
    found = evaluated(TOY, products)
    for name in ("MIP", "Michel"):
        assert found[name]["found"]["value"] == found[name]["pure"]["value"] == found[name]["right_class"]["value"] == 1
        assert found[name]["right_end"]["value"] == 1
        assert found[name]["energy_charge"]["median"] == pytest.approx(0, abs=1e-6)
        assert found[name]["start_distance"]["median"] < 1
    muon = chain(TOY, voxels(TOY))[0].get(Particles)
    assert found["MIP"]["energy"]["median"] == pytest.approx(muon.energy[0] / 60 - 1)
    assert found["MIP"]["length"]["median"] == pytest.approx(muon.length[0] / (0.3 * 61) - 1, abs=0.02)
    assert found["MIP"]["angle"]["median"] < 3
    assert found["HIP"]["found"]["count"] == 0
    none = TOY.without(np.ones(len(TOY.label), bool))
    assert evaluated(none, chain(none, voxels(none))[1])["MIP"]["found"]["count"] == 0


def test_matches_hold_more_than_half_of_one_another() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        n = 60
        true, found = random.integers(-1, 4, n), random.integers(-1, 4, n)
        found[:40] = true[:40]
        energy = random.uniform(0, 1, n)
        matches = match_particles(true, found, energy, found, true, energy)
        expected = [
            (t, f)
            for t in range(4)
            for f in range(4)
            if (both := energy[(true == t) & (found == f)].sum()) > energy[true == t].sum() / 2
            and both > energy[found == f].sum() / 2
        ]
        assert list(zip(matches.true.tolist(), matches.found.tolist(), strict=True)) == expected
    empty = np.zeros(0, int)
    assert len(match_particles(empty, empty, empty * 1.0, empty, empty, empty * 1.0).true) == 0


def test_particles_count_by_their_classes() -> None:
    metrics = ParticleMetrics(least_energy=1.0)
    true, energy = np.array([0, 1, 2]), np.array([10.0, 5.0, 0.5])
    matches = match_particles(true, np.array([0, -1, 1]), energy, np.array([0, 1, 2]), np.array([0, 2, -1]), energy)
    nothing = np.full(2, np.nan)
    measures = {"length": np.array([0.1, 9.0])}
    metrics.add(matches, np.array([1] * 3), np.array([1, 0, 1]), np.array([2, 0.9, 5]), measures, [(0, False, 0.95)])
    found = metrics.summary()
    assert nothing.shape == matches.true.shape
    assert (found["MIP"]["found"]["value"], found["MIP"]["found"]["count"]) == (0.5, 2)  # the third is too small
    assert (found["MIP"]["found_long"]["value"], found["MIP"]["found_long"]["count"]) == (1.0, 1)  # 0.9 cm is short
    assert found["MIP"]["right_class"]["value"] == 1
    assert (found["MIP"]["pure"]["value"], found["MIP"]["pure"]["count"]) == (1.0, 1)
    assert (found["HIP"]["pure"]["value"], found["HIP"]["pure"]["count"]) == (0.0, 1)
    assert found["MIP"]["length"]["median"] == pytest.approx(0.1)
    assert found["MIP"]["right_end_sure"]["value"] == 0


def test_scores_of_the_start_beside_the_part_that_is_right() -> None:
    metrics = ParticleMetrics(least_energy=0.0)
    one = np.zeros(1, int)
    for right, score in ((True, 0.92), (True, 0.94), (False, 0.93), (True, 1.0)):
        matches = match_particles(one, one, np.ones(1), one, one, np.ones(1))
        metrics.add(matches, np.array([MIP]), np.array([MIP]), np.ones(1), {}, [(0, right, score)])
    rows = {row["low"]: row for row in metrics.reliability()}
    assert [rows[low]["right"]["count"] for low in (0.5, 0.7, 0.9, 0.95, 0.98, 0.99)] == [0, 0, 3, 0, 0, 1]
    assert rows[0.9]["score"] == pytest.approx(0.93)
    assert rows[0.9]["right"]["value"] == pytest.approx(2 / 3)
    assert rows[0.99]["right"]["value"] == 1
    assert "0.90 to 0.95     0.930" in metrics.table()


@pytest.mark.parametrize("name", sorted(p.name for p in fcl_directory().glob("*full*.fcl")))
def test_the_jobs_of_the_chain_configure_modules_that_exist(name: str) -> None:
    table = fhicl.load(fcl_directory() / name).to_python()
    for kind, part in (("producer", "producers"), ("analyzer", "analyzers")):
        for label, values in table["physics"].get(part, {}).items():
            values = dict(values)
            module = Registry().load(values.pop("module_type"), label, kind)
            module.Parameters.parse(values, label, label)


def test_the_table_prints_particles_and_michel_electrons(capsys: pytest.CaptureFixture[str]) -> None:
    _, products = chain(TOY, voxels(TOY))
    module = Registry().load("ParticleTable", "test", "analyzer")
    tested = ModuleHarness(module, {"least_energy": 1.0}, label="table")
    tested.process(products, "5:6:7")
    printed = capsys.readouterr().out
    assert "event 5:6:7: particles of at least 1 MeV: 0 HIP, 1 MIP, 0 shower, 0 delta, 1 Michel" in printed
    assert "contained, energy by range" in printed
    assert "Michel electron at 27, 15, 15 cm: 12.5 MeV" in printed
    none = TOY.without(np.ones(len(TOY.label), bool))
    tested.process(chain(none, voxels(none))[1], "5:6:8")
    assert "event 5:6:8: particles of at least 1 MeV: 0 HIP, 0 MIP" in capsys.readouterr().out
