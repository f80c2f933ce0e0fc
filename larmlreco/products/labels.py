"""Semantic scores and labels of pixels, voxels, points or hits."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from larmlreco.labels import map_labels
from larmlreco.products.base import Float32, Int32, Product, array_field


@dataclass(frozen=True, eq=False, kw_only=True)
class SemanticScores(Product):
    """Score of every class and the best class, row i for row i of the labelled product.

    ``meta``: ``class_names`` (the columns, in order), ``scheme``, ``target`` (branch of the labelled product),
    ``model_sha256``. Scores -1 and label -1 mark a row that could not be classified (a hit without a pixel).
    """

    scores: Float32 = array_field("f4", "softmax score of every class", parts="class_names")
    label: Int32 = array_field("i4", "class with the highest score; -1: none")

    @cached_property
    def _track_shower(self) -> Int32:
        return map_labels(np.arange(len(self.part_names("scores"))), self.meta["scheme"], "track_shower")

    @property
    def track(self) -> Float32:
        """Score of the two-class view's track (N,): HIP + MIP; -1 where there is no score."""
        return self._summed(0)

    @property
    def shower(self) -> Float32:
        """Score of the two-class view's shower (N,): the rest; -1 where there is no score."""
        return self._summed(1)

    def _summed(self, wanted: int) -> Float32:
        total: Float32 = self.scores[:, self._track_shower == wanted].sum(axis=1, dtype=np.float32)
        total[self.label < 0] = -1
        return total
