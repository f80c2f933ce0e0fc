"""What is to be drawn of an event, free of any drawing library: planes, and layers of rectangles on them.

A product type gets drawn by a function that turns it into layers, listed in ``LAYERS``; pictures and pages draw
whatever layers there are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from larmlreco.display.clouds import Cloud, clouds_of
from larmlreco.display.palette import class_colours
from larmlreco.display.particles import particle_hits, voxel_clouds
from larmlreco.errors import ConfigurationError, InputError, valid_choices
from larmlreco.geometry import Detector, ReadoutPlane, detector, detector_names
from larmlreco.images import images_of_hits, images_of_wires, readout_plane_of
from larmlreco.io import Reader
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    FlowPoints,
    Hits,
    Pixels,
    Product,
    ProductKey,
    SemanticScores,
    TrueLabels,
    TrueParticles,
    TrueSteps,
    Voxels,
    Wires,
)
from larmlreco.truth.pixels import pixel_labels

P = TypeVar("P", bound=Product)


@dataclass(frozen=True)
class Marks:
    """Rectangles on a plane, all (N,): column, first and last tick, charge (ADC), class (-1: none)."""

    column: npt.NDArray[np.int32]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    charge: npt.NDArray[np.float32]
    label: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.column)


@dataclass(frozen=True)
class Layer:
    """Something drawn on all planes: charge, or classes if it has ``classes``; ``marks`` by plane name.

    An ``outline`` layer can also be drawn as frames upon another one. ``colours`` of the classes where these are not
    those of :mod:`larmlreco.display.palette`.
    """

    name: str
    marks: Mapping[str, Marks]
    classes: tuple[str, ...] = ()
    outline: bool = False
    colours: tuple[str, ...] = ()

    def class_colours(self) -> tuple[str, ...]:
        """A colour a class."""
        return self.colours or tuple(class_colours(self.classes))

    def charges(self) -> npt.NDArray[np.float32]:
        """Charge of all marks."""
        return np.concatenate([np.zeros(0, np.float32), *(m.charge for m in self.marks.values())])

    def unlabelled(self) -> int:
        """Marks without a class."""
        return sum(int((m.label < 0).sum()) for m in self.marks.values())

    def counts(self) -> list[int]:
        """Marks of every class; nothing for a layer of charge."""
        labels = [m.label[m.label >= 0] for m in self.marks.values()]
        counts = np.bincount(np.concatenate([np.zeros(0, np.int32), *labels]), minlength=len(self.classes))
        return [int(n) for n in counts]


@dataclass(frozen=True)
class PlaneView:
    """A plane to draw on: its columns, and the ticks [0, ``n_ticks``) of its time axis."""

    name: str
    title: str
    column_title: str
    n_columns: int
    n_ticks: int


@dataclass(frozen=True)
class Group:
    """Planes that see one drift volume and share a time axis; x in cm (t0 = 0) = ``x_at_0`` + ``x_slope`` * tick.

    The slope is 0 where the detector is not known.
    """

    title: str
    planes: tuple[PlaneView, ...]
    time_title: str
    x_at_0: float = 0.0
    x_slope: float = 0.0


@dataclass(frozen=True)
class Scene:
    """An event to draw."""

    title: str
    subtitle: str
    groups: tuple[Group, ...]
    layers: tuple[Layer, ...]
    clouds: tuple[Cloud, ...] = ()
    charge_title: str = "charge"


@dataclass(frozen=True)
class Image:
    """Pixels to draw: on which plane, and the product's branch ("" for pixels that were made to be drawn)."""

    pixels: Pixels
    branch: str
    plane: ReadoutPlane | None


@dataclass(frozen=True)
class EventProducts:
    """The products of one event, and the images chosen from them."""

    reader: Reader
    entry: int
    detector_name: str | None
    label: str | None

    def all(self, kind: type[P]) -> Iterator[tuple[ProductKey, P]]:
        """Products of a type that this event has."""
        keys = self.reader.keys()
        for key in keys:
            product = self.reader.read(self.entry, key) if key.type == kind.__name__ else None
            if isinstance(product, kind):
                yield key, product

    @cached_property
    def _stored(self) -> dict[str, tuple[ProductKey, Pixels]]:
        """The stored images, by instance: those of the label asked for, else of the last module that made some."""
        stored = list(self.all(Pixels))
        if self.label is not None and stored:
            labels = sorted({key.label for key, _ in stored})
            stored = [(key, pixels) for key, pixels in stored if key.label == self.label]
            if not stored:
                raise ConfigurationError(
                    f"{self.reader.path} has no images of {self.label!r}; {valid_choices(self.label, labels)}"
                )
        last = [(key.label, key.process) for key, _ in stored[-1:]]
        return {key.instance: (key, pixels) for key, pixels in stored if (key.label, key.process) in last}

    @cached_property
    def detector(self) -> Detector | None:
        """The detector that the images name, or that was asked for; ``None`` for images of an unknown one."""
        named = {str(pixels.meta["detector"]) for _, pixels in self._stored.values()} - {""}
        name = next(iter(named), self.detector_name)
        if name is None and not self._stored:
            raise ConfigurationError(
                f"{self.reader.path} has no images that name their detector; say --detector, "
                f"one of {', '.join(detector_names())}"
            )
        return None if name is None else detector(name)

    @cached_property
    def images(self) -> dict[str, Image]:
        """Images by plane name: the stored ones, else made from wires, else from hits."""
        mine = self.detector
        if self._stored or mine is None:
            return {
                name: Image(pixels, key.branch, readout_plane_of(pixels, mine) if mine else None)
                for name, (key, pixels) in self._stored.items()
            }
        planes = mine.active_readout_planes
        wires = [product for _, product in self.all(Wires)]
        hits = [product for _, product in self.all(Hits)]
        made = images_of_wires(wires[0], mine, planes) if wires else images_of_hits(hits[0], mine, planes)
        return {plane.name: Image(made[plane.name].pixels, "", plane) for plane in planes}

    @cached_property
    def pixels_of(self) -> dict[str, tuple[str, Pixels]]:
        """Plane name and pixels by branch of all stored images of the planes, also those of modules before the last."""
        every = {key.branch: (key.instance, pixels) for key, pixels in self.all(Pixels)}
        return {branch: found for branch, found in every.items() if found[0] in self.images} | {
            image.branch: (name, image.pixels) for name, image in self.images.items()
        }


def scene_of(
    reader: Reader, entry: int, detector_name: str | None = None, label: str | None = None, wanted: Sequence[str] = ()
) -> Scene:
    """All that can be drawn of an event, or the layers and points whose names begin with one of ``wanted``.

    Points may be asked for by what colours them, as in ``voxels by class``; then they have nothing else.
    ``label`` chooses among the images of several modules; ``detector_name`` is needed for files without images.
    Raises ``InputError`` for an event without drawable products, naming those it has, ``ConfigurationError`` for an
    unknown label, detector or layer.
    """
    event = EventProducts(reader, entry, detector_name, label)
    has_planes = any(any(True for _ in event.all(kind)) for kind in (Pixels, Wires, Hits))
    if not has_planes and not any(True for _ in event.all(Voxels)):
        keys = reader.keys()
        there = ", ".join(f"{key.type} {key.tag}" for key in keys)
        raise InputError(
            f"{reader.path}: the event has nothing to draw (Pixels, Wires, Hits, Voxels); "
            f"products there: {there or 'none'}"
        )
    layers = tuple(layer for make in LAYERS for layer in make(event)) if has_planes else ()
    clouds = (*voxel_clouds(event), *clouds_of(event))
    painted = {f"{c.name} by {paint.name}": replace(c, paints=(paint,)) for c in clouds for paint in c.paints}
    names = [*(layer.name for layer in layers), *(cloud.name for cloud in clouds), *painted]
    for name in wanted:
        if not any(there.startswith(name) for there in names):
            raise ConfigurationError(f"the event has no layer {name!r} to draw; {valid_choices(name, names)}")
    if wanted:
        layers = tuple(layer for layer in layers if layer.name.startswith(tuple(wanted))) or layers[:1]
        whole = [cloud for cloud in clouds if cloud.name.startswith(tuple(wanted))]
        names = [name for start in wanted for name in painted if name.startswith(start)]
        parts = [painted[name] for name in dict.fromkeys(names) if painted[name].name not in {c.name for c in whole}]
        clouds = (*whole, *parts)
    run, subrun, number = reader.event_ids[entry]
    made = " > ".join(process.name for process in reader.process_history)
    mine = event.detector if has_planes else None
    return Scene(
        title=f"{mine.title if mine else 'Event'}: run {run}, subrun {subrun}, event {number}",
        subtitle=reader.path.rsplit("/", 1)[-1] + (f" ({made})" if made else ""),
        groups=_groups(event, layers) if has_planes else (),
        layers=layers,
        clouds=clouds,
    )


def _groups(event: EventProducts, layers: tuple[Layer, ...]) -> tuple[Group, ...]:
    """Planes by the drift volume that they see; of several volumes only those with something to draw."""
    mine = event.detector
    if mine is None:
        views = tuple(_plane_view(name, image, mine) for name, image in event.images.items())
        return (Group("", views, "row"),)
    groups = []
    for tpc in mine.tpcs:
        here = {p.name: p for p in mine.readout_planes_of(tpc.index)}
        images = {name: im for name, im in event.images.items() if im.plane is not None and im.plane.name in here}
        if not any(_belongs(tpc.index, image.plane) for image in images.values()):
            continue
        x = mine.tick_to_x([0.0, 1.0], tpc.index)
        title = f"TPC {tpc.index}" if len(mine.tpcs) > 1 else ""
        views = tuple(_plane_view(name, image, mine) for name, image in images.items())
        groups.append(Group(title, views, "tick", float(x[0]), float(x[1] - x[0])))
    filled = [g for g in groups if any(len(layer.marks.get(p.name, ())) for p in g.planes for layer in layers)]
    return tuple(filled or groups[:1])


def _belongs(tpc: int, plane: ReadoutPlane | None) -> bool:
    """Whether a plane is the volume's own: not one that it only shares with the volume the plane is named after."""
    return plane is not None and plane.tpc == tpc


def _plane_view(name: str, image: Image, mine: Detector | None) -> PlaneView:
    meta, plane = image.pixels.meta, image.plane
    n_ticks = int(meta["n_rows"]) * int(meta["rebin"])
    if plane is None or mine is None:
        return PlaneView(name, str(meta["view"]), f"{meta['view']} column", int(meta["n_columns"]), n_ticks)
    wrapped = any(w.wrapped for w in plane.wire_planes)
    column = f"{plane.view} channel - {plane.channels[0]}" if wrapped else f"{plane.view} wire"
    return PlaneView(name, f"{plane.view} plane", column, plane.n_columns, min(n_ticks, mine.n_samples))


def _pixel_marks(pixels: Pixels, labels: npt.NDArray[np.int32] | None = None) -> Marks:
    rebin = int(pixels.meta["rebin"])
    low = (pixels.row * rebin).astype(np.float32)
    none = np.full(len(pixels), -1, dtype=np.int32)
    return Marks(pixels.column, low, low + rebin, pixels.adc, none if labels is None else labels)


def _hit_marks(hits: Hits, event: EventProducts, labels: npt.NDArray[np.int32] | None = None) -> dict[str, Marks]:
    """A hit reaches one standard deviation to both sides of its peak."""
    mine = event.detector
    if mine is None:
        return {}
    mine.check_channels(hits.channel, "hits")
    label = np.full(len(hits), -1, dtype=np.int32) if labels is None else labels
    out = {}
    for name, image in event.images.items():
        here = np.isin(hits.channel, image.plane.channels if image.plane else [])
        column = mine.channel_column[hits.channel[here]].astype(np.int32)
        peak, width = hits.peak_time[here], np.maximum(hits.rms[here], 0.5)
        out[name] = Marks(column, peak - width, peak + width, hits.integral[here], label[here])
    return out


def _charge(event: EventProducts) -> Iterator[Layer]:
    yield Layer("charge", {name: _pixel_marks(image.pixels) for name, image in event.images.items()})


def _hits(event: EventProducts) -> Iterator[Layer]:
    for key, hits in event.all(Hits):
        marks = _hit_marks(hits, event)
        if marks:
            yield Layer(f"hits of {key.label}", marks, outline=True)


def _scores(event: EventProducts) -> Iterator[Layer]:
    """Predicted labels of pixels, one layer a module, and of hits, one layer a product."""
    for key, layer in _labels(event, SemanticScores):
        yield replace(layer, name=f"{layer.name} of {key.label}")


def _truth(event: EventProducts) -> Iterator[Layer]:
    """True labels; those of pixels are made from the simulation's deposits where only these are in the file."""
    layers = [layer for _, layer in _labels(event, TrueLabels)]
    if layers:
        yield from (replace(layer, name=f"true {layer.name.removeprefix('pixel ')}") for layer in layers)
        return
    particles = [product for _, product in event.all(TrueParticles)]
    steps = [product for _, product in event.all(TrueSteps)]
    mine = event.detector
    if not particles or not steps or mine is None or any(w.wrapped for w in mine.planes):
        return
    marks = {
        name: _pixel_marks(image.pixels, pixel_labels(image.pixels, steps[-1], particles[-1], mine))
        for name, image in event.images.items()
    }
    yield Layer("true classes", marks, SEMANTIC_NAMES)


def _labels(event: EventProducts, kind: type[SemanticScores] | type[TrueLabels]) -> Iterator[tuple[ProductKey, Layer]]:
    """Layers of the labels of pixels, all planes of a module together, then of the labels of hits."""
    hits = {key.branch: product for key, product in event.all(Hits)}
    of_pixels: dict[str, tuple[ProductKey, Layer]] = {}
    of_hits = []
    for key, labels in event.all(kind):
        target, classes = str(labels.meta.get("target", "")), tuple(labels.meta["class_names"])
        if target in event.pixels_of:
            name, pixels = event.pixels_of[target]
            _, before = of_pixels.get(key.label, (key, Layer("pixel classes", {}, classes)))
            marks = {**before.marks, name: _pixel_marks(pixels, labels.label)}
            of_pixels[key.label] = key, replace(before, marks=marks)
        elif target in hits:
            of_hits.append((key, Layer("hit classes", _hit_marks(hits[target], event, labels.label), classes)))
    yield from of_pixels.values()
    yield from of_hits


def _particles(event: EventProducts) -> Iterator[Layer]:
    """Hits by the particle that they belong to."""
    hits = {key.branch: product for key, product in event.all(Hits)}
    for key, name, cluster, groups in particle_hits(event):
        label = np.append(groups.number, -1)[cluster].astype(np.int32)
        marks = _hit_marks(hits[key.branch], event, label)
        if marks:
            yield Layer(name, marks, groups.names, colours=groups.colours)


def _infilled(event: EventProducts) -> Iterator[Layer]:
    """Pixels that were filled in where wires are dead."""
    marks = {}
    for name, image in event.images.items():
        filled = _pixel_marks(image.pixels)
        some = image.pixels.infilled > 0
        if some.any():
            marks[name] = Marks(*(getattr(filled, field.name)[some] for field in fields(Marks)))
    if marks:
        yield Layer("infilled", marks, outline=True)


def _flow(event: EventProducts) -> Iterator[Layer]:
    """The charge of every plane moved to its partners on the others, to lie over the charge there."""
    planes = {image.branch: name for name, image in event.images.items()}
    moved: dict[tuple[str, str], dict[str, Marks]] = {}
    for key, flow in event.all(FlowPoints):
        source, target = (planes.get(str(flow.meta.get(side, ""))) for side in ("source", "target"))
        if source is None or target is None:
            continue
        at = _pixel_marks(event.images[source].pixels)
        some = flow.column >= 0
        marks = Marks(flow.column[some], at.low[some], at.high[some], at.charge[some], at.label[some])
        moved.setdefault((source, key.label), {})[target] = marks
    for (source, label), of_planes in moved.items():
        yield Layer(f"{source} moved by {label}", of_planes, outline=True)


LAYERS: tuple[Callable[[EventProducts], Iterator[Layer]], ...] = (
    _charge,
    _hits,
    _infilled,
    _scores,
    _particles,
    _flow,
    _truth,
)
"""What turns products into layers, in the order in which they are drawn."""
