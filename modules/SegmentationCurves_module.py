"""Evaluator of semantic labels against energy, opening angle and distance to the border."""

from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.labels import SEMANTIC_NAMES, TRACK_SHOWER_NAMES, map_labels
from larmlreco.metrics.curves import ANGLE_EDGES, BORDER_EDGES, ENERGY_EDGES, CurveSet, border_distance
from larmlreco.products import InputTag, Pixels, SemanticScores, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.truth.kinematics import energies, opening_angle

_VARIABLES = {
    "energy": (ENERGY_EDGES, "MeV"),
    "opening_angle": (ANGLE_EDGES, "deg"),
    "border": (BORDER_EDGES, "pixel"),
}


class SegmentationCurves(Evaluator):
    """Part of the pixels (voxels) that are wrong, of each class, over all images, against what makes them easy or hard.

    ``energy``: kinetic energy at birth of the particle that the pixel belongs to; ``border``: distance of the pixel to
    the border of its image; ``opening_angle``, where true steps are there: smallest angle between two primaries of the
    vertex. The true labels need the particles (parameter ``particles`` of TruthLabeller).
    """

    class Parameters(ParameterSet):
        """Parameters of SegmentationCurves."""

        scores: InputTag = parameter("segmentation", doc="semantic scores (SemanticScores)")
        truth: InputTag = parameter("truth", doc="true labels with particles (TrueLabels)")
        images: InputTag = parameter("images", doc="images: Pixels, or Voxels where volume is given")
        volume: list[int] = parameter([], doc="voxels along x, y and z of the images; empty: images of planes")
        particles: InputTag = parameter("largeant", doc="true particles")
        steps: InputTag | None = parameter("largeant", doc="true steps; @nil: none, and no opening angle")
        planes: list[str] = parameter(["U", "V", "Y"], doc="instances of the images")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        kind: type[Pixels | Voxels] = Voxels if config.volume else Pixels
        self._images = {
            name: (
                self.consumes(SemanticScores, tag(config.scores, name)),
                self.consumes(TrueLabels, tag(config.truth, name)),
                self.consumes(kind, tag(config.images, name)),
            )
            for name in config.planes
        }
        self._kind, self._volume = kind, tuple(config.volume)
        self._particles = self.consumes(TrueParticles, config.particles)
        self._steps = None if config.steps is None else self.consumes(TrueSteps, config.steps)
        variables = {name: v for name, v in _VARIABLES.items() if name != "opening_angle" or self._steps is not None}
        self._five = {name: CurveSet(SEMANTIC_NAMES, *binning) for name, binning in variables.items()}
        self._two = {name: CurveSet(TRACK_SHOWER_NAMES, *binning) for name, binning in variables.items()}

    def analyze(self, event: Event) -> None:
        """Add one event; its images count together."""
        particles = event.get(TrueParticles, self._particles)
        parts = []
        for scores_tag, truth_tag, image_tag in self._images.values():
            scores, truth = event.get(SemanticScores, scores_tag), event.get(TrueLabels, truth_tag)
            near = self._border(event.get(self._kind, image_tag))
            view = np.where(scores.label < 0, -1, (scores.shower > scores.track).astype(np.int32))
            parts.append((truth.label, scores.label, view, energies(truth.particle, particles), near))
        true, five, two, energy, near = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        values: dict[str, npt.ArrayLike] = {"energy": energy, "border": near}
        if self._steps is not None:
            values["opening_angle"] = opening_angle(event.get(TrueSteps, self._steps), particles)
        for name, value in values.items():
            self._five[name].add(value, true, five)
            self._two[name].add(value, map_labels(true, "larmlreco", "track_shower"), two)

    def _border(self, image: Pixels | Voxels) -> npt.NDArray[np.float64]:
        if isinstance(image, Voxels):
            return border_distance((image.x, image.y, image.z), self._volume)
        size = (int(image.meta["n_columns"]), int(image.meta["n_rows"]))
        return border_distance((image.column, image.row), size)

    def results(self) -> dict[str, Any]:
        """Curves by variable, each for ``five_classes`` and ``track_shower``, by class."""
        return {
            name: {"five_classes": self._five[name].summary(), "track_shower": self._two[name].summary()}
            for name in self._five
        }

    def table(self) -> str:
        """All classes together, five classes, against each variable."""
        return "\n".join(f"-- five classes against {name}\n{self._five[name].table()}" for name in self._five)
