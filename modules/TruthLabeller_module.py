"""Producer of true classes of pixels, hits and reconstructed voxels."""

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Hits, InputTag, Pixels, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.truth.pixels import hit_labels, pixel_labels, pixel_particles
from larmlreco.truth.spread import ChargeResponse
from larmlreco.truth.voxels import labels_of_reconstructed


class TruthLabeller(Producer):
    """Give every pixel, and every hit, the class with the most true charge in it.

    Puts ``TrueLabels`` with the plane's name as instance, row i for pixel i, and with ``hits`` given those of the
    instance ``hits``, row i for hit i. The response is that with which the charge was simulated. With ``voxels`` given,
    voxels that were made of points get class, cluster and particle of the nearest true voxel: the instance is theirs.
    """

    class Parameters(ParameterSet):
        """Parameters of TruthLabeller."""

        detector: str = parameter(doc="geometry of the images")
        truth: InputTag = parameter("largeant", doc="true steps and particles")
        images: InputTag | None = parameter(
            "images", doc="images (Pixels) to label; their instances are the planes' names; @nil: none"
        )
        hits: InputTag | None = parameter(None, doc="hits to label; @nil: none")
        voxels: InputTag | None = parameter(None, doc="voxels made of points (Voxels) to label; @nil: none")
        voxel_images: list[str] = parameter([""], doc="instances of the voxels")
        radius: float = parameter(
            1.0, doc="a voxel without true charge within this distance has no label", unit="cm", minimum=0
        )
        planes: list[str] = parameter([], doc="planes to label; empty: all that see an active volume")
        particles: bool = parameter(False, doc="whether to name the particle that left most charge in a pixel too")
        sigma_ticks: list[float] = parameter(
            [2.8, 2.8, 2.2], doc="width of a point charge's pulse a plane", unit="tick", minimum=0.1
        )
        longitudinal_diffusion: float = parameter(6.4, doc="as simulated", unit="cm2/s", minimum=0)
        transverse_diffusion: float = parameter(9.8, doc="as simulated", unit="cm2/s", minimum=0)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        planes = [self._detector.readout_plane(name) for name in config.planes]
        planes = planes or list(self._detector.active_readout_planes)
        self._response = ChargeResponse(
            tuple(config.sigma_ticks), config.longitudinal_diffusion, config.transverse_diffusion
        )
        self._steps = self.consumes(TrueSteps, config.truth)
        self._particles = self.consumes(TrueParticles, config.truth)
        self._with_particles = config.particles
        self._images = {}
        if config.images is not None:
            label, process = config.images.label, config.images.process
            self._images = {p.name: self.consumes(Pixels, InputTag(label, p.name, process)) for p in planes}
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        self._voxels, self._radius = {}, config.radius
        if config.voxels is not None:
            label, process = config.voxels.label, config.voxels.process
            self._voxels = {n: self.consumes(Voxels, InputTag(label, n, process)) for n in config.voxel_images}
        for name in [*self._images, *(["hits"] if self._hits is not None else []), *self._voxels]:
            self.produces(TrueLabels, name)

    def produce(self, event: Event) -> None:
        """Label one event."""
        steps, particles = event.get(TrueSteps, self._steps), event.get(TrueParticles, self._particles)
        meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
        for name, tag in self._images.items():
            truth = (event.get(Pixels, tag), steps, particles, self._detector, self._response)
            label = pixel_labels(*truth)
            particle = pixel_particles(*truth) if self._with_particles else np.full(len(label), -1, dtype=np.int32)
            target = event.key(Pixels, tag).branch
            event.put(TrueLabels(label=label, particle=particle, meta={**meta, "target": target}), name)
        if self._hits is not None:
            label = hit_labels(event.get(Hits, self._hits), steps, particles, self._detector, self._response)
            event.put(TrueLabels(label=label, meta={**meta, "target": event.key(Hits, self._hits).branch}), "hits")
        for name, tag in self._voxels.items():
            voxels, target = event.get(Voxels, tag), event.key(Voxels, tag).branch
            found = labels_of_reconstructed(voxels, steps, particles, self._detector, target, radius=self._radius)
            event.put(found, name)
