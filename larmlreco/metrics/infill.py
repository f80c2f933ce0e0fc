"""How well dead regions are filled in: sites, energy and gaps, inside the regions only.

A true site is one with charge or energy in a region that was taken away; a found one is a site there with at least the
wanted probability. All errors take the event as the independent unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.metrics.ratio import EventRatio, percent
from larmlreco.sites import connected_pieces, match_sites, offsets

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Least probabilities of a found site at which everything is counted."""

TARGETS: Mapping[str, float] = {"recall": 0.90, "precision": 0.90, "energy_bias": 0.05}
"""Goals of this project for gaps up to 3 cm."""

MIN_TRACK = 20
"""Least sites of a track whose gaps are counted, and least energy is measured on one."""

MIN_PIECE = 3
"""Least sites of a part of a track on one side of a gap, and of the hidden part of a track whose energy is compared."""

_NEAR_TRACK = 2.0


@dataclass(frozen=True)
class HiddenImage:
    """An image of which regions were hidden, and what was found there; sites are pixels (D = 2) or voxels (D = 3).

    ``sites`` (N, D), ``energy`` (N,), ``track`` (N,) (1 track, 0 not, -1 not known) and ``cluster`` (N,) (-1: none) of
    the image as it was; ``width`` (N,): width in sites of the hidden region around a site, 0 for one that was not
    hidden. ``found`` (P, D), with ``probability`` (P,), ``found_energy`` (P,) and ``found_width`` (P,): distinct sites
    in the regions.
    """

    sites: Int64
    energy: Float64
    track: Int64
    cluster: Int64
    width: Int64
    found: Int64
    probability: Float64
    found_energy: Float64
    found_width: Int64


class InfillMetrics:
    """Precision and recall against the threshold, exact and with one site of tolerance; energy; gaps of tracks.

    Sites within one of another, diagonally too, are near. Groups of sites: ``all``; ``narrow``, in regions of up to
    ``narrow`` sites, and ``wide``; ``track`` and ``shower``, and ``narrow track``, where classes are known; and where
    clusters are, ``short gap``: connected hidden sites of a track that extend over at most ``narrow`` sites (a track
    may run along a narrow region, and then its gap is long). A found site that is wrong has the class of the nearest
    site with charge, and belongs to the gap that is nearest. ``threshold``: the working point of energies and gaps.
    """

    def __init__(self, narrow: int, threshold: float) -> None:
        self.narrow = narrow
        self.threshold = threshold
        self.thresholds = sorted({*THRESHOLDS, threshold})
        self._at = self.thresholds.index(threshold)
        self._curves: dict[str, list[dict[str, EventRatio]]] = {}
        self._energies: dict[str, dict[str, EventRatio]] = {}
        self._tracks: list[tuple[float, float, int, int, bool]] = []
        self._gaps: dict[str, EventRatio] = {"all": EventRatio(), "narrow": EventRatio()}
        self._whole: dict[str, EventRatio] = {"all": EventRatio(), "narrow": EventRatio()}

    def add(self, image: HiddenImage) -> dict[str, Any]:
        """Add one event. Returns its figures: ``true`` and ``found`` sites at the threshold and ``tracks`` (T, 4):
        true and found energy, true and found sites of every track with a hidden part.
        """
        hidden = np.flatnonzero(image.width > 0)
        true = image.sites[hidden]
        own, near = _best_probability(true, image.found, image.probability)
        right, beside = _is_in(image.found, true)
        nearest, hurt = _class_nearby(image), _hurt_tracks(image)
        for name, (of_true, of_found) in self._groups(image, hidden, nearest, hurt).items():
            curve = self._curves.setdefault(name, [_ratios() for _ in self.thresholds])
            for threshold, ratios in zip(self.thresholds, curve, strict=True):
                _count(ratios, threshold, own[of_true], near[of_true], image, right, beside, of_found)
            self._add_energy(name, image, hidden[of_true], of_found, own[of_true] >= self.threshold)
        tracks = self._add_tracks(image, hidden)
        self._add_gaps(image, hurt)
        taken = int((image.probability >= self.threshold).sum())
        return {"true": len(hidden), "found": taken, "tracks": tracks}

    def _groups(
        self, image: HiddenImage, hidden: Int64, nearest: Int64, hurt: list[Int64]
    ) -> dict[str, tuple[Bools, Bools]]:
        width, track = image.width[hidden], image.track[hidden]
        groups = {
            "all": (np.ones(len(hidden), dtype=np.bool_), np.ones(len(image.found), dtype=np.bool_)),
            "narrow": (width <= self.narrow, image.found_width <= self.narrow),
            "wide": (width > self.narrow, image.found_width > self.narrow),
        }
        if (image.track >= 0).any():
            groups["track"] = (track == 1, nearest == 1)
            groups["shower"] = (track == 0, nearest == 0)
            narrow, tracks = groups["narrow"], groups["track"]
            groups["narrow track"] = (narrow[0] & tracks[0], narrow[1] & tracks[1])
            short = self._short_gaps(image, hurt)[hidden]
            if short.any():
                of_track = np.flatnonzero(tracks[0])
                gap = short[of_track[_nearest(image.sites[hidden[of_track]], image.found)]]
                groups["short gap"] = (short, gap & tracks[1])
        return groups

    def _short_gaps(self, image: HiddenImage, hurt: list[Int64]) -> Bools:
        """Whether a site (N,) lies in a short gap of one of the tracks that lost sites."""
        short = np.zeros(len(image.sites), dtype=np.bool_)
        for rows in hurt:
            gone = rows[(image.width[rows] > 0) & (image.track[rows] == 1)]
            piece = connected_pieces(image.sites[gone])
            for number in range(int(piece.max(initial=-1)) + 1):
                mine = gone[piece == number]
                short[mine] = np.ptp(image.sites[mine], axis=0).max() < self.narrow
        return short

    def _add_energy(self, name: str, image: HiddenImage, hidden: Int64, of_found: Bools, matched: Bools) -> None:
        """Energy over the true one: of sites that are right, of all that are found, of these times the probability."""
        ratios = self._energies.setdefault(name, {key: EventRatio() for key in ("matched", "all", "expected")})
        taken = of_found & (image.probability >= self.threshold)
        true = image.energy[hidden[matched]]
        mine = match_sites(image.sites[hidden[matched]], image.found)
        ratios["matched"].add(float(image.found_energy[mine].sum()), float(true.sum()))
        found, total = image.found_energy[taken], float(image.energy[hidden].sum())
        ratios["all"].add(float(found.sum()), total)
        ratios["expected"].add(float((image.probability[taken] * found).sum()), total)

    def _add_tracks(self, image: HiddenImage, hidden: Int64) -> list[tuple[float, float, int, int]]:
        """Energy and sites in the hidden parts of tracks, each with the found sites that lie nearest to it."""
        mine = hidden[(image.cluster[hidden] >= 0) & (image.track[hidden] != 0)]
        if not len(mine):
            return []
        ids, of_site = np.unique(image.cluster[mine], return_inverse=True)
        taken = np.flatnonzero(image.probability >= self.threshold)
        owner = np.zeros(0, dtype=np.int64)
        if len(taken):
            distance, nearest = cKDTree(image.sites[mine]).query(image.found[taken], p=np.inf)
            taken, owner = taken[distance <= _NEAR_TRACK], of_site[nearest[distance <= _NEAR_TRACK]]
        found_energy = np.bincount(owner, image.found_energy[taken], len(ids))
        found_count = np.bincount(owner, minlength=len(ids))
        true_energy = np.bincount(of_site, image.energy[mine], len(ids))
        true_count = np.bincount(of_site, minlength=len(ids))
        widest = np.zeros(len(ids), dtype=np.int64)
        np.maximum.at(widest, of_site, image.width[mine])
        rows = [
            (float(true_energy[i]), float(found_energy[i]), int(true_count[i]), int(found_count[i]))
            for i in range(len(ids))
            if true_count[i] >= MIN_PIECE
        ]
        narrow = [bool(widest[i] <= self.narrow) for i in range(len(ids)) if true_count[i] >= MIN_PIECE]
        self._tracks += [(*row, is_narrow) for row, is_narrow in zip(rows, narrow, strict=True)]
        return rows

    def _add_gaps(self, image: HiddenImage, hurt: list[Int64]) -> None:
        """Gaps that hiding made in tracks, and those that are closed again."""
        taken = image.found[image.probability >= self.threshold]
        totals = {"all": [0, 0, 0, 0], "narrow": [0, 0, 0, 0]}
        for rows in hurt:
            left = image.sites[rows[image.width[rows] == 0]]
            before = connected_pieces(left)
            parts = np.flatnonzero(np.bincount(before) >= MIN_PIECE) if len(left) else np.zeros(0, np.int64)
            if len(parts) < 2:
                continue
            after = connected_pieces(np.concatenate([left, taken]))
            first = np.array([int(np.flatnonzero(before == part)[0]) for part in parts])
            pieces = len(np.unique(after[first]))
            found = (len(parts) - pieces, len(parts) - 1, int(pieces == 1), 1)
            for name, total in totals.items():
                if name == "all" or image.width[rows].max() <= self.narrow:
                    for i, value in enumerate(found):
                        total[i] += value
        for name, (closed, gaps, whole, tracks) in totals.items():
            self._gaps[name].add(closed, gaps)
            self._whole[name].add(whole, tracks)

    def _at_goal(self, curve: list[dict[str, EventRatio]], suffix: str = "") -> dict[str, float | None]:
        """The highest recall at a threshold where the precision is that of the goal."""
        good = [
            (r[f"recall{suffix}"].value, threshold, r[f"precision{suffix}"].value)
            for threshold, r in zip(self.thresholds, curve, strict=True)
            if r[f"precision{suffix}"].value >= TARGETS["precision"]
        ]
        recall, threshold, precision = max(good) if good else (None, None, None)
        return {"recall": recall, "precision": precision, "threshold": threshold}

    def summary(self) -> dict[str, Any]:
        """All figures with their errors, as JSON values.

        ``groups``: by group the figures at ``threshold``, with the ``energy`` (sum over the true sum, of sites that are
        right, of all, and ``expected``: of all, times their probability), and ``at_goal`` and ``at_goal_near``, the
        recall where the precision is that of the goal, of right sites and of those near; ``curves``: by group precision
        and recall by threshold; ``tracks``: bias (median) and resolution (half width of the central 68 %) of the energy
        in the hidden parts of tracks, relative to the truth; ``gaps``: part of the gaps in tracks that are closed, and
        of the tracks that are one again.
        """
        return {
            "threshold": self.threshold,
            "narrow": self.narrow,
            "targets": dict(TARGETS),
            "groups": {
                name: {
                    **{key: ratio.as_dict() for key, ratio in curve[self._at].items()},
                    "energy": {key: ratio.as_dict() for key, ratio in self._energies[name].items()},
                    "at_goal": self._at_goal(curve),
                    "at_goal_near": self._at_goal(curve, "_near"),
                }
                for name, curve in self._curves.items()
            },
            "curves": {
                name: {
                    "threshold": list(self.thresholds),
                    **{key: [ratios[key].value for ratios in curve] for key in curve[0]},
                }
                for name, curve in self._curves.items()
            },
            "tracks": {"all": self._resolution(False), "narrow": self._resolution(True)},
            "gaps": {
                name: {"closed": self._gaps[name].as_dict(), "tracks_whole": self._whole[name].as_dict()}
                for name in self._gaps
            },
        }

    def _resolution(self, narrow: bool) -> dict[str, Any]:
        rows = np.array([row[:2] for row in self._tracks if row[4] or not narrow], dtype=np.float64).reshape(-1, 2)
        rows = rows[rows[:, 0] > 0]
        if not len(rows):
            return {"bias": None, "error": None, "resolution": None, "tracks": 0}
        off = rows[:, 1] / rows[:, 0] - 1
        low, middle, high = np.quantile(off, [0.16, 0.5, 0.84])
        half = float(high - low) / 2
        return {
            "bias": float(middle),
            "error": float(1.2533 * half / np.sqrt(len(off))),  # of the median of a Gaussian
            "resolution": half,
            "tracks": len(off),
        }

    def table(self) -> str:
        """The figures for people, in per cent."""
        names = ("precision", "recall", "precision +-1", "recall +-1", "energy, right", "energy, all", "all, expected")
        lines = [f"probability at least {self.threshold:g}; narrow: regions of up to {self.narrow} sites"]
        lines.append(f"{'%':14}" + "".join(f"{name:>17}" for name in names) + f"{'true sites':>12}")
        for name, curve in self._curves.items():
            keys = ("precision", "recall", "precision_near", "recall_near")
            figures = [percent(curve[self._at][key].value, curve[self._at][key].error) for key in keys]
            figures += [percent(r.value, r.error) for r in self._energies[name].values()]
            lines.append(
                f"{name:14}"
                + "".join(f"{f:>17}" for f in figures)
                + f"{int(curve[self._at]['recall'].denominator):>12,}"
            )
        lines.append(f"{'goal, narrow':14}{90:>17}{90:>17}{'':>34}{'100 +- 5':>17}")
        for suffix, title in (("", "precision"), ("_near", "precision +-1")):
            goals = {name: self._at_goal(curve, suffix)["recall"] for name, curve in self._curves.items()}
            reached = [f"{name} {'never so high' if r is None else f'{100 * r:.1f}'}" for name, r in goals.items()]
            lines.append(f"recall{title[9:]} where the {title} is 90 %: " + ", ".join(reached))
        for name in self._gaps:
            tracks = self._resolution(name == "narrow")
            gaps, whole = self._gaps[name], self._whole[name]
            text = (
                f"gaps of tracks, {name}: {percent(gaps.value, gaps.error)} % closed of {int(gaps.denominator)}; "
                f"whole again {percent(whole.value, whole.error)} % of {int(whole.denominator)} tracks"
            )
            if tracks["tracks"]:
                text += (
                    f"; energy of a track's hidden part: {100 * tracks['bias']:+.1f} +- {100 * tracks['error']:.1f} %,"
                    f" resolution {100 * tracks['resolution']:.1f} % ({tracks['tracks']} tracks)"
                )
            lines.append(text)
        return "\n".join(lines)


def _hurt_tracks(image: HiddenImage) -> list[Int64]:
    """Rows of every connected part of a cluster, no shower, that is a track by its size and lost some of its sites."""
    out = []
    for cluster in np.unique(image.cluster[(image.width > 0) & (image.cluster >= 0) & (image.track != 0)]):
        rows = np.flatnonzero((image.cluster == cluster) & (image.track != 0))
        part = connected_pieces(image.sites[rows])
        hurt = np.bincount(part, image.width[rows] > 0) > 0
        for number in np.flatnonzero(hurt & (np.bincount(part) >= MIN_TRACK)):
            out.append(rows[part == number])
    return out


def _ratios() -> dict[str, EventRatio]:
    return {key: EventRatio() for key in ("precision", "recall", "precision_near", "recall_near")}


def _count(
    ratios: dict[str, EventRatio],
    threshold: float,
    own: Float64,
    near: Float64,
    image: HiddenImage,
    right: Bools,
    beside: Bools,
    of_found: Bools,
) -> None:
    taken = of_found & (image.probability >= threshold)
    n = int(taken.sum())
    ratios["precision"].add(int((taken & right).sum()), n)
    ratios["precision_near"].add(int((taken & beside).sum()), n)
    ratios["recall"].add(int((own >= threshold).sum()), len(own))
    ratios["recall_near"].add(int((near >= threshold).sum()), len(own))


def _best_probability(true: Int64, found: Int64, probability: Float64) -> tuple[Float64, Float64]:
    """Probability (H,) of the found site at each true one, and the highest of it and its neighbours; 0: none."""
    values = np.append(probability, 0.0)
    own = values[match_sites(true, found)]
    near = own.copy()
    for step in offsets(1, true.shape[1]):
        near = np.maximum(near, values[match_sites(true + step, found)])
    return own, near


def _is_in(found: Int64, true: Int64) -> tuple[Bools, Bools]:
    """Whether each found site (P,) is a true one, and whether it is or a neighbour is."""
    right = match_sites(found, true) >= 0
    beside = right.copy()
    for step in offsets(1, found.shape[1]):
        beside |= match_sites(found + step, true) >= 0
    return right, beside


def track_sites(image: HiddenImage) -> tuple[Bools, Bools]:
    """Which sites (N,) are of tracks, and which found ones (P,), by the nearest charge."""
    return image.track == 1, _class_nearby(image) == 1


def _class_nearby(image: HiddenImage) -> Int64:
    """``track`` (P,) of the charge nearest to each found site; -1 where there is no charge."""
    if not len(image.sites):
        return np.full(len(image.found), -1)
    return image.track[_nearest(image.sites, image.found)]


def _nearest(sites: Int64, wanted: Int64) -> Int64:
    """Row (K,) of the site nearest to each wanted one (K, D)."""
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(cKDTree(sites).query(wanted)[1], dtype=np.int64)
