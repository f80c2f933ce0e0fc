"""Semantic scores and labels of pixels, voxels, points or hits."""

from dataclasses import dataclass

import numpy as np

from larmlreco.labels import TRACK_SHOWER_NAMES, scheme_mapping
from larmlreco.products.base import Float32, Int32, Product, array_field

VIEWED_SCHEMES = ("larmlreco", "spine", "track_shower")
"""Schemes whose classes are each a track or a shower."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SemanticScores(Product):
    """Score of every class and the best class, row i for row i of the labelled product.

    ``meta``: ``class_names`` (the columns, in order), ``scheme``, ``target`` (branch of the labelled product),
    ``model_sha256``. ``track`` and ``shower`` follow from the scores where the scheme has that view. Scores -1 and
    label -1 mark a row that could not be classified (a hit without a pixel).
    """

    scores: Float32 = array_field("f4", "softmax score of every class", parts="class_names")
    label: Int32 = array_field("i4", "class with the highest score; -1: none")
    track: Float32 = array_field("f4", "two-class view (PRD 99 092001): HIP + MIP; -1: none", fill=-1)
    shower: Float32 = array_field("f4", "two-class view (PRD 99 092001): all other classes; -1: none", fill=-1)

    def __post_init__(self) -> None:
        views = {name: getattr(self, name) for name in TRACK_SHOWER_NAMES}
        super().__post_init__()
        if self.meta.get("scheme") not in VIEWED_SCHEMES:
            return
        classes = scheme_mapping(self.meta["scheme"], "track_shower")
        for number, name in enumerate(TRACK_SHOWER_NAMES):
            if views[name] is None:
                total = self.scores[:, classes == number].sum(axis=1, dtype=np.float32)
                total[self.label < 0] = -1
                object.__setattr__(self, name, total)
