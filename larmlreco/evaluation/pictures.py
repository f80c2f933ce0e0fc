"""Pictures of events with their classes, true classes and errors, through the event display."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from larmlreco.display.picture import draw
from larmlreco.display.scene import Group, Layer, Marks, PlaneView, Scene, scene_of
from larmlreco.errors import InputError, OutputError
from larmlreco.io import Reader, open_file
from larmlreco.products import SemanticScores, TrueLabels, Voxels

RIGHT_WRONG = ("right", "wrong")


def chosen_events(wrong: Mapping[str, float], number: int) -> dict[str, list[str]]:
    """Events to draw by kind: the ``number`` worst, and as many ``typical`` ones around the median, never twice."""
    ranked = sorted(wrong, key=lambda event: (-wrong[event], event))
    worst = ranked[:number]
    left = ranked[number:]
    first = max(min(len(ranked) // 2 - number // 2, len(ranked) - number) - number, 0)
    return {"worst": worst, "typical": left[first : first + number]}


def draw_events(events_file: Path, files: Mapping[str, Path], truth: str = "truth") -> None:
    """Draw events of a file into picture files, by event id: charge, found classes, true classes, right and wrong.

    Events with planes and particles get their particles in space instead of right and wrong.
    ``truth`` is the label of the true classes of voxels; those of pixels follow from the true steps.
    Raises ``InputError`` for an event that the file does not hold or that has no classes to draw, ``OutputError``
    where a picture cannot be written.
    """
    reader = open_file(events_file)
    try:
        ids = [":".join(map(str, number)) for number in reader.event_ids]
        for event, path in files.items():
            if event not in ids:
                raise InputError(f"{events_file} has no event {event}; it has {', '.join(ids[:5])}")
            entry = ids.index(event)
            types = {key.type for key in reader.keys("event")}
            if {"Pixels", "Particles"} <= types:
                scene = chain_scene(scene_of(reader, entry))
            elif "Voxels" in types:
                scene = voxel_scene(reader, entry, truth)
            else:
                scene = with_errors(scene_of(reader, entry))
            try:
                draw(scene, path)
            except OSError as error:
                raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        reader.close()


def chain_scene(scene: Scene) -> Scene:
    """Of an event of the whole chain the charge, the classes of pixels, the true ones, and particles in space."""
    layers = tuple(x for x in scene.layers if x.name.startswith(("charge", "pixel classes", "true classes")))
    return replace(scene, layers=layers, clouds=tuple(x for x in scene.clouds if x.arrows or "voxels" in x.name)[:1])


def with_errors(scene: Scene) -> Scene:
    """The charge, the classes of pixels, the true ones, and a layer that tells right from wrong pixels.

    Raises ``InputError`` for an event without classes or true classes of its pixels.
    """
    charge = scene.layers[0]
    found = [layer for layer in scene.layers if layer.name.startswith("pixel classes")]
    true = [layer for layer in scene.layers if layer.name == "true classes"]
    if not found or not true:
        there = ", ".join(layer.name for layer in scene.layers)
        raise InputError(f"{scene.title}: classes and true classes of pixels are needed; there: {there}")
    marks = {name: _agreement(of, true[0].marks[name]) for name, of in found[0].marks.items() if name in true[0].marks}
    return replace(scene, layers=(charge, found[0], true[0], Layer("right and wrong", marks, RIGHT_WRONG)))


def voxel_scene(reader: Reader, entry: int, truth: str) -> Scene:
    """The same of the first classified image of voxels of an event, seen along x and along z; ``truth``: label of the
    true classes.

    Raises ``InputError`` for an event without classes or true classes of its voxels.
    """
    products = {key: reader.read(entry, key) for key in reader.keys("event")}
    voxels = {key.branch: product for key, product in products.items() if isinstance(product, Voxels)}
    scores = [(key, product) for key, product in products.items() if isinstance(product, SemanticScores)]
    run, subrun, number = reader.event_ids[entry]
    title = f"run {run}, subrun {subrun}, event {number}"
    for key, found in scores:
        image = voxels.get(str(found.meta.get("target", "")))
        mine = (truth, key.instance)
        true = [p for k, p in products.items() if isinstance(p, TrueLabels) and (k.label, k.instance) == mine]
        if image is not None and true and len(true[-1]) == len(image):
            return _voxel_scene(f"{key.instance or key.label}: {title}", image, found, true[-1])
    there = ", ".join(key.branch for key in products)
    raise InputError(f"{title}: classes and true classes of voxels are needed; there: {there}")


def _voxel_scene(title: str, voxels: Voxels, found: SemanticScores, true: TrueLabels) -> Scene:
    pitch = float(voxels.pitch[0])
    axes = {"z": voxels.z, "x": voxels.x}
    size = {name: int(axis.max(initial=0)) + 1 for name, axis in {**axes, "y": voxels.y}.items()}
    planes = tuple(
        PlaneView(f"{name}y", f"{name}-y", f"{name} voxel of {pitch:g} cm", size[name], size["y"]) for name in axes
    )
    low = voxels.y.astype(np.float32)
    none = np.full(len(voxels), -1, dtype=np.int32)

    def layer(name: str, label: npt.NDArray[np.int32], classes: Sequence[str] = ()) -> Layer:
        marks = {f"{axis}y": Marks(at, low, low + 1, voxels.energy, label) for axis, at in axes.items()}
        return Layer(name, marks, tuple(classes))

    names = found.part_names("scores")
    wrong = np.where(true.label < 0, -1, (found.label != true.label).astype(np.int32)).astype(np.int32)
    layers = (
        layer("energy", none),
        layer("voxel classes", found.label, names),
        layer("true classes", true.label, names),
        layer("right and wrong", wrong, RIGHT_WRONG),
    )
    return Scene(title, "", (Group("", planes, "y voxel"),), layers, charge_title="energy (MeV)")


def _agreement(found: Marks, true: Marks) -> Marks:
    label = np.where(true.label < 0, -1, (found.label != true.label).astype(np.int32)).astype(np.int32)
    return replace(found, label=label)
