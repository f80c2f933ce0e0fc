"""The tables and pictures of infill on the page of evaluations."""

from pathlib import Path

import numpy as np

from larmlreco.evaluation.infill import infill_figures
from larmlreco.evaluation.page import write_page
from larmlreco.evaluation.record import Evaluation
from larmlreco.metrics.infill import HiddenImage, InfillMetrics


def metrics(events: int) -> InfillMetrics:
    found = InfillMetrics(10, 0.5)
    sites = np.column_stack([np.arange(40), np.arange(40)])
    hidden = (sites[:, 0] >= 20) & (sites[:, 0] < 25)
    for _ in range(events):
        image = HiddenImage(
            sites=sites,
            energy=np.full(40, 2.0),
            track=np.ones(40, dtype=np.int64),
            cluster=np.zeros(40, dtype=np.int64),
            width=np.where(hidden, 5, 0),
            found=sites[20:25],
            probability=np.array([0.9, 0.9, 0.9, 0.9, 0.2]),
            found_energy=np.full(5, 2.5),
            found_width=np.full(5, 5),
        )
        found.add(image)
    return found


def evaluation(events: int) -> Evaluation:
    rows = {"sites": [[5, 4]] * events, "energy": [[10.0, 10.0]] * events}
    results = {"evaluation": {"Y": {**metrics(events).summary(), "rows": rows}}}
    return Evaluation("test sample" if events else "nothing", "f.fcl", ("a.root",), events, results, {}, {}, {}, 100.0)


def test_infill_has_its_tables_and_pictures(tmp_path: Path) -> None:
    evaluation(2).save(tmp_path / "some")
    evaluation(0).save(tmp_path / "none")
    write_page([tmp_path / "some", tmp_path / "none"], tmp_path / "good.md")
    text = (tmp_path / "good.md").read_text()
    assert "## Infill of dead regions" in text
    assert "| test sample, Y | all | 10 | 0.5 | 100.00 ± 0.00 | 80.00 ± 0.00 |" in text
    assert "| 100.0 | 100.0 | 125.00 ± 0.00 | 100.00 ± 0.00 | 90.00 ± 0.00 |" in text
    assert "| test sample, Y | narrow | 2 | 0.00 ± 0.00 | 0.00 ± 0.00 | 2 |" in text
    assert "## Wire planes" not in text
    drawn = sorted(path.name for path in (tmp_path / "good").glob("*.png"))
    assert drawn == [f"infill_{sample}__y{what}.png" for sample in ("nothing", "test_sample") for what in ("", "_rows")]


def test_other_figures_are_no_infill() -> None:
    other = Evaluation("s", "f.fcl", (), 0, {"evaluation": {"pixels": {"curves": 1}, "events": 3}})
    assert infill_figures(other) == {}
