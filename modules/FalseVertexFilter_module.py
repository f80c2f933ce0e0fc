"""Filter of vertices that are none in space."""

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, Filter, ModuleContext, ParameterSet, parameter
from larmlreco.geometry import detector
from larmlreco.images import DeadChannelFinder
from larmlreco.products import ChannelStatus, InputTag, Pixels, SpacePoints
from larmlreco.reco.candidates import N_PLANES, plane_pixels
from larmlreco.reco.vertex import best_points, plane_agreement, track_ends, vertex_score

STANDS = 1
"""Flag of a vertex whose planes agree."""


class FalseVertexFilter(Filter):
    """Pass events with a candidate vertex on which all planes agree; charge near its projections is near it in space.

    Candidates are given, as the points of a product, or are the ends of tracks: of groups of points. Puts the
    candidates as ``SpacePoints`` whose score is the agreement, the smallest over the planes of the share of the charge
    around the projection that belongs to points near the vertex; those that stand have the flag 1.
    """

    class Parameters(ParameterSet):
        """Parameters of FalseVertexFilter."""

        detector: str = parameter(doc="geometry of the images")
        tpc: int = parameter(0, doc="the TPC whose points are looked at", minimum=0)
        points: InputTag = parameter("flow", doc="points in space (SpacePoints) made by LArFlow")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        vertices: InputTag | None = parameter(None, doc="candidates (SpacePoints); @nil: ends of tracks")
        channel_status: InputTag | None = parameter(
            None, doc="status of channels, to know which are dead; @nil: those without a pixel in the event"
        )
        radius: float = parameter(2.0, doc="what is around a vertex on a plane", unit="cm", minimum=0.1)
        reach: float = parameter(6.0, doc="what is near it in space; tracks are foreshortened on planes", unit="cm")
        min_points: int = parameter(30, doc="least points of a track whose ends are candidates", minimum=2)
        min_agreement: float = parameter(0.3, doc="least agreement of a vertex that stands", minimum=0, maximum=1)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._detector = detector(config.detector)
        if config.tpc >= len(self._detector.tpcs):
            raise ConfigurationError(
                f"{context.label}.tpc: {config.detector} has no TPC {config.tpc}; "
                f"valid: 0 to {len(self._detector.tpcs) - 1}"
            )
        self._planes = self._detector.readout_planes_of(config.tpc)
        label, process = config.images.label, config.images.process
        facts = {"detector": config.detector}
        self._images = [self.consumes(Pixels, InputTag(label, p.name, process), facts=facts) for p in self._planes]
        self._points = self.consumes(SpacePoints, config.points, facts=facts)
        self._vertices = None if config.vertices is None else self.consumes(SpacePoints, config.vertices)
        self._status = None if config.channel_status is None else self.consumes(ChannelStatus, config.channel_status)
        self._dead = DeadChannelFinder([], silent_is_dead=True, log=context.log)
        self.produces(SpacePoints)

    def filter(self, event: Event) -> bool:
        """Whether a candidate stands."""
        config = self._config
        images = [event.get(Pixels, tag) for tag in self._images]
        status = None if self._status is None else event.get(ChannelStatus, self._status)
        dead = self._dead.find(status, zip(images, self._planes, strict=True))
        planes = [
            plane_pixels(pixels, readout, self._detector, config.tpc, dead)
            for pixels, readout in zip(images, self._planes, strict=True)
        ]
        points = event.get(SpacePoints, self._points)
        places = _places(points)
        owners = [
            best_points(points.pixel[:, p].astype(np.int64), points.score.astype(np.float64), len(images[p]))
            for p in range(N_PLANES)
        ]
        if self._vertices is None:
            vertices = track_ends(places, config.min_points)
        else:
            vertices = _places(event.get(SpacePoints, self._vertices))
        rebin = int(images[0].meta["rebin"])
        share = plane_agreement(vertices, planes, places, owners, self._detector, rebin, config.radius, config.reach)
        score = vertex_score(share)
        stands = score >= config.min_agreement
        event.put(
            SpacePoints.from_columns(
                {
                    "id": np.arange(len(vertices)),
                    "x": vertices[:, 0],
                    "y": vertices[:, 1],
                    "z": vertices[:, 2],
                    "score": score,
                    "flags": np.where(stands, STANDS, 0),
                },
                {"flags": {"stands": STANDS}, "tpc": config.tpc, "radius": config.radius, "reach": config.reach},
            )
        )
        return bool(stands.any())


def _places(points: SpacePoints) -> np.typing.NDArray[np.float64]:
    return np.column_stack([points.x, points.y, points.z]).astype(np.float64)
