"""From class scores of pixels to labels, and to the scores of hits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Index = npt.NDArray[np.integer[Any]]


def best_class(scores: Float32) -> Int32:
    """Class with the highest score of each row (N, classes), ties to the lower class; (N,) int32."""
    if scores.shape[1] == 0:
        raise ValueError("scores have no classes")
    best: Int32 = scores.argmax(axis=1).astype(np.int32)
    return best


def weighted_scores(scores: Float32, factors: Sequence[float]) -> Float32:
    """Scores (N, classes) times a factor for every class, each row with the sum 1 again; without factors as they are.

    Factors move the working point of a classifier whose scores are probabilities: a larger one for a class finds more
    of it and takes more of the others for it. They are ratios of the classes' frequencies, where the network learned
    from others than it meets.
    """
    if not len(factors):
        return scores
    weighted: Float32 = scores * np.asarray(factors, dtype=np.float32)
    total = weighted.sum(axis=1, keepdims=True)
    np.divide(weighted, total, out=weighted, where=total > 0)
    return weighted


def combined_scores(scores: Float32, others: Float32, weight: float) -> Float32:
    """Scores (N, classes) of two classifiers as those of one: their geometric mean, each row with the sum 1.

    ``weight``: that of ``others``, 0 to 1, in the logarithm. A row that ``others`` could not classify (negative scores)
    keeps its scores.
    """
    tiny = 1e-6
    logs = (1 - weight) * np.log(np.maximum(scores, tiny)) + weight * np.log(np.maximum(others, tiny))
    mean = np.exp(logs - logs.max(axis=1, initial=-np.inf, keepdims=True))
    mean /= mean.sum(axis=1, keepdims=True)
    known = (others >= 0).all(axis=1, keepdims=True)
    return np.where(known, mean, scores).astype(np.float32)


def scores_of_hits(scores: Float32, charge: Float32, hit: Index, n_hits: int) -> tuple[Float32, Int32]:
    """Scores and labels of hits from those of their pixels.

    A hit's score is the charge-weighted mean over its pixels. The arguments are pairs of hit and pixel: ``scores``
    (K, classes) and ``charge`` (K,) of the pixel, and the row ``hit`` (K,). A hit without a pixel, or whose pixels hold
    no charge above 0, has scores -1 and label -1. Returns scores (n_hits, classes) float32 and labels (n_hits,) int32.
    """
    n_classes = scores.shape[1]
    weight = np.maximum(charge.astype(np.float64), 0)
    total = np.bincount(hit, weight, minlength=n_hits)
    sums = np.stack([np.bincount(hit, weight * scores[:, c], minlength=n_hits) for c in range(n_classes)], axis=1)
    known = total > 0
    mean = np.full((n_hits, n_classes), -1, dtype=np.float32)
    mean[known] = sums[known] / total[known, np.newaxis]
    labels = np.full(n_hits, -1, dtype=np.int32)
    labels[known] = best_class(mean[known])
    return mean, labels
