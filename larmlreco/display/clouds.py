"""Points in space as clouds to draw: places, and what each point may be coloured by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.display.palette import charge_range, class_colours
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import SemanticScores, SpacePoints, TrueParticles, TrueSteps
from larmlreco.truth.pixels import step_classes

if TYPE_CHECKING:
    from larmlreco.display.scene import EventProducts

NEAR_CM = 1.0
"""A point without true charge within this distance has no true class: it is a ghost."""


@dataclass(frozen=True)
class Paint:
    """Something to colour points by: ``values`` (N,), classes (-1: none) if it has ``classes``, else from ``low`` to
    ``high`` in ``unit``. ``colours`` of the classes where these are not those of :mod:`larmlreco.display.palette`.
    """

    name: str
    values: npt.NDArray[np.float32]
    classes: tuple[str, ...] = ()
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    colours: tuple[str, ...] = ()

    def class_colours(self) -> tuple[str, ...]:
        """A colour a class."""
        return self.colours or tuple(class_colours(self.classes))


@dataclass(frozen=True)
class Arrows:
    """Arrows from ``start`` to ``end`` (K, 3) in cm, with their colours."""

    name: str
    start: npt.NDArray[np.float32]
    end: npt.NDArray[np.float32]
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Cloud:
    """Points (N,) in cm and what they can be coloured by; ``box`` (3, 2): the active volume, or None."""

    name: str
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]
    paints: tuple[Paint, ...]
    box: npt.NDArray[np.float64] | None
    arrows: tuple[Arrows, ...] = ()


def clouds_of(event: "EventProducts") -> Iterator[Cloud]:
    """A cloud for every ``SpacePoints`` of the event that has points."""
    scores = {str(s.meta.get("target", "")): s for _, s in event.all(SemanticScores)}
    for key, points in event.all(SpacePoints):
        if len(points):
            paints = list(_paints(points))
            if key.branch in scores:
                labels = scores[key.branch]
                paints.insert(1, Paint("class", labels.label.astype(np.float32), labels.part_names("scores")))
            paints += true_paints(event, np.column_stack([points.x, points.y, points.z]))
            name = f"points of {key.label}" + (f" {key.instance}" if key.instance else "")
            yield Cloud(name, points.x, points.y, points.z, tuple(paints), _box(event, points))


def _paints(points: SpacePoints) -> Iterator[Paint]:
    views = [str(branch).rsplit("_", 2)[-2] for branch in points.meta.get("images", [])]
    yield Paint("score", points.score)
    for plane in range(points.charge.shape[1]):
        charge = points.charge[:, plane]
        if (charge > 0).any():
            low, high = charge_range(charge[charge > 0])
            name = views[plane] if plane < len(views) else f"plane {plane}"
            yield Paint(f"{name} charge", charge, low=low, high=high)


def true_paints(event: "EventProducts", at: npt.NDArray[np.floating[Any]]) -> Iterator[Paint]:
    """True class of the deposit nearest to places (N, 3), and how far it is.

    Deposits lie where points of their time do.
    """
    steps = [product for _, product in event.all(TrueSteps)]
    particles = [product for _, product in event.all(TrueParticles)]
    mine = event.detector
    if not steps or not particles or mine is None:
        return
    true = steps[-1]
    tpc = mine.tpc_of(true.x, true.y, true.z)
    seen = np.flatnonzero(tpc >= 0)
    if not len(seen):
        return
    places = np.column_stack([mine.tick_to_x(true.tick[seen], tpc[seen]), true.y[seen], true.z[seen]])
    distance, nearest = cKDTree(places).query(at)
    label = step_classes(true, particles[-1])[seen][nearest].astype(np.float32)
    label[distance > NEAR_CM] = -1
    yield Paint("true class", label, SEMANTIC_NAMES)
    yield Paint("distance to truth", distance.astype(np.float32), unit="cm")


def _box(event: "EventProducts", points: SpacePoints) -> npt.NDArray[Any] | None:
    mine, tpc = event.detector, points.meta.get("tpc")
    return None if mine is None or tpc is None else mine.tpcs[int(tpc)].active
