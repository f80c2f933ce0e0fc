"""What is to be known of particles: ends, direction, length, energy, parents, containment.

Every cluster is one particle. Its way leads from one end to the other (:mod:`larmlreco.reco.particles_path`); which end
is the start follows from a sum of log-odds: a Michel electron at one end, the rise of the energy loss (Bragg peak),
other particles that meet there, for particles from outside the upper end, for showers the narrow end.

The log-odds of tracks, delta rays and Michel electrons were fitted by logistic regression to 1500 particles of 120
simulated MicroBooNE events, one vertex and three to six cosmic muons each, so that the score of the start is the part
of such starts that are right; other mixtures of particles from inside and outside have other odds. Those of the width
of a shower are not fitted.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from larmlreco.labels import Semantic
from larmlreco.products import ParticleFlag
from larmlreco.reco.particles_path import Path, path_of, principal_axis
from larmlreco.reco.particles_range import HYPOTHESES, energy_of_range
from larmlreco.reco.ways import unit

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.integer[Any]]

TRACKS = (Semantic.HIP, Semantic.MIP)

_BY_MICHEL = 4.3
_BY_PARENT = 6.0  # log-odds of an end at the parent, where the other one is far away
_BY_DEDX, _FLUCTUATION = 5.0, 0.3  # log-odds of a factor e between the two ends, beyond what fluctuations do
_BY_VERTEX, _MOST_AT_VERTEX = 3.7, 3
_BY_DESCENT = 5.9  # log-odds of a vertical particle
_BY_WIDTH, _MOST_BY_WIDTH = 1.5, 2.0
_TELLING = 0.2  # log-odds from which something is named as a reason


@dataclass(frozen=True)
class ParticleOptions:
    """Options of :func:`summarise`; lengths in cm.

    ``energy_scale``: MeV of a unit of charge, by class; ``reach``: length at both ends over which energy loss and
    direction are measured; ``vertex_radius``: distance of ends that meet; ``parent_distance``: largest distance of a
    delta ray from its track; ``margin``: distance to the border of a particle that is contained; ``descending``:
    whether particles from outside come from above.
    """

    energy_scale: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    reach: float = 4.0
    vertex_radius: float = 2.0
    parent_distance: float = 1.5
    margin: float = 3.0
    descending: bool = True


_DEFAULT = ParticleOptions()


@dataclass(frozen=True)
class Attachments:
    """Michel electrons: row ``of_cluster`` (K,) of every cluster that is part of one, -1 for none; for each of the M
    electrons the cluster ``muon`` (M,), -1 for none, and the ``place`` (M, 3) where they meet, in cm (NaN: not known).
    """

    of_cluster: Int64
    muon: Int64
    place: Float64


@dataclass(frozen=True)
class Summary:
    """Particles of an event, all (K,) or (K, 3), with the fields of :class:`larmlreco.products.Particles`."""

    start: Float64
    end: Float64
    direction: Float64
    start_score: Float64
    length: Float64
    energy: Float64
    energy_range: Float64
    energy_charge: Float64
    dedx_start: Float64
    dedx_end: Float64
    parent: Int64
    michel: Int64
    vertex: Int64
    border: Float64
    measured: Float64
    infilled: Float64
    flags: Int64


def summarise(
    position: npt.ArrayLike,
    pitch: float,
    charge: npt.ArrayLike,
    cluster: Index,
    semantic: Index,
    options: ParticleOptions = _DEFAULT,
    *,
    michels: Attachments | None = None,
    volume: Float64 | None = None,
    infilled: Bool | None = None,
) -> Summary:
    """Particles of the clusters (K,) with the classes ``semantic`` (K,) (canonical scheme).

    ``position`` (N, 3): middles of distinct voxels in cm, on a grid of ``pitch`` cm; ``charge`` (N,); ``cluster`` (N,):
    cluster of every voxel, -1 for none; ``volume`` (3, 2): low and high x, y, z of the active volume in cm;
    ``infilled`` (N,): voxels that were not measured. Of a cluster without a voxel nothing is known.

    Raises ``ValueError`` for a place or charge that is not finite, and for a cluster that is not there.
    """
    places = np.asarray(position, dtype=np.float64).reshape(-1, 3)
    values = np.asarray(charge, dtype=np.float64)
    for what, bad in (("place", ~np.isfinite(places).all(axis=1)), ("charge", ~np.isfinite(values))):
        if bad.any():
            raise ValueError(f"the {what} of voxel {int(np.flatnonzero(bad)[0])} is not finite")
    if len(cluster) and int(np.max(cluster)) >= len(semantic):
        raise ValueError(f"a voxel is of cluster {int(np.max(cluster))}; there are {len(semantic)} clusters")
    if michels is None:
        none = np.zeros(0, dtype=np.int64)
        michels = Attachments(np.full(len(semantic), -1), none, np.zeros((0, 3)))
    event = _Event(places / pitch, values, np.asarray(cluster), np.asarray(semantic), options, pitch)
    event.attach(michels)
    if volume is not None:
        event.volume = np.asarray(volume, dtype=np.float64) / pitch
    return event.summary(michels.of_cluster, np.zeros(len(values), dtype=np.bool_) if infilled is None else infilled)


def attachments(
    position: npt.ArrayLike, cluster: Index, semantic: Index, electron: Index, place: npt.ArrayLike
) -> Attachments:
    """Michel electrons that were found beside the clusters, in terms of these.

    ``electron`` (N,): the Michel electron that a voxel belongs to, -1 for none; ``place`` (M, 3): where they meet their
    muons, in cm (NaN: no muon); other arguments as for :func:`summarise`. A cluster of which more than half of the
    voxels are an electron's is part of it; the muon is the track with the voxel that is nearest to the place.
    """
    places = np.asarray(position, dtype=np.float64).reshape(-1, 3)
    meetings = np.asarray(place, dtype=np.float64).reshape(-1, 3)
    inside = np.flatnonzero(np.asarray(cluster) >= 0)
    size = np.bincount(cluster[inside], minlength=len(semantic))
    shared = np.zeros((len(semantic), len(meetings) + 1), dtype=np.int64)
    np.add.at(shared, (cluster[inside], electron[inside]), 1)
    shared = shared[:, :-1]
    of_cluster = np.full(len(semantic), -1, dtype=np.int64)
    muon = np.full(len(meetings), -1, dtype=np.int64)
    if len(meetings):
        best = shared.argmax(axis=1)
        of_cluster = np.where(2 * shared.max(axis=1) > size, best, -1)
    known = np.flatnonzero(np.isfinite(meetings).all(axis=1))
    tracks = inside[np.isin(np.asarray(semantic)[cluster[inside]], TRACKS)]
    if len(known) and len(tracks):
        muon[known] = cluster[tracks[cKDTree(places[tracks]).query(meetings[known])[1]]]
    return Attachments(of_cluster, muon, meetings)


class _Event:
    """The clusters of one event; lengths and places in voxels."""

    def __init__(
        self, voxels: Float64, charge: Float64, cluster: Int64, semantic: Int64, options: ParticleOptions, pitch: float
    ) -> None:
        self.voxels, self.charge, self.semantic, self.options, self.pitch = voxels, charge, semantic, options, pitch
        self.volume: Float64 | None = None
        order = np.argsort(cluster, kind="stable")
        edges = np.searchsorted(cluster[order], np.arange(len(semantic) + 1))
        self.rows = [order[low:high] for low, high in itertools.pairwise(edges)]
        self.paths = [path_of(voxels[rows], charge[rows]) if len(rows) else None for rows in self.rows]
        self.track = np.isin(semantic, TRACKS)
        self.ends = [path.points[[0, -1]] for path, track in zip(self.paths, self.track, strict=True) if path and track]
        self.end_owner = np.repeat([k for k, path in enumerate(self.paths) if path and self.track[k]], 2)
        self.end_tree = cKDTree(np.concatenate([np.zeros((0, 3)), *self.ends]))
        self.parent = np.full(len(semantic), -1, dtype=np.int64)
        self.apart = np.full((len(semantic), 2), np.nan)  # of the ends of the path from the parent
        self.michel_at: dict[int, Float64] = {}

    def attach(self, michels: Attachments) -> None:
        """Find the parents of Michel electrons and delta rays, and how far the ends of these are from them."""
        for k, number in enumerate(michels.of_cluster.tolist()):
            if number >= 0 and (muon := int(michels.muon[number])) not in (-1, k):
                self.parent[k], place = muon, michels.place[number : number + 1] / self.pitch
                self._from_parent(k, place)
                if np.isfinite(place).all():
                    self.michel_at[muon] = place[0]
        tracks = [k for k, path in enumerate(self.paths) if path and self.track[k]]
        deltas = [k for k, path in enumerate(self.paths) if path and self.semantic[k] == Semantic.DELTA]
        if not tracks or not deltas:
            return
        rows = np.concatenate([self.rows[k] for k in tracks])
        owner = np.repeat(tracks, [len(self.rows[k]) for k in tracks])
        tree, most = cKDTree(self.voxels[rows]), self.options.parent_distance / self.pitch
        for k in deltas:
            distance, nearest = tree.query(self.voxels[self.rows[k]], distance_upper_bound=most + 1e-9)
            best = int(np.argmin(distance))
            if np.isfinite(distance[best]):
                self.parent[k] = owner[nearest[best]]
                self._from_parent(k, self.voxels[self.rows[self.parent[k]]])

    def _from_parent(self, k: int, places: Float64) -> None:
        """Note how far the two ends of a particle are from the nearest place (M, 3) of its parent."""
        path = self.paths[k]
        if path is not None:
            self.apart[k] = [math.sqrt(((places - end) ** 2).sum(axis=1).min()) for end in path.points[[0, -1]]]

    def summary(self, michel: Int64, infilled: Bool) -> Summary:
        """All rows."""
        k = len(self.semantic)
        out = Summary(
            **{name: np.full((k, 3), np.nan) for name in ("start", "end", "energy_range")},
            **{name: np.full(k, np.nan) for name in ("length", "energy", "dedx_start", "dedx_end", "border")},
            **{name: np.zeros(k) for name in ("energy_charge", "measured", "infilled")},
            direction=np.zeros((k, 3)),
            start_score=np.full(k, 0.5),
            parent=self.parent,
            michel=michel,
            vertex=np.full(k, -1, dtype=np.int64),
            flags=np.zeros(k, dtype=np.int64),
        )
        for number, path in enumerate(self.paths):
            if path is not None:
                self._describe(out, number, path, infilled[self.rows[number]])
        out.vertex[:] = self._vertices(out.start / self.pitch)
        return out

    def _describe(self, out: Summary, k: int, path: Path, infilled: Bool) -> None:
        """Fill one row."""
        charge, options = self.charge[self.rows[k]], self.options
        border, at_border = self._border(k, path)
        reasons = self._reasons(k, path, at_border)
        odds = sum(reasons.values())
        path = path if odds >= 0 else path.reversed()
        flags = sum(int(flag) for flag, value in reasons.items() if (value if odds >= 0 else -value) > _TELLING)
        out.start_score[k] = 1 / (1 + math.exp(-abs(odds)))
        out.start[k], out.end[k] = path.points[0] * self.pitch, path.points[-1] * self.pitch
        out.direction[k] = self._direction(k, path)
        out.length[k], out.border[k] = path.length * self.pitch, border * self.pitch
        scale, reach = options.energy_scale[self.semantic[k]], options.reach / self.pitch
        out.energy_charge[k] = out.energy[k] = charge.sum() * scale
        out.dedx_start[k] = path.charge_density(0, reach) * scale / self.pitch
        out.dedx_end[k] = path.charge_density(path.length - reach, path.length) * scale / self.pitch
        out.measured[k], out.infilled[k] = path.parts(~infilled)
        contained = bool(out.border[k] > options.margin)
        bits = {
            ParticleFlag.CONTAINED: contained,
            ParticleFlag.THROUGH: all(at_border),
            ParticleFlag.OUTSIDE: border < -1,
            ParticleFlag.ENERGY_BY_RANGE: contained and bool(self.track[k]),
        }
        out.flags[k] = flags | sum(int(flag) for flag, holds in bits.items() if holds)
        if self.track[k]:
            out.energy_range[k] = [float(energy_of_range(out.length[k], name)) for name in HYPOTHESES]
        if self.track[k] and contained:
            by = "proton" if self.semantic[k] == Semantic.HIP else "muon"
            out.energy[k] = out.energy_range[k, list(HYPOTHESES).index(by)]

    def _border(self, k: int, path: Path) -> tuple[float, tuple[bool, bool]]:
        """Least distance of the voxels to the border, negative outside, and whether the two ends are near it."""
        if self.volume is None:
            return math.nan, (False, False)
        low, high = self.volume.T
        places = self.voxels[self.rows[k]]
        near = [float(np.minimum(end - low, high - end).min()) for end in path.points[[0, -1]]]
        margin = self.options.margin / self.pitch
        return float(np.minimum(places - low, high - places).min()), (near[0] <= margin, near[1] <= margin)

    def _reasons(self, k: int, path: Path, at_border: tuple[bool, bool]) -> dict[ParticleFlag, float]:
        """Log-odds that the first end of the path is the start, by what tells it."""
        first, last = path.points[0], path.points[-1]
        if np.isfinite(self.apart[k]).all():
            near, far = self.apart[k].tolist()
            return {ParticleFlag.START_BY_PARENT: _BY_PARENT * (far - near) / max(far + near, 1e-9)}
        n_first, n_last = self._meeting(k, first), self._meeting(k, last)
        out = {ParticleFlag.START_BY_VERTEX: _BY_VERTEX * (n_first - n_last)}
        if not self.track[k]:
            out[ParticleFlag.START_BY_WIDTH] = self._widening(k, path)
            return out
        if k in self.michel_at:
            out[ParticleFlag.START_BY_MICHEL] = -_BY_MICHEL * _nearer(first, last, self.michel_at[k])
        reach = self.options.reach / self.pitch
        losses = path.charge_density(0, reach), path.charge_density(path.length - reach, path.length)
        if path.length > reach and min(losses) > 0:
            rise = math.log(losses[1] / losses[0])
            beyond = _BY_DEDX * min(max(abs(rise) - _FLUCTUATION, 0.0), 1.0)
            out[ParticleFlag.START_BY_DEDX] = math.copysign(beyond, rise)
        if self.options.descending and any(at_border) and path.length > 0:
            out[ParticleFlag.START_BY_DESCENT] = _BY_DESCENT * float(first[1] - last[1]) / path.length
        return out

    def _meeting(self, k: int, place: Float64) -> int:
        """Other tracks with an end near a place."""
        rows = self.end_tree.query_ball_point(place, self.options.vertex_radius / self.pitch)
        return min(len({int(self.end_owner[row]) for row in rows} - {k}), _MOST_AT_VERTEX)

    def _widening(self, k: int, path: Path) -> float:
        """Log-odds by the widths of the two halves of a shower around the line between its ends."""
        places, charge = self.voxels[self.rows[k]], np.maximum(self.charge[self.rows[k]], 0)
        chord = path.points[-1] - path.points[0]
        length = float(np.sqrt(chord @ chord))
        if length < 2 or charge.sum() <= 0:
            return 0.0
        offset = places - path.points[0]
        along = offset @ chord / length
        squared = np.maximum((offset**2).sum(axis=1) - along**2, 0)
        halves = along < length / 2
        widths = [
            math.sqrt(float((squared[half] * charge[half]).sum()) / max(float(charge[half].sum()), 1e-9)) + 0.5
            for half in (halves, ~halves)
        ]
        return min(max(_BY_WIDTH * math.log(widths[1] / widths[0]), -_MOST_BY_WIDTH), _MOST_BY_WIDTH)

    def _direction(self, k: int, path: Path) -> Float64:
        """Unit vector (3,) at the start: of tracks the axis of the first voxels, of others the way to their middle."""
        rows = self.rows[k][path.along <= self.options.reach / self.pitch]
        offset = self.voxels[rows] - path.points[0]
        weight = np.maximum(self.charge[rows], 0) + 1e-9
        middle = (offset * weight[:, np.newaxis]).sum(axis=0) / weight.sum()
        if not self.track[k] or len(rows) < 3:
            return unit(middle)
        axis = principal_axis((offset - middle) * np.sqrt(weight)[:, np.newaxis])
        return axis if float(axis @ middle) >= 0 else -axis

    def _vertices(self, start: Float64) -> Int64:
        """Number (K,) of the vertex at which particles without a parent begin together, -1 for none."""
        out = np.full(len(start), -1, dtype=np.int64)
        rows = np.flatnonzero((self.parent < 0) & np.isfinite(start).all(axis=1) & (self.semantic != Semantic.MICHEL))
        if len(rows) < 2:
            return out
        pairs = cKDTree(start[rows]).query_pairs(self.options.vertex_radius / self.pitch, output_type="ndarray")
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
        _, group = connected_components(links, directed=False)
        meets = np.bincount(group)[group] > 1
        _, first, number = np.unique(group[meets], return_index=True, return_inverse=True)
        out[rows[meets]] = np.argsort(np.argsort(first))[number.reshape(-1)]
        return out


def _nearer(first: Float64, last: Float64, place: Float64) -> float:
    """1 where the first place is nearer to the third, -1 where the last one is, 0 where both are alike."""
    return float(np.sign(((last - place) ** 2).sum() - ((first - place) ** 2).sum()))
