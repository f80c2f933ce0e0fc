"""Does a candidate vertex stand in 3D? First use of LArFlow: vertices that only seem to be one on the planes fall.

Tracks that cross on a plane need not meet in space. Around the projection of a true vertex the charge of every plane
belongs to points near the vertex; around that of a false one, on some plane at least, to points elsewhere.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import Detector
from larmlreco.reco.candidates import PlanePixels
from larmlreco.reco.clustering_dbscan import dbscan

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

TRACK_GAP = 1.5
"""Points of one track lie within this distance of one another (cm)."""

_LEAST_NEIGHBOURS = 3
_MIDDLE_OF_SAMPLE = 0.5


def track_ends(points: Float64, min_points: int) -> Float64:
    """Ends (E, 3) of tracks: the outermost points, along its longest axis, of every group of points (P, 3) in cm.

    Groups are joined over gaps of :data:`TRACK_GAP`; those with fewer than ``min_points`` have no ends.
    """
    label = dbscan(points, TRACK_GAP, _LEAST_NEIGHBOURS)
    ends = []
    for number in range(int(label.max(initial=-1)) + 1):
        group = points[label == number]
        if len(group) < min_points:
            continue
        axis = np.linalg.svd(group - group.mean(axis=0), full_matrices=False)[2][0]
        along = group @ axis
        ends += [group[along.argmin()], group[along.argmax()]]
    return np.array(ends, dtype=np.float64).reshape(-1, 3)


def best_points(pixel: Int64, score: Float64, n_pixels: int) -> Int64:
    """Row (n_pixels,) of the point with the highest score among those of each pixel, -1 without; ties to the lower row.

    ``pixel`` (P,): the pixel of every point on one plane, -1: none.
    """
    order = np.lexsort((np.arange(len(pixel)), -score, pixel))
    order = order[pixel[order] >= 0]
    best = np.full(n_pixels, -1, dtype=np.int64)
    first = np.flatnonzero(np.diff(pixel[order], prepend=-1))
    best[pixel[order[first]]] = order[first]
    return best


def plane_agreement(
    vertices: Float64,
    planes: Sequence[PlanePixels],
    points: Float64,
    point_of_pixel: Sequence[Int64],
    detector: Detector,
    rebin: int,
    radius: float,
    reach: float,
) -> Float64:
    """Share (V, planes) of the charge around the projection of each vertex that belongs to points near it.

    ``vertices`` (V, 3) and ``points`` (P, 3): x y z in cm; ``point_of_pixel``: by plane, the point of each pixel of its
    image, -1: none. Around means within ``radius`` (cm) on the plane, near within ``reach`` in space, which must be
    longer, as a plane foreshortens tracks. NaN where the plane shows nothing around the projection and its wire there
    is dead or absent; 0 where it shows nothing but could.
    """
    share = np.full((len(vertices), len(planes)), np.nan)
    for number, plane in enumerate(planes):
        tpc = plane.plane.tpc
        x = detector.tick_to_x((plane.row + 0.5) * rebin - _MIDDLE_OF_SAMPLE, tpc)
        point = point_of_pixel[number][plane.pixel]
        place = np.vstack([points, np.full((1, 3), np.inf)])[point]
        at = plane.plane.wire_coordinate(vertices[:, 1], vertices[:, 2])
        for v, vertex in enumerate(vertices):
            here = np.hypot((plane.wire - at[v]) * plane.plane.pitch, x - vertex[0]) <= radius
            charge = plane.charge[here]
            if charge.sum() > 0:
                near = np.linalg.norm(place[here] - vertex, axis=1) <= reach
                share[v, number] = charge[near].sum() / charge.sum()
                continue
            wire = int(np.floor(at[v] + 0.5))
            if 0 <= wire < plane.plane.n_wires and plane.alive[wire]:
                share[v, number] = 0.0
    return share


def vertex_score(share: Float64) -> Float64:
    """Agreement (V,) of the planes: the smallest share (V, planes) of those that can see, 0 with fewer than two."""
    able = np.isfinite(share)
    lowest = np.where(able, share, np.inf).min(axis=1, initial=np.inf)
    return np.where(able.sum(axis=1) >= 2, lowest, 0.0)
