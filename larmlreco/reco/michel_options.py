"""Options of the Michel finder, and how thick the tracks are that it sees."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from larmlreco.labels import Semantic
from larmlreco.reco.clustering_dbscan import neighbour_counts

Index = npt.NDArray[np.integer[Any]]

Thickness = Literal["measure", "smeared", "thin"]

MIN_SAMPLES: dict[str, tuple[int, int]] = {"smeared": (5, 10), "thin": (3, 4)}
"""DBSCAN's ``min_samples`` for Michel and MIP voxels: published for deposits smeared over a few voxels (PILArNet), and
for thin tracks, where a voxel has too few neighbours for those."""

_THICK_NEIGHBOURS = 13


@dataclass(frozen=True)
class MichelOptions:
    """Options of :func:`find_michels`; lengths in voxels.

    ``thickness`` chooses :data:`MIN_SAMPLES`, ``measure``: by the event's own tracks. ``max_gap``: most voxels that may
    be missing between muon and electron, or within the electron; voxels in dead regions do not count, up to
    ``max_dead_gap`` in all. ``bridge``: longest way through voxels of the classes delta and HIP from muon to electron,
    0: none. ``crossings``: whether tracks that cross the muon within ``mask_radius`` of its end are recognised.
    ``short_muons``: whether a muon may end within ``mask_radius``. ``min_voxels`` and ``min_score``: least size of an
    electron, and least mean over its voxels of the network's score of the Michel class. ``voxel_score``: voxels with
    less score leave the electron once it is found, if ``min_voxels`` stay; photons and muons touch it there.
    ``join_size``: electrons of so many voxels take no pieces across gaps, of which most are photons then, and lose
    those that DBSCAN joined where their connected voxels at the muon are as many; 0: all take them.
    ``border``: distance below which the electron is flagged as near the border or a dead region. Photons: connected
    pieces of the shower class, and of what is left of the Michel class, with their middle within ``photon_angle``
    (degrees, half of the opening) and ``photon_length`` of the attachment
    along the electron; 0: none. The nearest ones are taken as long as the electron and they have no more energy than
    a muon at rest can give; ``energy_scale`` is the energy in MeV of a unit of charge.
    ``vote``: in connected voxels of the classes shower, delta and Michel those of the Michel class lose it where one
    of the others has a higher sum of scores.
    ``hip_muons``: voxels of the class HIP are taken for MIP, since slow muons look like HIP. ``muon_size``: a muon of
    so many voxels lowers a candidate's score to 63 %, a larger one less; 0: none does. ``max_energy`` (MeV): candidates
    with more are dropped; 0: none is.
    ``published``: the published procedure alone; gaps, bridges, crossings and short muons are left as they are.
    """

    thickness: Thickness = "measure"
    eps: float = 2.8
    mask_radius: float = 15.0
    max_gap: int = 3
    max_dead_gap: int = 20
    bridge: int = 8
    crossings: bool = True
    short_muons: bool = True
    keep_unattached: bool = False
    min_voxels: int = 1
    min_score: float = 0.0
    voxel_score: float = 0.0
    border: int = 3
    photon_angle: float = 0.0
    photon_length: float = 0.0
    energy_scale: float = 1.0
    published: bool = False
    vote: bool = False
    hip_muons: bool = False
    muon_size: float = 0.0
    max_energy: float = 0.0
    join_size: int = 0


def min_samples(voxels: Index, label: Index, eps: float, thickness: Thickness = "measure") -> tuple[int, int]:
    """DBSCAN's ``min_samples`` for Michel and MIP voxels.

    Tracks are taken for smeared where half of the MIP voxels (of all voxels where there are none) have at least 13
    voxels of the class within ``eps``: a line one voxel wide has 3 to 9, one that is three wide 25 and more.
    """
    if thickness != "measure":
        return MIN_SAMPLES[thickness]
    tracks = voxels[label == Semantic.MIP] if (label == Semantic.MIP).any() else voxels
    if len(tracks) == 0:
        return MIN_SAMPLES["smeared"]
    thick = np.median(neighbour_counts(np.unique(tracks, axis=0), eps)) >= _THICK_NEIGHBOURS
    return MIN_SAMPLES["smeared" if thick else "thin"]
