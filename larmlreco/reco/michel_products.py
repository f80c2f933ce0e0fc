"""Found Michel electrons as products."""

from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.labels import Semantic
from larmlreco.products import Clusters, MichelFlag, Michels
from larmlreco.reco.clustering_places import Places
from larmlreco.reco.michel import FoundMichels

Int64 = npt.NDArray[np.int64]


def michel_clusters(found: FoundMichels, places: Places, meta: dict[str, Any]) -> tuple[Clusters, Int64]:
    """Clusters of the electrons, then of their muons, and the cluster (N,) of every row of the input.

    The seed is the brightest voxel; the score of an electron is the candidate's.
    """
    k, n_muons = len(found.flags), int(found.muon.max(initial=-1)) + 1
    of_voxel = np.where(found.electron >= 0, found.electron, np.where(found.muon >= 0, found.muon + k, -1))
    brightest = np.lexsort((-places.charge, of_voxel))
    seed = brightest[np.searchsorted(of_voxel[brightest], np.arange(k + n_muons))]
    semantic = np.repeat([int(Semantic.MICHEL), int(Semantic.MIP)], [k, n_muons])
    return places.clusters(of_voxel, semantic, seed, np.append(found.score, np.full(n_muons, -1.0)), meta)


def michel_rows(found: FoundMichels, places: Places, energy_scale: float, meta: dict[str, Any]) -> Michels:
    """One row an electron, whose clusters are those of :func:`michel_clusters`; ``energy_scale`` in MeV a charge."""
    k = len(found.flags)
    attached = found.attachment >= 0
    attachment = np.full((k, 3), np.nan)
    attachment[attached] = places.position[places.first[found.attachment[attached]]]
    charge = _sums(found.electron, places, k)
    columns: dict[str, npt.ArrayLike] = {
        "electron": np.arange(k),
        "muon": np.where(found.muon_of >= 0, found.muon_of + k, -1),
        "gap": found.gap,
        "n": np.bincount(found.electron[places.of_row][found.electron[places.of_row] >= 0], minlength=k),
        "charge": charge,
        "energy": charge * energy_scale,
        "photon_energy": _sums(found.photons, places, k) * energy_scale,
        "flags": found.flags,
        "score": found.score,
    }
    for name, vectors in (
        ("attachment", attachment),
        ("muon_direction", found.muon_direction),
        ("electron_direction", found.electron_direction),
    ):
        columns |= {f"{name}_{axis}": vectors[:, i] for i, axis in enumerate("xyz")}
    flags = {flag.name: int(flag) for flag in MichelFlag}
    return Michels.from_columns(columns, {**meta, "flags": flags, "min_samples": list(found.min_samples)})


def _sums(of_voxel: Int64, places: Places, k: int) -> npt.NDArray[np.float64]:
    inside = of_voxel >= 0
    return np.bincount(of_voxel[inside], places.charge[inside], k).astype(np.float64)
