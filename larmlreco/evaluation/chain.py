"""Tables of the whole chain on the page "How good is it": a row a stage that was replaced by the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

from larmlreco.evaluation.markdown import ratio, table
from larmlreco.evaluation.record import Evaluation
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.metrics.particles import MEASURES, RATIOS

_GROUPS = ("track", "shower", "delta", "Michel")
_ABSOLUTE = ("start_distance", "angle")


def chain_figures(evaluation: Evaluation) -> Mapping[str, Mapping[str, Any]]:
    """Figures of ``clusters``, ``michels`` and ``particles``, of ``pixels`` and ``voxels`` where they are there.

    Empty for an evaluation without particles.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for values in evaluation.results.values():
        if "pixels" in values:
            found["pixels" if len(values) > 2 else "voxels"] = values["pixels"]
            continue
        figures = next((v for v in values.values() if isinstance(v, Mapping)), {})
        for name, key in (("clusters", "by_multiplicity"), ("michels", "figures"), ("particles", "MIP")):
            if key in figures:
                found.setdefault(name, figures)
    return found if "particles" in found else {}


def chain_blocks(evaluations: Sequence[tuple[str, Evaluation]]) -> list[str]:
    """Tables of titled evaluations."""
    found = {name: chain_figures(evaluation) for name, evaluation in evaluations}
    return [_stages(found, dict(evaluations)), _particles(found), _measures(found), _times(evaluations)]


def _stages(found: Mapping[str, Mapping[str, Any]], evaluations: Mapping[str, Evaluation]) -> str:
    rows = []
    for name, figures in found.items():
        row = [name, str(evaluations[name].events)]
        for where in ("pixels", "voxels"):
            row.append(ratio(figures[where]["five_classes"]["accuracy"]) if where in figures else "-")
        classes = figures["clusters"]["classes"] if "clusters" in figures else {}
        for group in _GROUPS:
            both = [ratio(classes[group][part], 1) for part in ("purity", "efficiency")] if group in classes else ["-"]
            row.append(" / ".join(both))
        michels = figures["michels"]["figures"]["all"] if "michels" in figures else {}
        row += [ratio(michels[part], 1) if michels else "-" for part in ("id_efficiency", "id_purity")]
        rows.append(row)
    head = ["", "events", "pixels right", "voxels right", *(f"{g}: purity / efficiency of clusters" for g in _GROUPS)]
    head += ["Michels found", "of those found true"]
    return "### What each stage loses (%)\n\n" + table(head, rows)


def _particles(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, figures in found.items():
        for kind in SEMANTIC_NAMES:
            values = figures["particles"][kind]
            counts = f"{values['found']['count']:.0f}"
            rows.append([name, kind, counts, *(ratio(values[part], 1) if part in values else "-" for part in RATIOS)])
    head = ["", "true class", "true clusters", "found", "found of the long ones", "right class", "pure", "start right"]
    head.append("start right where sure")
    return "### Particles (%)\n\n" + table(head, rows)


def _measures(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, figures in found.items():
        for kind in SEMANTIC_NAMES:
            rows.append([name, kind, *(_measure(figures["particles"][kind][m], m) for m in MEASURES)])
    head = ["", "true class", "energy (%)", "energy of the charge (%)", "length (%)", "start (cm)", "direction (deg)"]
    return (
        "### Measures of particles\n\nMedian ± its error, half of the width of 68 % of all, and number of pairs; "
        "energies and lengths relative to the truth.\n\n" + table(head, rows)
    )


def _measure(values: Mapping[str, Any], measure: str) -> str:
    if not values["pairs"]:
        return "-"
    factor = 1 if measure in _ABSOLUTE else 100
    median, error, width = (factor * values[part] for part in ("median", "error", "width"))
    return f"{median:.1f} ± {error:.1f}, {width:.1f} ({values['pairs']})"


def _times(evaluations: Sequence[tuple[str, Evaluation]]) -> str:
    labels = list(dict.fromkeys(label for _, e in evaluations for label in e.milliseconds))
    rows = [
        [label, *(f"{e.milliseconds[label]:.0f}" if label in e.milliseconds else "-" for _, e in evaluations)]
        for label in labels
    ]
    rows.append(["peak of the job (MB)", *(f"{e.peak_rss_mb:.0f}" for _, e in evaluations)])
    return "### Time of the modules (ms an event) and memory\n\n" + table(["", *(n for n, _ in evaluations)], rows)
