"""Crops of candidates that overlap, and their merge without seams.

A crop is a box in time and along the beam, so it covers the same volume on all planes of any detector. The network sees
a crop alone; what it says of a candidate counts where the candidate is most central, far from borders that cut tracks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from larmlreco.reco.candidates import Candidates

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

OVERLAP = 0.25
"""Least part of a crop that it shares with the next one."""


@dataclass(frozen=True)
class CropSettings:
    """Sizes of crops: ``rows`` along the time axis, and along z ``wires`` of ``pitch`` (cm); 0: the whole axis.

    The first LArFlow had 512 rows and 832 wires.
    """

    rows: int = 0
    wires: int = 0
    pitch: float = 0.3

    def __post_init__(self) -> None:
        if self.rows < 0 or self.wires < 0 or self.pitch <= 0:
            raise ValueError(f"crops need sizes of 0 or more and a pitch above 0; got {self}")


def crops(found: Candidates, settings: CropSettings) -> Iterator[tuple[Int64, Int64]]:
    """Crops with candidates, by time, then z: those in the crop, and those among them whose answer it gives.

    Both are row numbers of ``found``; every candidate is answered by exactly one crop.
    """
    in_time, of_time = _windows(found.row.astype(np.float64), float(settings.rows))
    along_z, of_z = _windows(found.z, settings.wires * settings.pitch)
    for i, here in enumerate(in_time):
        for j, there in enumerate(along_z):
            answered = np.flatnonzero((of_time == i) & (of_z == j))
            if len(answered):
                yield np.flatnonzero(here & there), answered


def _windows(values: Float64, size: float) -> tuple[list[npt.NDArray[np.bool_]], Int64]:
    """Which values (N,) lie in each of the windows that cover them, and the window in which each is most central."""
    if not len(values):
        return [], np.zeros(0, dtype=np.int64)
    low, high = float(values.min()), float(values.max())
    if size == 0 or high - low <= size:
        return [np.ones(len(values), dtype=np.bool_)], np.zeros(len(values), dtype=np.int64)
    n = 1 + int(np.ceil((high - low - size) / (size * (1 - OVERLAP))))
    starts = np.linspace(low, high - size, n)
    inside = [(values >= start) & (values <= start + size) for start in starts]
    step = starts[1] - starts[0]
    owner = np.clip(np.ceil((values - low - size / 2) / step - 0.5), 0, n - 1)
    return inside, owner.astype(np.int64)


def score_in_crops(
    score: Callable[[Int64, Float32], Float32],
    coords: Int64,
    features: Float32,
    found: Candidates,
    settings: CropSettings,
) -> Float32:
    """Scores (K,) of candidates, crop by crop; ``score`` gives those of the rows of coords and features it is shown."""
    out = np.zeros(len(found), dtype=np.float32)
    for members, answered in crops(found, settings):
        out[answered] = score(coords[members], features[members])[np.searchsorted(members, answered)]
    return out
