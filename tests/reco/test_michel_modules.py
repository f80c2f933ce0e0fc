"""Producer and evaluator of Michel electrons on in-memory events."""

import numpy as np
import pytest
from oracles.michel_finding import MICHEL, MIP, SHOWER, Toy, assemble, track

from larmlreco.errors import ConfigurationError
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import HarnessResult, ModuleHarness
from larmlreco.geometry import detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    Assns,
    ChannelStatus,
    Clusters,
    MichelFlag,
    Michels,
    Product,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueLabels,
    TrueParticles,
    Voxels,
)

META = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
END = np.array([100.0, 50, 50])
X, Y, Z = np.eye(3)


def decay() -> Toy:
    photon = track(END + 60 * Y, X, 4, False)
    return assemble(
        [
            (track(END - X * 60, X, 60, False), MIP, -1),
            (track(END, Y, 25, False), MICHEL, 0),
            (photon, SHOWER, -1),
        ]
    )


def voxels(toy: Toy) -> Voxels:
    place = {"origin_x": [-3.0], "origin_y": [0.0], "origin_z": [0.0], "pitch": [0.3]}
    energy = np.full(len(toy.voxels), 0.5)
    columns = dict(zip("xyz", toy.voxels.T, strict=True)) | {"energy": energy} | place
    return Voxels.from_columns(columns, {"shape": [768, 768, 768]})


def scores(toy: Toy, michel: float = 0.8) -> SemanticScores:
    table = np.eye(5)[toy.label].reshape(-1, 5)
    table[:, MICHEL] *= michel
    return SemanticScores(scores=table, label=toy.label, meta=META)


def key(product: Product, label: str) -> ProductKey:
    return ProductKey(type(product).__name__, label, "", "INPUT")


def find(toy: Toy, **parameters: object) -> HarnessResult:
    module = Registry().load("MichelFinder", "test", "producer")
    products = (("voxels", voxels(toy)), ("segmentation", scores(toy)))
    return ModuleHarness(module, parameters, label="michels").process({key(p, label): p for label, p in products})


def test_a_decay_becomes_products_linked_to_voxels() -> None:
    toy = decay()
    result = find(toy, energy_scale=1.1, photons=True)
    michels, clusters, links = result.get(Michels), result.get(Clusters), result.get(Assns)
    n = int((toy.michel == 0).sum())
    assert michels.n.tolist() == [n]
    assert michels.charge[0] == pytest.approx(0.5 * n)
    assert michels.energy[0] == pytest.approx(0.55 * n)
    assert michels.photon_energy[0] == pytest.approx(0.55 * int((toy.label == SHOWER).sum()))
    assert michels.attachment[0] == pytest.approx([99.5 * 0.3 - 3, 50.5 * 0.3, 50.5 * 0.3])
    assert michels.muon_direction[0] == pytest.approx(X, abs=0.05)
    assert michels.gap.tolist() == [0.0]
    assert MichelFlag(int(michels.flags[0])) == MichelFlag.EDGE
    assert michels.score[0] == pytest.approx(0.8)
    assert michels.meta["clusters"] == "Clusters_michels__TEST"
    assert michels.meta["flags"]["EDGE"] == 1
    assert michels.meta["min_samples"] == [3, 4]
    assert (michels.electron.tolist(), michels.muon.tolist()) == ([0], [1])
    assert clusters.semantic.tolist() == [MICHEL, MIP]
    assert np.array_equal(np.sort(links.right[links.left == 0]), np.flatnonzero(toy.michel == 0))
    assert np.array_equal(np.sort(links.right[links.left == 1]), np.flatnonzero(toy.label == MIP))
    assert links.meta["right"] == "Voxels_voxels__INPUT"


def test_a_michel_without_muon_has_no_attachment() -> None:
    toy = decay()
    michels = find(toy.without(toy.label == MIP), keep_unattached=True).get(Michels)
    assert michels.muon.tolist() == [-1]
    assert np.isnan(michels.attachment).all()
    assert michels.gap.tolist() == [-1.0]
    assert len(find(toy.without(toy.label == MIP)).get(Michels)) == 0


def test_volume_and_dead_regions_are_given_in_cm() -> None:
    toy = decay()
    inside = find(toy, volume=[0.0, 0.0, 0.0, 100.0, 23.0, 100.0]).get(Michels)
    assert MichelFlag.NEAR_BORDER in MichelFlag(int(inside.flags[0]))
    dead = find(toy, dead_regions=[[20.0, 22.0, 0.0, 40.0, 24.0, 30.0]]).get(Michels)
    assert MichelFlag.NEAR_DEAD in MichelFlag(int(dead.flags[0]))
    assert MichelFlag(int(find(toy).get(Michels).flags[0])) == MichelFlag.EDGE


@pytest.mark.parametrize(("row", "near"), [(0, True), (2, True), (3, False), (740, False), (741, True)])
def test_the_border_is_that_of_the_image(row: int, near: bool) -> None:
    toy = decay()
    electron = toy.voxels[toy.michel == 0]
    assert np.ptp(electron[:, 1]) == 24
    toy.voxels[:, 1] += row - electron[:, 1].min()
    flags = MichelFlag(int(find(toy).get(Michels).flags[0]))
    assert (MichelFlag.NEAR_BORDER in flags) == near


@pytest.mark.parametrize("planes", [1, 2])
def test_dead_channels_flag_an_electron_where_too_few_planes_see(planes: int) -> None:
    toy, uboone = decay(), detector("microboone")
    _, y, z = ((toy.voxels[toy.michel == 0].mean(axis=0) + 0.5) * 0.3).tolist()
    dead = [int(plane.channels[int(plane.nearest_wire(y, z))]) for plane in uboone.planes[:planes]]
    found = find(toy, geometry="microboone", dead_channels=dead, border=1).get(Michels)
    assert (MichelFlag.NEAR_DEAD in MichelFlag(int(found.flags[0]))) == (planes == 2)


def test_the_status_of_channels_says_which_are_dead(caplog: pytest.LogCaptureFixture) -> None:
    toy, uboone = decay(), detector("microboone")
    channels = np.concatenate([plane.channels for plane in uboone.planes[:2]])
    status = ChannelStatus(channel=channels.astype(np.int32), status=np.ones(len(channels), dtype=np.int32))
    module = Registry().load("MichelFinder", "test", "producer")
    tested = ModuleHarness(module, {"geometry": "microboone", "channel_status": "status"}, label="michels")
    products = {key(p, label): p for label, p in (("voxels", voxels(toy)), ("segmentation", scores(toy)))}
    flags = tested.process({**products, key(status, "status"): status}).get(Michels).flags
    assert MichelFlag.NEAR_DEAD in MichelFlag(int(flags[0]))
    for _ in range(2):
        flags = tested.process(products).get(Michels).flags
        assert MichelFlag.NEAR_DEAD not in MichelFlag(int(flags[0]))
    said = [
        r for r in caplog.records if "no status of channels status; all others are taken as alive" in r.getMessage()
    ]
    assert len(said) == 1
    with pytest.raises(
        ConfigurationError, match=r"michels\.geometry: channels tell which voxels are dead through a geom"
    ):
        ModuleHarness(module, {"channel_status": "status"}, label="michels")


def test_space_points_give_the_same_electron() -> None:
    toy = decay()
    x, y, z = ((toy.voxels + 0.5) * 0.3).T
    points = SpacePoints(x=x, y=y, z=z, charge=np.full((len(x), 3), 2.0))
    module = Registry().load("MichelFinder", "test", "producer")
    tested = ModuleHarness(module, {"input_type": "SpacePoints"}, label="michels")
    found = tested.process({key(points, "voxels"): points, key(scores(toy), "segmentation"): scores(toy)})
    assert found.get(Michels).n.tolist() == [int((toy.michel == 0).sum())]
    assert found.get(Michels).charge[0] == pytest.approx(2.0 * int((toy.michel == 0).sum()))


def test_points_outside_of_the_detector_and_at_no_place() -> None:
    toy = decay()
    toy.voxels[:, 2] -= 100_000
    assert len(find(toy).get(Michels)) == 1
    module = Registry().load("MichelFinder", "test", "producer")
    tested = ModuleHarness(module, {"input_type": "SpacePoints"}, label="michels")
    lost = SpacePoints(x=[np.nan], y=[0.0], z=[0.0])
    one = SemanticScores(scores=np.eye(5)[:1], label=[0], meta=META)
    with pytest.raises(ValueError, match="the place of point 0 is not finite"):
        tested.process({key(lost, "voxels"): lost, key(one, "segmentation"): one})


def test_an_empty_event_gives_empty_products() -> None:
    toy = decay()
    result = find(toy.without(np.ones(len(toy.label), bool)))
    assert len(result.get(Michels)) == len(result.get(Clusters)) == len(result.get(Assns)) == 0
    assert result.get(Michels).attachment.shape == (0, 3)
    assert result.get(Clusters).meta["class_names"] == list(SEMANTIC_NAMES)


def test_the_evaluator_gives_figures_energy_and_response() -> None:
    toy = decay()
    result = find(toy)
    module = Registry().load("MichelEvaluator", "test", "analyzer")
    tested = ModuleHarness(module, {"particles": "largeant"}, label="evaluation")
    truth = TrueLabels.from_columns(
        {"label": toy.label, "cluster": np.where(toy.michel == 0, 3, 1), "particle": np.where(toy.michel == 0, 7, 2)},
        META,
    )
    particles = TrueParticles.from_columns(
        {name: [0, 0] for name in ("pdg", "process", "t", "semantic", "instance")}
        | {"id": [2, 7], "parent": [0, 2], "kinetic_energy": [200.0, 41.0]}
        | {axis: [0.0, at] for axis, at in zip("xyz", END * 0.3 + [-3.15, 0.15, 0.15], strict=True)},
        {"processes": []},
    )
    products = {key(p, label): p for label, p in (("voxels", voxels(toy)), ("truth", truth), ("largeant", particles))}
    found = {key(p, "michels"): p for p in (result.get(Michels), result.get(Assns))}
    tested.process({**products, **found})
    figures = tested.module.results()["all"]
    assert figures["figures"]["all"]["id_efficiency"]["value"] == 1.0
    assert figures["figures"]["min_10_voxels"]["cluster_purity"]["value"] == 1.0
    deposited = 0.5 * int((toy.michel == 0).sum())
    assert figures["pairs"]["rows"] == [[deposited, pytest.approx(deposited), 41.0, pytest.approx(deposited)]]
    assert figures["response"]["median"] == pytest.approx(1.0)
    assert [b["count"] for b in figures["efficiency_against_energy"]["bins"]] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert [b["count"] for b in figures["efficiency_against_opening_angle"]["bins"]] == [0, 0, 1, 0, 0, 0]
    assert tested.module.wrong_parts() == {"1:1:1": 0.0}
    assert "energy found over true: 1.000" in tested.module.table()
