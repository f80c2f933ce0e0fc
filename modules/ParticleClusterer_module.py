"""Producer of clusters: every particle a group of voxels or points."""

import numpy as np

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.framework.labelled import LabelledParameters, labelled_inputs
from larmlreco.inference import load_archive
from larmlreco.labels import SEMANTIC_NAMES, Semantic
from larmlreco.products import Assns, Clusters, Hits, InputTag, SpacePoints, Voxels
from larmlreco.reco.clustering import (
    METHODS,
    NETWORK_METHODS,
    ClassGroup,
    ClusteredVoxels,
    ClusteringOptions,
    Floats,
    Int64,
    KernelOutputs,
    ShapeOptions,
    cluster_voxels,
)
from larmlreco.reco.clustering_places import CANONICAL, Places, hits_of_clusters, labels_of_rows, members
from larmlreco.reco.clustering_showers import ShowerOptions
from larmlreco.reco.clustering_tracks import TrackOptions


class TrackParameters(ParameterSet):
    """How tracks are told apart by their shape."""

    gap: float = parameter(4.0, doc="voxels of a track may be this far apart", unit="voxel", minimum=1)
    kink: float = parameter(20.0, doc="least angle where one track ends and another begins", unit="deg", minimum=0)
    end_kink: float = parameter(90.0, doc="what it grows to towards the end of a track", unit="deg", minimum=0)
    end_length: float = parameter(12.0, doc="length over which it grows", unit="voxel", minimum=0.1)
    window: float = parameter(12.0, doc="length over which directions are measured", unit="voxel", minimum=3)
    straight: float = parameter(15.0, doc="largest angle of two ends that continue each other", unit="deg", minimum=0)
    speck: int = parameter(
        0, doc="voxels of one class on a track of another that are taken for it, at most", unit="voxel", minimum=0
    )


class ShowerParameters(ParameterSet):
    """How showers of one vertex that touch are told apart."""

    least: float = parameter(25.0, doc="least charge of each of two showers", minimum=0)
    window: float = parameter(16.0, doc="length over which directions are measured", unit="voxel", minimum=3)
    kink: float = parameter(20.0, doc="least angle between them near a track", unit="deg", minimum=0)
    near: float = parameter(6.0, doc="distance that is near a track", unit="voxel", minimum=0)
    open_kink: float = parameter(60.0, doc="least angle elsewhere", unit="deg", minimum=0)
    most_kink: float = parameter(
        120.0, doc="largest angle elsewhere; what turns back further is a pair", unit="deg", minimum=0
    )
    cone_charge: float = parameter(80.0, doc="least charge ahead in both directions, elsewhere", minimum=0)
    cone_angle: float = parameter(25.0, doc="half opening of the cone ahead", unit="deg", minimum=0)
    cone_length: float = parameter(250.0, doc="length of the cone ahead", unit="voxel", minimum=0)


class AbsorbParameters(ParameterSet):
    """Least charge of what a network took for a delta ray or Michel electron; fainter clusters change their class."""

    delta: float = parameter(0.0, doc="least charge of a delta ray; 0: any; MeV for voxels", minimum=0)
    michel: float = parameter(0.0, doc="least charge of a Michel electron; 0: any; MeV for voxels", minimum=0)
    reach: float = parameter(3.2, doc="distance of pieces that count together", unit="voxel", minimum=0)


class ParticleClusterer(Producer):
    """Cluster voxels or space points of each class into particles.

    Puts ``Clusters`` and their ``Assns`` to the voxels or points, with the image's instance; with ``hits`` given also
    the ``Assns`` ``<instance>hits`` from clusters to hits, through the points' hits or through ``hit_links``.

    Each group of classes has a method. ``dbscan``: DBSCAN. ``tracks``: courses through the voxels of each class, cut at
    kinks and junctions. ``showers``: connected pieces, cut where two showers leave one vertex. ``deltas``: connected
    pieces, of which faint ones join the nearest within ``eps``. ``network`` (arXiv 2007.03083): a network gives every
    voxel an embedding, a margin and a seediness, from which clusters are formed. ``pieces``: the network divides the
    clusters of DBSCAN.
    """

    class Parameters(LabelledParameters):
        """Parameters of ParticleClusterer."""

        archive: str | None = parameter(
            None, doc="TorchScript archive for network and pieces: a path, or a shipped one's name"
        )
        detector: str = parameter("liquid_argon", doc="detector of the images, as the archive's card names it")
        allow_other_detector: bool = parameter(False, doc="run an archive on a detector that its card does not name")
        groups: list[list[str]] = parameter(
            [["HIP", "MIP"], ["shower"], ["delta"], ["Michel"]], doc="classes that are clustered together, in order"
        )
        methods: list[str] = parameter(
            ["tracks", "showers", "deltas", "dbscan"], doc="method of each group", choices=METHODS
        )
        eps: list[float] = parameter(
            [4.0, 1.99, 3.2, 4.0],
            doc="dbscan, pieces: distance of neighbours; deltas: reach of faint pieces; of each group",
            unit="voxel",
            check=lambda v: None if all(e > 0 for e in v) else "numbers above 0",
        )
        min_samples: int = parameter(1, doc="dbscan, pieces: least neighbours of a core, itself included", minimum=1)
        tracks: TrackParameters = parameter({}, doc="tracks: how they are told apart")
        showers: ShowerParameters = parameter({}, doc="showers: how they are told apart, charges as in the input")
        faint_delta: float = parameter(
            1.5, doc="deltas: a piece with less charge is part of the nearest one; MeV for voxels", minimum=0
        )
        absorb: AbsorbParameters = parameter(
            {}, doc="faint clusters, taken for the class that they touch most, or for showers"
        )
        seed_threshold: float = parameter(0.5, doc="least seediness of a voxel that founds a cluster")
        probability_threshold: float = parameter(
            0.5,
            doc="least kernel score of a member",
            check=lambda v: None if 0 < v < 1 else "a number above 0 and below 1",
        )
        founder_threshold: float = parameter(
            1.0,
            doc="a voxel with a higher kernel score in a cluster found before founds none; 1: as for members",
            check=lambda v: None if 0 < v <= 1 else "a number above 0, at most 1",
        )
        min_size: int = parameter(1, doc="least size of a cluster", unit="voxel", minimum=1)
        assign_all: bool = parameter(True, doc="whether voxels left over join the most likely cluster")
        fragment_by_dbscan: list[str] = parameter(
            ["shower"], doc="classes whose clusters are split into connected pieces", choices=SEMANTIC_NAMES
        )
        charge_scale: float = parameter(1.0, doc="what the network sees of a unit of charge", unit="MeV")
        hits: InputTag | None = parameter(None, doc="hits to link clusters to; @nil: none")
        hit_links: InputTag | None = parameter(
            None,
            doc="links (Assns) from voxels to hits, of the instance that an image's name and this one's make together; "
            "@nil: those that points hold",
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._groups = _groups(config, context.label)
        self._torn = [SEMANTIC_NAMES.index(name) for name in config.fragment_by_dbscan]
        self._options = ClusteringOptions(
            config.seed_threshold,
            config.probability_threshold,
            config.min_size,
            config.assign_all,
            config.founder_threshold,
        )
        least = {int(Semantic.DELTA): config.absorb.delta, int(Semantic.MICHEL): config.absorb.michel}
        self._shapes = ShapeOptions(
            TrackOptions(**dict(config.tracks)),
            ShowerOptions(**dict(config.showers)),
            config.faint_delta,
            {semantic: charge for semantic, charge in least.items() if charge > 0},
            config.absorb.reach,
        )
        self._meta: dict[str, object] = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
        self._meta["algorithm"] = config.methods
        self._archive = None
        wants = [method for method in config.methods if method in NETWORK_METHODS]
        if wants:
            if config.archive is None:
                raise ConfigurationError(f"{context.label}.methods: {wants[0]} needs a network; archive is @nil")
            self._archive = load_archive(config.archive, context.device, context.threads)
            self._archive.check(
                task="instance_clustering",
                detector=config.detector,
                outputs=["embedding", "margin", "seediness"],
                dimension=3,
                allow_other_detector=config.allow_other_detector,
            )
            card = self._archive.card
            context.register_model(self._archive.path.name, card.sha256)
            self._meta["model_sha256"] = card.sha256
        facts = None if self._archive is None else self._archive.voxel_facts()
        (self._kind, self._label_kind), self._images = labelled_inputs(self, config, CANONICAL, facts)
        kind = self._kind
        if config.hits is not None and kind is Voxels and config.hit_links is None:
            raise ConfigurationError("hits needs hit_links, the links from voxels to hits, for an input of Voxels")
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        self._links = {}
        for name in config.images:
            self.produces(Clusters, name)
            self.produces(Assns, name)
            if config.hits is not None:
                self.produces(Assns, f"{name}hits")
                if config.hit_links is not None:
                    tag = InputTag(config.hit_links.label, name + config.hit_links.instance, config.hit_links.process)
                    self._links[name] = self.consumes(Assns, tag)

    def produce(self, event: Event) -> None:
        """Cluster one event."""
        for name, (tag, labels_tag) in self._images.items():
            product = event.get(self._kind, tag)
            branch = event.key(self._kind, tag).branch
            places = self._places(product, branch)
            labels = event.get(self._label_kind, labels_tag)
            label = places.label(labels_of_rows(labels, branch, len(product)))
            found, score = self._clustered(places, label)
            meta = {**self._meta, "target": branch}
            clusters, of_row = places.clusters(found.cluster, found.semantic, found.seed, score, meta)
            made = event.put(clusters, name).branch
            event.put(members(of_row, made, branch), name)
            if self._hits is not None:
                event.put(self._to_hits(event, name, self._hits, product, of_row, made), f"{name}hits")

    def _clustered(self, places: Places, label: Int64) -> tuple[ClusteredVoxels, Floats]:
        """Clusters of the voxels, and the scores of the clusters."""
        outputs = None
        if self._archive is not None:
            energy = (places.charge * self._config.charge_scale).astype(np.float32)
            coords = np.column_stack([np.zeros(len(energy), dtype=np.int64), places.index])
            found = self._archive(coords, energy[:, np.newaxis])
            outputs = KernelOutputs(found["embedding"], found["margin"].reshape(-1), found["seediness"].reshape(-1))
        clustered = cluster_voxels(
            places.index, label, places.charge, self._groups, outputs, self._options, self._torn, self._shapes
        )
        score = np.full(len(clustered.seed), -1.0)
        if outputs is not None:
            score[clustered.founded] = outputs.seediness[clustered.seed[clustered.founded]]
        return clustered, score

    def _places(self, product: Voxels | SpacePoints, branch: str) -> Places:
        places = Places.of(product, self._config.pitch)
        if self._archive is not None and len(product):
            self._archive.check_pitch(places.pitch, branch)
        return places

    def _to_hits(
        self, event: Event, name: str, hits_tag: InputTag, product: Voxels | SpacePoints, of_row: Int64, clusters: str
    ) -> Assns:
        hits = event.key(Hits, hits_tag).branch
        if not isinstance(product, SpacePoints) or name in self._links:
            links = event.get(Assns, self._links[name])
            return hits_of_clusters(of_row, links.left, links.right, clusters, hits)
        row = np.repeat(np.arange(len(product)), product.hit.shape[1])
        return hits_of_clusters(of_row, row, product.hit.reshape(-1), clusters, hits)


def _groups(config: ParticleClusterer.Parameters, label: str) -> list[ClassGroup]:
    names = [name for group in config.groups for name in group]
    for name in names:
        if name not in SEMANTIC_NAMES:
            raise ConfigurationError(f"{label}.groups: unknown class {name!r}; {valid_choices(name, SEMANTIC_NAMES)}")
        if names.count(name) > 1:
            raise ConfigurationError(
                f"{label}.groups: {name} is there {names.count(name)} times; expected once at most"
            )
    for key, values in (("methods", config.methods), ("eps", config.eps)):
        if len(values) != len(config.groups):
            raise ConfigurationError(
                f"{label}.{key}: {len(values)} values for {len(config.groups)} groups; expected one each"
            )
    return [
        ClassGroup(tuple(SEMANTIC_NAMES.index(name) for name in group), method, eps, config.min_samples)
        for group, method, eps in zip(config.groups, config.methods, config.eps, strict=True)
    ]
