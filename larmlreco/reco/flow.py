"""From scores of candidates to the partners of every pixel, and to points in space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector
from larmlreco.reco.candidates import DEAD, N_PLANES, NEAR, SEEN, Candidates, PlanePixels, ranges

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

CONTEST = 0.5
"""Weight with which a pixel minds what the other pixels of its candidates could choose instead."""

NEIGHBOURS = 2
"""Wires within which candidates of a pixel are taken as the same answer."""

FLAGS: Mapping[str, int] = MappingProxyType(
    {
        f"{name}_{p}": 1 << (N_PLANES * kind + p)
        for kind, name in enumerate(("dead", "near", "infilled"))
        for p in range(N_PLANES)
    }
)
"""Bits of the flags of points: the plane's wire there is dead or absent; its charge there is below threshold; its pixel
was filled in, not measured."""


@dataclass(frozen=True)
class Choice:
    """What the pixels (N,) of one plane chose among their candidates.

    ``candidate``: the best one, -1 for a pixel without any; ``probability``: the share of the softmax over the pixel's
    candidates and "no partner" that the best one and those within two wires of it have; ``matched`` (N, 3): how
    probable it is that each plane has seen the charge; ``count``: how many candidates there were. ``of_pixel`` and
    ``share`` (E,): all candidates, pixel by pixel, and their shares; those of pixel i begin at ``first[i]``.
    """

    candidate: Int64
    probability: Float64
    matched: Float64
    count: Int64
    of_pixel: Int64
    share: Float64
    first: Int64


def choose(
    found: Candidates, planes: Sequence[PlanePixels], score: npt.ArrayLike, n_pixels: Sequence[int]
) -> list[Choice]:
    """The choice of each plane's pixels by scores (K,), the log-odds against "no partner".

    ``n_pixels``: pixels of each plane's image. A pixel chooses by what the other pixels of its candidates have instead
    too, see :data:`CONTEST`; ties go to the candidate that comes first. Raises ``ValueError`` for scores that are not
    finite or too few.
    """
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != (len(found),) or not np.isfinite(scores).all():
        raise ValueError(f"expected {len(found)} finite scores; got an array of shape {scores.shape}")
    offers = [_offer(found, plane, number, scores, n_pixels[number]) for number, plane in enumerate(planes)]
    worth = scores - CONTEST * _contested(offers, len(found))
    return [_choice(found, offer, worth) for offer in offers]


@dataclass(frozen=True)
class _Offer:
    """The candidates of the pixels of one plane, pixel by pixel, their shares, and the log of what each pixel has."""

    candidate: Int64
    pixel: Int64
    share: Float64
    count: Int64
    normal: Float64


def _offer(found: Candidates, plane: PlanePixels, number: int, scores: Float64, n_pixels: int) -> _Offer:
    candidate = np.flatnonzero(found.entry[:, number] >= 0)
    pixel = plane.pixel[found.entry[candidate, number]]
    order = np.argsort(pixel, kind="stable")
    candidate, pixel = candidate[order], pixel[order]
    count = np.bincount(pixel, minlength=n_pixels)
    some = np.flatnonzero(count)
    highest = np.zeros(n_pixels)
    if len(some):
        first = (np.cumsum(count) - count)[some]
        highest[some] = np.maximum(np.maximum.reduceat(scores[candidate], first), 0.0)
    weight = np.exp(scores[candidate] - highest[pixel])
    total = np.exp(-highest) + _summed(pixel, weight, n_pixels)
    return _Offer(candidate, pixel, weight / total[pixel], count, highest + np.log(total))


def _contested(offers: Sequence[_Offer], n_candidates: int) -> Float64:
    """How much the pixels of a candidate (K,) have to choose from: the mean log of the sum that divides their softmax.

    Charge belongs to one place only (almost): a candidate whose other pixels have better ones is rather not the one.
    """
    total, count = np.zeros(n_candidates), np.zeros(n_candidates)
    for offer in offers:
        total[offer.candidate] += offer.normal[offer.pixel]
        count[offer.candidate] += 1
    return total / np.maximum(count, 1)


def _choice(found: Candidates, offer: _Offer, worth: Float64) -> Choice:
    candidate, pixel, share, count = offer.candidate, offer.pixel, offer.share, offer.count
    n_pixels = len(count)
    first = np.cumsum(count) - count
    some = np.flatnonzero(count)
    best = np.full(n_pixels, -1, dtype=np.int64)
    if len(some):
        highest = np.zeros(n_pixels)
        highest[some] = np.maximum.reduceat(worth[candidate], first[some])
        of_best = np.flatnonzero(worth[candidate] == highest[pixel])[::-1]
        best[pixel[of_best]] = candidate[of_best]  # the first of equal ones is written last
    matched = np.column_stack(
        [_summed(pixel, share * (found.state[candidate, p] == SEEN), n_pixels) for p in range(N_PLANES)]
    )
    near = _alike(found, candidate, best[pixel])
    return Choice(best, _summed(pixel, share * near, n_pixels), matched, count, candidate, share, first)


def _summed(index: Int64, weight: Float64, size: int) -> Float64:
    return np.asarray(np.bincount(index, weight, size), dtype=np.float64)


def _alike(found: Candidates, left: Int64, right: Int64) -> npt.NDArray[np.bool_]:
    """Whether candidates (E,) lie within :data:`NEIGHBOURS` wires of others (E,) on all planes."""
    rows = np.arange(len(left))
    for plane in range(N_PLANES):
        wire = np.ascontiguousarray(found.wire[:, plane])
        rows = rows[np.abs(wire[left[rows]] - wire[right[rows]]) <= NEIGHBOURS]
    alike = np.zeros(len(left), dtype=np.bool_)
    alike[rows] = True
    return alike


def partner_wires(choice: Choice, found: Candidates) -> Int64:
    """Wire (N, 3) on each plane that the pixels' best candidates name; -1 without one, or beyond the plane."""
    wire = np.full((len(choice.candidate), N_PLANES), -1, dtype=np.int64)
    some = choice.candidate >= 0
    wire[some] = found.wire[choice.candidate[some]]
    return wire


def partner_pixels(choice: Choice, found: Candidates, planes: Sequence[PlanePixels]) -> Int64:
    """Row (N, 3) in each plane's image of the pixels of the best candidates; -1 where there is none."""
    pixel = np.full((len(choice.candidate), N_PLANES), -1, dtype=np.int64)
    some = choice.candidate >= 0
    for number, plane in enumerate(planes):
        pixel[some, number] = _entries(plane.pixel, found.entry[choice.candidate[some], number], -1)
    return pixel


def _entries(values: npt.NDArray[Any], entry: Int64, absent: float) -> npt.NDArray[Any]:
    """Values at entries (N,), ``absent`` where an entry is -1."""
    return np.append(values, absent)[entry]


@dataclass(frozen=True)
class Points:
    """Points (P,) in space, ordered by row and the wires of plane 0, 1, 2; no two at one place.

    ``candidate``: their candidates; ``score``: how probable the point is by its pixels, in the mean, see
    :class:`Choice`; ``covariance`` (P, 6): xx, yx, yy, zx, zy, zz (cm2); ``consistency``: distance of the third wire
    from the crossing of the other two (cm), -1 where only two planes have seen the charge; ``flags``: bits of
    :data:`FLAGS`; ``pixel`` (P, 3): rows in the images, -1: none; ``charge`` (P, 3): ADC, 0: none.
    """

    candidate: Int64
    x: Float64
    y: Float64
    z: Float64
    covariance: Float64
    score: Float64
    consistency: Float64
    flags: Int64
    pixel: Int64
    charge: Float64


def make_points(
    found: Candidates,
    planes: Sequence[PlanePixels],
    choices: Sequence[Choice],
    detector: Detector,
    rebin: int,
    min_score: float = 0.0,
) -> Points:
    """The best candidate of every pixel of every plane; those with a score below ``min_score`` are left out.

    Pixels that agree make one point. A plane whose wires lie along a track sees it in few pixels, and one that is dead
    in none: the pixels of all planes together find what those of one would leave out. x is that of the
    middle of the row (``rebin`` samples) for charge freed at the trigger. The error along x is that of a row, those in
    y and z that of the pitch of the wires seen, each as wide as a uniform distribution; the covariance grows with the
    inverse of the score, as what is less certain may belong elsewhere.
    """
    chosen = np.concatenate([c.candidate for c in choices])
    candidate = np.unique(chosen[chosen >= 0])
    score = _point_scores(found, planes, choices, candidate)
    candidate, score = _distinct(found, candidate[score >= min_score], score[score >= min_score])
    best = found.take(candidate)
    flags = np.zeros(len(candidate), dtype=np.int64)
    for plane in range(N_PLANES):
        flags |= np.where(best.state[:, plane] == DEAD, FLAGS[f"dead_{plane}"], 0)
        flags |= np.where(best.state[:, plane] == NEAR, FLAGS[f"near_{plane}"], 0)
    all_seen = (best.state == SEEN).all(axis=1)
    return Points(
        candidate=candidate,
        x=detector.tick_to_x((best.row + 0.5) * rebin - 0.5, planes[0].plane.tpc),
        y=best.y,
        z=best.z,
        covariance=_covariance(best, planes, row_length(detector, rebin)) / np.maximum(score, 1e-3)[:, np.newaxis],
        score=score,
        consistency=np.where(all_seen, np.abs(best.residual) * planes[-1].plane.pitch, -1.0),
        flags=flags,
        pixel=np.column_stack([_entries(p.pixel, best.entry[:, i], -1) for i, p in enumerate(planes)]),
        charge=np.column_stack([_entries(p.charge, best.entry[:, i], 0.0) for i, p in enumerate(planes)]),
    )


def infilled_flags(pixel: Int64, infilled: Sequence[npt.NDArray[Any]]) -> Int64:
    """Flags (P,) of points whose ``pixel`` (P, 3) rows, -1: none, were filled in: ``infilled`` (N,) of each image."""
    flags = np.zeros(len(pixel), dtype=np.int64)
    for plane, filled in enumerate(infilled):
        flags |= np.where(_entries(filled, pixel[:, plane], 0) != 0, FLAGS[f"infilled_{plane}"], 0)
    return flags


def _point_scores(
    found: Candidates, planes: Sequence[PlanePixels], choices: Sequence[Choice], candidate: Int64
) -> Float64:
    """Share (P,) that a candidate and those within two wires of it have with its pixels, in the mean."""
    total, seen = np.zeros(len(candidate)), np.zeros(len(candidate))
    for number, (plane, choice) in enumerate(zip(planes, choices, strict=True)):
        here = np.flatnonzero(found.entry[candidate, number] >= 0)
        pixel = plane.pixel[found.entry[candidate[here], number]]
        entry = ranges(choice.first[pixel], choice.count[pixel])
        point = np.repeat(here, choice.count[pixel])
        near = _alike(found, choice.of_pixel[entry], candidate[point])
        total += _summed(point, choice.share[entry] * near, len(candidate))
        seen[here] += 1
    return total / np.maximum(seen, 1)


def _distinct(found: Candidates, candidate: Int64, score: Float64) -> tuple[Int64, Float64]:
    """Candidates at different places, in their order; of several at one place the one with the highest score."""
    place = np.rint(np.column_stack([found.row, 1e4 * found.y, 1e4 * found.z])[candidate]).astype(np.int64)
    order = np.lexsort((candidate, -score, place[:, 2], place[:, 1], place[:, 0]))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (np.diff(place[order], axis=0) != 0).any(axis=1)
    kept = np.sort(order[new])
    return candidate[kept], score[kept]


def row_length(detector: Detector, rebin: int) -> float:
    """Length (cm) along the drift of a row of ``rebin`` samples."""
    return rebin * detector.tick_period * detector.drift_speed


def _covariance(best: Candidates, planes: Sequence[PlanePixels], length: float) -> Float64:
    """Covariance (P, 6): xx, yx, yy, zx, zy, zz (cm2) from the length of a row (cm) and the pitches of the wires."""
    yy, yz, zz = (np.zeros(len(best)) for _ in range(3))
    for number, pixels in enumerate(planes):
        ny, nz = pixels.plane.normal
        weight = (best.state[:, number] == SEEN) * 12 / pixels.plane.pitch**2
        yy += weight * ny * ny
        yz += weight * ny * nz
        zz += weight * nz * nz
    determinant = yy * zz - yz * yz
    zero = np.zeros(len(best))
    xx = np.full(len(best), length**2 / 12)
    return np.column_stack([xx, zero, zz / determinant, zero, -yz / determinant, yy / determinant])
