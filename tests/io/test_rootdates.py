"""Files of the same content are the same bytes, and remain what ROOT files are."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import uproot

from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
from larmlreco.io.rootdates import remove_dates
from larmlreco.products import ProductKey, TrueLabels

KEY = ProductKey("TrueLabels", "truth", "", "Sim")


def write(path: Path, undated: bool, events: int = 40) -> bytes:
    with RootWriter(path, Process("Sim"), undated=undated) as writer:
        for number in range(events):
            labels = TrueLabels(label=np.arange(number * 7) % 5, meta={"scheme": "larmlreco"})
            writer.write((1, 1, number + 1), {KEY: labels})
    return path.read_bytes()


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    first, dated = write(tmp_path / "a.root", True), write(tmp_path / "b.root", False)
    time.sleep(1.1)  # dates count seconds
    assert write(tmp_path / "c.root", True) == first
    assert write(tmp_path / "d.root", False) != dated
    assert len(first) == len(dated)


def test_files_without_dates_are_read_as_those_with(tmp_path: Path) -> None:
    for name, undated in (("a.root", True), ("b.root", False)):
        write(tmp_path / name, undated)
        reader = open_file(str(tmp_path / name))
        for number in range(reader.n_events):
            labels = reader.read(number, KEY)
            assert isinstance(labels, TrueLabels)
            assert np.array_equal(labels.label, np.arange(number * 7) % 5)
        assert reader.n_events == 40
        reader.close()
        with uproot.update(tmp_path / name) as file:
            file["more"] = "text"
        with uproot.open(tmp_path / name) as file:
            assert file["more"] == "text"
            assert file["Events"].num_entries == 40


def gaps_of(path: Path) -> tuple[set[int], int]:
    """Lengths of the gaps between the records of a file, and the bytes that are neither gap nor record."""
    with path.open("rb") as stream:
        raw = stream.read()
    (begin, end, free) = struct.unpack(">iii", raw[8:20])
    (key,) = struct.unpack(">h", raw[free + 14 : free + 16])
    entries = list(struct.iter_unpack(">hii", raw[free + key :]))
    gaps = {first: last + 1 - first for _, first, last in entries if last < end}
    at, unknown = begin, 0
    while at < end:
        (length,) = struct.unpack(">i", raw[at : at + 4])
        if at not in gaps and raw[at : at + 10] == bytes(10):
            unknown, length = unknown + 10, 10
        at += gaps.get(at, length)
    assert at == end
    return set(gaps.values()), unknown


@pytest.mark.parametrize(("seed", "gap", "left_over"), [(1243, 1, 0), (1238, None, 10)])
def test_gaps_too_short_for_their_length_and_what_shorter_lists_of_gaps_leave(
    tmp_path: Path, seed: int, gap: int | None, left_over: int
) -> None:
    """Lengths of records decide what is left between them; these came of random ones."""
    random, path = np.random.default_rng(seed), tmp_path / "a.root"
    events, most = int(random.integers(1, 60)), int(random.integers(1, 12))
    rows = []
    with RootWriter(path, Process("Sim"), undated=True, compression="none" if seed % 2 else "zstd") as writer:
        for number in range(events):
            rows.append(random.integers(0, 5, int(random.integers(0, most))))
            meta = {"scheme": "larmlreco" if random.random() < 0.9 else f"s{number}"}
            writer.write((1, 1, number + 1), {KEY: TrueLabels(label=rows[-1], meta=meta)})
    lengths, unknown = gaps_of(path)
    assert gap is None or gap in lengths
    assert unknown == left_over
    reader = open_file(str(path))
    for number, expected in enumerate(rows):
        labels = reader.read(number, KEY)
        assert isinstance(labels, TrueLabels)
        assert np.array_equal(labels.label, expected)
    reader.close()


def test_a_file_whose_records_are_not_understood_stays_as_it_is(tmp_path: Path) -> None:
    raw = bytearray(write(tmp_path / "a.root", False))
    (begin,) = struct.unpack(">i", raw[8:12])
    raw[begin : begin + 4] = struct.pack(">i", 0)
    (tmp_path / "a.root").write_bytes(raw)
    with pytest.raises(ValueError, match=f"no record begins at byte {begin}: a length of 0"):
        remove_dates(tmp_path / "a.root")
    assert (tmp_path / "a.root").read_bytes() == raw


def test_a_file_that_ends_early_is_not_understood(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.root", False)
    (end,) = struct.unpack(">i", raw[12:16])
    (tmp_path / "a.root").write_bytes(raw[: end // 2])
    with pytest.raises(ValueError, match="the file has no"):
        remove_dates(tmp_path / "a.root")


def test_root_reads_a_file_without_dates(tmp_path: Path) -> None:
    root = pytest.importorskip("ROOT")
    write(tmp_path / "a.root", True)
    file = root.TFile.Open(str(tmp_path / "a.root"))
    assert not file.IsZombie()
    assert not file.TestBit(root.TFile.kRecovered)
    assert file.Get("Events").GetEntries() == 40
    file.Close()
