"""A page of an event that zooms: one HTML file that holds everything and needs no network."""

import base64
import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.display.clouds import Cloud
from larmlreco.display.palette import UNLABELLED, charge_colours, charge_range
from larmlreco.display.scene import Layer, Marks, Scene


def draw(scene: Scene, path: Path) -> None:
    """Write the page."""
    text = files("larmlreco.display").joinpath("page.html").read_text(encoding="utf-8")
    content = {
        "TITLE": html.escape(scene.title),
        "SUBTITLE": html.escape(scene.subtitle),
        "SCENE": json.dumps(_scene(scene), separators=(",", ":")).replace("</", "<\\/"),
    }
    for name, value in content.items():
        text = text.replace(f"@{name}@", value)
    path.write_text(text, encoding="utf-8")


def _scene(scene: Scene) -> dict[str, Any]:
    return {
        "groups": [
            {
                "title": group.title,
                "time_title": group.time_title,
                "x_at_0": group.x_at_0,
                "x_slope": group.x_slope,
                "planes": [vars(plane) for plane in group.planes],
            }
            for group in scene.groups
        ],
        "layers": [_layer(layer) for layer in scene.layers],
        "clouds": [_cloud(cloud) for cloud in scene.clouds],
        "charge_colours": [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in charge_colours(128).tolist()],
        "unlabelled": UNLABELLED,
    }


def _layer(layer: Layer) -> dict[str, Any]:
    entries = zip(layer.classes, layer.class_colours(), layer.counts(), strict=True)
    return {
        "name": layer.name,
        "outline": layer.outline,
        "classes": [{"name": name, "colour": colour, "count": count} for name, colour, count in entries],
        "unlabelled": layer.unlabelled(),
        "scale": charge_range(layer.charges()),
        "marks": {name: _marks(marks) for name, marks in layer.marks.items()},
    }


def _cloud(cloud: Cloud) -> dict[str, Any]:
    return {
        "name": cloud.name,
        "x": _packed(cloud.x, "<f4"),
        "y": _packed(cloud.y, "<f4"),
        "z": _packed(cloud.z, "<f4"),
        "box": None if cloud.box is None else cloud.box.tolist(),
        "paints": [
            {
                "name": paint.name,
                "unit": paint.unit,
                "scale": [paint.low, paint.high],
                "values": _packed(paint.values, "<f4"),
                "classes": [
                    {"name": name, "colour": colour, "count": int((paint.values == number).sum())}
                    for number, (name, colour) in enumerate(zip(paint.classes, paint.class_colours(), strict=True))
                ],
                "unlabelled": int((paint.values < 0).sum()) if paint.classes else 0,
            }
            for paint in cloud.paints
        ],
        "arrows": [
            {
                "name": arrows.name,
                "start": _packed(arrows.start, "<f4"),
                "end": _packed(arrows.end, "<f4"),
                "colours": arrows.colours,
            }
            for arrows in cloud.arrows
        ],
    }


def _marks(marks: Marks) -> dict[str, str]:
    return {
        "column": _packed(marks.column, "<i4"),
        "low": _packed(marks.low, "<f4"),
        "high": _packed(marks.high, "<f4"),
        "charge": _packed(marks.charge, "<f4"),
        "label": _packed(marks.label, "i1"),
    }


def _packed(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")
