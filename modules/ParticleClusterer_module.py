"""Producer of clusters: every particle a group of voxels or points."""

from typing import Literal

import numpy as np

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.inference import load_archive
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, Hits, InputTag, SemanticScores, SpacePoints, TrueLabels, Voxels
from larmlreco.reco.clustering import ClusteredVoxels, ClusteringOptions, Floats, Int64, cluster_voxels, dbscan_voxels
from larmlreco.reco.clustering_places import CANONICAL, Places, canonical_labels, hits_of_clusters, members


class ParticleClusterer(Producer):
    """Cluster voxels or space points of each class into particles, with a network or with DBSCAN.

    Puts ``Clusters`` and their ``Assns`` to the voxels or points, with the image's instance; with ``hits`` given also
    the ``Assns`` ``<instance>hits`` from clusters to hits, through the points' hits or through ``hit_links``. The
    network (arXiv 2007.03083) gives every voxel an embedding, a margin and a seediness; without an archive the
    clusters are those of DBSCAN in each group of classes.
    """

    class Parameters(ParameterSet):
        """Parameters of ParticleClusterer."""

        input: InputTag = parameter("voxels", doc="voxels or points to cluster")
        input_type: Literal["Voxels", "SpacePoints"] = parameter("Voxels", doc="type of the input")
        images: list[str] = parameter(
            [""], doc="instances of the input", check=lambda v: None if v else "at least one instance"
        )
        scores: InputTag = parameter("segmentation", doc="semantic scores of the input (SemanticScores)")
        truth: InputTag | None = parameter(
            None, doc="true labels (TrueLabels) to cluster by instead of the scores, to evaluate; @nil: the scores"
        )
        archive: str | None = parameter(
            "clustering_voxels.ts", doc="TorchScript archive: a path, or a shipped one's name; @nil: DBSCAN alone"
        )
        detector: str = parameter("liquid_argon", doc="detector of the images, as the archive's card names it")
        allow_other_detector: bool = parameter(False, doc="run an archive on a detector that its card does not name")
        groups: list[list[str]] = parameter(
            [["HIP", "MIP"], ["shower"], ["delta"], ["Michel"]], doc="classes that are clustered together, in order"
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
        eps: float = parameter(1.99, doc="DBSCAN alone: distance of neighbours", unit="voxel", minimum=0)
        min_samples: int = parameter(1, doc="DBSCAN alone: least neighbours of a core, itself included", minimum=1)
        pitch: float = parameter(0.3, doc="edge of the voxels that points are put into", unit="cm", minimum=0.001)
        charge_scale: float = parameter(1.0, doc="what the network sees of a unit of charge", unit="MeV")
        hits: InputTag | None = parameter(None, doc="hits to link clusters to; @nil: none")
        hit_links: InputTag | None = parameter(
            None,
            doc="links (Assns) from voxels to hits, of the instance that an image's name and this one's make together; "
            "@nil: those that points hold",
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        for name in [name for group in config.groups for name in group]:
            if name not in SEMANTIC_NAMES:
                raise ConfigurationError(f"groups: unknown class {name!r}; {valid_choices(name, SEMANTIC_NAMES)}")
        self._config = config
        self._groups = [[SEMANTIC_NAMES.index(name) for name in group] for group in config.groups]
        self._torn = [SEMANTIC_NAMES.index(name) for name in config.fragment_by_dbscan]
        self._options = ClusteringOptions(
            config.seed_threshold,
            config.probability_threshold,
            config.min_size,
            config.assign_all,
            config.founder_threshold,
        )
        self._meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "algorithm": "dbscan"}
        self._archive = None
        if config.archive is not None:
            self._archive = load_archive(config.archive, context.device, context.threads)
            self._archive.check(
                task="instance_clustering",
                detector=config.detector,
                outputs=["embedding", "margin", "seediness"],
                allow_other_detector=config.allow_other_detector,
            )
            card = self._archive.card
            context.register_model(self._archive.path.name, card.sha256)
            self._meta |= {"algorithm": "proposal_free", "model_sha256": card.sha256}
        kind = Voxels if config.input_type == "Voxels" else SpacePoints
        self._kind: type[Voxels] | type[SpacePoints] = kind
        if config.hits is not None and kind is Voxels and config.hit_links is None:
            raise ConfigurationError("hits needs hit_links, the links from voxels to hits, for an input of Voxels")
        base, label = config.truth or config.scores, config.input
        self._label_kind: type[SemanticScores] | type[TrueLabels]
        self._label_kind = SemanticScores if config.truth is None else TrueLabels
        size = self._archive.voxel_facts() if self._archive is not None and kind is Voxels else {}
        self._images = {
            name: (
                self.consumes(kind, InputTag(label.label, name, label.process), facts=size),
                self.consumes(self._label_kind, InputTag(base.label, name, base.process), facts=CANONICAL),
            )
            for name in config.images
        }
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
            label = places.label(canonical_labels(event.get(self._label_kind, labels_tag)))
            found, score = self._clustered(places, label)
            meta = {**self._meta, "target": branch}
            clusters, of_row = places.clusters(found.cluster, found.semantic, found.seed, score, meta)
            made = event.put(clusters, name).branch
            event.put(members(of_row, made, branch), name)
            if self._hits is not None:
                event.put(self._to_hits(event, name, self._hits, product, of_row, made), f"{name}hits")

    def _clustered(self, places: Places, label: Int64) -> tuple[ClusteredVoxels, Floats]:
        """Clusters of the voxels, and the scores of the clusters."""
        if self._archive is None:
            found = dbscan_voxels(
                places.index, label, places.charge, self._groups, self._config.eps, self._config.min_samples
            )
            return found, np.full(len(found.seed), -1.0)
        energy = (places.charge * self._config.charge_scale).astype(np.float32)
        coords = np.column_stack([np.zeros(len(energy), dtype=np.int64), places.index])
        outputs = self._archive(coords, energy[:, np.newaxis])
        seediness = outputs["seediness"].reshape(-1)
        kernel = outputs["embedding"], outputs["margin"].reshape(-1), seediness
        found = cluster_voxels(places.index, label, self._groups, kernel, self._options, self._torn)
        return found, seediness[found.seed]

    def _places(self, product: Voxels | SpacePoints, branch: str) -> Places:
        places = (
            Places.of_voxels(product) if isinstance(product, Voxels) else Places.of_points(product, self._config.pitch)
        )
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
