"""The histogram file of a job, read by uproot and by ROOT."""

from pathlib import Path

import numpy as np
import pytest
import uproot

from larmlreco.errors import OutputError
from larmlreco.framework.histograms import Histogram, HistogramDirectory
from larmlreco.io.histograms import write_histograms


def filled(rng: np.random.Generator) -> tuple[HistogramDirectory, dict[str, np.ndarray]]:
    directory = HistogramDirectory("maker")
    x, y, weight = rng.normal(size=500), rng.normal(2, 1, size=500), rng.random(500)
    directory.histogram1d("one", "charge;ADC", 10, -2, 2).fill(x, weight=weight)
    directory.histogram2d("two", "plane", (4, -1, 1), (6, 0, 3)).fill(x, y)
    directory.table("rows", {"run": "i4", "energy": "f8"}).fill(run=np.arange(5), energy=np.arange(5) / 3)
    directory.table("none", {"n": "i8"})
    return directory, {"x": x, "y": y, "weight": weight}


def test_histograms_and_tables(tmp_path: Path) -> None:
    directory, data = filled(np.random.default_rng(0))
    write_histograms(tmp_path / "h.root", {"maker": list(directory.contents.values())}, complete=True)
    assert [p.name for p in tmp_path.iterdir()] == ["h.root"]
    file = uproot.open(tmp_path / "h.root")
    one, two = file["maker/one"], file["maker/two"]
    expected = np.histogram(data["x"], 10, (-2, 2), weights=data["weight"])
    np.testing.assert_allclose(one.values(), expected[0])
    np.testing.assert_allclose(one.axis().edges(), expected[1])
    np.testing.assert_allclose(one.values(flow=True)[0], data["weight"][data["x"] < -2].sum())
    np.testing.assert_allclose(one.variances(), np.histogram(data["x"], 10, (-2, 2), weights=data["weight"] ** 2)[0])
    np.testing.assert_allclose(two.values(), np.histogram2d(data["x"], data["y"], (4, 6), ((-1, 1), (0, 3)))[0])
    assert one.member("fTitle") == "charge;ADC"
    assert file["maker/rows"].arrays(library="np")["energy"].tolist() == (np.arange(5) / 3).tolist()
    assert file["maker/none"].num_entries == 0


def test_root_reads_them(tmp_path: Path) -> None:
    root = pytest.importorskip("ROOT")
    directory, data = filled(np.random.default_rng(1))
    write_histograms(tmp_path / "h.root", {"maker": list(directory.contents.values())}, complete=True)
    file = root.TFile.Open(str(tmp_path / "h.root"))
    one, two = file.Get("maker/one"), file.Get("maker/two")
    x, y = data["x"], data["y"]
    reference = root.TH1D("reference", "", 10, -2, 2)
    reference.Sumw2()
    plane = root.TH2D("plane", "", 4, -1, 1, 6, 0, 3)
    for i in range(len(x)):
        reference.Fill(x[i], data["weight"][i])
        plane.Fill(x[i], y[i])
    assert one.GetEntries() == two.GetEntries() == 500
    for i in range(12):
        assert one.GetBinContent(i) == pytest.approx(reference.GetBinContent(i))
        assert one.GetBinError(i) == pytest.approx(reference.GetBinError(i))
    for i in range(6):
        for j in range(8):
            assert two.GetBinContent(i, j) == plane.GetBinContent(i, j)
    assert one.Integral() == pytest.approx(reference.Integral())
    assert one.GetMean() == pytest.approx(reference.GetMean(), abs=0.05)  # the middles of the bins
    assert two.GetStdDev(2) == pytest.approx(plane.GetStdDev(2), abs=0.05)
    file.Close()


def test_incomplete_and_refused(tmp_path: Path) -> None:
    contents = {"maker": [Histogram("one", "", [(2, 0.0, 1.0)])]}
    write_histograms(tmp_path / "h.root", contents, complete=False)
    assert [p.name for p in tmp_path.iterdir()] == ["h.root.partial"]
    with pytest.raises(OutputError, match=r"output .*no/h\.root: directory .*/no does not exist; make it first"):
        write_histograms(tmp_path / "no" / "h.root", contents, complete=True)
