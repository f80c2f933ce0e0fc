"""Evaluator of semantic labels."""

import math
from typing import Any

import numpy as np

from larmlreco.errors import InputError
from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.labels import SEMANTIC_NAMES, TRACK_SHOWER_NAMES, map_labels
from larmlreco.metrics.ratio import percent
from larmlreco.metrics.semantic import SemanticMetrics
from larmlreco.products import InputTag, SemanticScores, TrueLabels, Voxels


class SegmentationEvaluator(Evaluator):
    """Compare semantic labels with true ones: five classes and track/shower, each instance and all planes together.

    Pixels and hits without true charge do not count; those without a label count as wrong.
    """

    class Parameters(ParameterSet):
        """Parameters of SegmentationEvaluator."""

        scores: InputTag = parameter("segmentation", doc="semantic scores (SemanticScores)")
        truth: InputTag = parameter("truth", doc="true labels (TrueLabels)")
        planes: list[str] = parameter(
            ["U", "V", "Y"], doc="instances that hold the pixels of a plane, or an image of voxels"
        )
        hits: bool = parameter(False, doc="whether to compare the instance of the hits too")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._planes = list(config.planes)
        self._pairs = {}
        for name in [*self._planes, *(["hits"] if config.hits else [])]:
            self._pairs[name] = (
                self.consumes(SemanticScores, InputTag(config.scores.label, name, config.scores.process)),
                self.consumes(TrueLabels, InputTag(config.truth.label, name, config.truth.process)),
            )
        names = ["pixels", *self._pairs]
        self._five = {name: SemanticMetrics(SEMANTIC_NAMES) for name in names}
        self._two = {name: SemanticMetrics(TRACK_SHOWER_NAMES) for name in names}
        self._wrong: dict[str, float] = {}
        self._cells = "pixels"

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        all_true, all_scores = [], []
        for name, (scores_tag, truth_tag) in self._pairs.items():
            scores, truth = event.get(SemanticScores, scores_tag), event.get(TrueLabels, truth_tag)
            for product, tag in ((scores, scores_tag), (truth, truth_tag)):
                if product.meta.get("scheme") != "larmlreco":
                    raise InputError(
                        f"{type(product).__name__} {tag} are of the scheme {product.meta.get('scheme')!r}; "
                        f"expected larmlreco: {', '.join(SEMANTIC_NAMES)}"
                    )
            self._add(name, truth.label, _labels(scores))
            if name in self._planes:
                self._cells = "voxels" if scores.meta.get("target", "").startswith(Voxels.__name__) else "pixels"
                all_true.append(truth.label)
                all_scores.append(_labels(scores))
        wrong = self._add("pixels", np.concatenate(all_true), np.concatenate(all_scores, axis=1))
        if not math.isnan(wrong):
            self._wrong[str(event.id)] = wrong

    def _add(self, name: str, truth: Any, predicted: Any) -> float:
        """Part of the labelled rows whose class of five is wrong."""
        self._two[name].add(map_labels(truth, "larmlreco", "track_shower"), predicted[1])
        return self._five[name].add(truth, predicted[0])

    def wrong_parts(self) -> dict[str, float]:
        """Part of the pixels whose class of five is wrong, by event."""
        return dict(self._wrong)

    def results(self) -> dict[str, Any]:
        """Figures by instance (``pixels``: all planes), each for ``five_classes`` and ``track_shower``."""
        return {
            name: {"five_classes": five.summary(), "track_shower": self._two[name].summary()}
            for name, five in self._five.items()
        }

    def table(self) -> str:
        """Full tables for all pixels, and for hits; one line a plane."""
        blocks = []
        for name in ["pixels", *(["hits"] if "hits" in self._pairs else [])]:
            cells = self._cells if name == "pixels" else name
            blocks.append(f"-- {cells}, five classes\n{self._five[name].table(cells)}")
            blocks.append(f"-- {cells}, track/shower\n{self._two[name].table(cells)}")
        image = "image" if self._cells == "voxels" else "plane"
        for name in self._planes:
            five, two = (m[name].summary()["accuracy"] for m in (self._five, self._two))
            blocks.append(
                f"-- {image} {name}: five classes {percent(five['value'], five['error'])} %, "
                f"track/shower {percent(two['value'], two['error'])} %"
            )
        return "\n".join(blocks)


def _labels(scores: SemanticScores) -> Any:
    """Labels (2, N): five classes, and the two-class view by its larger score; -1 where there is none."""
    two = np.where(scores.label < 0, -1, (scores.shower > scores.track).astype(np.int32))
    return np.stack([scores.label, two])
