"""Products of art-like files whose content is known by formula (tests/oracles/art_files/fill.h)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.errors import InputError
from larmlreco.io.art import ArtFile
from larmlreco.io.art.decoder import Jagged, UndecodableError
from larmlreco.io.art.streamer import Basic, Classes, ClassInfo, Element
from larmlreco.io.art.translate import Links, friendly_name, translation
from larmlreco.io.reader import EventInfo, Reader
from larmlreco.products import (
    Assns,
    FeatureVectors,
    Hits,
    PathState,
    PlaneClusters,
    POTSummary,
    Product,
    ProductKey,
    SpacePoints,
    TriggerResults,
    Wires,
)

DATA = Path(__file__).parent / "data"
FILES = ["zoo_split0", "zoo_split1", "zoo_split99", "zoo_object_wise"]
N_EVENTS = 5
WIRES = ProductKey("Wires", "butcher", "", "Reco1")
HITS = ProductKey("Hits", "gaushit", "", "Reco1")
POINTS = ProductKey("SpacePoints", "pandora", "", "Reco2")
CLUSTERS = ProductKey("PlaneClusters", "pandora", "a_b", "Reco2")
FEATURES = ProductKey("FeatureVectors", "emtrack", "xFeatureVector3", "Reco2")
FEATURE = ProductKey("FeatureVectors", "emtrack", "xFeatureVector1", "Reco2")
POINT_HITS = ProductKey("Assns", "pandora", "SpacePointHit", "Reco2")
HIT_FEATURES = ProductKey("Assns", "pandora", "HitFeatureVector3", "Reco2")
POT = ProductKey("POTSummary", "generator", "", "Gen")


@pytest.fixture(scope="module", params=FILES)
def file(request: pytest.FixtureRequest) -> ArtFile:
    return ArtFile(DATA / f"{request.param}.root")


def product(file: ArtFile, entry: int, key: ProductKey) -> Product:
    made = file.read(entry, key)
    assert made is not None
    assert type(made).__name__ == key.type
    return made


def test_is_a_reader(file: ArtFile) -> None:
    reader: Reader = file
    assert isinstance(reader, Reader)
    assert reader.complete
    assert reader.n_events == N_EVENTS
    assert list(reader.event_ids) == [(7, e // 2, 100 + e) for e in range(N_EVENTS)]
    assert list(reader.subrun_ids) == [(7, 0), (7, 1), (7, 2)]
    assert list(reader.run_ids) == [(7,)]
    time = (4000000003 << 32) | 3
    assert reader.event_info(3) == EventInfo(True, time)
    assert list(reader.process_history) == []
    assert reader.configurations == {}


def test_keys_and_reasons(file: ArtFile) -> None:
    assert file.keys() == [WIRES, HITS, POINTS, CLUSTERS, FEATURES, FEATURE, POINT_HITS, HIT_FEATURES]
    assert file.keys("subrun") == file.keys("run") == [POT]
    assert file.undecodable() == {
        "zoo::Animals_keeper__Reco1.": "no product stands for vector<zoo::Animal>",
        "zoo::Animal_keeper__Reco1.": "no product stands for zoo::Animal",
    }
    assert file.undecodable("run") == {}


def test_wires_without_rois_and_rois_without_samples(file: ArtFile) -> None:
    for event in range(N_EVENTS):
        wires = product(file, event, WIRES)
        assert isinstance(wires, Wires)
        n = 4 * event
        w = np.arange(n)
        assert wires.channel.tolist() == (2400 * (w % 3) + w).tolist()
        assert wires.view.tolist() == (w % 3).tolist()
        assert (wires.n_samples == 6400).all()
        rois = [(i, r) for i in range(n) for r in range(i % 4)]
        assert wires.roi_wire.tolist() == [i for i, _ in rois]
        assert wires.roi_begin.tolist() == [100 * r + i for i, r in rois]
        assert wires.roi_length.tolist() == [3 * r for _, r in rois]
        assert wires.adc.tolist() == [event + i / 4 + s / 16 for i, r in rois for s in range(3 * r)]


def test_hits_of_version_16_and_hits_without_a_wire(file: ArtFile) -> None:
    for event in range(N_EVENTS):
        hits = product(file, event, HITS)
        assert isinstance(hits, Hits)
        h = np.arange(5 * event)
        floats = (
            "peak_time", "sigma_peak_time", "rms", "peak_amplitude", "sigma_peak_amplitude", "summed_adc", "integral",
            "sigma_integral", "goodness_of_fit",
        )  # fmt: skip
        for i, name in enumerate(floats, start=1):
            assert getattr(hits, name).tolist() == (event + h / 8 + i).tolist(), name
        assert hits.roi_summed_adc.tolist() == hits.summed_adc.tolist()
        invalid = h % 4 == 3
        integers = {
            "channel": 100 * event + h, "start_tick": 10 * h, "end_tick": 10 * h + 7, "multiplicity": 1 + h % 3,
            "local_index": h % 3, "dof": h, "view": h % 3, "signal_type": h % 3 == 2,
            "cryostat": np.where(invalid, -1, 0), "tpc": np.where(invalid, -1, h % 2),
            "plane": np.where(invalid, -1, h % 3), "wire": np.where(invalid, -1, h),
        }  # fmt: skip
        for name, expected in integers.items():
            assert getattr(hits, name).tolist() == expected.tolist(), name


def test_space_points(file: ArtFile) -> None:
    for event in range(N_EVENTS):
        points = product(file, event, POINTS)
        assert isinstance(points, SpacePoints)
        p = np.arange(2 * event)
        assert points.id.tolist() == (p + 10).tolist()
        for i, axis in enumerate((points.x, points.y, points.z)):
            assert axis.tolist() == (event + p / 4 + 100 * i).tolist()
        assert points.err.tolist() == [[k + i / 8 for i in range(6)] for k in range(2 * event)]
        assert points.chisq.tolist() == (p / 2).tolist()
        assert (points.hit == -1).all()
        assert points.hit.shape == (2 * event, 3)


def test_clusters(file: ArtFile) -> None:
    for event in range(N_EVENTS):
        clusters = product(file, event, CLUSTERS)
        assert isinstance(clusters, PlaneClusters)
        c = np.arange(event)
        assert clusters.n_hits.tolist() == (3 + c).tolist()
        pairs = (
            "end_wires", "sigma_end_wires", "end_ticks", "sigma_end_ticks", "end_charges", "angles", "opening_angles",
            "charge_sum", "charge_std_dev", "charge_average",
        )  # fmt: skip
        for a, name in enumerate(pairs):
            assert getattr(clusters, name).tolist() == [[10 * a + i + k / 4 for i in range(2)] for k in c], name
        assert clusters.multiple_hit_density.tolist() == (0.5 + c).tolist()
        assert clusters.width.tolist() == (0.25 + c).tolist()
        assert clusters.id.tolist() == (70 + c).tolist()
        assert clusters.view.tolist() == (c % 3).tolist()
        assert clusters.cryostat.tolist() == np.where(c > 0, 0, -1).tolist()
        assert clusters.tpc.tolist() == np.where(c > 0, 1, -1).tolist()
        assert clusters.plane.tolist() == np.where(c > 0, c % 3, -1).tolist()


def test_feature_vectors_of_a_collection_and_alone(file: ArtFile) -> None:
    for event in range(N_EVENTS):
        features = product(file, event, FEATURES)
        assert isinstance(features, FeatureVectors)
        assert features.features.tolist() == [[0.25, 0.5, event / 4]] * (5 * event)
        assert features.meta == {"feature_names": ["0", "1", "2"]}
        alone = product(file, event, FEATURE)
        assert isinstance(alone, FeatureVectors)
        assert alone.features.tolist() == [[event]]


def test_links_lead_to_the_right_product_on_the_side_of_the_class_name(file: ArtFile) -> None:
    """The file has the sides in the order of their friendly names: hit, point; and 3anab::FeatureVector, hit."""
    for event in range(N_EVENTS):
        n = 2 * event
        links = product(file, event, POINT_HITS)
        assert isinstance(links, Assns)
        assert links.meta == {"left": POINTS.branch, "right": HITS.branch}
        assert links.left.tolist() == [i // 2 for i in range(n)]
        assert links.right.tolist() == [n - 1 - i for i in range(n)]
        n = 5 * event
        links = product(file, event, HIT_FEATURES)
        assert isinstance(links, Assns)
        assert links.meta == {"left": HITS.branch, "right": FEATURES.branch}
        assert links.left.tolist() == [i // 2 for i in range(n)]
        assert links.right.tolist() == [n - 1 - i for i in range(n)]


def test_protons_on_target_of_runs_and_subruns(file: ArtFile) -> None:
    for s in range(3):
        pot = file.read(s, POT, "subrun")
        assert isinstance(pot, POTSummary)
        assert (pot.total_pot.tolist(), pot.total_good_pot.tolist()) == ([1e18 + s], [1e17 + s])
        assert (pot.total_spills.tolist(), pot.good_spills.tolist()) == ([20 + s], [10 + s])
    pot = file.read(0, POT, "run")
    assert isinstance(pot, POTSummary)
    assert pot.total_pot.tolist() == [3e18]


def test_events_in_any_order_give_the_same(file: ArtFile) -> None:
    forward = [product(file, e, WIRES) for e in range(N_EVENTS)]
    for e in (4, 0, 3, 1, 2):
        again, before = product(file, e, WIRES).to_columns(), forward[e].to_columns()
        assert all(np.array_equal(again[name], before[name]) for name in before)


def test_an_unknown_tag_names_those_there(file: ArtFile) -> None:
    with pytest.raises(InputError, match=r"has no Hits gauhit::X; did you mean .Hits gaushit::Reco1.\? valid: Assns"):
        file.read(0, ProductKey("Hits", "gauhit", "", "X"))
    with pytest.raises(InputError, match="tree Runs has no Hits gaushit::Reco1; valid: POTSummary generator::Gen"):
        file.read(0, HITS, "run")


@pytest.mark.parametrize(
    ("name", "friendly"),
    [
        ("recob::Hit", "recob::Hit"),
        ("std::vector<recob::Hit>", "recob::Hits"),
        ("anab::FeatureVector<5>", "5anab::FeatureVector"),
        ("vector<anab::FeatureVector<4> >", "4anab::FeatureVectors"),
        ("art::Assns<recob::Wire,recob::Hit,void>", "recob::Hitrecob::Wirevoidart::Assns"),
        ("vector<unsigned int>", "uints"),
    ],
)
def test_friendly_names(name: str, friendly: str) -> None:
    assert friendly_name(name) == friendly


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('trigger_paths:["0:reco","1:calibration","2:cosmics"]', ["reco", "calibration", "cosmics"]),
        ('a:[1] trigger_paths : [ "reco", "calibration", "cosmics" ]', ["reco", "calibration", "cosmics"]),
        ('trigger_paths:["0:reco"]', ["path0", "path1", "path2"]),
        ("", ["path0", "path1", "path2"]),
    ],
)
def test_results_of_trigger_paths(text: str, names: list[str]) -> None:
    """The position of the module that decided times four, plus the state (art's HLTPathStatus)."""
    status = ClassInfo("art::HLTPathStatus", 10, 1, (Element("status_", Basic("u2")),))
    tree: Any = {
        "paths_": Jagged(np.array([3]), {"status_": np.array([4 * 2 + 1, 4 * 0 + 2, 4 * 5 + 3], dtype="u2")}),
        "psetid_": {"valid_": np.array([True]), "id_": np.full((1, 20), 0xAB, dtype="u1")},
    }
    sets = {"ab" * 20: text}
    made = translation("art::TriggerResults", Classes([status])).make(tree, Links({}, lambda: sets))
    assert isinstance(made, TriggerResults)
    assert dict(made.states) == dict(zip(names, [PathState.PASS, PathState.FAIL, PathState.EXCEPTION], strict=True))
    assert made.index.tolist() == [2, 0, 5]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vector<raw::RawDigit>", "no product stands for vector<raw::RawDigit>"),
        ("vector<recob::Hit>", "the file describes no class recob::Hit"),
        (
            "art::Assns<recob::Hit,raw::RawDigit,void>",
            "it links recob::Hit to raw::RawDigit, and no product stands for raw::RawDigit",
        ),
        (
            "art::Assns<recob::Cluster,recob::Hit,recob::Meta>",
            "no product stands for the data of art::Assns<recob::Cluster,recob::Hit,recob::Meta> beside its links",
        ),
    ],
)
def test_reasons(name: str, reason: str) -> None:
    with pytest.raises(UndecodableError) as error:
        translation(name, Classes([]))
    assert str(error.value) == reason
