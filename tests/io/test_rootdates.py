"""Files of the same content are the same bytes, and remain what ROOT files are."""

import time
from pathlib import Path

import numpy as np
import pytest
import uproot

from larmlreco.io import open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_writer import RootWriter
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


def test_root_reads_a_file_without_dates(tmp_path: Path) -> None:
    root = pytest.importorskip("ROOT")
    write(tmp_path / "a.root", True)
    file = root.TFile.Open(str(tmp_path / "a.root"))
    assert not file.IsZombie()
    assert not file.TestBit(root.TFile.kRecovered)
    assert file.Get("Events").GetEntries() == 40
    file.Close()
