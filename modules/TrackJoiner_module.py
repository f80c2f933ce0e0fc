"""Producer of clusters in which the pieces of tracks are put together."""

from dataclasses import fields

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, InputTag, Voxels
from larmlreco.reco.clustering_places import Places, cluster_of_rows, members
from larmlreco.reco.joining import JoinOptions, join_tracks


class TrackJoiner(Producer):
    """Join pieces of tracks across dead wires and stretches of another class.

    Puts ``Clusters`` and their ``Assns`` to the voxels, and with ``hits`` those to hits (``<instance>hits``), as the
    module that made the pieces did. A joined cluster has the class of most of its charge, and score and seed of its
    largest piece.
    """

    class Parameters(ParameterSet):
        """Parameters of TrackJoiner."""

        input: InputTag = parameter("voxels", doc="voxels of the clusters (Voxels)")
        clusters: InputTag = parameter("pieces", doc="clusters to join (Clusters), with their links (Assns)")
        images: list[str] = parameter(
            [""], doc="instances of the voxels", check=lambda v: None if v else "at least one instance"
        )
        hits: bool = parameter(False, doc="whether the clusters have links to hits, which go with them")
        max_gap: float = parameter(80.0, doc="longest gap within a track", unit="voxel", minimum=0)
        overlap: float = parameter(
            25.0, doc="length over which two pieces may lie side by side", unit="voxel", minimum=0
        )
        offset: float = parameter(3.5, doc="an end may lie beside the other's line by this", unit="voxel", minimum=0)
        slope: float = parameter(0.1, doc="and by this part of the gap", minimum=0)
        min_cosine: float = parameter(
            0.95, doc="least cosine between the directions of two pieces", minimum=-1, maximum=1
        )
        near: float = parameter(10.0, doc="gap up to which near_cosine is enough", unit="voxel", minimum=0)
        near_cosine: float = parameter(0.85, doc="least cosine across such a gap", minimum=-1, maximum=1)
        reach: float = parameter(20.0, doc="length over which directions are measured", unit="voxel", minimum=2)
        other_class: float = parameter(
            0.0, doc="length of straight pieces of the other track class that are joined too", unit="voxel", minimum=0
        )
        speck: float = parameter(
            3.0,
            doc="length of pieces that join a track of either class at which they lie; 0: none do",
            unit="voxel",
            minimum=0,
        )
        beside: float = parameter(
            3.0, doc="distance of short pieces from the track that they join", unit="voxel", minimum=0
        )
        covered: float = parameter(
            0.7, doc="part of a piece that lies beside a larger one of its class, to be joined", minimum=0, maximum=1
        )
        vertex: float = parameter(
            5.0, doc="distance of a third track's end that keeps two ends apart; 0: none does", unit="voxel", minimum=0
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        names = {field.name for field in fields(JoinOptions)}
        self._options = JoinOptions(**{name: value for name, value in config if name in names})
        self._images = {}
        for name in config.images:
            tag = InputTag(config.clusters.label, name, config.clusters.process)
            self._images[name] = (
                self.consumes(Voxels, InputTag(config.input.label, name, config.input.process)),
                self.consumes(Clusters, tag),
                self.consumes(Assns, tag),
                self.consumes(Assns, InputTag(tag.label, f"{name}hits", tag.process)) if config.hits else None,
            )
            self.produces(Clusters, name)
            self.produces(Assns, name)
            if config.hits:
                self.produces(Assns, f"{name}hits")

    def produce(self, event: Event) -> None:
        """Join the tracks of one event."""
        for name, (tag, clusters_tag, links_tag, hits_tag) in self._images.items():
            branch = event.key(Voxels, tag).branch
            places, pieces = Places.of_voxels(event.get(Voxels, tag)), event.get(Clusters, clusters_tag)
            if pieces.meta.get("target", branch) != branch or pieces.meta.get("scheme") != "larmlreco":
                raise ConfigurationError(
                    f"{self.context.label}: {event.key(Clusters, clusters_tag).branch} holds clusters of "
                    f"{pieces.meta.get('target')} in the scheme {pieces.meta.get('scheme')!r}; expected clusters of "
                    f"{branch} in the scheme 'larmlreco': {', '.join(SEMANTIC_NAMES)}"
                )
            of_row = cluster_of_rows(event.get(Assns, links_tag), len(places.of_row))
            number = join_tracks(places.index, of_row[places.first], pieces.semantic, self._options)
            k, n = int(number.max(initial=-1)) + 1, len(SEMANTIC_NAMES)
            votes = np.bincount(number * n + pieces.semantic, pieces.charge + 1e-9, k * n).reshape(k, n)
            largest = np.lexsort((-pieces.n, number))
            largest = largest[np.searchsorted(number[largest], np.arange(k))]
            made = event.put(
                Clusters.from_columns(
                    {
                        "semantic": votes.argmax(axis=1),
                        "n": np.bincount(number, pieces.n, k),
                        "charge": np.bincount(number, pieces.charge, k),
                        **{c: getattr(pieces, c)[largest] for c in ("score", "seed", "seed_x", "seed_y", "seed_z")},
                    },
                    {**pieces.meta, "pieces": event.key(Clusters, clusters_tag).branch},
                ),
                name,
            ).branch
            joined = np.append(number, -1)
            event.put(members(joined[of_row], made, branch), name)
            if hits_tag is not None:
                links = event.get(Assns, hits_tag)
                pairs = np.unique(np.column_stack([number[links.left], links.right]), axis=0)
                columns = {"left": pairs[:, 0], "right": pairs[:, 1]}
                event.put(Assns.from_columns(columns, {**links.meta, "left": made}), f"{name}hits")
