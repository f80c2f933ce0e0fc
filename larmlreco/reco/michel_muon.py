"""Where muons end (Domine and Terao, arXiv 1903.05663, section VII.A), also where other tracks cross them."""

import math

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.products import MichelFlag
from larmlreco.reco.clustering_dbscan import dbscan
from larmlreco.reco.michel_options import MichelOptions
from larmlreco.reco.ways import unit

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

_REGION = 100.0
_STRAIGHT = 0.9
_MOST_ARMS = 8


class MuonEnds:
    """The test of muons' ends in one event.

    ``voxels`` (N, 3); ``muon`` (N,): cluster of the MIP class of each voxel, -1 for none; ``tree``: the voxels
    ``rows`` that are in one.
    """

    def __init__(
        self, voxels: Int64, muon: Int64, tree: cKDTree, rows: Int64, options: MichelOptions, samples: int
    ) -> None:
        self.voxels = voxels
        self.mip = muon
        self.muon_tree = tree
        self.muon_rows = rows
        self.options = options
        self.samples = samples

    def at(self, attachment: int) -> tuple[bool, MichelFlag, Float64]:
        """Whether the muon ends at a voxel of it, how that was found, and its direction there."""
        options = self.options
        place = self.voxels[attachment].astype(np.float64)
        muon = self._muon_around(attachment, math.inf if options.published else _REGION)
        away = np.sqrt(((self.voxels[muon] - place) ** 2).sum(axis=1))
        masked, rest = muon[away <= options.mask_radius], muon[away > options.mask_radius]
        piece = dbscan(self.voxels[rest], options.eps, self.samples)
        inner = self._connected_to(masked, attachment)
        if options.published:
            accepted = bool(piece.max(initial=-1) == 0)
            return accepted, MichelFlag.EDGE, unit(place - self.voxels[inner].mean(axis=0))
        arms = self._arms(inner, rest, piece)
        if not arms:
            direction = unit(place - self.voxels[inner].mean(axis=0))
            return options.short_muons, MichelFlag.SHORT_MUON, direction
        if len(arms) == 1:
            return True, MichelFlag.EDGE, unit(place - self.voxels[inner].mean(axis=0))
        if not options.crossings or len(arms) > _MOST_ARMS:
            return False, MichelFlag.CROSSING, np.zeros(3)
        ending = _unpaired([self._course(arm, place) for arm in arms])
        if len(ending) != 1:
            return False, MichelFlag.CROSSING, np.zeros(3)
        middle, _ = self._course(arms[ending[0]], place)
        return True, MichelFlag.CROSSING, unit(place - middle)

    def _muon_around(self, attachment: int, radius: float) -> Int64:
        """Rows of the attachment's muon within ``radius`` of it."""
        if math.isinf(radius):
            return np.flatnonzero(self.mip == self.mip[attachment])
        rows: Int64 = self.muon_rows[np.sort(self.muon_tree.query_ball_point(self.voxels[attachment], radius))]
        return np.asarray(rows[self.mip[rows] == self.mip[attachment]])

    def _connected_to(self, rows: Int64, attachment: int) -> Int64:
        """Those of the rows that hang together with the attachment."""
        piece = dbscan(self.voxels[rows], self.options.eps, 1)
        return np.asarray(rows[piece == piece[np.flatnonzero(rows == attachment)[0]]])

    def _arms(self, inner: Int64, rest: Int64, piece: Int64) -> list[Int64]:
        """Rows of the pieces of the muon outside the mask that hang together with its voxels inside."""
        if piece.max(initial=-1) < 0:
            return []
        distance, _ = cKDTree(self.voxels[inner]).query(self.voxels[rest], distance_upper_bound=self.options.eps + 1e-9)
        touching = np.unique(piece[(piece >= 0) & np.isfinite(distance)])
        return [rest[piece == number] for number in touching]

    def _course(self, arm: Int64, place: Float64) -> tuple[Float64, Float64]:
        """Middle and direction, away from ``place``, of the part of an arm within twice the mask's radius."""
        offset = self.voxels[arm] - place
        near = offset[(offset**2).sum(axis=1) <= (2 * self.options.mask_radius) ** 2]
        middle = near.mean(axis=0)
        axis = np.linalg.svd(near - middle, full_matrices=False)[2][0] if len(near) > 1 else middle
        axis = axis if float(axis @ middle) >= 0 else -axis
        return place + middle, unit(axis)


def _unpaired(courses: list[tuple[Float64, Float64]]) -> list[int]:
    """Arms that no other arm continues: the straightest pairs are taken out first."""
    left = list(range(len(courses)))
    pairs = []
    for i in left:
        for j in left[:i]:
            line = unit(courses[i][0] - courses[j][0])
            straight = min(float(courses[i][1] @ line), -float(courses[j][1] @ line))
            if straight > _STRAIGHT:
                pairs.append((straight, i, j))
    for _, i, j in sorted(pairs, reverse=True):
        if i in left and j in left:
            left.remove(i)
            left.remove(j)
    return left
