"""Michel electrons at the ends of muons (Domine and Terao, arXiv 1903.05663, section VII.A).

Published: clusters of the Michel class (DBSCAN) that touch a cluster of the MIP class are candidates where the muon
ends: without the muon's voxels around the attachment, the rest is one cluster. With ``MichelOptions.published`` the
finder does this and no more. By default it also holds where data are imperfect: missing voxels, voxels of another class
at the muon's end, and other tracks that cross the muon there.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.labels import Semantic
from larmlreco.products import MichelFlag
from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.reco.dead import DeadRegion
from larmlreco.reco.michel_muon import MuonEnds
from larmlreco.reco.michel_options import MichelOptions, min_samples
from larmlreco.reco.ways import unit
from larmlreco.sites import connected_pieces, dilated

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]

_ENDPOINT_MEV = 53.0
_ROWS_AT_ONCE = 1000
_NO_FLAG = MichelFlag(0)
_DEFAULT = MichelOptions()


@dataclass(frozen=True)
class Surroundings:
    """What bounds the voxels: ``low`` and ``high`` (3,), first and last voxel; and where voxels are dead."""

    low: Int64 | None = None
    high: Int64 | None = None
    dead: DeadRegion | None = None


@dataclass(frozen=True)
class FoundMichels:
    """Michel electrons of an event.

    ``electron`` (N,): candidate of every voxel, -1 for none; ``muon`` (N,): number of the muon that a voxel belongs to,
    -1 for none, over muons with a candidate. For the K candidates: ``muon_of`` (K,), -1 without one; ``attachment``
    (K,), row of the muon's voxel, -1 without one; ``gap`` (K,) missing voxels; ``muon_direction`` and
    ``electron_direction`` (K, 3), unit vectors or 0; ``photons`` (N,): candidate whose photon a voxel is, -1 for none;
    ``flags`` (K,) of :class:`MichelFlag`; ``score`` (K,). ``min_samples``: Michel, MIP. Candidates are ordered by their
    first voxels.
    """

    electron: Int64
    muon: Int64
    photons: Int64
    muon_of: Int64
    attachment: Int64
    gap: Int64
    muon_direction: Float64
    electron_direction: Float64
    flags: Int64
    score: Float64
    min_samples: tuple[int, int]


@dataclass
class _Candidate:
    rows: Int64
    muon: int = -1
    attachment: int = -1
    gap: int = -1
    muon_direction: Float64 | None = None
    flags: MichelFlag = _NO_FLAG


@dataclass(frozen=True)
class _Contact:
    electron: int
    attachment: int
    gap: int
    flags: MichelFlag


def find_michels(
    voxels: Index,
    label: Index,
    charge: Floats,
    options: MichelOptions = _DEFAULT,
    *,
    scores: Floats | None = None,
    surroundings: Surroundings = Surroundings(),
) -> FoundMichels:
    """Michel electrons among voxels (N, 3) of class ``label`` (N,) (canonical scheme) and ``charge`` (N,).

    ``scores`` (N, 5) are the network's; without them a voxel has 1 for the Michel class. A candidate's score is the
    mean of that class over the electron's voxels, halved where a crossing had to be resolved or the muon is short, and
    divided by 1 + gap. The cut ``min_score`` is on the mean times 1 - exp(-n / muon_size) for a muon of n voxels, and
    comes before ``voxel_score``.

    Voxels of one class at one place count as one, with their charges summed.

    Raises ``ValueError`` for a charge that is not finite.
    """
    values = np.asarray(charge, dtype=np.float64)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"the charge of voxel {bad} is not finite: {values[bad]}")
    if not options.published:
        label = _changed_labels(voxels, np.asarray(label, dtype=np.int64), scores, options)
    keyed = np.column_stack([np.asarray(voxels, dtype=np.int64).reshape(-1, 3), label])
    _, first, inverse = np.unique(keyed, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    distinct, row = np.sort(first), rank[inverse.reshape(-1)]
    rating = np.ones(len(values)) if scores is None else np.asarray(scores, dtype=np.float64)[:, Semantic.MICHEL]
    rating, energy = rating[distinct], np.bincount(row, values, len(distinct)).astype(np.float64)
    finder = _Finder(keyed[distinct, :3], keyed[distinct, 3], options, surroundings)
    candidates = [c for c in finder.candidates() if finder.passes(c, rating, energy)]
    for candidate in candidates:
        strong = rating[candidate.rows] >= options.voxel_score
        if strong.sum() >= options.min_voxels:
            candidate.rows = candidate.rows[strong]
    found = finder.result(candidates, energy, rating)
    return replace(
        found,
        electron=found.electron[row],
        muon=found.muon[row],
        photons=found.photons[row],
        attachment=np.append(distinct, -1)[found.attachment],
    )


def _changed_labels(voxels: Index, label: Int64, scores: Floats | None, options: MichelOptions) -> Int64:
    """Labels (N,) after the changes that ``vote`` and ``hip_muons`` ask for."""
    out: Int64 = label.copy()
    if options.vote and scores is not None:
        soft = np.array([Semantic.SHOWER, Semantic.DELTA, Semantic.MICHEL])
        piece = connected_pieces(voxels, np.where(np.isin(label, soft), 0, -1))
        rows = np.flatnonzero(piece >= 0)
        if len(rows):
            sums = np.stack([np.bincount(piece[rows], scores[rows, c]) for c in soft], axis=1)
            winner = soft[sums.argmax(axis=1)][piece[rows]]
            out[rows] = np.where(label[rows] == Semantic.MICHEL, winner, label[rows])
    if options.hip_muons:
        out[out == Semantic.HIP] = Semantic.MIP
    return out


class _Finder:
    """The steps of one event; rows are those of all voxels."""

    def __init__(self, voxels: Int64, label: Index, options: MichelOptions, surroundings: Surroundings) -> None:
        self.voxels = voxels
        self.label = label
        if options.published:
            options = replace(options, max_gap=0, max_dead_gap=0, bridge=0, crossings=False, short_muons=False)
        self.options = options
        self.around = surroundings
        self.dead = surroundings.dead
        self.min_samples = min_samples(voxels, label, options.eps, options.thickness)
        self.michel = self._clusters(Semantic.MICHEL, self.min_samples[0])
        self.mip = self._clusters(Semantic.MIP, self.min_samples[1])
        self.muon_rows = np.flatnonzero(self.mip >= 0)
        self.muon_tree = cKDTree(voxels[self.muon_rows]) if len(self.muon_rows) else None

    def passes(self, candidate: _Candidate, rating: Float64, energy: Float64) -> bool:
        """Whether a candidate has score enough and not too much energy."""
        options = self.options
        score = float(rating[candidate.rows].mean())
        if options.muon_size > 0 and candidate.muon >= 0:
            score *= 1.0 - math.exp(-int((self.mip == candidate.muon).sum()) / options.muon_size)
        most = options.max_energy if options.max_energy > 0 else math.inf
        return score >= options.min_score and float(energy[candidate.rows].sum()) * options.energy_scale <= most

    def _clusters(self, semantic: Semantic, samples: int) -> Int64:
        out = np.full(len(self.voxels), -1, dtype=np.int64)
        rows = np.flatnonzero(self.label == semantic)
        out[rows] = dbscan(self.voxels[rows], self.options.eps, samples)
        return out

    def candidates(self) -> list[_Candidate]:
        """Electrons, ordered by their first voxels."""
        found: list[_Candidate] = []
        contacts: dict[int, _Contact] = {}
        if self.muon_tree is not None:
            contacts = self._contacts(self.muon_tree)
            ends = MuonEnds(self.voxels, self.mip, self.muon_tree, self.muon_rows, self.options, self.min_samples[1])
        loose = np.flatnonzero(self.label == Semantic.MICHEL)
        members = _members(self.michel)
        for number, contact in contacts.items():
            accepted, flags, direction = ends.at(contact.attachment)
            if accepted:
                muon = int(self.mip[contact.attachment])
                found.append(
                    _Candidate(members[number], muon, contact.attachment, contact.gap, direction, flags | contact.flags)
                )
        unattached = [number for number in range(len(members)) if number not in contacts]
        if not self.options.published:
            free = loose[np.isin(self.michel[loose], [-1, *unattached])]
            free = np.sort(np.concatenate([free, *(self._shed(c) for c in found)]))
            found = self._one_per_end(found)
            self._join(found, free)
        if self.options.keep_unattached:
            used = np.concatenate([c.rows for c in found]) if found else np.zeros(0, dtype=np.int64)
            found += [
                _Candidate(members[number], flags=MichelFlag.NO_MUON)
                for number in unattached
                if not np.isin(members[number][0], used)
            ]
        found = [c for c in found if len(c.rows) >= self.options.min_voxels]
        return sorted(found, key=lambda c: int(c.rows.min()))

    def _contacts(self, muon_tree: cKDTree) -> dict[int, _Contact]:
        """Where each Michel cluster that touches a muon touches it, by the cluster's number."""
        electrons = np.flatnonzero(self.michel >= 0)
        if len(electrons) == 0:
            return {}
        electron, muon = self._across(electrons, muon_tree, self.muon_rows)
        missing = self._missing(electron, muon)
        kept = missing <= self.options.max_gap
        contacts = self._best(muon_tree, electron[kept], muon[kept], missing[kept])
        if self.options.bridge > 0:
            for number, contact in self._bridges(muon_tree, electrons).items():
                if number not in contacts or contacts[number].gap > 0:
                    contacts[number] = contact
        return dict(sorted(contacts.items()))

    def _near(self, rows: Int64, tree: Any, tree_rows: Int64, reach: float) -> tuple[Int64, Int64]:
        """Pairs of a row of ``rows`` and one of ``tree_rows`` that differ by at most ``reach`` along every axis."""
        if not len(rows):
            return rows, tree_rows[:0]
        mine = cKDTree(self.voxels[rows])
        pairs = mine.sparse_distance_matrix(tree, reach + 0.5, p=np.inf, output_type="ndarray")
        return rows[pairs["i"]], tree_rows[pairs["j"]]

    def _across(self, rows: Int64, tree: Any, tree_rows: Int64) -> tuple[Int64, Int64]:
        """Pairs with no more voxels between them than may be missing, or be dead where a dead region is near both."""
        gap = self.options.max_gap + 1
        if self.dead is None or self.options.max_dead_gap <= self.options.max_gap:
            return self._near(rows, tree, tree_rows, gap)
        beside = self._beside(self.dead, rows, gap)
        near = self._near(rows[~beside], tree, tree_rows, gap)
        a, b = self._near(rows[beside], tree, tree_rows, self.options.max_dead_gap + 1)
        others, row = np.unique(b, return_inverse=True)
        kept = (self._span(a, b) <= gap) | self._beside(self.dead, others, gap)[row]
        return np.concatenate([near[0], a[kept]]), np.concatenate([near[1], b[kept]])

    def _beside(self, dead: DeadRegion, rows: Int64, reach: int) -> Bool:
        """Whether voxels have a dead one that differs by at most ``reach`` along every axis."""
        out = np.zeros(len(rows), dtype=np.bool_)
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[begin : begin + _ROWS_AT_ONCE]
            around = dead.contains(dilated(self.voxels[some], reach))
            out[begin : begin + _ROWS_AT_ONCE] = around.reshape(len(some), -1).any(axis=1)
        return out

    def _missing(self, a: Int64, b: Int64) -> Int64:
        """Voxels missing on the straight way between pairs of voxels, without those in dead regions."""
        span = self._span(a, b)
        missing: Int64 = np.maximum(span - 1, 0)
        if self.dead is None or len(a) == 0:
            return missing
        for step in range(1, int(span.max())):
            there = span > step
            part = step / span[there][:, np.newaxis]
            place = np.rint(self.voxels[a[there]] * (1 - part) + self.voxels[b[there]] * part)
            missing[there] -= self.dead.contains(place.astype(np.int64))
        return missing

    def _span(self, a: Int64, b: Int64) -> Int64:
        """Largest difference along an axis of pairs of voxels."""
        return np.asarray(np.abs(self.voxels[a] - self.voxels[b]).max(axis=1, initial=0), dtype=np.int64)

    def _best(self, muon_tree: cKDTree, electron: Int64, muon: Int64, missing: Int64) -> dict[int, _Contact]:
        """The contact of each Michel cluster with fewest missing voxels, then where the muon has fewest voxels around.

        An electron that turns back along its muon touches it at many voxels; around its end there are fewest.
        """
        if len(electron) == 0:
            return {}
        ends, row = np.unique(muon, return_inverse=True)
        around = muon_tree.query_ball_point(self.voxels[ends], self.options.mask_radius, return_length=True)[row]
        squared = ((self.voxels[electron] - self.voxels[muon]) ** 2).sum(axis=1)
        order = np.lexsort((electron, muon, squared, around, missing, self.michel[electron]))
        numbers, first = np.unique(self.michel[electron][order], return_index=True)
        span = self._span(electron, muon)
        out = {}
        for number, i in zip(numbers.tolist(), order[first].tolist(), strict=True):
            gap = int(missing[i])
            far = bool(span[i] > 1)
            out[number] = _Contact(number, int(muon[i]), gap, MichelFlag.GAP if far else _NO_FLAG)
        return out

    def _bridges(self, muon_tree: cKDTree, electrons: Int64) -> dict[int, _Contact]:
        """Contacts through connected voxels of the classes delta and HIP that touch both muon and electron."""
        others = np.flatnonzero(np.isin(self.label, (Semantic.DELTA, Semantic.HIP)))
        if len(others) == 0:
            return {}
        piece = connected_pieces(self.voxels[others])
        piece_of = np.full(len(self.voxels), -1, dtype=np.int64)
        piece_of[others] = piece
        between, muon = self._near(others, muon_tree, self.muon_rows, 1)
        across, electron = self._near(others, cKDTree(self.voxels[electrons]), electrons, 1)
        by_piece_muon = _grouped(piece_of[between], muon)
        by_piece_electron = _grouped(piece_of[across], electron)
        electron_ends, muon_ends = [], []
        for number in sorted(by_piece_muon.keys() & by_piece_electron.keys()):
            near, far = by_piece_electron[number], by_piece_muon[number]
            pairs = cKDTree(self.voxels[near]).query_ball_point(self.voxels[far], self.options.bridge + 1.5, p=np.inf)
            electron_ends.append(near[np.fromiter((i for p in pairs for i in p), dtype=np.int64)])
            muon_ends.append(np.repeat(far, [len(p) for p in pairs]))
        if not electron_ends:
            return {}
        a, b = np.concatenate(electron_ends), np.concatenate(muon_ends)
        span = self._span(a, b)
        best = self._best(muon_tree, a, b, np.maximum(span - 1, 0))
        return {number: replace(c, gap=0, flags=MichelFlag.BRIDGED) for number, c in best.items()}

    def _one_per_end(self, found: list[_Candidate]) -> list[_Candidate]:
        """Candidates at one end of one muon put together: a muon has one electron."""
        kept: list[_Candidate] = []
        for candidate in sorted(found, key=lambda c: (c.gap, -len(c.rows), int(c.rows.min()))):
            place = self.voxels[candidate.attachment]
            for other in kept:
                away = ((self.voxels[other.attachment] - place) ** 2).sum()
                if other.muon == candidate.muon and away <= self.options.mask_radius**2:
                    other.rows = np.sort(np.concatenate([other.rows, candidate.rows]))
                    other.flags |= MichelFlag.JOINED
                    break
            else:
                kept.append(candidate)
        return kept

    def _shed(self, candidate: _Candidate) -> Int64:
        """Take off what is not connected to the electron's voxel nearest to the muon, where that is ``join_size``.

        Returns the rows that were taken off.
        """
        rows = candidate.rows
        places = self.voxels[rows]
        piece = connected_pieces(places)
        near = piece == piece[((places - self.voxels[candidate.attachment]) ** 2).sum(axis=1).argmin()]
        if not 0 < self.options.join_size <= near.sum():
            return rows[:0]
        candidate.rows = rows[near]
        return np.asarray(rows[~near])

    def _join(self, found: list[_Candidate], loose: Int64) -> None:
        """Add what is left of the Michel class, piece by piece, to the electron that a piece is close to.

        A piece across a dead region may be close only to one that was added before. To electrons of ``join_size``
        voxels nothing is added across a gap.
        """
        whole = np.array([0 < self.options.join_size <= len(c.rows) for c in found], dtype=bool)
        reach = self.options.max_gap + 1
        # Diagonal neighbours across the gap are sqrt(3) as far apart as straight ones.
        piece = self._owner(loose, dbscan(self.voxels[loose], reach * math.sqrt(3) + 1e-9, 1))
        added = [c.rows for c in found]
        while any(map(len, added)) and len(loose):
            rows = np.concatenate(added)
            owner = self._owner(rows, np.repeat(np.arange(len(found)), [len(a) for a in added]))
            electron, near = self._across(rows, cKDTree(self.voxels[loose]), loose)
            missing = self._missing(electron, near)
            kept = missing <= np.where(whole[owner[electron]], 0, self.options.max_gap)
            electron, near, missing = electron[kept], near[kept], missing[kept]
            order = np.lexsort((owner[electron], missing, piece[near]))
            pieces, first = np.unique(piece[near][order], return_index=True)
            taker = self._owner(pieces, owner[electron[order[first]]])[piece[loose]]
            added = [loose[taker == number] for number in range(len(found))]
            for candidate, more in zip(found, added, strict=True):
                if len(more):
                    candidate.rows = np.sort(np.concatenate([candidate.rows, more]))
                    candidate.flags |= MichelFlag.JOINED
            loose = loose[taker < 0]

    def _owner(self, rows: Int64, owner: Int64) -> Int64:
        out = np.full(len(self.voxels), -1, dtype=np.int64)
        out[rows] = owner
        return out

    def result(self, found: list[_Candidate], charge: Float64, rating: Float64) -> FoundMichels:
        """Everything about the candidates."""
        n, k = len(self.voxels), len(found)
        electron = self._owner(
            np.concatenate([c.rows for c in found]) if found else np.zeros(0, dtype=np.int64),
            np.repeat(np.arange(k), [len(c.rows) for c in found]),
        )
        used, muon_of = np.unique([c.muon for c in found if c.muon >= 0], return_inverse=True)
        muon_number = np.full(int(self.mip.max(initial=-1)) + 2, -1, dtype=np.int64)
        muon_number[used.astype(np.int64)] = np.arange(len(used))
        muon_of = np.array([muon_number[c.muon] for c in found], dtype=np.int64)
        courses = np.array([self._electron_course(c, charge) for c in found]).reshape(-1, 3)
        zero = np.zeros(3)
        flags = [c.flags | self._trouble(c.rows) for c in found]
        weak = MichelFlag.CROSSING | MichelFlag.SHORT_MUON
        score = [float(rating[c.rows].mean()) * (0.5 if c.flags & weak else 1.0) / (1 + max(c.gap, 0)) for c in found]
        return FoundMichels(
            electron=electron,
            muon=np.where(self.mip >= 0, muon_number[self.mip], -1) if n else electron,
            photons=self._photons(found, courses, charge),
            muon_of=muon_of,
            attachment=np.array([c.attachment for c in found], dtype=np.int64),
            gap=np.array([c.gap for c in found], dtype=np.int64),
            muon_direction=np.array([zero if c.muon_direction is None else c.muon_direction for c in found]).reshape(
                -1, 3
            ),
            electron_direction=courses,
            flags=np.array([int(f) for f in flags], dtype=np.int64),
            score=np.array(score, dtype=np.float64),
            min_samples=self.min_samples,
        )

    def _electron_course(self, candidate: _Candidate, charge: Float64) -> Float64:
        """Direction of the electron near the attachment, weighted by charge."""
        if candidate.attachment < 0:
            return np.zeros(3)
        offset = (self.voxels[candidate.rows] - self.voxels[candidate.attachment]).astype(np.float64)
        squared = (offset**2).sum(axis=1)
        near = squared <= max(self.options.mask_radius**2, float(squared.min()))
        weight = np.maximum(charge[candidate.rows][near], 0)
        weight = weight if weight.sum() > 0 else np.ones(len(weight))
        return unit((offset[near] * weight[:, np.newaxis]).sum(axis=0))

    def _trouble(self, rows: Int64) -> MichelFlag:
        """Flags of what the electron's voxels are close to."""
        out = _NO_FLAG
        places, border = self.voxels[rows], self.options.border
        low, high = self.around.low, self.around.high
        if low is not None and bool((places < low + border).any()):
            out |= MichelFlag.NEAR_BORDER
        if high is not None and bool((places > high - border).any()):
            out |= MichelFlag.NEAR_BORDER
        if self.dead is not None and bool(self.dead.contains(dilated(places, border)).any()):
            out |= MichelFlag.NEAR_DEAD
        return out

    def _photons(self, found: list[_Candidate], courses: Float64, charge: Float64) -> Int64:
        """Candidate (N,) whose photon a voxel is: the piece's middle lies in its cone, ties to the nearer one."""
        out = np.full(len(self.voxels), -1, dtype=np.int64)
        free = np.isin(self.label, (Semantic.SHOWER, Semantic.MICHEL))
        for candidate in found:
            free[candidate.rows] = False
        rows = np.flatnonzero(free)
        if self.options.photon_angle <= 0 or self.options.photon_length <= 0 or len(rows) == 0:
            return out
        piece = connected_pieces(self.voxels[rows])
        size = np.bincount(piece)
        energy = np.bincount(piece, charge[rows])
        middle = np.stack([np.bincount(piece, self.voxels[rows, axis]) / size for axis in range(3)], axis=1)
        nearest = np.full(len(size), np.inf)
        owner = np.full(len(size), -1, dtype=np.int64)
        cosine = math.cos(math.radians(self.options.photon_angle))
        for number, candidate in enumerate(found):
            if candidate.attachment < 0:
                continue
            offset = middle - self.voxels[candidate.attachment]
            away = np.sqrt((offset**2).sum(axis=1))
            inside = (offset @ courses[number] >= cosine * away) & (away <= self.options.photon_length)
            better = inside & (away < nearest)
            nearest[better], owner[better] = away[better], number
        order = np.lexsort((nearest, owner))
        for number, candidate in enumerate(found):
            mine = order[owner[order] == number]
            left = _ENDPOINT_MEV / self.options.energy_scale - float(charge[candidate.rows].sum())
            for one in mine.tolist():
                if energy[one] > left:
                    owner[one] = -1
                else:
                    left -= float(energy[one])
        out[rows] = owner[piece]
        return out


def _members(cluster: Int64) -> list[Int64]:
    """Rows of every cluster."""
    rows = np.flatnonzero(cluster >= 0)
    order = rows[np.argsort(cluster[rows], kind="stable")]
    ends = np.cumsum(np.bincount(cluster[rows]))[:-1] if len(rows) else np.zeros(0, dtype=np.int64)
    return np.split(order, ends) if len(rows) else []


def _grouped(key: Int64, value: Int64) -> dict[int, Int64]:
    """Distinct values by key."""
    pairs = np.unique(np.column_stack([key, value]), axis=0)
    keys, first = np.unique(pairs[:, 0], return_index=True)
    return dict(zip(keys.tolist(), np.split(pairs[:, 1], first[1:]), strict=True)) if len(keys) else {}
