"""The job from voxels to particles, from memory into a file, and its FHiCL."""

from pathlib import Path

import numpy as np
import pytest
from oracles.michel_finding import random_toy
from test_michel_modules import META, scores, voxels

from larmlreco.framework import fhicl
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import MemoryFile, memory_job
from larmlreco.io import open_file
from larmlreco.products import Product, TrueLabels
from larmlreco.resources import fcl_directory


def products(seed: int | None) -> dict[str, Product]:
    toy = random_toy(np.random.default_rng(seed), False)
    if seed is None:
        toy = toy.without(np.ones(len(toy.label), bool))
    truth = TrueLabels.from_columns({"label": toy.label, "cluster": toy.label}, META)
    return {"voxels": voxels(toy), "segmentation": scores(toy), "truth": truth}


def test_clusters_and_michels_survive_a_file(tmp_path: Path) -> None:
    files = [MemoryFile({"1:1:1": products(3), "1:1:2": products(None)}, history=())]
    path = tmp_path / "particles.root"
    job = memory_job(
        {
            "physics": {
                "producers": {
                    "clusters": {"module_type": "ParticleClusterer"},
                    "michels": {"module_type": "MichelFinder", "keep_unattached": True},
                },
                "analyzers": {
                    "evalclusters": {"module_type": "ClusteringEvaluator"},
                    "evalmichels": {"module_type": "MichelEvaluator"},
                },
                "label": ["clusters", "michels"],
                "evaluate": ["evalclusters", "evalmichels"],
                "write": ["out"],
            },
            "outputs": {"out": {"module_type": "RootOutput", "fileName": str(path)}},
        },
        files,
    )
    job.run()
    figures = job.assembly.modules["evalmichels"].results()["all"]["figures"]["all"]  # type: ignore[attr-defined]
    assert figures["cluster_purity"]["value"] == 1.0
    reader = open_file(path)
    keys = {key.branch: key for key in reader.keys("event")}
    michels = reader.read(0, keys["Michels_michels__TEST"])
    clusters = reader.read(0, keys["Clusters_michels__TEST"])
    assert len(michels) > 3
    assert michels.meta["clusters"] == "Clusters_michels__TEST"
    assert np.array_equal(clusters.n[michels.electron], michels.n)
    assert np.isnan(michels.attachment[michels.muon < 0]).all()
    assert not np.isnan(michels.attachment[michels.muon >= 0]).any()
    links = reader.read(0, keys["Assns_clusters__TEST"])
    assert len(links) == reader.read(0, keys["Clusters_clusters__TEST"]).n.sum()
    assert all(len(reader.read(1, key)) == 0 for key in keys.values() if key.label in ("clusters", "michels"))
    reader.close()


@pytest.mark.parametrize("name", ["run_voxels.fcl", "evaluate_clusters_voxels.fcl"])
def test_the_jobs_of_the_package_configure_modules_that_exist(name: str) -> None:
    table = fhicl.load(fcl_directory() / name).to_python()
    for kind, part in (("producer", "producers"), ("analyzer", "analyzers")):
        for label, values in table["physics"].get(part, {}).items():
            values = dict(values)
            module = Registry().load(values.pop("module_type"), label, kind)
            module.Parameters.parse(values, label, label)
