"""Pieces of tracks that are put together, on straight lines in voxels, and the producer."""

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import ModuleHarness
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, Product, ProductKey, Voxels
from larmlreco.reco.clustering_places import cluster_of_rows
from larmlreco.reco.joining import JoinOptions, join_tracks

HIP, MIP, SHOWER, DELTA, MICHEL = range(5)
_PARTS = ((0, 25), (33, 60), (62, 64))  # of a track


def line(start: tuple[float, ...], end: tuple[float, ...]) -> np.ndarray:
    places = np.array(start) + np.linspace(0, 1, 2000)[:, np.newaxis] * (np.array(end) - np.array(start))
    return np.unique(np.floor(places).astype(np.int64), axis=0)


def joined(*pieces: np.ndarray, semantic: list[int] | None = None) -> list[int]:
    voxels = np.concatenate([np.zeros((0, 3), int), *pieces])
    cluster = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    return join_tracks(voxels, cluster, np.array(semantic or [MIP] * len(pieces), int)).tolist()


@pytest.mark.parametrize(("gap", "number"), [(5, [0, 0]), (40, [0, 0]), (70, [0, 0]), (95, [0, 1])])
def test_a_track_with_a_gap_is_one(gap: int, number: list[int]) -> None:
    way = np.array([0.8, 0.5, 0.33])
    assert joined(line((0, 0, 0), tuple(60 * way)), line(tuple((60 + gap) * way), tuple((160 + gap) * way))) == number


def test_what_does_not_continue_is_left() -> None:
    base = line((0, 0, 0), (60, 0, 0))
    assert joined(base, line((70, 0, 0), (100, 30, 0))) == [0, 1]  # a kink of 45 degrees
    assert joined(base, line((70, 12, 0), (130, 12, 0))) == [0, 1]  # beside it
    assert joined(base, line((0, 8, 0), (60, 8, 0))) == [0, 1]  # parallel
    assert joined(base, line((20, 2, 0), (35, 30, 0))) == [0, 1]  # it begins at its middle
    assert joined(base, line((-5, 0, 0), (-40, 40, 0)), line((-5, 0, 0), (-40, -40, 0))) == [0, 1, 2]  # a vertex
    assert joined(base, line((65, 0, 0), (130, 0, 0)), semantic=[MIP, SHOWER]) == [0, 1]


def test_pieces_side_by_side_are_one() -> None:
    base = line((0, 0, 0), (100, 0, 0))
    assert joined(base, line((80, 2, 0), (180, 2, 0))) == [0, 0]
    assert joined(base, line((60, 2, 0), (180, 2, 0))) == [0, 1]  # too long to be one that was cut
    assert joined(base, line((30, 2, 0), (70, 2, 0))) == [0, 0]
    assert joined(base, line((30, 2, 0), (70, 2, 0)), semantic=[MIP, HIP]) == [0, 1]
    assert joined(base, line((0, 2, 0), (100, 2, 0))) == [0, 0]


def test_a_crossing_track_keeps_its_own_pieces() -> None:
    first = [line((0, 50, 0), (45, 50, 0)), line((56, 50, 0), (100, 50, 0))]
    second = [line((50, 0, 0), (50, 45, 0)), line((50, 56, 0), (50, 100, 0))]
    assert joined(*first, *second) == [0, 0, 1, 1]


def test_what_lies_at_a_vertex_joins_one_track_and_not_all() -> None:
    tracks = [line((2, 0, 0), (80, 0, 0)), line((0, 2, 0), (0, 90, 0)), line((0, 0, 2), (0, 0, 100))]
    stub = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])  # within 3 voxels of each, nearest to the first
    assert joined(*tracks, stub, semantic=[HIP] * 4) == [0, 1, 2, 0]
    # all of it lies beside the second track, two voxels beside the first
    short = line((2, 2, 0), (2, 13, 0))
    assert joined(*tracks[:2], short, semantic=[HIP] * 3) == [0, 1, 1]


def test_two_tracks_back_to_back_are_two_where_a_third_one_begins() -> None:
    one, other, third = line((0, 0, 0), (-60, 0, 0)), line((2, 0, 0), (70, 5, 0)), line((1, 2, 0), (20, 60, 0))
    assert joined(one, other, semantic=[HIP] * 2) == [0, 0]
    assert joined(one, other, third, semantic=[HIP] * 3) == [0, 1, 2]
    assert joined(one, other, third, semantic=[HIP, HIP, MIP]) == [0, 1, 2]
    assert joined(one, other, line((1, 2, 0), (6, 14, 0)), semantic=[HIP] * 3) == [0, 0, 1]  # too short to tell
    assert joined(one, other, line((1, 9, 0), (20, 70, 0)), semantic=[HIP] * 3) == [0, 0, 1]  # it begins elsewhere
    voxels, cluster = np.concatenate([one, other, third]), np.repeat([0, 1, 2], [len(one), len(other), len(third)])
    assert join_tracks(voxels, cluster, np.full(3, HIP), JoinOptions(vertex=0)).tolist() == [0, 0, 1]


def test_many_pieces_in_a_row_are_one_in_any_order() -> None:
    pieces = [line((20 * i, 10 * i, 0), (20 * i + 14, 10 * i + 7, 0)) for i in range(12)]
    assert joined(*pieces) == [0] * 12
    order = np.random.default_rng(3).permutation(12)
    assert joined(*[pieces[i] for i in order]) == [0] * 12


def test_short_pieces_join_the_track_at_which_they_lie() -> None:
    base = line((0, 0, 0), (60, 0, 0))
    near, far = np.array([[30, 2, 0], [31, 2, 0]]), np.array([[30, 9, 0]])
    assert joined(base, near, far) == [0, 0, 1]
    assert joined(base, near, semantic=[MIP, DELTA]) == [0, 1]
    speck = np.array([[61, 0, 0], [62, 0, 0]])
    assert joined(base, speck, semantic=[MIP, HIP]) == [0, 0]
    one = np.concatenate([base, speck[:1]])  # a proton of a capture at rest, if classes are to be trusted
    owner, kinds = np.append(np.zeros(len(base), int), 1), np.array([MIP, HIP])
    assert join_tracks(one, owner, kinds).tolist() == [0, 0]
    assert join_tracks(one, owner, kinds, JoinOptions(speck=0)).tolist() == [0, 1]
    peak = line((61, 0, 0), (73, 0, 0))
    assert joined(base, peak, semantic=[MIP, HIP]) == [0, 1]  # a proton, or the Bragg peak of the muon
    voxels, cluster = np.concatenate([base, peak]), np.repeat([0, 1], [len(base), len(peak)])
    assert join_tracks(voxels, cluster, np.array([MIP, HIP]), JoinOptions(other_class=15)).tolist() == [0, 0]


def test_events_of_nothing_and_of_little() -> None:
    assert joined() == []
    assert joined(np.array([[1, 1, 1]])) == [0]
    assert joined(np.array([[1, 1, 1]]), np.array([[2, 1, 1]]), np.zeros((0, 3), int)) == [0, 0, 1]
    many = np.arange(2000)
    scattered = np.column_stack([many * 7 % 1000, many * 11 % 997, many * 13 % 991])
    assert join_tracks(scattered, many, np.full(2000, MIP)).tolist() == many.tolist()


def test_tracks_far_apart_do_not_change_each_other() -> None:
    rng = np.random.default_rng(5)
    ways = rng.normal(size=(30, 3))
    ways /= np.sqrt((ways**2).sum(axis=1, keepdims=True))
    starts = rng.uniform(0, 150, (30, 3))
    pieces = [line(tuple(s + a * w), tuple(s + b * w)) for s, w in zip(starts, ways, strict=True) for a, b in _PARTS]
    voxels, first = np.unique(np.concatenate(pieces), axis=0, return_index=True)
    cluster = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])[first]
    semantic = np.repeat(np.where(rng.random(30) < 0.3, HIP, MIP), len(_PARTS))
    one = join_tracks(voxels, cluster, semantic)
    k, n = len(pieces), int(one.max()) + 1
    assert n <= k - 30
    order = rng.permutation(3 * len(voxels))
    many = np.concatenate([voxels + np.array([0, 0, 1000 * i]) for i in range(3)])[order]
    clusters = np.concatenate([cluster + k * i for i in range(3)])[order]
    assert (
        join_tracks(many, clusters, np.tile(semantic, 3)).tolist()
        == np.concatenate([one, one + n, one + 2 * n]).tolist()
    )


def products(scheme: str = "larmlreco") -> dict[str | ProductKey, Product]:
    pieces = [line((0, 0, 0), (60, 0, 0)), line((80, 0, 0), (140, 0, 0)), line((0, 50, 0), (10, 50, 0))]
    index = np.concatenate(pieces)
    place = {"origin_x": [0.0], "origin_y": [0.0], "origin_z": [0.0], "pitch": [0.3]}
    voxels = Voxels.from_columns(dict(zip("xyz", index.T, strict=True)) | {"energy": np.ones(len(index))} | place)
    size = [len(p) for p in pieces]
    columns = {"semantic": [MIP, MIP, SHOWER], "n": size, "charge": size, "seed": [1, 70, 130], "score": [0.5, 0.7, 1]}
    columns |= {name: [1.0, 2.0, 3.0] for name in ("seed_x", "seed_y", "seed_z")}
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": scheme, "target": "Voxels_voxels__INPUT"}
    made = "Clusters_pieces__INPUT"
    links = Assns(left=np.repeat(np.arange(3), size), right=np.arange(len(index)), meta={"left": made})
    hits = Assns(left=[0, 1, 1, 2], right=[4, 4, 5, 6], meta={"left": made, "right": "Hits_gaushit__INPUT"})
    clusters = Clusters.from_columns(columns, meta)
    out: dict[str | ProductKey, Product] = {
        ProductKey(type(p).__name__, label, "", "INPUT"): p
        for p, label in ((voxels, "voxels"), (clusters, "pieces"), (links, "pieces"))
    }
    out[ProductKey("Assns", "pieces", "hits", "INPUT")] = hits
    return out


def test_the_producer_joins_clusters_and_their_links() -> None:
    module = Registry().load("TrackJoiner", "test", "producer")
    result = ModuleHarness(module, {"hits": True}, label="clusters").process(products())
    clusters, links, hits = result.get(Clusters), result.get(Assns), result.get(Assns, "hits")
    assert clusters.semantic.tolist() == [MIP, SHOWER]
    assert clusters.n.tolist() == clusters.charge.tolist() == [122, 11]
    assert clusters.seed.tolist() == [1, 130]
    assert clusters.meta["pieces"] == "Clusters_pieces__INPUT"
    assert cluster_of_rows(links, 133).tolist() == [0] * 122 + [1] * 11
    assert np.column_stack([hits.left, hits.right]).tolist() == [[0, 4], [0, 5], [1, 6]]
    assert hits.meta == {"left": "Clusters_clusters__TEST", "right": "Hits_gaushit__INPUT"}
    with pytest.raises(ConfigurationError, match="in the scheme 'spine'; expected clusters of"):
        ModuleHarness(module, {}, label="clusters").process(products("spine"))


def test_the_producer_of_an_empty_event() -> None:
    module = Registry().load("TrackJoiner", "test", "producer")
    empty = {k: type(p).from_columns({}, p.meta) for k, p in products().items()}
    result = ModuleHarness(module, {"hits": True}, label="clusters").process(empty)
    assert len(result.get(Clusters)) == len(result.get(Assns)) == len(result.get(Assns, "hits")) == 0
