"""Evaluator of partners between wire planes and of points in space."""

from typing import Any

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.geometry import detector
from larmlreco.images import dead_channels
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.metrics.points import PointMetrics
from larmlreco.products import ChannelStatus, FlowPoints, InputTag, Pixels, SpacePoints, TrueSteps
from larmlreco.truth.flow import partners, pixel_origin, true_wires


class LArFlowEvaluator(Evaluator):
    """Compare partners of pixels with true ones, and points in space with true charge.

    True charge lies where it seems to be for charge freed at the trigger, as that of the points. Of a detector with one
    TPC whose wires do not wrap, as the simulation is.
    """

    class Parameters(ParameterSet):
        """Parameters of LArFlowEvaluator."""

        detector: str = parameter(doc="geometry of the images")
        flow: InputTag = parameter("flow", doc="label of FlowPoints and SpacePoints")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        truth: InputTag = parameter("largeant", doc="true steps")
        channel_status: InputTag | None = parameter(None, doc="status of channels, to tell which wires are dead")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        if len(self._detector.tpcs) != 1 or any(plane.wrapped for plane in self._detector.planes):
            raise ConfigurationError(
                f"{context.label}.detector: {config.detector} has several TPCs or wires that wrap; "
                "expected one TPC whose wires do not, for example microboone"
            )
        self._planes = self._detector.readout_planes_of(0)
        label, process = config.flow.label, config.flow.process
        image_label, image_process = config.images.label, config.images.process
        self._points = self.consumes(SpacePoints, config.flow)
        self._truth = self.consumes(TrueSteps, config.truth)
        self._status = None if config.channel_status is None else self.consumes(ChannelStatus, config.channel_status)
        self._images = [self.consumes(Pixels, InputTag(image_label, p.name, image_process)) for p in self._planes]
        self._flows = {
            (s, t): self.consumes(FlowPoints, InputTag(label, f"{source.view}2{target.view}", process))
            for s, source in enumerate(self._planes)
            for t, target in enumerate(self._planes)
            if s != t
        }
        self._partners, self._space = FlowMetrics(), PointMetrics()

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        steps = event.get(TrueSteps, self._truth)
        images = [event.get(Pixels, tag) for tag in self._images]
        dead = np.zeros(self._detector.n_channels + 1, dtype=np.bool_)
        if self._status is not None:
            dead[dead_channels(event.get(ChannelStatus, self._status))] = True
        deposits = [pixel_origin(pixels, steps, self._detector).deposit for pixels in images]
        for (source, target), tag in self._flows.items():
            flow = event.get(FlowPoints, tag)
            plane = self._planes[target].wire_planes[0]
            true = true_wires(deposits[source], steps, plane)
            self._partners.add(
                f"{self._planes[source].view}2{self._planes[target].view}",
                flow.column,
                true,
                partners(true, images[source].row, images[target]) >= 0,
                dead[np.append(plane.channels, -1)[true]],
                flow.matchable > 0.5,
                flow.candidates,
            )
        points = event.get(SpacePoints, self._points)
        rows = int(images[0].meta["n_rows"]) * int(images[0].meta["rebin"])
        seen = (steps.tick >= 0) & (steps.tick < rows) & (steps.electrons > 0)
        true_x = self._detector.tick_to_x(steps.tick[seen])
        self._space.add(
            np.column_stack([points.x, points.y, points.z]).astype(np.float64),
            points.score.astype(np.float64),
            np.column_stack([true_x, steps.y[seen], steps.z[seen]]).astype(np.float64),
            steps.electrons[seen].astype(np.float64),
        )

    def results(self) -> dict[str, Any]:
        """Figures of ``partners`` and of ``points``."""
        return {"partners": self._partners.summary(), "points": self._space.summary()}

    def table(self) -> str:
        """Both tables."""
        return f"-- partners\n{self._partners.table()}\n-- points\n{self._space.table()}"
