"""Tables and plots of clusters and Michel electrons on the page "How good is it"."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.evaluation.markdown import percent, ratio, table
from larmlreco.evaluation.plots import draw_bins, draw_spectrum
from larmlreco.evaluation.record import Evaluation
from larmlreco.metrics.clustering import FIGURES as CLUSTER_FIGURES
from larmlreco.metrics.michel import FIGURES as MICHEL_FIGURES


def cluster_figures(evaluation: Evaluation) -> dict[str, Any]:
    """Figures of clusters and Michel electrons by evaluator and instance, empty where there are none."""
    return {
        f"{label}, {name}": values
        for label, instances in evaluation.results.items()
        for name, values in instances.items()
        if isinstance(values, dict) and ("by_multiplicity" in values or "efficiency_against_energy" in values)
    }


def cluster_blocks(evaluations: Sequence[tuple[str, Evaluation]], pictures: Path) -> list[str]:
    """Tables and plots of titled evaluations beside the published figures; plots go into the folder ``pictures``."""
    blocks = []
    for number, (title, evaluation) in enumerate(evaluations):
        found = cluster_figures(evaluation)
        clusters = {name: values for name, values in found.items() if "by_multiplicity" in values}
        michels = {name: values for name, values in found.items() if "efficiency_against_energy" in values}
        blocks.append(f"### {title}")
        if clusters:
            blocks += [_clusters(clusters), _cluster_plots(clusters, pictures, f"clusters_{number}")]
        if michels:
            blocks += [_michels(michels), _against(michels, pictures, f"michels_{number}")]
    return blocks


def _clusters(found: Mapping[str, Any]) -> str:
    rows = []
    for label, values in found.items():
        for name, figures in values["classes"].items():
            known = [percent(figures["published"].get(f), digits=1) for f in CLUSTER_FIGURES]
            mine = [ratio(figures[f], 1) for f in CLUSTER_FIGURES]
            rows.append([label, name, *(f"{m} ({k})" for m, k in zip(mine, known, strict=True))])
    return "Clusters, mean over events in per cent (published)\n\n" + table(
        ["clusters", "class", *CLUSTER_FIGURES], rows
    )


def _michels(found: Mapping[str, Any]) -> str:
    rows = []
    for label, values in found.items():
        for cut, figures in values["figures"].items():
            known = [percent(figures["published"].get(f), digits=1) for f in MICHEL_FIGURES]
            mine = [ratio(figures[f], 1) for f in MICHEL_FIGURES]
            rows.append([label, cut, *(f"{m} ({k})" for m, k in zip(mine, known, strict=True))])
    return "Michel electrons, in per cent (published)\n\n" + table(["Michels", "cut", *MICHEL_FIGURES], rows)


def _cluster_plots(found: Mapping[str, Any], pictures: Path, stem: str) -> str:
    """Mean ARI of tracks and showers against the number of true ones and, where it is known, their energy."""
    lines = []
    for name, (key, low, x) in itertools.product(
        ("track", "shower"),
        (
            ("by_multiplicity", "true_clusters_from", "true {}s in the event (at least)"),
            ("by_energy", "energy_from", "energy of true {}s in the event (MeV, at least)"),
        ),
    ):
        series = {
            label: ([b[low] for b in values[key][name]], [b["ari"] for b in values[key][name]])
            for label, values in found.items()
            if name in values.get(key, {})
        }
        if series:
            picture = f"{stem}_{name}_{key}"
            draw_bins(series, x.format(name), f"mean ARI of {name}s (%)", pictures / picture)
            lines.append(_picture(pictures, picture, f"ARI of {name}s {key.replace('_', ' ')}"))
    return "\n".join(lines)


def _against(found: Mapping[str, Any], pictures: Path, stem: str) -> str:
    lines = []
    for key, x, y in (
        ("efficiency_against_energy", "true ionisation energy (MeV)", "ID efficiency (%)"),
        (
            "efficiency_against_opening_angle",
            "angle between the true muon's end and the electron (degrees)",
            "ID efficiency (%)",
        ),
        ("purity_against_energy", "found energy (MeV)", "ID purity (%)"),
        ("purity_against_opening_angle", "angle of muon and electron (degrees)", "ID purity (%)"),
    ):
        series = {}
        for label, values in found.items():
            edges = values[key]["edges"]
            middle = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
            series[label] = (middle, values[key]["bins"])
        draw_bins(series, x, y, pictures / f"{stem}_{key}")
        lines.append(_picture(pictures, f"{stem}_{key}", f"{y} against {x}"))
    for number, (label, values) in enumerate(found.items()):
        draw_spectrum(values["pairs"]["rows"], pictures / f"{stem}_spectrum_{number}")
        lines.append(_picture(pictures, f"{stem}_spectrum_{number}", f"Energy, {label}"))
    return "\n".join(lines)


def _picture(pictures: Path, stem: str, title: str) -> str:
    return f"![{title}]({pictures.name}/{stem}.png)"
