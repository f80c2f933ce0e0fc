"""A picture of an event: a column a plane, a row a layer, then points from three sides; with matplotlib, no display."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from larmlreco.display.clouds import Cloud
from larmlreco.display.palette import UNLABELLED, charge_colours, charge_range, charge_shade
from larmlreco.display.scene import Group, Layer, Marks, PlaneView, Scene

Limits = tuple[float, float]

_PROJECTIONS = (("z", "y"), ("z", "x"), ("x", "y"))  # across and up
_PANEL = (4.9, 3.3)  # all sizes in inches
_GAP = (0.45, 1.05)
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.8, 1.9, 1.05, 0.65
_DPI = 130
_CELLS = (637, 429)  # a screen pixel each, so that a wire is never thinner than one
_MARGIN = 0.03
_MOST_IN_A_LINE, _MOST_IN_A_COLUMN = 8, 18


def draw(scene: Scene, path: Path) -> None:
    """Write the picture; the ending of ``path`` is the format (png, pdf, svg)."""
    rows = [(group, layer) for group in scene.groups for layer in scene.layers if _has_planes(layer, group)]
    columns = max((len(group.planes) for group in scene.groups), default=1)
    n_rows = len(rows) + len(scene.clouds)
    if scene.clouds:
        columns = max(columns, len(_PROJECTIONS))
    width = _LEFT + columns * _PANEL[0] + (columns - 1) * _GAP[0] + _RIGHT
    height = _TOP + n_rows * _PANEL[1] + (n_rows - 1) * _GAP[1] + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    _text(figure, _LEFT, height - 0.42, scene.title, fontsize=17, fontweight="bold")
    _text(figure, width - 0.2, height - 0.42, scene.subtitle, fontsize=11, color="#5b6675", ha="right")
    for i, (group, layer) in enumerate(rows):
        _draw_row(figure, height - _TOP - i * (_PANEL[1] + _GAP[1]), group, layer, scene)
    for i, cloud in enumerate(scene.clouds, start=len(rows)):
        _draw_cloud(figure, height - _TOP - i * (_PANEL[1] + _GAP[1]), cloud)
    figure.savefig(path, format=path.suffix.lstrip(".") or "png")


def _text(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **style)


def _axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    across, up = figure.get_size_inches()
    return figure.add_axes((x / across, y / up, width / across, height / up))


def _has_planes(layer: Layer, group: Group) -> bool:
    return any(plane.name in layer.marks for plane in group.planes)


def _draw_row(figure: Figure, top: float, group: Group, layer: Layer, scene: Scene) -> None:
    """The planes of a group with one layer; ``top`` is the upper edge of the panels above the foot of the figure."""
    title = f"{group.title}: {layer.name}" if group.title else layer.name
    _text(figure, _LEFT, top + 0.12, title, fontsize=12)
    charge = scene.layers[0]
    ticks = _time_limits(group, charge)
    scale = charge_range(layer.charges())
    for i, plane in enumerate(group.planes):
        ax = _axes(figure, _LEFT + i * (_PANEL[0] + _GAP[0]), top - _PANEL[1], *_PANEL)
        _draw_panel(ax, plane, layer, _column_limits(plane, charge), ticks, scale)
        ax.set_ylabel(group.time_title if i == 0 else "")
        right = _LEFT + i * (_PANEL[0] + _GAP[0]) + _PANEL[0]

    if group.x_slope:
        _drift_axis(ax, group)
    if layer.classes:
        _class_legend(figure, right, top, layer)
    else:
        bar = _axes(figure, right + 0.85, top - _PANEL[1], 0.16, _PANEL[1])
        mappable = ScalarMappable(PowerNorm(0.5, *scale, clip=True), ListedColormap(charge_colours() / 255))
        ticks_shown = [t for t in MaxNLocator(7).tick_values(*scale) if scale[0] <= t <= scale[1]]
        figure.colorbar(mappable, cax=bar, label=scene.charge_title, extend="max", ticks=ticks_shown)
        bar.tick_params(labelsize=9)


def _draw_cloud(figure: Figure, top: float, cloud: Cloud) -> None:
    """Points from three sides, by the particle that they belong to, else their class, else their score."""
    named = {paint.name: paint for paint in cloud.paints}
    paint = named.get("clusters", named.get("class", cloud.paints[0]))
    _text(figure, _LEFT, top + 0.12, f"{cloud.name}, by {paint.name}", fontsize=12)
    if paint.classes:
        table = np.array([to_rgb(c) for c in (*paint.class_colours(), UNLABELLED)])
        colours = table[paint.values.astype(np.int64)]
    else:
        part = np.clip((paint.values - paint.low) / (paint.high - paint.low), 0, 1)
        colours = (charge_colours() / 255)[np.round(part * 255).astype(np.intp)]
    right = _LEFT
    for i, (across, up) in enumerate(_PROJECTIONS):
        left = _LEFT + i * (_PANEL[0] + _GAP[0])
        ax = _axes(figure, left, top - _PANEL[1], *_PANEL)
        ax.scatter(getattr(cloud, across), getattr(cloud, up), s=0.5, c=colours, linewidths=0, rasterized=True)
        for axis, set_limits in ((across, ax.set_xlim), (up, ax.set_ylim)):
            if cloud.box is not None and axis != "x":  # x of late and early tracks seems to lie outside
                set_limits(*cloud.box["xyz".index(axis)])
        ax.set_xlabel(f"{across} (cm)" + (" for t0 = 0" if across == "x" else ""))
        title = f"{up} (cm)" + (" for t0 = 0" if up == "x" else "")
        ax.text(0.01, 0.98, title, transform=ax.transAxes, va="top", fontsize=9)  # beside it panels have no room
        ax.tick_params(labelsize=9)
        right = left + _PANEL[0]
    if paint.classes:
        counts = np.bincount(paint.values[paint.values >= 0].astype(np.int64), minlength=len(paint.classes)).tolist()
        _legend(figure, right, top, paint.classes, paint.class_colours(), counts, int((paint.values < 0).sum()))
    else:
        bar = _axes(figure, right + 0.3, top - _PANEL[1], 0.16, _PANEL[1])
        figure.colorbar(
            ScalarMappable(Normalize(paint.low, paint.high), ListedColormap(charge_colours() / 255)), cax=bar
        )


def _drift_axis(ax: Axes, group: Group) -> None:
    def to_x(tick: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return group.x_at_0 + group.x_slope * np.asarray(tick, dtype=np.float64)

    def to_tick(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return (np.asarray(x, dtype=np.float64) - group.x_at_0) / group.x_slope

    axis = ax.secondary_yaxis("right", functions=(to_x, to_tick))
    axis.set_ylabel("x (cm) for t0 = 0")
    axis.tick_params(labelsize=9)


def _class_legend(figure: Figure, right: float, top: float, layer: Layer) -> None:
    if len(layer.classes) <= _MOST_IN_A_LINE:  # names of particles stand beside their voxels
        _legend(figure, right, top, layer.classes, layer.class_colours(), layer.counts(), layer.unlabelled())


def _legend(
    figure: Figure,
    right: float,
    top: float,
    classes: tuple[str, ...],
    colours: tuple[str, ...],
    counts: list[int],
    unlabelled: int,
) -> None:
    """The classes with their numbers; of many only the first ones, to the right of the panels."""
    if len(classes) > _MOST_IN_A_LINE:
        _column_legend(figure, right, top, classes, colours)
        return
    entries = zip(classes, colours, counts, strict=True)
    handles = [Patch(facecolor=colour, label=f"{name} ({count})") for name, colour, count in entries]
    if unlabelled:
        handles.append(Patch(facecolor=UNLABELLED, label=f"no class ({unlabelled})"))
    width, height = figure.get_size_inches()
    at = (right / width, (top + 0.03) / height)
    figure.legend(handles=handles, loc="lower right", bbox_to_anchor=at, ncols=len(handles), frameon=False, fontsize=11)


def _column_legend(
    figure: Figure, right: float, top: float, classes: tuple[str, ...], colours: tuple[str, ...]
) -> None:
    handles = [Patch(facecolor=c, label=n) for n, c in list(zip(classes, colours, strict=True))[:_MOST_IN_A_COLUMN]]
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((right + 0.05) / width, (top + 0.15) / height),
        frameon=False,
        fontsize=6.8,
        handlelength=1.0,
        labelspacing=0.35,
    )


def _draw_panel(ax: Axes, plane: PlaneView, layer: Layer, wires: Limits, ticks: Limits, scale: Limits) -> None:
    marks = layer.marks.get(plane.name)
    ax.set_xlim(*wires)
    ax.set_ylim(*ticks)
    ax.set_xlabel(plane.column_title)
    ax.tick_params(labelsize=9)
    if marks is None or not len(marks):
        ax.text(0.5, 0.5, "nothing here", transform=ax.transAxes, ha="center", va="center", color="#777777")
        return
    colours = _mark_colours(marks, layer, scale)
    # of marks that fall on one cell the one with more charge is seen, and one with a class before one without
    order = np.lexsort((marks.charge, marks.label >= 0)) if layer.classes else np.argsort(marks.charge, kind="stable")
    image = np.full((_CELLS[1], _CELLS[0], 3), 255, dtype=np.uint8)
    _paint(image, marks, colours, order, wires, ticks)
    ax.imshow(image, extent=(*wires, *ticks), origin="lower", aspect="auto", interpolation="nearest")


def _mark_colours(marks: Marks, layer: Layer, scale: Limits) -> npt.NDArray[np.uint8]:
    if not layer.classes:
        table = charge_colours()
        shade = np.round(charge_shade(marks.charge, *scale) * (len(table) - 1)).astype(np.intp)
        return np.asarray(table[shade])
    table = np.array([to_rgb(c) for c in (*layer.class_colours(), UNLABELLED)])
    return np.asarray(np.round(table[marks.label] * 255), dtype=np.uint8)


def _paint(
    image: npt.NDArray[np.uint8],
    marks: Marks,
    colours: npt.NDArray[np.uint8],
    order: npt.NDArray[np.intp],
    wires: Limits,
    ticks: Limits,
) -> None:
    """Fill the cells that the rectangles touch, in order, the last one seen."""
    height, width, _ = image.shape
    left, right = _cells(marks.column[order], marks.column[order] + 1, wires, width)
    bottom, top = _cells(marks.low[order], marks.high[order], ticks, height)
    across, up = np.maximum(right - left, 0), np.maximum(top - bottom, 0)
    mark = np.repeat(np.arange(len(order)), across * up)
    within = np.arange(len(mark)) - np.repeat(np.cumsum(across * up) - across * up, across * up)
    image[bottom[mark] + within // across[mark], left[mark] + within % across[mark]] = colours[order[mark]]


def _cells(
    low: npt.NDArray[np.number], high: npt.NDArray[np.number], limits: Limits, n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and one past the last cell of intervals, at least one cell each, cut at the border."""
    scale = n / (limits[1] - limits[0])
    first = np.floor((low - limits[0]) * scale + 1e-6).astype(np.int64)
    last = np.maximum(np.ceil((high - limits[0]) * scale - 1e-6).astype(np.int64), first + 1)
    return np.clip(first, 0, n), np.clip(last, 0, n)


def _time_limits(group: Group, charge: Layer) -> Limits:
    marks = [charge.marks[p.name] for p in group.planes if len(charge.marks.get(p.name, ()))]
    longest = max(p.n_ticks for p in group.planes)
    if not marks:
        return 0.0, float(longest)
    return _widened(min(float(m.low.min()) for m in marks), max(float(m.high.max()) for m in marks), longest)


def _column_limits(plane: PlaneView, charge: Layer) -> Limits:
    marks = charge.marks.get(plane.name)
    if marks is None or not len(marks):
        return 0.0, float(plane.n_columns)
    return _widened(float(marks.column.min()), float(marks.column.max()) + 1, plane.n_columns)


def _widened(low: float, high: float, whole: int) -> Limits:
    margin = max(_MARGIN * (high - low), 10.0)
    return max(low - margin, 0.0), min(high + margin, float(whole))
