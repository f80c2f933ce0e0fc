"""Histograms and tables of modules; counts against numpy's."""

import numpy as np
import pytest

from larmlreco.errors import LarmlrecoError
from larmlreco.framework.histograms import HistogramDirectory


def test_counts_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=500), rng.uniform(size=500)
    histogram = HistogramDirectory("m").histogram1d("x", "a title", 20, -2, 2)
    histogram.fill(x[:100], weight=w[:100])
    histogram.fill(x[100:], weight=w[100:])
    inside, edges = np.histogram(x, 20, (-2, 2), weights=w)
    np.testing.assert_allclose(histogram.values[1:-1], inside)
    np.testing.assert_allclose(histogram.edges[0], edges)
    np.testing.assert_allclose(histogram.values[[0, -1]], [w[x < -2].sum(), w[x >= 2].sum()])
    np.testing.assert_allclose(histogram.variances.sum(), (w**2).sum())
    assert histogram.entries == 500


def test_two_dimensions() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(size=(2, 300))
    histogram = HistogramDirectory("m").histogram2d("xy", "", (4, 0, 1), (3, 0, 1))
    histogram.fill(x, y)
    np.testing.assert_array_equal(histogram.values[1:-1, 1:-1], np.histogram2d(x, y, (4, 3), ((0, 1), (0, 1)))[0])


def test_edges_and_what_is_no_number() -> None:
    histogram = HistogramDirectory("m").histogram1d("x", "", 2, 0, 2)
    histogram.fill([0.0, 1.0, 2.0, -1e-9, np.nan, np.inf])
    assert histogram.values.tolist() == [1, 1, 1, 3]
    histogram.fill([])
    histogram.fill(0.5)
    assert histogram.entries == 7


def test_tables_collect_rows() -> None:
    table = HistogramDirectory("m").table("rows", {"n": "i4", "e": "f8"})
    assert table.arrays()["n"].dtype == np.int32
    table.fill(n=[1, 2], e=0.5)
    table.fill(n=3, e=[1.5])
    assert {k: v.tolist() for k, v in table.arrays().items()} == {"n": [1, 2, 3], "e": [0.5, 0.5, 1.5]}
    with pytest.raises(ValueError, match="table 'rows' has the columns n, e; got n"):
        table.fill(n=1)


def test_refusals() -> None:
    directory = HistogramDirectory("m")
    directory.histogram1d("x", "", 2, 0, 2)
    with pytest.raises(LarmlrecoError, match="m books 'x' twice in the histogram file"):
        directory.table("x", {})
    with pytest.raises(ValueError, match="histogram 'y' has 0 bins from 0 to 1; expected bins > 0, low < high"):
        directory.histogram1d("y", "", 0, 0, 1)
    with pytest.raises(ValueError, match="histogram 'z' has 1 axes, got 2 values"):
        directory.histogram1d("z", "", 1, 0, 1).fill(1, 2)
