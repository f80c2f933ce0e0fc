"""Tables and plots of clusters and Michel electrons from kept figures."""

from pathlib import Path

import numpy as np

from larmlreco.evaluation.clusters import cluster_blocks, cluster_figures
from larmlreco.evaluation.page import write_page
from larmlreco.evaluation.record import Evaluation
from larmlreco.metrics.clustering import ClusteringMetrics
from larmlreco.metrics.michel import MichelMetrics
from larmlreco.metrics.particles import ParticleMetrics


def test_tables_and_plots_are_made(tmp_path: Path) -> None:
    clusters, michels = ClusteringMetrics(("track", "shower")), MichelMetrics()
    for _ in range(2):
        clusters.add("track", np.array([0, 0, 1]), np.array([0, 0, 0]), 30.0)
        michels.add(np.array([0, 0, -1]), np.array([0, 0, 1]))
    empty = {"value": None, "error": None, "events": 0}
    bins = {"edges": [0.0, 10.0, 20.0], "bins": [{"value": 0.5, "error": 0.1, "events": 2}, empty]}
    keys = [f"{what}_against_{of}" for what in ("efficiency", "purity") for of in ("energy", "opening_angle")]
    results = {
        "clusters": {
            "thin": {
                "classes": clusters.summary(),
                "by_multiplicity": clusters.by_multiplicity(),
                "by_energy": clusters.by_energy(),
            }
        },
        "michels": {
            "thin": {
                "figures": michels.summary(),
                "pairs": {"rows": [[20.0, 19.0, 30.0, 28.0]]},
                **dict.fromkeys(keys, bins),
            }
        },
        "other": {"thin": {"pixels": {}}},
    }
    evaluation = Evaluation("sample", "job.fcl", ("in.root",), 2, results)
    assert list(cluster_figures(evaluation)) == ["clusters, thin", "michels, thin"]
    text = "\n".join(cluster_blocks([("sample", evaluation)], tmp_path))
    assert "50.0 ± 0.0 (96.7)" in text
    assert (tmp_path / "michels_0_spectrum_0.png").is_file()
    assert len(list(tmp_path.glob("*.png"))) == 9


def test_a_job_on_voxels_with_particles_has_its_clusters_on_the_page(tmp_path: Path) -> None:
    clusters = ClusteringMetrics(("track", "shower"))
    clusters.add("track", np.array([0, 0, 1]), np.array([0, 0, 0]), 30.0)
    results = {
        "clusters": {
            "thin": {
                "classes": clusters.summary(),
                "by_multiplicity": clusters.by_multiplicity(),
                "by_energy": clusters.by_energy(),
            }
        },
        "particles": {"thin": ParticleMetrics(0.5).summary()},
    }
    Evaluation("sample", "job.fcl", ("in.root",), 1, results).save(tmp_path / "kept")
    write_page([tmp_path / "kept"], tmp_path / "page.md")
    assert "## Clusters and Michel electrons" in (tmp_path / "page.md").read_text(encoding="utf-8")
    assert (tmp_path / "page" / "clusters_0_track_by_energy.png").is_file()
