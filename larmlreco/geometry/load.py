"""Reading of the data files: parameters of a detector's wire planes, drift and readout window."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.geometry.detector import TPC, Detector, readout_planes
from larmlreco.geometry.planes import Float64, Int64, WirePlane

_DATA = Path(__file__).resolve().parent


def detector_names() -> tuple[str, ...]:
    """Names of the detectors that come with the package."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.json")))


@lru_cache(maxsize=16)
def detector(name: str) -> Detector:
    """The detector of that name, or of a data file of one's own (a path that ends in ``.json``).

    Raises ``ConfigurationError`` for an unknown name, listing the valid ones, and for a file that does not fit.
    """
    path = Path(name) if name.endswith(".json") else _DATA / f"{name}.json"
    if not name.endswith(".json") and name not in detector_names():
        raise ConfigurationError(
            f"unknown detector {name!r}; {valid_choices(name, detector_names())}, or the path of a .json data file"
        )
    try:
        return _detector(name, json.loads(path.read_text()))
    except OSError as error:
        raise ConfigurationError(f"detector data file {path}: {error.strerror}") from error
    except KeyError as error:
        raise ConfigurationError(f"detector data file {path}: the key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"detector data file {path}: {error}") from error


def _detector(name: str, data: Mapping[str, Any]) -> Detector:
    tpcs: list[TPC] = []
    in_cryostat: dict[int, int] = {}
    for anode in data["anodes"]:
        cryostat = anode.get("cryostat", 0)
        for what in data["anode_types"][anode["of"]]["tpcs"]:
            number = in_cryostat.get(cryostat, 0)
            in_cryostat[cryostat] = number + 1
            tpcs.append(_tpc(what, len(tpcs), cryostat, number, np.array(anode["offset"], float), anode["channel"]))
    n_channels = int(data["n_channels"])
    unread = [np.arange(first, last) for first, last in data["unread_channels"]]
    return Detector(
        name=name,
        title=data["title"],
        source=data["source"],
        drift_speed=float(data["drift_speed"]),
        electric_field=float(data["electric_field"]),
        temperature=float(data["temperature"]),
        tick_period=float(data["tick_period"]),
        n_samples=int(data["n_samples"]),
        image_samples=int(data["image_samples"]),
        trigger_sample=int(data["trigger_sample"]),
        first_clock_tick=int(data["first_clock_tick"]),
        n_channels=n_channels,
        unread_channels=np.concatenate([np.zeros(0, np.int64), *unread]),
        tpcs=tuple(tpcs),
        readout_planes=readout_planes(tpcs),
    )


def _tpc(what: Mapping[str, Any], index: int, cryostat: int, number: int, offset: Float64, channel: int) -> TPC:
    active = np.array([what["x"], what["y"], what["z"]], float) + offset[:, None] if "x" in what else None
    planes = tuple(_plane(p, index, i, offset, channel) for i, p in enumerate(what["planes"]))
    return TPC(index, cryostat, number, int(what["drift"]), active, planes)


def _plane(what: Mapping[str, Any], tpc: int, plane: int, offset: Float64, channel: int) -> WirePlane:
    angle = np.radians(what["angle"])
    sign = -1.0 if what.get("descending", False) else 1.0
    normal = (-sign * float(np.sin(angle)), sign * float(np.cos(angle)))
    sections = what.get("sections") or [{"z": what.get("z", [-np.inf]), "channel": what["channel"]}]
    row = np.arange(what["wires"] // len(sections))
    if "wrap" in what:
        row = (what.get("shift", 0) + row) % what["wrap"]
    return WirePlane(
        tpc=tpc,
        plane=plane,
        view=what["view"],
        view_number=what["view_number"],
        angle=float(angle),
        pitch=float(what["pitch"]),
        x=float(what["x"] + offset[0]),
        first=float(what["first"] + normal[0] * offset[1] + normal[1] * offset[2]),
        normal=normal,
        windows=_windows(what, sections) + offset[1:, None],
        sections=np.array([s["z"][0] for s in sections], float) + offset[2],
        channels=np.concatenate([row + s["channel"] + channel for s in sections]).astype(np.int64),
        segments=_segments(what),
    )


def _windows(what: Mapping[str, Any], sections: Sequence[Mapping[str, Any]]) -> Float64:
    """Rectangle of every wire (wires, 2, 2): of ranges of wires, of sections, or one for all."""
    if "windows" in what:
        windows = [(w["wires"], (w["y"], w["z"])) for w in what["windows"]]
    else:
        windows = [(what["wires"] // len(sections), (what["y"], s["z"])) for s in sections]
    return np.repeat(np.array([w[1] for w in windows], float), [w[0] for w in windows], axis=0)


def _segments(what: Mapping[str, Any]) -> Int64:
    wire = np.arange(what["wires"], dtype=np.int64)
    return wire // what["segment"] if "segment" in what else np.zeros_like(wire)
