"""Producer of clusters that are the truth, to take the place of a clustering."""

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Clusters, InputTag, TrueLabels, Voxels
from larmlreco.reco.clustering_places import Places, labels_of_rows, members


class TrueClusterMaker(Producer):
    """Turn the true clusters of voxels into ``Clusters`` with their links (``Assns``) to the voxels.

    The class of a cluster is that of most of its voxels; its seed is its brightest voxel. Clusters are ordered by
    class, then by their numbers in the truth.
    """

    class Parameters(ParameterSet):
        """Parameters of TrueClusterMaker."""

        input: InputTag = parameter("voxels", doc="voxels to cluster (Voxels)")
        truth: InputTag = parameter("truth", doc="their true labels (TrueLabels)")
        images: list[str] = parameter([""], doc="instances of the voxels")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._images = {
            name: (
                self.consumes(Voxels, InputTag(config.input.label, name, config.input.process)),
                self.consumes(TrueLabels, InputTag(config.truth.label, name, config.truth.process)),
            )
            for name in config.images
        }
        for name in config.images:
            self.produces(Clusters, name)
            self.produces(Assns, name)

    def produce(self, event: Event) -> None:
        """Make the clusters of one event."""
        for name, (tag, truth_tag) in self._images.items():
            voxels, branch = event.get(Voxels, tag), event.key(Voxels, tag).branch
            places, truth = Places.of_voxels(voxels), event.get(TrueLabels, truth_tag)
            label = labels_of_rows(truth, branch, len(voxels))[places.first]
            true = truth.cluster[places.first]
            known = np.flatnonzero((true >= 0) & (label >= 0))
            _, number = np.unique(true[known], return_inverse=True)
            k, n = int(number.max(initial=-1)) + 1, len(SEMANTIC_NAMES)
            votes = np.bincount(number * n + label[known], minlength=k * n).reshape(k, n)
            order = np.argsort(votes.argmax(axis=1), kind="stable")
            cluster = np.full(len(true), -1, dtype=np.int64)
            cluster[known] = np.argsort(order)[number]
            brightest = np.lexsort((-places.charge, cluster))
            seed = brightest[np.searchsorted(cluster[brightest], np.arange(k))]
            meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": branch, "algorithm": "truth"}
            clusters, of_row = places.clusters(cluster, votes.argmax(axis=1)[order], seed, np.ones(k), meta)
            made = event.put(clusters, name).branch
            event.put(members(of_row, made, branch), name)
