"""Producer and evaluator of clusters on in-memory events."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.export import export_archive
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import ModuleHarness
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.models import Architecture, Checkpoint, build
from larmlreco.products import (
    Assns,
    Clusters,
    Hits,
    Product,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueLabels,
    Voxels,
)
from larmlreco.reco.clustering_places import Places, cluster_of_rows

META = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


def line(n: int, y: int) -> np.ndarray:
    return np.column_stack([np.arange(n), np.full(n, y), np.zeros(n, int)])


INDEX = np.concatenate([line(5, 0), line(4, 10), line(3, 20)])
LABEL = np.array([MIP] * 4 + [HIP] + [SHOWER] * 4 + [MICHEL] * 3)


def voxels(index: np.ndarray = INDEX) -> Voxels:
    energy = np.arange(1, len(index) + 1, dtype=np.float32)
    place = {"origin_x": [10.0], "origin_y": [0.0], "origin_z": [0.0], "pitch": [0.3]}
    return Voxels.from_columns(
        dict(zip("xyz", index.T, strict=True)) | {"energy": energy} | place, {"shape": [100, 100, 100]}
    )


def scores(label: np.ndarray = LABEL) -> SemanticScores:
    return SemanticScores(scores=np.eye(5)[label].reshape(-1, 5), label=label, meta=META)


def points(index: np.ndarray = INDEX) -> SpacePoints:
    n = len(index)
    x, y, z = (index * 0.3 + 0.1).T
    charge = np.column_stack([np.zeros(n), np.arange(n), np.arange(n)])
    hit = np.column_stack([np.full(n, -1), np.arange(n) % 6, np.arange(n)])
    return SpacePoints(x=x, y=y, z=z, charge=charge, hit=hit)


def key(product: Product, label: str, instance: str = "") -> ProductKey:
    return ProductKey(type(product).__name__, label, instance, "INPUT")


def harness(**parameters: object) -> ModuleHarness:
    module = Registry().load("ParticleClusterer", "test", "producer")
    methods = {"methods": ["dbscan"] * 4, "eps": [1.99] * 4}
    return ModuleHarness(module, {**methods, **parameters}, label="clusters")


def event(*products: tuple[str, Product]) -> dict[str | ProductKey, Product]:
    return {key(product, label): product for label, product in products}


def test_clusters_of_voxels_have_class_charge_seed_and_links() -> None:
    result = harness().process(event(("voxels", voxels()), ("segmentation", scores())))
    clusters, links = result.get(Clusters), result.get(Assns)
    assert clusters.semantic.tolist() == [MIP, SHOWER, MICHEL]
    assert clusters.n.tolist() == [5, 4, 3]
    assert clusters.charge.tolist() == [15.0, 30.0, 33.0]
    assert clusters.seed.tolist() == [4, 8, 11]
    assert clusters.seed_x[0] == pytest.approx(10 + 4.5 * 0.3)
    assert clusters.score.tolist() == [-1.0] * 3
    assert clusters.meta["target"] == "Voxels_voxels__INPUT"
    assert clusters.meta["algorithm"] == ["dbscan"] * 4
    assert links.meta == {"left": "Clusters_clusters__TEST", "right": "Voxels_voxels__INPUT"}
    assert cluster_of_rows(links, 12).tolist() == [0] * 5 + [1] * 4 + [2] * 3


def test_space_points_are_clustered_with_links_to_their_hits() -> None:
    hits = Hits.empty()
    tested = harness(input="points", input_type="SpacePoints", hits="gaushit")
    result = tested.process(event(("points", points()), ("segmentation", scores()), ("gaushit", hits)))
    clusters = result.get(Clusters)
    assert clusters.n.tolist() == [5, 4, 3]
    assert clusters.charge.tolist() == [10.0, 26.0, 30.0]
    assert clusters.seed_y[1] == pytest.approx(3.1)
    links = result.get(Assns, "hits")
    assert links.right[links.left == 0].tolist() == [0, 1, 2, 3, 4]
    assert links.right[links.left == 1].tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert links.meta["right"] == "Hits_gaushit__INPUT"


def test_voxels_are_linked_to_hits_through_given_links() -> None:
    to_hits = Assns(left=np.array([0, 1, 5, 5]), right=np.array([7, 7, 7, 9]))
    tested = harness(hits="gaushit", hit_links="voxels")
    products = (("voxels", voxels()), ("segmentation", scores()), ("gaushit", Hits.empty()), ("voxels", to_hits))
    links = tested.process(event(*products)).get(Assns, "hits")
    assert np.column_stack([links.left, links.right]).tolist() == [[0, 7], [1, 7], [1, 9]]
    with pytest.raises(ConfigurationError, match="hits needs hit_links"):
        harness(hits="gaushit")


def test_points_in_one_voxel_count_as_one_place() -> None:
    index = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 2], [40, 1, 1]])
    places = Places.of_points(points(index), 0.3)
    assert places.of_row.tolist() == [0, 0, 1, 2]
    assert places.charge.tolist() == [1.0, 2.0, 3.0]
    # The second point has charge, the first has none; a row without a class does not count.
    assert places.label(np.array([SHOWER, MIP, -1, DELTA])).tolist() == [MIP, -1, DELTA]


def test_true_labels_can_take_the_place_of_scores() -> None:
    truth = TrueLabels.from_columns({"label": LABEL, "cluster": LABEL}, META)
    result = harness(truth="truth").process(event(("voxels", voxels()), ("truth", truth)))
    assert result.get(Clusters).n.tolist() == [5, 4, 3]


@pytest.mark.parametrize("n", [0, 1])
def test_events_of_no_and_one_voxel(n: int) -> None:
    result = harness().process(event(("voxels", voxels(INDEX[:n])), ("segmentation", scores(LABEL[:n]))))
    assert len(result.get(Clusters)) == len(result.get(Assns)) == n
    assert result.get(Clusters).meta["class_names"] == list(SEMANTIC_NAMES)
    points_too = harness(input_type="SpacePoints").process(
        event(("voxels", points(INDEX[:n])), ("segmentation", scores(LABEL[:n])))
    )
    assert len(points_too.get(Clusters)) == n


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    params = {"dimension": 3, "filters": 4, "depth": 2, "repetitions": 1}
    card = ModelCard(
        task="instance_clustering",
        detector="liquid_argon",
        dimension=3,
        class_names=SEMANTIC_NAMES,
        features=(Feature("energy", "MeV"),),
        pixel_size=(0.3,) * 3,
        pixel_units=("cm",) * 3,
    )
    network = build("clustering_uresnet", **params)
    path = tmp_path_factory.mktemp("archive") / "clustering.ts"
    checkpoint = Checkpoint(Architecture("clustering_uresnet", params), card)
    export_archive(checkpoint.with_state(network.state_dict(), None, {}), path)
    return str(path)


@pytest.mark.parametrize("method", ["network", "pieces"])
def test_a_network_clusters_every_voxel_the_same_way_twice(archive: str, method: str) -> None:
    tested = harness(archive=archive, methods=[method] * 4)
    first, second = (tested.process(event(("voxels", voxels()), ("segmentation", scores()))) for _ in range(2))
    clusters = first.get(Clusters)
    assert clusters.n.sum() == len(INDEX)
    assert clusters.meta["algorithm"] == [method] * 4
    assert len(clusters.meta["model_sha256"]) == 64
    assert bool(((clusters.score >= 0) & (clusters.score <= 1)).all())
    assert np.array_equal(first.get(Assns).left, second.get(Assns).left)
    assert (
        len(tested.process(event(("voxels", voxels(INDEX[:0])), ("segmentation", scores(LABEL[:0])))).get(Clusters))
        == 0
    )


def test_what_does_not_fit_is_named(archive: str) -> None:
    with pytest.raises(ConfigurationError, match=r"groups: unknown class 'muon'; .*valid: HIP, MIP, Michel"):
        harness(groups=[["muon"]], methods=["dbscan"], eps=[1.0])
    with pytest.raises(ConfigurationError, match=r"clusters\.groups: MIP is there 2 times; expected once at most"):
        harness(groups=[["MIP"], ["MIP"]], methods=["dbscan"] * 2, eps=[1.0, 1.0])
    with pytest.raises(ConfigurationError, match="methods: 2 values for 4 groups; expected one each"):
        harness(methods=["dbscan"] * 2)
    with pytest.raises(ConfigurationError, match="methods: pieces needs a network; archive is @nil"):
        harness(methods=["tracks", "pieces", "dbscan", "dbscan"])
    with pytest.raises(ConfigurationError, match="the job needs the detector microboone; the card has liquid_argon"):
        harness(archive=archive, detector="microboone", methods=["network"] * 4)
    coarse = Voxels.from_columns({**voxels().to_columns(), "pitch": [0.5]})
    with pytest.raises(ConfigurationError, match=r"its card asks for voxels of 0\.3 cm.*measure 0\.5 cm"):
        harness(archive=archive, methods=["network"] * 4).process(event(("voxels", coarse), ("segmentation", scores())))
    foreign = replace(scores(), meta={**META, "target": "Voxels_other"})
    for other, got in ((scores(LABEL[:3]), "got 3 of"), (foreign, "got 12 of Voxels_other")):
        with pytest.raises(ConfigurationError, match=f"expected labels of the 12 rows of Voxels_voxels__INPUT; {got}"):
            harness().process(event(("voxels", voxels()), ("segmentation", other)))
    spine = SemanticScores(scores=np.eye(5)[LABEL], label=LABEL, meta={**META, "scheme": "nugraph2"})
    with pytest.raises(ConfigurationError, match="the scheme 'nugraph2'; expected 'larmlreco'"):
        harness().process(event(("voxels", voxels()), ("segmentation", spine)))
    broken = Voxels.from_columns({**voxels().to_columns(), "energy": np.full(12, np.nan)})
    with pytest.raises(ValueError, match="the charge of row 0 is not finite: nan"):
        harness().process(event(("voxels", broken), ("segmentation", scores())))


def evaluate(label: np.ndarray, cluster: np.ndarray, found: list[list[int]], semantic: list[int]) -> ModuleHarness:
    module = Registry().load("ClusteringEvaluator", "test", "analyzer")
    tested = ModuleHarness(module, {"voxels": "voxels"}, label="evaluation")
    truth = TrueLabels.from_columns({"label": label, "cluster": cluster}, META)
    index = {axis: np.arange(len(label)) for axis in "xyz"}
    image = Voxels.from_columns(
        index | {"energy": np.full(len(label), 10.0), "origin_x": [0], "origin_y": [0], "origin_z": [0], "pitch": [0.3]}
    )
    n = len(semantic)
    clusters = Clusters.from_columns(
        {name: np.zeros(n) for name in ("n", "charge", "seed", "seed_x", "seed_y", "seed_z")} | {"semantic": semantic},
        META,
    )
    pairs = [(c, row) for c, rows in enumerate(found) for row in rows]
    links = Assns(left=np.array([p[0] for p in pairs], int), right=np.array([p[1] for p in pairs], int))
    products = ("clusters", clusters), ("truth", truth), ("clusters", links), ("voxels", image)
    tested.process(event(*products), "3:2:1")
    return tested


def test_the_evaluator_compares_class_by_class() -> None:
    cluster = np.array([0] * 4 + [1] + [2] * 4 + [3] * 3)
    # The tracks are merged; one Michel voxel is taken for a shower.
    found = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    tested = evaluate(LABEL, cluster, found, [MIP, SHOWER, MICHEL]).module
    by_energy = tested.results()["all"]["by_energy"]
    # 5 voxels of tracks, 4 of showers, 3 of Michel electrons, of 10 MeV each.
    filled = {name: [b["energy_from"] for b in bins if b["ari"]["events"]] for name, bins in by_energy.items()}
    assert filled == {"track": [50.0], "shower": [20.0], "Michel": [20.0], "delta": []}
    classes = tested.results()["all"]["classes"]
    assert classes["track"]["purity"]["value"] == pytest.approx(4 / 5)
    assert classes["track"]["efficiency"]["value"] == 1.0
    assert classes["shower"]["purity"]["value"] == pytest.approx(4 / 5)
    assert classes["Michel"]["efficiency"]["value"] == pytest.approx(2 / 3)
    assert classes["Michel"]["sbd"]["value"] == pytest.approx(4 / 5)
    # The delta class has no cluster; the tracks have ARI 0, what a merged pair has.
    rand = [classes[name]["ari"]["value"] for name in ("shower", "track", "Michel")]
    assert rand[1] == 0.0
    assert tested.wrong_parts() == {"3:2:1": pytest.approx(1 - sum(rand) / 3)}
    assert "(0.717)" in tested.table()


def test_voxels_without_truth_do_not_count_in_the_evaluation() -> None:
    label = np.array([MIP, MIP, -1])
    tested = evaluate(label, np.array([0, 0, -1]), [[0, 1, 2]], [MIP]).module
    assert tested.results()["all"]["classes"]["track"]["purity"]["value"] == 1.0
    empty = evaluate(label[:0], label[:0], [], []).module
    assert empty.results()["all"]["classes"]["all"]["ari"]["events"] == 0
