"""Producer of semantic scores that are the truth, to take the place of a network's."""

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import InputTag, SemanticScores, TrueLabels
from larmlreco.reco.clustering_places import canonical_labels


class TrueScores(Producer):
    """Turn true labels into semantic scores, 1 for the true class, so that a stage of a chain can be replaced.

    Puts ``SemanticScores`` for every instance; rows without a true class have score and label -1.
    """

    class Parameters(ParameterSet):
        """Parameters of TrueScores."""

        truth: InputTag = parameter("truth", doc="true labels (TrueLabels)")
        images: list[str] = parameter([""], doc="instances: planes, or images of voxels")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        label, process = config.truth.label, config.truth.process
        self._truth = {name: self.consumes(TrueLabels, InputTag(label, name, process)) for name in config.images}
        for name in config.images:
            self.produces(SemanticScores, name)

    def produce(self, event: Event) -> None:
        """Write the scores of one event."""
        for name, tag in self._truth.items():
            truth = event.get(TrueLabels, tag)
            label = canonical_labels(truth)
            scores = np.append(np.eye(len(SEMANTIC_NAMES)), np.full((1, len(SEMANTIC_NAMES)), -1.0), axis=0)[label]
            meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": truth.meta.get("target", "")}
            event.put(SemanticScores(scores=scores.astype(np.float32), label=label, meta=meta), name)
