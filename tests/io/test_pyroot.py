"""The two readers, uproot's bytes and ROOT's objects, give the same products.

Each file is read in a process of its own, as ROOT keeps what it learned of classes.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from larmlreco.io.layout import Process
from larmlreco.io.reader import EventInfo
from larmlreco.io.root_writer import RootWriter
from larmlreco.products import Assns, Hits, Pixels, POTSummary, ProductKey, SemanticScores

pytest.importorskip("ROOT", reason="the ROOT wheel is not installed")

DATA = Path(__file__).parent / "data"
COMPARE = """
import sys
from larmlreco.io import open_file
n = 0
for path in sys.argv[1:]:
    first, second = open_file(path), open_file(path, "pyroot")
    assert "pyroot" in type(second).__module__
    assert list(first.event_ids) == list(second.event_ids)
    assert first.undecodable() == second.undecodable(), second.undecodable()
    for level in ("event", "subrun", "run"):
        assert first.keys(level) == second.keys(level)
        entries = len({"event": first.event_ids, "subrun": first.subrun_ids, "run": first.run_ids}[level])
        for key in first.keys(level):
            for entry in range(entries):
                a, b = first.read(entry, key, level), second.read(entry, key, level)
                assert (a is None) == (b is None)
                if a is None:
                    continue
                assert dict(a.meta) == dict(b.meta)
                left, right = a.to_columns(), b.to_columns()
                assert left.keys() == right.keys()
                for name in left:
                    assert left[name].dtype == right[name].dtype
                    assert left[name].tobytes() == right[name].tobytes(), (path, key, entry, name)
                n += 1
    second.close()
print("same", n)
"""


def run(script: str, *paths: Path) -> str:
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def n_same(*paths: Path) -> int:
    return int(run(COMPARE, *paths).split()[-1])


def test_our_own_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "own.root"
    hits, pixels = ProductKey("Hits", "gaushit", "", "Reco1"), ProductKey("Pixels", "images", "tpc0_Y", "ml")
    links, scores = ProductKey("Assns", "images", "tpc0_Y", "ml"), ProductKey("SemanticScores", "net", "", "ml")
    pot = ProductKey("POTSummary", "generator", "", "Gen")
    with RootWriter(path, Process("ml")) as writer:
        for event, n in enumerate((3, 0, 1, 40)):
            columns = {name: rng.integers(0, 100, n) for name in Hits.columns()}
            pixel_columns = {name: rng.integers(0, 100, n) for name in Pixels.columns()}
            score_columns = {"scores_a": rng.random(n), "scores_b": rng.random(n), "label": np.zeros(n)}
            products = {
                hits: Hits.from_columns(columns),
                pixels: Pixels.from_columns(pixel_columns, {"tpc": 0, "view": "Y", "event": event}),
                links: Assns(left=np.arange(n), right=np.arange(n)[::-1], meta={"left": "a", "right": "b"}),
            }
            if event != 2:
                products[scores] = SemanticScores.from_columns(score_columns, {"class_names": ["a", "b"]})
            writer.write((1, 2, event), products, info=EventInfo(False, event))
        summary = POTSummary(total_pot=[1e18], total_good_pot=[1e17], total_spills=[4], good_spills=[3])
        writer.write((1,), {pot: summary}, "run")
    assert n_same(path) == 16


def test_art_files_without_dictionaries() -> None:
    paths = [DATA / f"{name}.root" for name in ("zoo_split0", "zoo_split1", "zoo_split99", "zoo_object_wise")]
    assert n_same(*paths) == 4 * (8 * 5 + 3 + 1)


def test_a_real_art_file(shared_path: Callable[[str], Path]) -> None:
    names = ["samples/sim_uboone_art_10evt.root", "samples/sim_uboone_art_split99_2evt.root"]
    assert n_same(*(shared_path(name) for name in names)) == 4 * (10 + 2)


def test_another_version_of_a_class_without_dictionary_is_refused(shared_path: Callable[[str], Path]) -> None:
    """ROOT would put hits of version 17 into the layout of version 16 and give wrong numbers."""
    script = (
        "import sys; from larmlreco.io import open_file; from larmlreco.products import ProductKey;"
        "a = open_file(sys.argv[1], 'pyroot'); a.read(1, ProductKey('Hits', 'gaushit', '', 'Reco1'));"
        "print(open_file(sys.argv[2], 'pyroot').undecodable()['recob::Hits_gaushit__Reco1.'])"
    )
    said = run(script, DATA / "zoo_split1.root", shared_path("samples/sim_uboone_art_10evt.root"))
    assert said == "ROOT has no dictionary of recob::Hit and read a file with another version of it before\n"


def test_bad_input_reads_as_with_the_other_reader(tmp_path: Path) -> None:
    script = (
        "import sys; from larmlreco.io import open_file; from larmlreco.errors import InputError\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_file(path, 'pyroot')\n"
        "    except InputError as error: print(error)"
    )
    (tmp_path / "text.root").write_text("no file of ROOT")
    whole = (DATA / "zoo_split1.root").read_bytes()
    (tmp_path / "cut.root").write_bytes(whole[:90000])
    paths = [tmp_path / f"{name}.root" for name in ("none", "text", "cut")]
    assert run(script, *paths).splitlines() == [
        f"input {paths[0]} does not exist",
        f"input {paths[1]} is not a ROOT file: it begins with b'no f', not b'root'",
        f"input {paths[2]} is truncated: it has 90000 of {len(whole)} bytes",
    ]
