"""Classes and instances of simulated particles: by hand, and against the truth of another program."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from larmlreco.labels import Semantic
from larmlreco.truth.semantic import classify

HIP, MIP, SHOWER, DELTA, MICHEL = (int(c) for c in list(Semantic)[1:])


@pytest.mark.parametrize("name", ["sim_uboone_art_10evt", "sim_uboone_art_split99_2evt"])
def test_all_particles_of_the_reference_sample_agree(shared_path: Callable[[str], Path], name: str) -> None:
    truth = np.load(shared_path(f"samples/{name}_truth.npz"))
    for i in range(int(truth["n_events"])):
        ids, parent = truth[f"ev{i}_track_id"], truth[f"ev{i}_track_parent"]
        order = np.argsort(ids)
        row = order[np.minimum(np.searchsorted(ids[order], parent), len(ids) - 1)]
        semantic, instance = classify(
            truth[f"ev{i}_track_pdg"],
            np.where(parent > 0, row, -1),
            truth[f"ev{i}_track_process"],
            truth[f"ev{i}_track_ke"],
            model=truth[f"ev{i}_track_model"],
        )
        np.testing.assert_array_equal(semantic, truth[f"ev{i}_track_semantic"])
        np.testing.assert_array_equal(ids[instance], truth[f"ev{i}_track_instance"])


PARTICLES = [
    # pdg, parent, process, kinetic energy, model; expected class and instance: relabelled, original
    (13, -1, "primary", 500.0, "", (MIP, 0), (MIP, 0)),
    (11, 0, "muIoni", 1.9, "", (MIP, 0), (MIP, 0)),
    (11, 0, "muIoni", 2.1, "", (DELTA, 2), (DELTA, 2)),
    (11, 2, "eIoni", 0.5, "", (DELTA, 2), (DELTA, 2)),
    (22, 2, "eBrem", 0.7, "", (SHOWER, 4), (DELTA, 2)),
    (11, 4, "compt", 0.4, "", (SHOWER, 4), (DELTA, 2)),
    (11, 0, "Decay", 40.0, "", (MICHEL, 6), (MICHEL, 6)),
    (11, 6, "eIoni", 3.0, "", (MICHEL, 6), (MICHEL, 6)),
    (22, 6, "eBrem", 9.0, "", (SHOWER, 8), (MICHEL, 6)),
    (11, 8, "conv", 4.0, "", (SHOWER, 8), (MICHEL, 6)),
    (22, 0, "eBrem", 30.0, "", (SHOWER, 10), (SHOWER, 10)),
    (-11, 10, "conv", 15.0, "", (SHOWER, 10), (SHOWER, 10)),
    (11, 0, "muMinusCaptureAtRest", 30.0, "model_muMinusCaptureAtRest_DIO", (MICHEL, 12), (MICHEL, 12)),
    (11, 0, "muMinusCaptureAtRest", 5.0, "model_muMinusCaptureAtRest_EMCascade", (SHOWER, 13), (SHOWER, 13)),
    (1000180400, 0, "muMinusCaptureAtRest", 1.0, "", (HIP, 14), (HIP, 14)),
    (11, 14, "ionIoni", 2.5, "", (DELTA, 15), (DELTA, 15)),
    (211, -1, "primary", 100.0, "", (MIP, 16), (MIP, 16)),
    (-13, 16, "Decay", 4.1, "", (MIP, 17), (MIP, 17)),
    (-11, 17, "Decay", 30.0, "", (MICHEL, 18), (MICHEL, 18)),
    (22, 18, "annihil", 0.511, "", (SHOWER, 19), (MICHEL, 18)),
    (11, -1, "primary", 300.0, "", (SHOWER, 20), (SHOWER, 20)),
    (11, 20, "eIoni", 5.0, "", (SHOWER, 20), (SHOWER, 20)),
    (2212, -1, "primary", 200.0, "", (HIP, 22), (HIP, 22)),
    (11, 22, "hIoni", 0.4, "", (HIP, 22), (HIP, 22)),
    (11, 3, "eIoni", 2.5, "", (DELTA, 2), (DELTA, 2)),
]


@pytest.mark.parametrize(("label_set", "column"), [("relabelled", 5), ("original", 6)])
def test_every_rule(label_set: str, column: int) -> None:
    pdg, parent, process, energy, model = (list(c) for c in list(zip(*PARTICLES, strict=True))[:5])
    semantic, instance = classify(pdg, parent, process, energy, model=model, label_set=label_set)  # type: ignore[arg-type]
    assert [(int(s), int(i)) for s, i in zip(semantic, instance, strict=True)] == [p[column] for p in PARTICLES]


def test_no_particles() -> None:
    semantic, instance = classify([], [], [], [])
    assert semantic.shape == instance.shape == (0,)


def test_an_electron_without_a_known_parent_is_a_shower() -> None:
    assert classify([11], [-1], ["muIoni"], [5.0])[0].tolist() == [SHOWER]
