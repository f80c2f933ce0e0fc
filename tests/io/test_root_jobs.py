"""Whole jobs from file to file, and what the command line says of the files."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from larmlreco.cli.main import main
from larmlreco.framework import Output
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import ModuleHarness
from larmlreco.io import open_file
from larmlreco.io.layout import TREES, Process
from larmlreco.io.reader import EventInfo
from larmlreco.io.root_reader import RootReader
from larmlreco.io.root_writer import RootWriter, partial_path
from larmlreco.products import Assns, Hits, Pixels, POTSummary, Product, ProductKey, TriggerResults, Wires
from larmlreco.version import __version__

WIRES, HITS = ProductKey("Wires", "butcher", "", "Reco1"), ProductKey("Hits", "gaushit", "", "Reco1")
ASSNS = ProductKey("Assns", "gaushit", "", "Reco1")
POT = ProductKey("POTSummary", "generator", "", "Gen")
ZOO = Path(__file__).parent / "data" / "zoo_split99.root"
COPY = """
process_name: {process}
source: {{ module_type: RootInput fileNames: ["in.root"] }}
outputs: {{ out: {{ module_type: RootOutput fileName: "out.root" outputCommands: {commands} }} }}
physics: {{ write: [out] }}
"""


def channels(rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.sort(rng.choice(8256, size=40, replace=False))


def event(rng: np.random.Generator) -> dict[ProductKey, Product]:
    where = channels(rng)
    n, length = len(where), 30
    wires = {
        "channel": where,
        "plane": np.full(n, -1),
        "view": np.digitize(where, [2400, 4800]),
        "n_samples": np.full(n, 6400),
    }
    rois = {"roi_wire": np.arange(n), "roi_begin": rng.integers(0, 6000, n), "roi_length": np.full(n, length)}
    hits = {name: np.zeros(n) for name in Hits.columns()} | {"channel": where, "start_tick": rois["roi_begin"]}
    hits |= {"end_tick": rois["roi_begin"] + length, "integral": rng.normal(size=n)}
    return {
        WIRES: Wires.from_columns(wires | rois | {"adc": 20 * rng.random(n * length)}),
        HITS: Hits.from_columns(hits),
        ASSNS: Assns.from_columns(
            {"left": np.arange(n), "right": np.arange(n)}, {"left": WIRES.branch, "right": HITS.branch}
        ),
    }


def pot(value: float) -> dict[ProductKey, Product]:
    columns = {"total_pot": [value], "total_good_pot": [value / 2], "total_spills": [4], "good_spills": [2]}
    return {POT: POTSummary.from_columns(columns)}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Two runs with three subruns and nine events; the last event has no hits and no wires."""
    rng = np.random.default_rng(3)
    with RootWriter(tmp_path / "in.root", Process("Reco1", "v10_00_00", "reco: true\n", "c0ffee")) as writer:
        for number, (run, subrun) in enumerate([(1, 0), (1, 1), (7, 0)]):
            for i in range(3):
                empty: dict[ProductKey, Product] = {WIRES: Wires.empty(), HITS: Hits.empty(), ASSNS: Assns.empty()}
                products = empty if (number, i) == (2, 2) else event(rng)
                writer.write(
                    (run, subrun, 10 * number + i), products, info=EventInfo(is_real_data=True, time=2**63 + i)
                )
            writer.write((run, subrun), pot(1e18 * (number + 1)), "subrun")
        writer.write((1,), pot(3e18), "run")
        writer.write((7,), pot(4e18), "run")
    return tmp_path / "in.root"


def run_copy(directory: Path, process: str, source: Path, output: Path, commands: str = '["keep *"]') -> int:
    config = directory / f"{process}.fcl"
    config.write_text(COPY.format(process=process, commands=commands))
    return main(["run", "-c", str(config), "-s", str(source), "-o", str(output)])


def assert_same_products(a: Path, b: Path) -> None:
    left, right = RootReader(a), RootReader(b)
    for level in TREES:
        assert set(left.keys(level)) == set(right.keys(level))
    assert left.event_ids.array.tolist() == right.event_ids.array.tolist()
    assert left.subrun_ids.array.tolist() == right.subrun_ids.array.tolist()
    assert left.run_ids.array.tolist() == right.run_ids.array.tolist()
    for level, n in (("event", left.n_events), ("subrun", len(left.subrun_ids)), ("run", len(left.run_ids))):
        for entry in range(n):
            for key in left.keys(level):  # type: ignore[arg-type]
                one, other = (r.read(entry, key, level) for r in (left, right))  # type: ignore[arg-type]
                assert one is not None
                assert other is not None
                assert one.meta == other.meta
                for name in one.columns():
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert [left.event_info(i) for i in range(left.n_events)] == [right.event_info(i) for i in range(left.n_events)]


def test_an_output_is_an_input_of_the_next_job(tmp_path: Path, given: Path) -> None:
    """Images are made, all is kept by the next job and by the one after it: products, metas, ids, provenance."""
    images, copy, last = (tmp_path / f"{name}.root" for name in ("images", "copy", "last"))
    assert main(["run", "-c", "run_images_uboone.fcl", "-s", str(given), "-o", str(images)]) == 0
    assert run_copy(tmp_path, "Copy", images, copy) == 0
    assert run_copy(tmp_path, "Last", copy, last, '["keep *", "drop Wires_*_*_*", "drop POTSummary_*_*_*"]') == 0
    assert_same_products(images, copy)
    made = RootReader(images)
    pixels = made.read(0, ProductKey("Pixels", "images", "Y", "LArMLImages"))
    assert isinstance(pixels, Pixels)
    assert len(pixels) > 0
    assert pixels.meta["detector"] == "microboone"
    empty = made.read(8, ProductKey("Pixels", "images", "Y", "LArMLImages"))
    assert isinstance(empty, Pixels)
    assert len(empty) == 0
    results = RootReader(copy).read(3, ProductKey("TriggerResults", "TriggerResults", "", "LArMLImages"))
    assert isinstance(results, TriggerResults)
    assert results.meta["paths"] == ["make_images"]
    kept = {key.type for key in RootReader(last).keys()}  # noqa: SIM118
    assert "Wires" not in kept
    assert {"Hits", "Pixels", "Assns", "TriggerResults"} <= kept
    assert RootReader(last).keys("subrun") == []
    assert list(RootReader(last).subrun_ids) == [(1, 0), (1, 1), (7, 0)]
    processes = RootReader(last).provenance.processes
    assert [p.name for p in processes] == ["Reco1", "LArMLImages", "Copy", "Last"]
    assert [list(p.inputs) for p in processes[1:]] == [[str(given)], [str(images)], [str(copy)]]
    assert processes[0].configuration == "reco: true\n"
    assert 'process_name: "LArMLImages"' in processes[1].configuration
    assert processes[1].version == processes[1].versions["larmlreco"] == __version__
    assert "numpy" in processes[1].versions


def test_models_that_register_late_are_in_the_provenance(tmp_path: Path) -> None:
    harness = ModuleHarness(Registry().load("RootOutput"), {"fileName": str(tmp_path / "out.root")}, label="out")
    output = harness.module
    assert isinstance(output, Output)
    output.open()
    output.context.register_model("net", "ab" * 32)
    output.close(complete=True)
    process = RootReader(tmp_path / "out.root").provenance.processes[-1]
    assert process.models == {"net": "ab" * 32}
    assert process.parameter_set_id == output.context.configuration_sha256


def test_several_inputs(tmp_path: Path, given: Path) -> None:
    """Two inputs with the same process: it is told once, both are named; subruns of both are kept."""
    with RootWriter(tmp_path / "other.root", Process("Reco1", "v10_00_00", "reco: true\n", "c0ffee")) as writer:
        writer.write((9, 0, 1), event(np.random.default_rng(5)))
        writer.write((9, 0), pot(9e18), "subrun")
    config = tmp_path / "job.fcl"
    config.write_text(COPY.format(process="Both", commands='["keep *"]'))
    sources = ["-s", str(given), "-s", str(tmp_path / "other.root")]
    assert main(["run", "-c", str(config), *sources, "-o", str(tmp_path / "out.root")]) == 0
    reader = RootReader(tmp_path / "out.root")
    assert reader.n_events == 10
    assert [p.name for p in reader.process_history] == ["Reco1", "Both"]
    assert list(reader.provenance.processes[1].inputs) == [str(given), str(tmp_path / "other.root")]
    assert list(reader.subrun_ids) == [(1, 0), (1, 1), (7, 0), (9, 0)]
    total = uproot.open(tmp_path / "out.root")["SubRuns"]["POTSummary_generator__Gen.total_pot"].array()
    assert total.tolist() == [[1e18], [2e18], [3e18], [9e18]]


def test_a_corrupt_basket_ends_the_job(tmp_path: Path, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    branch = uproot.open(given)["Events"]["Wires_butcher__Reco1.adc"]
    start = branch.member("fBasketSeek")[2] + 100
    first = int(branch.entry_offsets[2])
    content = bytearray(given.read_bytes())
    content[start : start + 300] = os.urandom(300)
    given.write_bytes(content)
    output = tmp_path / "out.root"
    assert run_copy(tmp_path, "Copy", given, output) == 4
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("larmlreco run: ")]
    assert len(error) == 1
    assert f"input {given}: tree Events, Wires_butcher__Reco1, entry {first} cannot be read" in error[0]
    assert not output.exists()
    partial = RootReader(partial_path(output))
    assert not partial.complete
    assert partial.n_events == first
    assert main(["ls", str(partial_path(output))]) == 0
    assert "PARTIAL: its writer did not finish" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("in.root", "output {0}/in.root is also an input; choose another name"),
        ("no/out.root", "output {0}/no/out.root: directory {0}/no does not exist; make it first"),
        (".", "output {0} is a directory; expected the name of a file"),
    ],
)
def test_refused_outputs(
    tmp_path: Path, given: Path, capsys: pytest.CaptureFixture[str], output: str, text: str
) -> None:
    before = given.read_bytes()
    assert run_copy(tmp_path, "Copy", given, tmp_path / output) == 5
    assert text.format(tmp_path) in capsys.readouterr().err
    assert given.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Copy.fcl", "in.root"]


def test_level_of_compression(tmp_path: Path, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "job.fcl"
    text = COPY.format(process="Copy", commands='["keep *"]')
    config.write_text(text + "outputs.out.compression: zlib outputs.out.compressionLevel: 10\n")
    assert main(["run", "-c", str(config), "-s", str(given), "-o", str(tmp_path / "out.root")]) == 3
    assert "outputs.out.compressionLevel: 10 is more than zlib has; valid: 1 to 9" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_copy_job_of_the_package(tmp_path: Path, given: Path) -> None:
    assert main(["run", "-c", "run_copy.fcl", "-s", str(given), "-o", str(tmp_path / "out.root")]) == 0
    assert_same_products(given, tmp_path / "out.root")


def test_full_disk_in_a_job(tmp_path: Path, given: Path) -> None:
    config = tmp_path / "job.fcl"
    config.write_text(COPY.format(process="Copy", commands='["keep *"]'))
    output = tmp_path / "out.root"
    command = [sys.executable, "-m", "larmlreco", "run", "-c", str(config), "-s", str(given), "-o", str(output)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 5
    error = [line for line in done.stderr.splitlines() if line.startswith("larmlreco run: ")]
    assert len(error) == 1
    assert error[0].endswith(f"output {output}: File too large; what was written lies in {partial_path(output)}")
    assert not output.exists()


def test_products_that_cannot_be_decoded_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An art-like file: what has no product of ours is warned of and listed in the provenance."""
    sample = ZOO
    output = tmp_path / "out.root"
    lost = open_file(sample).undecodable()
    assert lost
    assert run_copy(tmp_path, "Copy", sample, output) == 0
    assert RootReader(output).provenance.processes[-1].not_kept == lost
    error = capsys.readouterr().err
    for name, reason in lost.items():
        assert f"{name} ({reason})" in error
    given = open_file(sample)
    copy = RootReader(output)
    assert [key for key in given.keys() if key not in copy.keys()] == []  # noqa: SIM118
    for entry in range(given.n_events):
        for key in given.keys():  # noqa: SIM118
            one, other = given.read(entry, key), copy.read(entry, key)
            assert one is not None
            assert other is not None
            assert dict(one.meta) == dict(other.meta)
            for name in one.columns():
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_copy_knows_how_its_art_input_was_made(
    tmp_path: Path, shared_path: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.root"
    assert run_copy(tmp_path, "Copy", shared_path("samples/sim_uboone_art_split99_2evt.root"), output) == 0
    capsys.readouterr()
    assert main(["config-dump", str(output), "--process", "Reco1"]) == 0
    assert 'process_name: "Reco1"' in capsys.readouterr().out


def test_images_of_foreign_files(tmp_path: Path, shared_path: Callable[[str], Path]) -> None:
    config = tmp_path / "larcv.fcl"
    config.write_text(COPY.format(process="Copy", commands='["keep *"]').replace("RootInput", "LArCVInput"))
    sample = shared_path("samples/larcv2_electron_10evt.root")
    assert main(["run", "-c", str(config), "-s", str(sample), "-o", str(tmp_path / "larcv.root")]) == 0
    given, copy = open_file(sample), RootReader(tmp_path / "larcv.root")
    assert set(given.keys()) == set(copy.keys())
    key = ProductKey("Pixels", "data", "plane2", "LArCV")
    one, other = given.read(7, key), copy.read(7, key)
    assert isinstance(one, Pixels)
    assert isinstance(other, Pixels)
    np.testing.assert_array_equal(one.adc, other.adc)
    assert one.meta == other.meta
    sample = shared_path("samples/protodunehd_run27409_evt40896_apa1.npz")
    output = tmp_path / "images.root"
    assert main(["run", "-c", "run_images_protodunehd.fcl", "-s", str(sample), "-o", str(output)]) == 0
    images = RootReader(output)
    assert list(images.event_ids) == [(27409, 0, 40896)]
    pixels = images.read(0, ProductKey("Pixels", "images", "tpc2_W", "LArMLImages"))
    assert isinstance(pixels, Pixels)
    assert len(pixels) > 1000


def test_ls(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", str(given)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{given}: 9 events, 3 subruns, 2 runs, complete"
    assert lines[1] == "processes: Reco1 (v10_00_00)"
    sizes = {b.name: f"{b.bytes:,}" for b in RootReader(given).branches()}
    assert lines[3].split() == ["tag", "type", "entries", "of", "Events", "bytes"]
    assert [line.split() for line in lines[4:7]] == [
        ["butcher::Reco1", "Wires", "9", sizes[WIRES.branch]],
        ["gaushit::Reco1", "Assns", "9", sizes[ASSNS.branch]],
        ["gaushit::Reco1", "Hits", "9", sizes[HITS.branch]],
    ]
    assert lines[8].split() == ["tag", "type", "entries", "of", "SubRuns", "bytes"]
    assert lines[9].split()[:3] == ["generator::Gen", "POTSummary", "3"]
    assert lines[11].split() == ["tag", "type", "entries", "of", "Runs", "bytes"]
    assert lines[12].split()[:3] == ["generator::Gen", "POTSummary", "2"]
    assert len(lines) == 13


def test_ls_shows_what_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", str(ZOO)]) == 0
    text = capsys.readouterr().out
    assert f"{ZOO}: 5 events, 3 subruns, 1 run, complete" in text
    lost = open_file(ZOO).undecodable()
    assert lost
    for name, reason in lost.items():
        assert any(line.startswith(name) and line.endswith(reason) for line in text.splitlines())


def test_config_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Process(
        "A", "1.0", "b: [1,2] a: {x:3}", "ab12", {"numpy": "2.4"}, {"net": "ff00"}, ["x.root"], {"T_l__A": "no class"}
    )
    with RootWriter(tmp_path / "a.root", Process("B", configuration="not } FHiCL")) as writer:
        writer.add_history(RootReader(_written(tmp_path / "first.root", first)).provenance)
    assert main(["config-dump", str(tmp_path / "a.root")]) == 0
    expected = [
        "# process A",
        "# version: 1.0",
        "# configuration id: ab12",
        "# package numpy: 2.4",
        "# model net: SHA-256 ff00",
        "# input: x.root",
        "# not kept: T_l__A: no class",
        "a: {",
        "   x: 3",
        "}",
        "b: [",
        "   1,",
        "   2",
        "]",
        "",
        "# process B",
        "not } FHiCL",
    ]
    assert capsys.readouterr().out.splitlines() == expected
    assert main(["config-dump", str(tmp_path / "a.root"), "--process", "B"]) == 0
    assert capsys.readouterr().out.splitlines() == expected[-2:]
    assert main(["config-dump", str(tmp_path / "a.root"), "--process", "C"]) == 3
    error = capsys.readouterr().err
    assert error == f"larmlreco config-dump: {tmp_path / 'a.root'} has no process 'C'; valid: A, B\n"


def _written(path: Path, process: Process) -> Path:
    with RootWriter(path, process):
        pass
    return path
