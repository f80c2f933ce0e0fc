"""Class and instance of simulated particles, and class of energy deposits.

Domine and Terao (arXiv 1903.05663, section VI): the relabelled set gives a Michel or delta electron's class to its
primary ionisation only, the original set to all its descendants. The instances follow arXiv 2007.03083.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from larmlreco.labels import Semantic

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

DELTA_THRESHOLD_MEV = 2.0
"""Kinetic energy at birth from which an ionisation electron of a track is a delta ray of its own."""

LABEL_SETS = ("relabelled", "original")
LabelSet = Literal["relabelled", "original"]

_IONISATION_BY_TRACKS = ("muIoni", "hIoni", "ionIoni")
_IONISATION = (*_IONISATION_BY_TRACKS, "eIoni")
_DECAYS = ("Decay",)
_CAPTURES = ("muMinusCaptureAtRest",)
_CASCADE = "EMCascade"
_MUON, _PION, _KAON, _ELECTRON = 13, 211, 321, 11
_LIGHTEST_BARYON, _LIGHTEST_NUCLEUS = 2212, 1_000_000_000


def classify(
    pdg: npt.ArrayLike,
    parent: npt.ArrayLike,
    process: npt.ArrayLike,
    kinetic_energy: npt.ArrayLike,
    *,
    model: npt.ArrayLike | None = None,
    label_set: LabelSet = "relabelled",
) -> tuple[Int32, Int32]:
    """Class (N,) and instance (N,) of particles.

    ``parent``: row of the parent (N,), -1 for a primary. ``process`` and ``model``: Geant4's names of what created
    the particle (N,); the model tells an electron of a muon's decay in orbit from those of the capture cascade.
    ``kinetic_energy``: MeV at birth. The instance is the row of the particle that the deposits belong to: itself;
    for a shower the particle that began it; for an ionisation electron that is no delta ray its parent's.
    """
    codes = np.asarray(pdg, dtype=np.int64)
    above = np.asarray(parent, dtype=np.int64)
    names = np.asarray(process, dtype=str)
    energy = np.asarray(kinetic_energy, dtype=np.float64)
    models = np.full(names.shape, "") if model is None else np.asarray(model, dtype=str)

    electron = np.abs(codes) == _ELECTRON
    heavy = (codes == _LIGHTEST_BARYON) | (codes >= _LIGHTEST_NUCLEUS)
    light = np.isin(np.abs(codes), (_MUON, _PION, _KAON))
    has_parent = above >= 0
    muon_child = has_parent & (np.abs(codes[above]) == _MUON)
    michel = electron & muon_child & _from_decay(names, models)

    own = np.full(codes.shape, int(Semantic.SHOWER))
    own[light] = Semantic.MIP
    own[heavy] = Semantic.HIP
    own[michel] = Semantic.MICHEL
    ionised = (codes == _ELECTRON) & has_parent & np.isin(names, _IONISATION)
    track_parent = has_parent & (light | heavy)[above]
    delta = ionised & track_parent & np.isin(names, _IONISATION_BY_TRACKS) & (energy > DELTA_THRESHOLD_MEV)
    own[delta] = Semantic.DELTA

    rows = np.arange(len(codes))
    inherits_class = ionised & ~delta
    if label_set == "original":
        inherits_class |= has_parent & ~michel & ~delta & ~(light | heavy)
    source = _follow(above, inherits_class)
    semantic = own[source]
    if label_set == "original":
        # Showers of tracks (a muon's bremsstrahlung) do not become tracks: only Michel and delta hand on their class.
        kept = np.isin(semantic, (Semantic.MICHEL, Semantic.DELTA))
        plain = own[_follow(above, ionised & ~delta)]
        semantic = np.where(kept, semantic, plain)

    shower = semantic == Semantic.SHOWER
    joins = inherits_class & (semantic == semantic[np.maximum(above, 0)])
    joins |= shower & has_parent & shower[np.maximum(above, 0)]
    instance = rows[_follow(above, joins)]
    return semantic.astype(np.int32), instance.astype(np.int32)


def _from_decay(names: npt.NDArray[np.str_], models: npt.NDArray[np.str_]) -> Bool:
    """Particles (N,) of a muon's decay: in flight, at rest, or in orbit, which Geant4 files under the capture."""
    orbit = np.isin(names, _CAPTURES) & (np.char.find(models, "DIO") >= 0)
    return np.asarray(np.isin(names, _DECAYS) | orbit)


def _follow(parent: Int64, climbs: Bool) -> Int64:
    """For every row the first ancestor-or-self that does not climb (pointer doubling)."""
    at = np.where(climbs, parent, np.arange(len(parent)))
    while True:
        further = at[at]
        if np.array_equal(further, at):
            return at
        at = further
