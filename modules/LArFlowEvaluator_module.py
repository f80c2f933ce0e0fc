"""Evaluator of partners between wire planes and of points in space."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.geometry import ReadoutPlane, detector
from larmlreco.images import dead_channels
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.metrics.points import PointMetrics
from larmlreco.products import ChannelStatus, FlowPoints, InputTag, Pixels, SpacePoints, TrueSteps
from larmlreco.truth.flow import partners, pixel_origin, true_wires


@dataclass(frozen=True)
class _Volume:
    """A TPC: its number, its planes, and the products to read of it."""

    tpc: int
    planes: tuple[ReadoutPlane, ...]
    images: list[InputTag]
    flows: dict[tuple[int, int], InputTag]
    points: InputTag


class LArFlowEvaluator(Evaluator):
    """Compare partners of pixels with true ones, and points in space with true charge.

    True charge lies where it seems to be for charge freed at the trigger, as that of the points. Of a detector whose
    wires do not wrap, as the simulation is; of several TPCs each is counted as an event of its own.
    """

    class Parameters(ParameterSet):
        """Parameters of LArFlowEvaluator."""

        detector: str = parameter(doc="geometry of the images")
        tpcs: list[int] = parameter([], doc="TPCs whose points are compared; empty: all", minimum=0)
        flow: InputTag = parameter("flow", doc="label of FlowPoints and SpacePoints")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        truth: InputTag = parameter("largeant", doc="true steps")
        channel_status: InputTag | None = parameter(None, doc="status of channels, to tell which wires are dead")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        if any(plane.wrapped for plane in self._detector.planes):
            raise ConfigurationError(
                f"{context.label}.detector: the wires of {config.detector} wrap; "
                "expected a detector whose wires do not, for example microboone"
            )
        self._truth = self.consumes(TrueSteps, config.truth)
        self._status = None if config.channel_status is None else self.consumes(ChannelStatus, config.channel_status)
        active = [tpc.index for tpc in self._detector.tpcs if tpc.active is not None]
        if not set(config.tpcs) <= set(active):
            raise ConfigurationError(
                f"{context.label}.tpcs: {config.detector} has the TPCs {', '.join(map(str, active))}; "
                f"got {', '.join(map(str, config.tpcs))}"
            )
        self._volumes = [self._volume(config, tpc) for tpc in config.tpcs or active]
        self._partners, self._space = FlowMetrics(), PointMetrics()

    def _volume(self, config: Parameters, tpc: int) -> _Volume:
        """What is read of a TPC."""
        facts = {"detector": config.detector}
        planes = self._detector.readout_planes_of(tpc)
        instance = "" if len(self._detector.tpcs) == 1 else f"tpc{tpc}"
        prefix = f"{instance}_" if instance else ""
        label, process = config.flow.label, config.flow.process
        image_label, image_process = config.images.label, config.images.process
        return _Volume(
            tpc,
            planes,
            [self.consumes(Pixels, InputTag(image_label, p.name, image_process), facts=facts) for p in planes],
            {
                (s, t): self.consumes(FlowPoints, InputTag(label, f"{prefix}{source.view}2{target.view}", process))
                for s, source in enumerate(planes)
                for t, target in enumerate(planes)
                if s != t
            },
            self.consumes(SpacePoints, InputTag(label, instance or config.flow.instance, process), facts=facts),
        )

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        dead = np.zeros(self._detector.n_channels + 1, dtype=np.bool_)
        if self._status is not None:
            dead[dead_channels(event.get(ChannelStatus, self._status))] = True
        for volume in self._volumes:
            self._compare(event, volume, event.get(TrueSteps, self._truth), dead)

    def _compare(self, event: Event, volume: _Volume, steps: TrueSteps, dead: npt.NDArray[np.bool_]) -> None:
        """Compare what was made of one TPC."""
        images = [event.get(Pixels, tag) for tag in volume.images]
        deposits = [pixel_origin(pixels, steps, self._detector).deposit for pixels in images]
        for (source, target), tag in volume.flows.items():
            flow = event.get(FlowPoints, tag)
            plane = volume.planes[target].wire_planes[0]
            true = true_wires(deposits[source], steps, plane)
            self._partners.add(
                f"{volume.planes[source].view}2{volume.planes[target].view}",
                flow.column,
                true,
                partners(true, images[source].row, images[target]) >= 0,
                dead[np.append(plane.channels, -1)[true]],
                flow.matchable > 0.5,
                flow.candidates,
            )
        points = event.get(SpacePoints, volume.points)
        rows = int(images[0].meta["n_rows"]) * int(images[0].meta["rebin"])
        seen = (steps.tick >= 0) & (steps.tick < rows) & (steps.electrons > 0)
        seen &= self._detector.tpc_of(steps.x, steps.y, steps.z) == volume.tpc
        true_x = self._detector.tick_to_x(steps.tick[seen], volume.tpc)
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
