"""Evaluator of clusters."""

import math
from typing import Any

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.metrics.clustering import ClusteringMetrics
from larmlreco.products import Assns, Clusters, InputTag, TrueLabels, Voxels
from larmlreco.reco.clustering_places import cluster_of_rows

_GROUPS = {"shower": ("shower",), "track": ("HIP", "MIP"), "Michel": ("Michel",), "delta": ("delta",)}


class ClusteringEvaluator(Evaluator):
    """Compare clusters with the true ones: ARI, purity, efficiency and symmetric best Dice, by class.

    The classes are those of arXiv 2007.03083, HIP and MIP being tracks. In each class the voxels count that are of it
    or are in a cluster of it; what was put into another class is lost for its true cluster.
    """

    class Parameters(ParameterSet):
        """Parameters of ClusteringEvaluator."""

        clusters: InputTag = parameter("clusters", doc="clusters and their links to the voxels (Clusters, Assns)")
        truth: InputTag = parameter("truth", doc="true labels with clusters (TrueLabels)")
        voxels: InputTag | None = parameter(None, doc="voxels, for figures against energy (Voxels); @nil: none")
        images: list[str] = parameter([""], doc="instances to compare, each by itself")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        self._images = {
            name: (
                self.consumes(Clusters, tag(config.clusters, name)),
                self.consumes(Assns, tag(config.clusters, name)),
                self.consumes(TrueLabels, tag(config.truth, name)),
                None if config.voxels is None else self.consumes(Voxels, tag(config.voxels, name)),
            )
            for name in config.images
        }
        self._metrics = {name: ClusteringMetrics(tuple(_GROUPS)) for name in self._images}
        self._rand: dict[str, list[float]] = {}

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        for name, (clusters_tag, links_tag, truth_tag, voxels_tag) in self._images.items():
            clusters, truth = event.get(Clusters, clusters_tag), event.get(TrueLabels, truth_tag)
            found = cluster_of_rows(event.get(Assns, links_tag), len(truth))
            semantic = np.append(clusters.semantic, -1)[found]
            known = truth.label >= 0
            energy = None if voxels_tag is None else event.get(Voxels, voxels_tag).energy.astype(np.float64)
            for group, classes in _GROUPS.items():
                numbers = [SEMANTIC_NAMES.index(c) for c in classes]
                true = np.where(np.isin(truth.label, numbers), truth.cluster, -1)
                scores = self._metrics[name].add(
                    group,
                    true[known],
                    np.where(np.isin(semantic, numbers), found, -1)[known],
                    None if energy is None else float(energy[true >= 0].sum()),
                )
                if not math.isnan(scores.ari):
                    self._rand.setdefault(str(event.id), []).append(scores.ari)

    def wrong_parts(self) -> dict[str, float]:
        """Of each event 1 minus the mean ARI over its classes and instances."""
        return {event: min(1.0 - sum(found) / len(found), 1.0) for event, found in self._rand.items()}

    def results(self) -> dict[str, Any]:
        """By instance: figures by class, and the same against the number and the energy of true clusters."""
        return {
            name or "all": {
                "classes": metrics.summary(),
                "by_multiplicity": metrics.by_multiplicity(),
                **({} if self._images[name][-1] is None else {"by_energy": metrics.by_energy()}),
            }
            for name, metrics in self._metrics.items()
        }

    def table(self) -> str:
        """One table an instance, published values in brackets."""
        return "\n".join(f"-- {name or 'clusters'}\n{metrics.table()}" for name, metrics in self._metrics.items())
