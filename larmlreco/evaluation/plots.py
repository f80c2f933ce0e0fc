"""Plots of an evaluation: curves, confusion, scans. Each is written as PNG and PDF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from larmlreco.display.palette import class_colours
from larmlreco.errors import OutputError
from larmlreco.metrics.flow import CURVE, PUBLISHED, TARGETS

AXES = {
    "energy": "kinetic energy of the particle (MeV)",
    "opening_angle": "smallest angle between two primaries (degrees)",
    "border": "distance to the border of the image ({cells})",
    "gain": "factor on the charge",
    "tile": "edge of the tiles that the network sees ({cells}; whole image at the right)",
}
"""Axis titles by variable; ``cells`` are pixels or voxels."""

_LOGARITHMIC = ("energy", "border")
_FORMATS = ("png", "pdf")


def draw_curves(curves: Mapping[str, Any], variable: str, cells: str, stem: Path) -> list[Path]:
    """Wrong part of each class in bins of a variable (:meth:`larmlreco.metrics.curves.CurveSet.summary`).

    ``cells``: what they are parts of, pixels or voxels.
    """
    figure, ax = _figure()
    names = [name for name in curves if name != "all"]
    colours = dict(zip(names, class_colours(tuple(names)), strict=True))
    for name in ["all", *names]:
        curve = curves[name]
        edges = np.array(curve["edges"])
        value, error = (np.array([np.nan if v is None else v for v in curve[k]], float) for k in ("value", "error"))
        logarithmic = variable in _LOGARITHMIC
        middle = np.sqrt(np.maximum(edges[:-1], 1) * edges[1:]) if logarithmic else (edges[:-1] + edges[1:]) / 2
        filled = np.isfinite(value)
        spread = np.vstack([middle - np.maximum(edges[:-1], edges[1] / 4 if logarithmic else 0), edges[1:] - middle])
        ax.errorbar(
            middle[filled],
            100 * value[filled],
            yerr=100 * np.nan_to_num(error[filled]),
            xerr=np.maximum(spread[:, filled], 0),
            fmt="o",
            markersize=4,
            linewidth=1.2,
            color=colours.get(name, "black"),
            label=name,
        )
    if variable in _LOGARITHMIC:
        ax.set_xscale("log")
    return _finish(figure, ax, AXES[variable].format(cells=cells), f"wrong {cells} (%)", stem)


def draw_scan(
    points: Sequence[Mapping[str, Any]], name: str, label: str, key: str, cells: str, stem: Path
) -> list[Path]:
    """ICPF and class error rates, as the mean over events, against what was varied.

    ``points``: ``{"value", "results"}``; ``label`` names the evaluator and ``key`` the instance of its results;
    ``cells``: pixels or voxels.
    """
    figure, ax = _figure()
    two = [point["results"][label][key]["track_shower"] for point in points]
    at = np.array([point["value"] for point in points], dtype=float)
    if name == "tile":
        at[at == 0] = 2 * max(at.max(), 1)
        ax.set_xscale("log", base=2)
    series = {"ICPF": [t["icpf"] for t in two]}
    series.update({f"{c} error rate": [t["error_rates"][c] for t in two] for c in two[0]["class_names"]})
    for (title, values), colour in zip(series.items(), ("black", *class_colours(("track", "shower"))), strict=True):
        mean, error = ([np.nan if v[k] is None else 100 * v[k] for v in values] for k in ("mean", "error"))
        ax.errorbar(at, mean, yerr=np.nan_to_num(error), fmt="o-", markersize=4, color=colour, label=title)
    return _finish(figure, ax, AXES[name].format(cells=cells), f"wrong {cells}, mean over events (%)", stem)


def draw_confusion(summary: Mapping[str, Any], stem: Path) -> list[Path]:
    """Confusion matrix in per cent of each true class (:meth:`larmlreco.metrics.semantic.SemanticMetrics.summary`)."""
    names = summary["class_names"]
    counts = np.array(summary["confusion"], dtype=float)[:, : len(names)]
    part = 100 * counts / np.maximum(np.array(summary["confusion"], dtype=float).sum(axis=1, keepdims=True), 1)
    figure, ax = _figure(5.2, 4.6)
    ax.imshow(part, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*part.shape):
        value = part[row, column]
        ax.text(column, row, f"{value:.1f}", ha="center", va="center", color="white" if value > 55 else "black")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("found")
    ax.set_ylabel("true")
    return _save(figure, stem)


def draw_partners(curves: Mapping[str, Sequence[float]], stem: Path) -> list[Path]:
    """Part of the pixels whose partner is found within so many wires, by title, beside the published and the targets.

    ``curves``: those of :meth:`larmlreco.metrics.flow.FlowMetrics.summary`.
    """
    figure, ax = _figure()
    for title, parts in curves.items():
        ax.plot(range(len(parts)), 100 * np.array(parts, dtype=float), marker="o", markersize=3, label=title)
    for title, points, style in (("published, Y to U", PUBLISHED, "ks"), ("target", TARGETS, "k_")):
        ax.plot(list(points), [100 * part for part in points.values()], style, markersize=7, label=title)
    ax.set_xticks(range(0, CURVE + 1, 2))
    return _finish(figure, ax, "distance from the true wire at most (wires)", "pixels (%)", stem)


def draw_ghosts(points: Mapping[str, Mapping[str, Any]], stem: Path) -> list[Path]:
    """Ghosts against completeness at several least scores, by title, beside the target.

    ``points``: figures of :meth:`larmlreco.metrics.points.PointMetrics.summary`.
    """
    figure, ax = _figure()
    for title, found in points.items():
        x, y = (
            [np.nan if r["value"] is None else 100 * r["value"] for r in found[k]] for k in ("completeness", "ghosts")
        )
        ax.plot(x, y, marker="o", markersize=3, label=title)
    ax.plot([95], [5], "k_", markersize=9, label="target: at most this")
    return _finish(
        figure, ax, "true charge within 1 cm of a point (%)", "points without true charge within 1 cm (%)", stem
    )


def draw_distances(points: Mapping[str, Mapping[str, Any]], stem: Path) -> list[Path]:
    """Part of the points nearer to true charge than a distance, by title; arguments as of :func:`draw_ghosts`."""
    figure, ax = _figure()
    for title, found in points.items():
        at = 10 * np.array(found["curve_cm"], dtype=float)
        ax.plot(at, 100 * np.array(found["curve"], dtype=float), label=title)
    ax.plot([3], [50], "k_", markersize=9, label="target: at least this")
    return _finish(figure, ax, "distance to the nearest true charge (mm)", "points (%)", stem)


def draw_infill_curves(curves: Mapping[str, Any], stem: Path) -> list[Path]:
    """Precision and recall of infill against the least probability (:meth:`larmlreco.metrics.infill.InfillMetrics`).

    Full lines: the right site; dashed: a site within one of it.
    """
    names = [name for name in ("all", "narrow", "narrow track", "short gap", "shower") if name in curves]
    figure = Figure(figsize=(4.2 * 2, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for ax, key in zip(figure.subplots(1, 2, sharey=True), ("precision", "recall"), strict=True):
        for number, name in enumerate(names):
            curve = curves[name]
            for suffix, style in (("", "-"), ("_near", "--")):
                values = np.array([np.nan if v is None else 100 * v for v in curve[key + suffix]], dtype=float)
                label = None if suffix else name
                ax.plot(curve["threshold"], values, style, color=f"C{number}", linewidth=1.4, label=label)
        ax.axhline(90, color="grey", linewidth=0.8, linestyle=":")
        ax.set_xlabel("least probability")
        ax.set_ylabel(f"{key} (%)")
        ax.set_ylim(0, 102)
        ax.grid(alpha=0.3)
        if names:
            ax.legend(frameon=False, loc="lower right" if key == "precision" else "lower left")
    return _save(figure, stem)


def draw_infill_rows(rows: Mapping[str, Any], unit: str, stem: Path) -> list[Path]:
    """Found against true sites in the hidden regions of events, and energies (``unit``) in those of tracks."""
    figure = Figure(figsize=(4.2 * 2, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    titles = {"sites": "sites in the hidden regions of an event", "energy": f"in the hidden part of a track ({unit})"}
    for ax, (key, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        true, found = np.array(rows[key], dtype=float).reshape(-1, 2).T
        top = 1.2 * max(true.max(initial=1), found.max(initial=1))
        low = 0.8 * min([top, *true[true > 0], *found[found > 0]])
        ax.plot([low, top], [low, top], color="grey", linewidth=0.8)
        ax.scatter(np.maximum(true, low), np.maximum(found, low), s=7, alpha=0.5, linewidths=0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(low, top)
        ax.set_ylim(low, top)
        ax.set_xlabel(f"true {title}")
        ax.set_ylabel("found")
        ax.grid(alpha=0.3)
    return _save(figure, stem)


def draw_bins(
    series: Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, Any]]]], x: str, y: str, stem: Path
) -> list[Path]:
    """Ratios in per cent with errors at places on the x axis, by title; bins without entries are left out."""
    figure, ax = _figure()
    for title, (at, bins) in series.items():
        filled = [(a, b) for a, b in zip(at, bins, strict=True) if b["events"] and np.isfinite(b["value"] or np.nan)]
        value = [100 * b["value"] for _, b in filled]
        error = [100 * np.nan_to_num(b["error"] or 0.0) for _, b in filled]
        ax.errorbar([a for a, _ in filled], value, yerr=error, fmt="o-", markersize=4, linewidth=1.0, label=title)
    return _finish(figure, ax, x, y, stem)


def draw_spectrum(pairs: Sequence[Sequence[float]], stem: Path) -> list[Path]:
    """Energies of matched Michel electrons: true ionisation, found, true at birth, found with photons (MeV)."""
    figure, ax = _figure()
    values = np.array(pairs, dtype=float).reshape(-1, 4)
    for column, title, style in (
        (0, "true ionisation", "--"),
        (1, "found", "-"),
        (2, "true at birth", "--"),
        (3, "found with photons", "-"),
    ):
        inside = values[np.isfinite(values[:, column]), column]
        colour = "C0" if column < 2 else "C1"
        ax.hist(inside, bins=list(range(0, 66, 4)), histtype="step", linestyle=style, color=colour, label=title)
    ax.margins(y=0.4)  # room for the legend
    return _finish(figure, ax, "energy (MeV)", "Michel electrons", stem)


def _figure(width: float = 6.4, height: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(figure: Figure, ax: Axes, x: str, y: str, stem: Path) -> list[Path]:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return _save(figure, stem)


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in _FORMATS]
    try:
        for path in paths:
            # without dates the same figures give the same bytes
            metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
            figure.savefig(path, metadata=metadata)
    except OSError as error:
        raise OutputError(f"cannot write {stem}: {error.strerror or error}") from error
    return paths
