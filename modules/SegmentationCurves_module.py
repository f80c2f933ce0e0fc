"""Evaluator of semantic labels against energy, opening angle and distance to the border."""

from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.labels import SEMANTIC_NAMES, TRACK_SHOWER_NAMES, map_labels
from larmlreco.metrics.curves import ANGLE_EDGES, BORDER_EDGES, ENERGY_EDGES, CurveSet, border_distance
from larmlreco.products import InputTag, Pixels, SemanticScores, TrueLabels, TrueParticles, TrueSteps
from larmlreco.truth.kinematics import energies, opening_angle

_VARIABLES = {
    "energy": (ENERGY_EDGES, "MeV"),
    "opening_angle": (ANGLE_EDGES, "deg"),
    "border": (BORDER_EDGES, "pixel"),
}


class SegmentationCurves(Evaluator):
    """Part of the pixels that are wrong, of each class, over all planes, against what makes them easy or hard.

    ``energy``: kinetic energy at birth of the particle that the pixel belongs to; ``opening_angle``: smallest angle
    between two primaries of the vertex; ``border``: distance of the pixel to the border of its image. The true labels
    need the particles (parameter ``particles`` of TruthLabeller).
    """

    class Parameters(ParameterSet):
        """Parameters of SegmentationCurves."""

        scores: InputTag = parameter("segmentation", doc="semantic scores (SemanticScores)")
        truth: InputTag = parameter("truth", doc="true labels with particles (TrueLabels)")
        images: InputTag = parameter("images", doc="images (Pixels)")
        particles: InputTag = parameter("largeant", doc="true steps and particles")
        planes: list[str] = parameter(["U", "V", "Y"], doc="instances that hold the pixels of a plane")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        self._planes = {
            name: (
                self.consumes(SemanticScores, tag(config.scores, name)),
                self.consumes(TrueLabels, tag(config.truth, name)),
                self.consumes(Pixels, tag(config.images, name)),
            )
            for name in config.planes
        }
        self._steps = self.consumes(TrueSteps, config.particles)
        self._particles = self.consumes(TrueParticles, config.particles)
        self._five = {name: CurveSet(SEMANTIC_NAMES, *binning) for name, binning in _VARIABLES.items()}
        self._two = {name: CurveSet(TRACK_SHOWER_NAMES, *binning) for name, binning in _VARIABLES.items()}

    def analyze(self, event: Event) -> None:
        """Add one event; the planes of an event count together."""
        steps, particles = event.get(TrueSteps, self._steps), event.get(TrueParticles, self._particles)
        parts = []
        for scores_tag, truth_tag, image_tag in self._planes.values():
            scores, truth = event.get(SemanticScores, scores_tag), event.get(TrueLabels, truth_tag)
            pixels = event.get(Pixels, image_tag)
            size = (int(pixels.meta["n_columns"]), int(pixels.meta["n_rows"]))
            near = border_distance((pixels.column, pixels.row), size)
            view = np.where(scores.label < 0, -1, (scores.shower > scores.track).astype(np.int32))
            parts.append((truth.label, scores.label, view, energies(truth.particle, particles), near))
        true, five, two, energy, near = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        values: dict[str, npt.ArrayLike] = {
            "energy": energy,
            "opening_angle": opening_angle(steps, particles),
            "border": near,
        }
        for name, value in values.items():
            self._five[name].add(value, true, five)
            self._two[name].add(value, map_labels(true, "larmlreco", "track_shower"), two)

    def results(self) -> dict[str, Any]:
        """Curves by variable, each for ``five_classes`` and ``track_shower``, by class."""
        return {
            name: {"five_classes": self._five[name].summary(), "track_shower": self._two[name].summary()}
            for name in _VARIABLES
        }

    def table(self) -> str:
        """All classes together, five classes, against each variable."""
        return "\n".join(f"-- five classes against {name}\n{self._five[name].table()}" for name in _VARIABLES)
