"""Producer of particles: a summary of every cluster."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, InputTag, Michels, ParticleFlag, Particles, SpacePoints, Voxels
from larmlreco.reco.clustering_places import Places, cluster_of_rows, image_shape, members
from larmlreco.reco.particles import Attachments, ParticleOptions, attachments, summarise

Float64 = npt.NDArray[np.float64]


class ParticleSummary(Producer):
    """Describe every cluster as a particle: ends, direction, length, energy, parent, containment.

    Puts ``Particles``, row i for cluster i, and the ``Assns`` from particles to clusters, with the image's instance;
    the links of the clusters lead on to voxels or points and hits. Start and end are told apart by Michel electrons,
    energy loss, vertices and, for what comes from outside, by falling. Energies of tracks that are contained are those
    of their range (muon for the class MIP, proton for HIP), others are those of their charge.
    """

    class Parameters(ParameterSet):
        """Parameters of ParticleSummary."""

        input: InputTag = parameter("voxels", doc="voxels or points of the clusters")
        input_type: Literal["Voxels", "SpacePoints"] = parameter("Voxels", doc="type of the input")
        images: list[str] = parameter(
            [""], doc="instances of the input", check=lambda v: None if v else "at least one instance"
        )
        clusters: InputTag = parameter("clusters", doc="clusters (Clusters) and their links to the input (Assns)")
        michels: InputTag | None = parameter(
            "michels", doc="Michel electrons (Michels) with their clusters; @nil: none"
        )
        energy_scale: list[float] = parameter(
            [1.0] * 5,
            doc=f"energy of a unit of charge, by class: {', '.join(SEMANTIC_NAMES)}",
            unit="MeV",
            check=lambda v: None if len(v) == 5 and min(v) > 0 else "five numbers above 0",
        )
        reach: float = parameter(
            4.0, doc="length at both ends over which energy loss and direction are measured", unit="cm", minimum=0.1
        )
        vertex_radius: float = parameter(2.0, doc="distance of ends that meet at a vertex", unit="cm", minimum=0)
        parent_distance: float = parameter(
            1.5, doc="largest distance of a delta ray from its track", unit="cm", minimum=0
        )
        margin: float = parameter(
            3.0, doc="distance to the border of the volume of a particle that is contained", unit="cm"
        )
        descending: bool = parameter(True, doc="whether particles from outside come from above, as cosmic muons do")
        detector: str | None = parameter(
            None, doc="geometry whose active volume of the instance's TPC is the volume; @nil: volume, or the image"
        )
        volume: list[float] = parameter(
            [],
            doc="low x, y, z and high x, y, z; empty: the image, where its size is known",
            unit="cm",
            check=lambda v: None if len(v) in (0, 6) else "six numbers",
        )
        pitch: float = parameter(0.3, doc="edge of the voxels that points are put into", unit="cm", minimum=0.001)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._kind: type[Voxels] | type[SpacePoints] = Voxels if config.input_type == "Voxels" else SpacePoints
        self._options = ParticleOptions(
            tuple(config.energy_scale),
            config.reach,
            config.vertex_radius,
            config.parent_distance,
            config.margin,
            config.descending,
        )
        if config.detector is not None and config.volume:
            raise ConfigurationError(f"{context.label}: detector and volume both say what the volume is; give one")
        self._detector = None if config.detector is None else detector(config.detector)
        self._images = {}
        for name in config.images:
            tags = [
                InputTag(tag.label, name, tag.process)
                for tag in (config.input, config.clusters, *([] if config.michels is None else [config.michels]))
            ]
            self.consumes(self._kind, tags[0])
            for tag in tags[1:]:
                self.consumes(Clusters, tag)
                self.consumes(Assns, tag)
            for tag in tags[2:]:
                self.consumes(Michels, tag)
            self._images[name] = tags
            self.produces(Particles, name)
            self.produces(Assns, name)

    def produce(self, event: Event) -> None:
        """Describe the particles of one event."""
        for name, (tag, clusters_tag, *michels_tag) in self._images.items():
            product = event.get(self._kind, tag)
            branch = event.key(self._kind, tag).branch
            places = Places.of(product, self._config.pitch)
            clusters, cluster = self._clusters(event, clusters_tag, branch, len(product))
            position = places.origin + (places.index + 0.5) * places.pitch
            michels = None
            if michels_tag:
                michels = self._attachments(event, michels_tag[0], branch, places, position, cluster, clusters)
            summary = summarise(
                position,
                places.pitch,
                places.charge,
                cluster[places.first],
                clusters.semantic,
                self._options,
                michels=michels,
                volume=self._volume(product, places),
                infilled=_infilled(product)[places.first],
            )
            of_clusters = event.key(Clusters, clusters_tag).branch
            meta = {
                "class_names": list(SEMANTIC_NAMES),
                "scheme": "larmlreco",
                "target": branch,
                "clusters": of_clusters,
                "michels": event.key(Michels, michels_tag[0]).branch if michels_tag else "",
                "flags": {flag.name: int(flag) for flag in ParticleFlag},
                "energy_scale": list(self._options.energy_scale),
            }
            rows = np.arange(len(clusters), dtype=np.int32)
            made = event.put(
                Particles(semantic=clusters.semantic, cluster=rows, n=clusters.n, **vars(summary), meta=meta), name
            )
            event.put(members(rows, made.branch, of_clusters), name)

    def _clusters(
        self, event: Event, tag: InputTag, branch: str, n_rows: int
    ) -> tuple[Clusters, npt.NDArray[np.int64]]:
        """The clusters, and the cluster of every row of the input."""
        clusters = event.get(Clusters, tag)
        target, scheme = clusters.meta.get("target", branch), clusters.meta.get("scheme")
        if target != branch:
            raise ConfigurationError(
                f"{self.context.label}: {event.key(Clusters, tag).branch} holds clusters of {target}; "
                f"expected clusters of the input {branch}"
            )
        if scheme != "larmlreco":
            raise ConfigurationError(
                f"{self.context.label}: {event.key(Clusters, tag).branch} holds classes of the scheme {scheme!r}; "
                f"expected 'larmlreco': {', '.join(SEMANTIC_NAMES)}"
            )
        return clusters, cluster_of_rows(event.get(Assns, tag), n_rows)

    def _attachments(
        self,
        event: Event,
        tag: InputTag,
        branch: str,
        places: Places,
        position: Float64,
        cluster: npt.NDArray[np.int64],
        clusters: Clusters,
    ) -> Attachments:
        michels = event.get(Michels, tag)
        _, own = self._clusters(event, tag, branch, len(cluster))
        number = np.full(int(max(own.max(initial=-1), michels.electron.max(initial=-1))) + 2, -1, dtype=np.int64)
        number[michels.electron] = np.arange(len(michels))
        electron = number[own[places.first]]
        return attachments(position, cluster[places.first], clusters.semantic, electron, michels.attachment)

    def _volume(self, product: Voxels | SpacePoints, places: Places) -> Float64 | None:
        """Low and high x, y, z (3, 2)."""
        if self._config.volume:
            return np.column_stack([self._config.volume[:3], self._config.volume[3:]]).astype(np.float64)
        if self._detector is not None:
            box: Float64 | None = self._detector.tpcs[int(product.meta.get("tpc", 0))].active
            return box
        shape = image_shape(product)
        return None if shape is None else np.column_stack([places.origin, places.origin + shape * places.pitch])


def _infilled(product: Voxels | SpacePoints) -> npt.NDArray[np.bool_]:
    """Rows (N,) of which more than half was filled in and not measured."""
    if isinstance(product, Voxels):
        return np.asarray(product.infilled > 0.5)
    bits = sum(int(bit) for flag, bit in product.meta.get("flags", {}).items() if flag.startswith("infilled"))
    return np.asarray(product.flags & bits != 0)
