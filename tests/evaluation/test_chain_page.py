"""The tables of the whole chain on the page of evaluations."""

from pathlib import Path
from typing import Any

import numpy as np

from larmlreco.evaluation.chain import chain_figures
from larmlreco.evaluation.page import write_page
from larmlreco.evaluation.record import Evaluation
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.metrics.clustering import ClusteringMetrics
from larmlreco.metrics.michel import MichelMetrics
from larmlreco.metrics.particles import ParticleMetrics, match_particles
from larmlreco.metrics.semantic import SemanticMetrics

TRUE, FOUND = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1])


def results(empty: bool) -> dict[str, Any]:
    clusters, michels, particles = ClusteringMetrics(("track",)), MichelMetrics(), ParticleMetrics(0.5)
    five = SemanticMetrics(SEMANTIC_NAMES)
    if not empty:
        clusters.add("track", TRUE, FOUND)
        michels.add(TRUE, FOUND)
        five.add(np.array([1, 1, 1, 4]), np.array([1, 1, 1, 1]))
        matches = match_particles(TRUE, FOUND, np.ones(5), FOUND, TRUE, np.ones(5))
        measures = {"length": np.full(len(matches.true), 0.1), "start_distance": np.full(len(matches.true), 0.5)}
        particles.add(matches, np.array([1, 1]), np.array([1, 1]), np.ones(2), measures, [(0, True, 0.95)])
    classes = {"five_classes": five.summary(), "track_shower": {}}
    return {
        "evalplanes": dict.fromkeys(("pixels", "U", "V", "Y"), classes),
        "evalvoxels": dict.fromkeys(("pixels", ""), classes),
        "evalclusters": {"all": {"classes": clusters.summary(), "by_multiplicity": clusters.by_multiplicity()}},
        "evalmichels": {"all": {"figures": michels.summary()}},
        "evalparticles": {"all": particles.summary()},
    }


def test_the_chain_has_a_row_a_replaced_stage(tmp_path: Path) -> None:
    for name, empty in (("whole chain", False), ("nothing", True)):
        record = Evaluation(name, "f.fcl", ("a.root",), 3, results(empty), {}, {}, {"flow": 250.0}, 700.0)
        record.save(tmp_path / name)
    write_page([tmp_path / "whole chain", tmp_path / "nothing"], tmp_path / "good.md")
    text = (tmp_path / "good.md").read_text()
    assert "| whole chain | 3 | 75.00 | 75.00 | " in text
    assert "| whole chain | MIP | 2 | 50.0" in text
    assert "10.0 ± 0.0, 0.0 (1) | 0.5 ± 0.0, 0.0 (1) | - |" in text
    assert "| flow | 250 | 250 |" in text
    assert "| peak of the job (MB) | 700 | 700 |" in text
    assert "## Wire planes" not in text
    assert "## Voxels" not in text


def test_an_evaluation_without_particles_is_no_chain() -> None:
    values = results(empty=True)
    del values["evalparticles"]
    assert chain_figures(Evaluation("s", "f.fcl", (), 0, values)) == {}
