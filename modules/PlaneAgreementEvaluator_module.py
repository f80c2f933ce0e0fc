"""Evaluator of the agreement of wire planes, for data without truth."""

from typing import Any

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.geometry import detector
from larmlreco.metrics.agreement import PlaneAgreement
from larmlreco.products import InputTag, Pixels, SpacePoints


class PlaneAgreementEvaluator(Evaluator):
    """Compare the charge of points in space between the three planes that saw them."""

    class Parameters(ParameterSet):
        """Parameters of PlaneAgreementEvaluator."""

        detector: str = parameter(doc="geometry of the images")
        tpc: int = parameter(0, doc="the TPC whose points are looked at", minimum=0)
        points: InputTag = parameter("flow", doc="points in space (SpacePoints) made by LArFlow")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        min_score: float = parameter(0.5, doc="least score of a point that counts", minimum=0, maximum=1)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        mine = detector(config.detector)
        if config.tpc >= len(mine.tpcs):
            raise ConfigurationError(
                f"{context.label}.tpc: {config.detector} has no TPC {config.tpc}; valid: 0 to {len(mine.tpcs) - 1}"
            )
        planes = mine.readout_planes_of(config.tpc)
        label, process = config.images.label, config.images.process
        facts = {"detector": config.detector}
        self._points = self.consumes(SpacePoints, config.points, facts=facts)
        self._images = [self.consumes(Pixels, InputTag(label, p.name, process), facts=facts) for p in planes]
        self._min_score = config.min_score
        self._agreement = PlaneAgreement([plane.view for plane in planes])

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        points = event.get(SpacePoints, self._points)
        images = [event.get(Pixels, tag) for tag in self._images]
        kept = points.score >= self._min_score
        self._agreement.add(
            points.pixel[kept].astype(np.int64), [pixels.adc for pixels in images], [pixels.row for pixels in images]
        )

    def results(self) -> dict[str, Any]:
        """The figures of :class:`larmlreco.metrics.agreement.PlaneAgreement`."""
        return self._agreement.summary()

    def table(self) -> str:
        """The figures for people."""
        return self._agreement.table()
