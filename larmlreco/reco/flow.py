"""From scores of candidates to the partners of every pixel, and to points in space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.reco.candidates import N_PLANES, SEEN, Candidates, PlanePixels

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What the pixels (N,) of one plane chose among their candidates.

    ``candidate``: the best one, -1 for a pixel without any; ``probability``: its share of the softmax over the pixel's
    candidates and "no partner"; ``matched`` (N, 3): how probable it is that each plane has seen the charge; ``count``:
    how many candidates there were.
    """

    candidate: Int64
    probability: Float64
    matched: Float64
    count: Int64


def choose(
    found: Candidates, planes: Sequence[PlanePixels], score: npt.ArrayLike, n_pixels: Sequence[int]
) -> list[Choice]:
    """The choice of each plane's pixels by scores (K,), the log-odds against "no partner".

    ``n_pixels``: pixels of each plane's image. Ties go to the candidate that comes first. Raises ``ValueError`` for
    scores that are not finite or too few.
    """
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != (len(found),) or not np.isfinite(scores).all():
        raise ValueError(f"expected {len(found)} finite scores; got an array of shape {scores.shape}")
    return [_choice(found, plane, number, scores, n_pixels[number]) for number, plane in enumerate(planes)]


def _choice(found: Candidates, plane: PlanePixels, number: int, scores: Float64, n_pixels: int) -> Choice:
    best = np.full(n_pixels, -1, dtype=np.int64)
    probability, matched = np.zeros(n_pixels), np.zeros((n_pixels, N_PLANES))
    candidate = np.flatnonzero(found.entry[:, number] >= 0)
    pixel = plane.pixel[found.entry[candidate, number]]
    order = np.lexsort((-scores[candidate], pixel))
    candidate, pixel = candidate[order], pixel[order]
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    count = np.bincount(pixel, minlength=n_pixels)
    highest = np.zeros(n_pixels)
    highest[pixel[first]] = np.maximum(scores[candidate[first]], 0.0)
    weight = np.exp(scores[candidate] - highest[pixel])
    total = np.exp(-highest) + np.bincount(pixel, weight, n_pixels)
    best[pixel[first]] = candidate[first]
    probability[pixel[first]] = (weight / total[pixel])[first]
    for plane_number in range(N_PLANES):
        seen = weight * (found.state[candidate, plane_number] == SEEN)
        matched[:, plane_number] = np.bincount(pixel, seen, n_pixels) / total
    return Choice(best, probability, matched, count)


def partner_wires(choice: Choice, found: Candidates) -> Int64:
    """Wire (N, 3) on each plane that the pixels' best candidates name; -1 without one, or beyond the plane."""
    wire = np.full((len(choice.candidate), N_PLANES), -1, dtype=np.int64)
    some = choice.candidate >= 0
    wire[some] = found.wire[choice.candidate[some]]
    return wire
