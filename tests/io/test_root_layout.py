"""Our own ROOT layout: what is written is read back, by us and by ROOT, whatever the products."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import larmlreco.products as products
from larmlreco.errors import InputError, OutputError
from larmlreco.io import layout, open_file
from larmlreco.io.layout import Process, Provenance
from larmlreco.io.reader import EventInfo
from larmlreco.io.root_reader import RootReader
from larmlreco.io.root_writer import FLUSH_ENTRIES, RootWriter, partial_path
from larmlreco.products import Assns, Hits, Pixels, POTSummary, Product, ProductKey, SemanticScores, Voxels, Wires

CLASSES = sorted((c for c in vars(products).values() if isinstance(c, type) and issubclass(c, Product)), key=str)
CLASSES.remove(Product)


def random_product(cls: type[Product], rng: np.random.Generator, most: int = 4) -> Product:
    """A product with groups of 0 to ``most`` rows, extreme values and odd numbers among them."""
    names = {c.parts for c in cls.columns().values() if isinstance(c.parts, str)}
    meta: dict[str, Any] = {str(name): ["a", "b", "c_d"] for name in names} | {"text": 'quotes " and \u00e9', "n": 1}
    lengths: dict[str, int] = {}
    columns = {}
    stored = layout.column_layout(cls, meta)
    assert stored is not None
    for name, what in stored.items():
        n = lengths.setdefault(what.rows, int(rng.integers(0, most + 1)))
        if what.dtype.kind == "f":
            values = rng.normal(size=n) * 10.0 ** rng.integers(-30, 30, n)
            values[rng.random(n) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0])
            columns[name] = values.astype(what.dtype)
        else:
            limits = np.iinfo(what.dtype)
            columns[name] = rng.integers(limits.min, limits.max, n, dtype=what.dtype, endpoint=True)
    return cls.from_columns(columns, meta)


def assert_same(a: Product | None, b: Product | None) -> None:
    assert type(a) is type(b)
    if a is not None and b is not None:
        assert dict(a.meta) == dict(b.meta)
        for name in a.columns():
            left, right = getattr(a, name), getattr(b, name)
            assert left.dtype == right.dtype
            assert left.shape == right.shape
            assert left.tobytes() == right.tobytes(), name


def key(kind: str, label: str = "maker", instance: str = "", process: str = "P") -> ProductKey:
    return ProductKey(kind, label, instance, process)


def hits(n: int, start: float = 0.0) -> Hits:
    columns = {name: np.zeros(n) for name in Hits.columns()}
    return Hits.from_columns(columns | {"peak_time": start + np.arange(n), "channel": np.arange(n)})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(CLASSES), max_size=4, unique=True), max_size=6), st.integers(0, 2**32))
def test_every_product_round_trips(tmp_path: Path, events: list[list[type[Product]]], seed: int) -> None:
    """Any products in any events, absent from some of them, at all three levels."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "all.root"
    written: list[dict[ProductKey, Product]] = []
    with RootWriter(path, Process("P")) as writer:
        for number, classes in enumerate(events):
            made = {key(cls.__name__): random_product(cls, rng) for cls in classes}
            written.append(made)
            info = EventInfo(bool(number % 2), 2**64 - 1 - number)
            writer.write((1, 2, number), made, info=info)
            writer.write((1, number), made, "subrun")
            writer.write((number,), made, "run")
    reader = open_file(path)
    assert isinstance(reader, RootReader)
    assert reader.complete
    assert list(reader.event_ids) == [(1, 2, n) for n in range(len(events))]
    assert list(reader.subrun_ids) == [(1, n) for n in range(len(events))]
    assert list(reader.run_ids) == [(n,) for n in range(len(events))]
    present = {k for made in written for k in made}
    assert set(reader.keys()) == set(reader.keys("subrun")) == set(reader.keys("run")) == present
    for number in rng.permutation(len(events)).tolist():
        assert reader.event_info(number) == EventInfo(bool(number % 2), 2**64 - 1 - number)
        for k in present:
            for level in layout.TREES:
                assert_same(reader.read(number, k, level), written[number].get(k))
    reader.close()


def test_an_event_without_rows_and_one_without_the_product_differ(tmp_path: Path) -> None:
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        writer.write((1, 1, 1), {key("Hits"): Hits.empty()})
        writer.write((1, 1, 2), {})
    reader = RootReader(tmp_path / "a.root")
    empty = reader.read(0, key("Hits"))
    assert empty is not None
    assert len(empty) == 0
    assert reader.read(1, key("Hits")) is None
    assert [b.entries for b in reader.branches()] == [1]


def test_declared_products_have_branches_without_any_event(tmp_path: Path) -> None:
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        writer.declare([key("Hits"), key("SemanticScores")])
        writer.declare([key("POTSummary")], "subrun")
    reader = RootReader(tmp_path / "a.root")
    assert reader.n_events == 0
    assert reader.keys() == [key("Hits")]
    assert reader.keys("subrun") == [key("POTSummary")]
    assert reader.keys("run") == []
    assert uproot.open(tmp_path / "a.root")["Events"].num_entries == 0


def test_products_that_appear_late_are_added(tmp_path: Path) -> None:
    """A filter lets the first events not pass: the file is rewritten with the columns that come later."""
    scores = SemanticScores.from_columns(
        {"scores_a": [0.25], "scores_b": [0.75], "label": [1]}, {"class_names": ["a", "b"], "scheme": "x"}
    )
    n = 3 * FLUSH_ENTRIES
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        for i in range(n):
            late = {key("SemanticScores"): scores} if i > n // 2 else {}
            writer.write((1, 1, i), {key("Hits"): hits(i % 5, i)} | late)
            if i % 100 == 0:
                writer.write((1, i), {key("POTSummary"): POTSummary.empty()}, "subrun")
    reader = RootReader(tmp_path / "a.root")
    for i in range(n):
        assert_same(reader.read(i, key("Hits")), hits(i % 5, i))
        assert_same(reader.read(i, key("SemanticScores")), scores if i > n // 2 else None)
    assert list(reader.subrun_ids) == [(1, i) for i in range(0, n, 100)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.root"]


def test_meta_may_change_between_events(tmp_path: Path) -> None:
    metas = [{"n_rows": i // 3} for i in range(20)]
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        for i, meta in enumerate(metas):
            writer.write((1, 1, i), {key("Pixels"): Pixels.empty(**meta)})
    reader = RootReader(tmp_path / "a.root")
    for i, meta in enumerate(metas):
        product = reader.read(i, key("Pixels"))
        assert product is not None
        assert product.meta == meta


def test_columns_may_not_change_between_events(tmp_path: Path) -> None:
    def scores(names: list[str]) -> SemanticScores:
        return SemanticScores.empty(class_names=names)

    writer = RootWriter(tmp_path / "a.root", Process("P"))
    writer.write((1, 1, 1), {key("SemanticScores"): scores(["a", "b"])})
    with pytest.raises(OutputError) as caught:
        writer.write((1, 1, 2), {key("SemanticScores"): scores(["a", "c"])})
    text = str(caught.value)
    assert text.startswith(
        f"output {tmp_path / 'a.root'}: SemanticScores_maker__P has the columns scores_a, scores_c, label"
    )
    assert " in event 1:1:2, but had scores_a, scores_b, label" in text
    assert text.endswith(" before; a product keeps its columns throughout a file")
    writer.abort()


def test_branches_are_counted_once_a_group(tmp_path: Path) -> None:
    wires = Wires.from_columns(
        {"channel": [3], "plane": [0], "view": [0], "n_samples": [100]}
        | {"roi_wire": [0, 0], "roi_begin": [1, 9], "roi_length": [2, 1], "adc": [1.0, 2.0, 3.0]}
    )
    voxels = Voxels.empty()
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        writer.write((1, 1, 1), {key("Wires"): wires, key("Voxels", "box", "with_underscore"): voxels})
    tree = uproot.open(tmp_path / "a.root")["Events"]
    numbers = {
        "Wires_maker__P.n_row": 1,
        "Wires_maker__P.n_roi": 2,
        "Wires_maker__P.n_sample": 3,
        "Voxels_box_with_underscore_P.n_row": 0,
        "Voxels_box_with_underscore_P.n_image": 0,
    }
    for name, length in numbers.items():
        assert tree[name].array(library="np").tolist() == [length]
    assert tree["Wires_maker__P.n_samples"].array().tolist() == [[100]]
    assert tree["Wires_maker__P.adc"].typename == "float[]"
    assert tree["Voxels_box_with_underscore_P.origin_x"].typename == "float[]"


def test_root_reads_columns_without_dictionaries(tmp_path: Path) -> None:
    """RDataFrame and TTree of PyROOT sum what numpy sums, and the documents are strings to ROOT."""
    root = pytest.importorskip("ROOT")
    rng = np.random.default_rng(1)
    path = str(tmp_path / "a.root")
    made = [random_product(Wires, rng, 30) for _ in range(300)]
    pots = POTSummary.from_columns(
        {"total_pot": [1e18], "total_good_pot": [9e17], "total_spills": [3], "good_spills": [2]}
    )
    with RootWriter(path, Process("P", configuration="a: 1")) as writer:
        for i, wires in enumerate(made):
            finite = {n: np.nan_to_num(c, posinf=1, neginf=1) % 7 for n, c in wires.to_columns().items()}
            made[i] = wires = Wires.from_columns(finite)
            writer.write((1, 2, i), {key("Wires", "butcher"): wires} if i % 3 else {})
        writer.write((1, 2), {key("POTSummary"): pots}, "subrun")
    kept = [wires for i, wires in enumerate(made) if i % 3]
    frame = root.RDataFrame("Events", path)
    assert frame.Count().GetValue() == len(made)
    for column in ("adc", "roi_begin", "channel"):
        expected = sum(getattr(wires, column).sum(dtype=np.float64) for wires in kept)
        assert frame.Sum(f"Wires_butcher__P.{column}").GetValue() == pytest.approx(expected, rel=1e-12)
    summed = frame.Define("total", "ROOT::VecOps::Sum(Wires_butcher__P.adc)").Filter("Wires_butcher__P.n_sample > 10")
    assert summed.Count().GetValue() == sum(len(wires.adc) > 10 for wires in kept)
    file = root.TFile.Open(path)
    total = 0.0
    for event in file.Get("Events"):
        total += sum(getattr(event, "Wires_butcher__P.adc"))
        assert event.event < len(made)
    assert total == pytest.approx(sum(wires.adc.sum(dtype=np.float64) for wires in kept), rel=1e-6)
    subruns = root.RDataFrame("SubRuns", path)
    assert subruns.Sum("POTSummary_maker__P.total_pot").GetValue() == 1e18
    assert str(file.Get(layout.STATUS)) == "complete"
    assert Provenance.from_json(str(file.Get(layout.PROVENANCE))).processes[0].configuration == "a: 1"
    file.Close()


@pytest.mark.parametrize("compression", ["zstd", "lz4", "zlib", "lzma", "none"])
def test_compression(tmp_path: Path, compression: Any) -> None:
    with RootWriter(tmp_path / "a.root", Process("P"), compression=compression) as writer:
        writer.write((1, 1, 1), {key("Hits"): hits(1000)})
    assert_same(RootReader(tmp_path / "a.root").read(0, key("Hits")), hits(1000))
    size = (tmp_path / "a.root").stat().st_size
    assert (size > 80_000) == (compression == "none")


def test_provenance_follows_from_file_to_file(tmp_path: Path) -> None:
    first = Process("A", "1.0", "a: 1\n", "ab12", {"numpy": "2"}, {"net": "ff"}, ["x.root"], {"T_l__A": "no class"})
    second = Process("B", "1.1", 'b: "\u00e9"\n')
    with RootWriter(tmp_path / "a.root", first):
        pass
    with RootWriter(tmp_path / "b.root", second) as writer:
        for _ in range(2):
            writer.add_history(RootReader(tmp_path / "a.root").provenance)
    reader = RootReader(tmp_path / "b.root")
    assert [p.name for p in reader.process_history] == ["A", "B"]
    assert reader.configurations == {"A": "a: 1\n", "B": 'b: "\u00e9"\n'}
    assert reader.provenance.processes[0] == first


def test_products_of_unknown_classes_and_other_columns_are_undecodable(tmp_path: Path) -> None:
    class Passing(Product):
        pass

    strange = layout.meta_branch("Passing_maker__P")
    old = layout.meta_branch("Hits_maker__P")
    with uproot.recreate(tmp_path / "a.root") as file:
        file[layout.PROVENANCE] = Provenance(()).to_json()
        file[layout.PRODUCTS] = '{"Events": {"Hits_maker__P": [{}]}}'
        file[layout.STATUS] = layout.COMPLETE
        ids = {"run": np.ones(1, np.int64), "subrun": np.ones(1, np.int64), "event": np.ones(1, np.int64)}
        info = {"is_real_data": np.zeros(1, bool), "time": np.zeros(1, np.uint64)}
        file.mktree("Events", {n: a.dtype for n, a in (ids | info).items()} | {strange: np.int32, old: np.int32})
        file["Events"].extend(ids | info | {strange: np.zeros(1, np.int32), old: np.zeros(1, np.int32)})
    del Product.types["Passing"]
    reader = RootReader(tmp_path / "a.root")
    assert reader.keys() == []
    reasons = reader.undecodable()
    assert reasons["Passing_maker__P"] == "no module or package that is loaded has a product class Passing"
    assert reasons["Hits_maker__P"].startswith("Hits of this version needs the column channel, cryostat,")
    assert [b.key for b in reader.branches()] == [None, None]
    with pytest.raises(InputError, match="event product Passing_maker__P: no module or package that is loaded"):
        reader.read(0, key("Passing"))


def test_unknown_product_is_named_with_those_there(tmp_path: Path) -> None:
    with RootWriter(tmp_path / "a.root", Process("P")) as writer:
        writer.write((1, 1, 1), {key("Hits"): hits(1), key("Assns"): Assns.empty()})
    with pytest.raises(InputError) as caught:
        RootReader(tmp_path / "a.root").read(0, key("Wires"))
    assert str(caught.value) == (
        f"input {tmp_path / 'a.root'}: event product Wires_maker__P: it is not there; "
        "valid: Hits_maker__P, Assns_maker__P"
    )


def test_later_format_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file[layout.PROVENANCE] = '{"format": 99, "processes": []}'
    with pytest.raises(InputError, match="format 99 was written by a later version; this one reads up to 1"):
        RootReader(tmp_path / "a.root")


def test_partial_path() -> None:
    assert partial_path("dir/x.root") == Path("dir/x.root.partial")
