"""Tables and pictures of infill on the page "How good is it"."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.evaluation.markdown import percent, ratio, table
from larmlreco.evaluation.plots import draw_infill_curves, draw_infill_rows
from larmlreco.evaluation.record import Evaluation

_KEYS = {"groups", "curves", "gaps", "rows"}


def infill_figures(evaluation: Evaluation) -> dict[str, Mapping[str, Any]]:
    """Figures by instance of the evaluators of infill; empty for an evaluation without."""
    return {
        name: figures
        for values in evaluation.results.values()
        for name, figures in values.items()
        if isinstance(figures, Mapping) and figures.keys() >= _KEYS
    }


def infill_blocks(evaluations: Sequence[tuple[str, Evaluation]], pictures: Path) -> list[str]:
    """Tables and pictures of titled evaluations; the pictures go into the folder ``pictures``."""
    sites, gaps, drawn = [], [], []
    for title, evaluation in evaluations:
        for name, figures in infill_figures(evaluation).items():
            label = f"{title}, {name}"
            sites += [[label, group, *_sites(figures["threshold"], f)] for group, f in figures["groups"].items()]
            gaps += [[label, group, *_gaps(f, figures["tracks"][group])] for group, f in figures["gaps"].items()]
            drawn += _pictures(label, evaluation, figures, pictures)
    head = ["sample, image", "sites", "true", "least probability", "precision", "recall", "precision within 1 site"]
    head += ["recall within 1 site", "recall at 90 % precision", "the same within 1 site"]
    head += ["energy of right sites", "energy of all sites", "times their probability"]
    below = ["sample, image", "gaps", "number", "closed", "tracks whole again", "tracks", "energy bias", "resolution"]
    about = (
        "Only sites in regions that were hidden on purpose count; *narrow* are those in regions up to 3 cm wide, and "
        "energies are relative to the true ones. Goals for narrow regions: recall 90 % at precision 90 %, energy "
        "100 ± 5 %. All in %."
    )
    return [about, table(head, sites), "Gaps of tracks, and the energy in the hidden parts of tracks (%):",
            table(below, gaps), *drawn]  # fmt: skip


def _sites(threshold: float, found: Mapping[str, Any]) -> list[str]:
    row = [f"{found['recall']['count']:.0f}", f"{threshold:g}"]
    row += [ratio(found[key]) for key in ("precision", "recall", "precision_near", "recall_near")]
    row += [percent(found[key]["recall"], digits=1) for key in ("at_goal", "at_goal_near")]
    return [*row, *(ratio(found["energy"][key]) for key in ("matched", "all", "expected"))]


def _gaps(found: Mapping[str, Any], tracks: Mapping[str, Any]) -> list[str]:
    row = [f"{found['closed']['count']:.0f}", ratio(found["closed"]), ratio(found["tracks_whole"])]
    bias = percent(tracks["bias"], tracks["error"], 1) if tracks["tracks"] else "-"
    return [*row, str(tracks["tracks"]), bias, percent(tracks["resolution"], digits=1)]


def _pictures(label: str, evaluation: Evaluation, figures: Mapping[str, Any], pictures: Path) -> list[str]:
    stem = pictures / ("infill_" + "".join(c if c.isalnum() else "_" for c in label).lower())
    unit = "MeV" if any(int(card["dimension"]) == 3 for card in evaluation.cards.values()) else "ADC"
    rows = stem.with_name(f"{stem.name}_rows")
    draw_infill_curves(figures["curves"], stem)
    draw_infill_rows(figures["rows"], unit, rows)
    titles = {
        stem: f"{label}: precision and recall against the least probability; dashed: within one site",
        rows: f"{label}: found against true, sites of events and energies of tracks",
    }
    return [f"![{title}]({pictures.name}/{path.name}.png)\n\n*{title}*" for path, title in titles.items()]
