"""Tables and plots of LArFlow on the page "How good is it"."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.evaluation.markdown import percent, ratio, table
from larmlreco.evaluation.plots import draw_distances, draw_ghosts, draw_partners
from larmlreco.evaluation.record import Evaluation
from larmlreco.metrics.flow import DISTANCES, PUBLISHED, TARGETS


def flow_figures(evaluation: Evaluation) -> Mapping[str, Any]:
    """Figures of partners and points of an evaluation, empty where it has none."""
    return next((values for values in evaluation.results.values() if "partners" in values), {})


def flow_blocks(evaluations: Sequence[tuple[str, Evaluation]], pictures: Path) -> list[str]:
    """Tables and plots of titled evaluations beside the published figures; plots go into the folder ``pictures``."""
    found = {name: flow_figures(evaluation) for name, evaluation in evaluations}
    curves = {}
    for name, figures in found.items():
        for key, title in (("all", "all directions"), ("Y2U", "Y to U")):
            if key in figures["partners"]["curves"]:
                curves[f"{name}, {title}"] = figures["partners"]["curves"][key]
    draw_partners(curves, pictures / "larflow_partners")
    draw_ghosts({name: figures["points"] for name, figures in found.items()}, pictures / "larflow_ghosts")
    draw_distances({name: figures["points"] for name, figures in found.items()}, pictures / "larflow_distances")
    return [
        _partners(found),
        _picture(pictures, "larflow_partners", "Partners found within so many wires"),
        _points(found),
        _picture(pictures, "larflow_ghosts", "Ghosts against completeness"),
        _picture(pictures, "larflow_distances", "Distance of points to true charge"),
        _times(evaluations),
    ]


def _picture(pictures: Path, stem: str, title: str) -> str:
    return f"![{title}]({pictures.name}/{stem}.png) ([PDF]({pictures.name}/{stem}.pdf))"


def _partners(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, figures in found.items():
        partners = figures["partners"]
        for key, within in partners["within_wires"].items():
            pixels = f"{within[str(DISTANCES[0])]['count']:,.0f}"
            rows.append([name, key, *(ratio(within[str(d)]) for d in DISTANCES), pixels])
        said = partners["matchability"]
        what = f"efficiency {ratio(said['efficiency'])}, purity {ratio(said['purity'])}"
        rows.append([name, f"matchability: {what}", "", "", "", ""])
    for title, points in (("*published*, Y2U", PUBLISHED), ("*target*, all", TARGETS)):
        rows.append([title, "", *(percent(points[d], digits=0) for d in DISTANCES), ""])
    head = ["sample", "pixels of", *(f"within {d} wires" for d in DISTANCES), "pixels"]
    return "### Partners beside the published (%)\n\n" + table(head, rows)


def _points(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, figures in found.items():
        points = figures["points"]
        distances = [f"{10 * value:.1f}" if value is not None else "-" for value in points["distance_cm"].values()]
        rows.append([name, f"{points['points']:,}", *distances, percent(points["ghosts_at_95_completeness"])])
        parts = list(points["distance_cm"])
    rows.append(["*target*", "", "3", *("" for _ in parts[1:]), "5"])
    head = ["sample", "points", *(f"{part} within (mm)" for part in parts), "ghosts at 95 % completeness (%)"]
    return "### Points against true charge\n\n" + table(head, rows)


def _times(evaluations: Sequence[tuple[str, Evaluation]]) -> str:
    rows = [
        [name, label, f"{value:.0f}", f"{evaluation.peak_rss_mb:.0f}"]
        for name, evaluation in evaluations
        for label, value in evaluation.milliseconds.items()
    ]
    return "### Time and memory\n\n" + table(["sample", "module", "ms an event", "peak of the job (MB)"], rows)
