"""The whole chain in one job: a muon that stops and decays, dead planes, empty events, and stages that do not fit."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from larmlreco.argon import recombined_electrons
from larmlreco.errors import LarmlrecoError
from larmlreco.framework import fhicl
from larmlreco.framework.testing import MemoryFile, MemoryOutput, memory_job
from larmlreco.geometry import detector
from larmlreco.products import (
    ChannelStatus,
    Clusters,
    Hits,
    Particles,
    Product,
    ProductKey,
    SemanticScores,
    SpacePoints,
    TrueSteps,
    Voxels,
    Wires,
)
from larmlreco.resources import fcl_directory
from larmlreco.simulation.event import make_wires
from larmlreco.simulation.response import plane_signal
from larmlreco.simulation.settings import ReadoutSettings
from larmlreco.truth.pixels import plane_arrivals

UBOONE = detector("microboone")
START, DIRECTION, LENGTH = np.array([100.0, 20.0, 500.0]), np.array([0.5, -0.6, 0.6245]), 60.0
NO_HITS = Hits.from_columns({name: np.zeros(0) for name in Hits.columns()})


@cache
def muon(dead_plane: int = -1) -> Wires:
    """Wires of a straight track of 2.1 MeV/cm, with fluctuations as a thin layer has them."""
    along = np.arange(0.05, LENGTH, 0.1)
    x, y, z = (START + along[:, np.newaxis] * DIRECTION).T
    n = len(along)
    energy = 0.17 + np.random.default_rng(2).exponential(0.04, n)
    electrons = recombined_electrons(energy, np.full(n, 0.1), UBOONE.electric_field)
    steps = TrueSteps.from_columns(
        {"x": x, "y": y, "z": z, "t": np.zeros(n), "de": energy, "dx": np.full(n, 0.1)}
        | {"electrons": electrons, "tick": UBOONE.x_to_tick(x), "particle": np.ones(n)}
    )
    random, settings = np.random.default_rng(1), ReadoutSettings()
    signals = []
    for plane in UBOONE.planes:
        arriving = plane_arrivals(steps, UBOONE, plane)
        dead = np.full(plane.n_wires, plane.plane == dead_plane)
        gain = np.ones(plane.n_wires)
        signals.append(plane_signal(arriving, 6400, dead, gain, settings.noise[plane.plane], settings, random))
    return make_wires(signals, UBOONE)


def job(events: dict[str, dict[str, Product]], **changes: Any) -> Any:
    """The job of ``run_full_uboone.fcl`` on events in memory; changes are parameters by ``module__name``."""
    table = fhicl.load(fcl_directory() / "run_full_uboone.fcl").to_python()
    physics = table["physics"]
    for name, value in changes.items():
        module, _, key = name.partition("__")
        physics["producers"][module][key] = value
    held = {
        name: {ProductKey(type(p).__name__, tag, "", "Sim"): p for tag, p in event.items()}
        for name, event in events.items()
    }
    outputs = {"out": {"module_type": "MemoryOutput", "fileName": "memory"}}
    values = {"process_name": "Chain", "physics": physics, "outputs": outputs}
    return memory_job(values, [MemoryFile(held, history=["Sim"])])


def made(finished: Any, event: str, kind: type[Product], label: str, instance: str = "") -> Any:
    output: MemoryOutput = finished.assembly.modules["out"]
    by_id = {str(number): products for number, products in output.events.items()}
    return by_id[event][ProductKey(kind.__name__, label, instance, "Chain")]


def test_a_muon_with_all_planes_without_one_and_an_empty_event() -> None:
    """Energy and places on three planes and on two; an event without wires has empty products."""
    status = np.full(UBOONE.n_channels, 4)
    dead = status.copy()
    dead[UBOONE.planes[0].channels] = 1
    channels = np.arange(UBOONE.n_channels)
    good, without = (ChannelStatus(channel=channels, status=s) for s in (status, dead))
    empty = Wires.from_columns({name: np.zeros(0) for name in Wires.columns()})
    done = job(
        {
            "1:1:1": {"butcher": muon(), "gaushit": NO_HITS, "chstatus": good},
            "1:1:2": {"butcher": muon(dead_plane=0), "gaushit": NO_HITS, "chstatus": without},
            "1:1:3": {"butcher": empty, "gaushit": NO_HITS, "chstatus": good},
        },
        flow__channel_status="chstatus",
        infill__channel_status="chstatus",
    )
    done.run()
    for event, on_two in (("1:1:1", 0.0), ("1:1:2", 1.0)):
        voxels = made(done, event, Voxels, "voxels")
        assert voxels.energy.sum() == pytest.approx(2.1 * LENGTH, rel=0.08)
        assert np.average(voxels.two_planes, weights=voxels.energy) == pytest.approx(on_two, abs=0.1)
        place = voxels.origin[0] + (np.column_stack([voxels.x, voxels.y, voxels.z]) + 0.5) * 0.3 - START
        along = place @ DIRECTION
        away = np.linalg.norm(place - along[:, np.newaxis] * DIRECTION, axis=1)
        assert np.average(away < 1.0, weights=voxels.energy) > 0.95
        # Every part of the track is there.
        assert len(np.unique(np.clip(along, 0, LENGTH - 1e-3) // 1.0)) == LENGTH
        scores = made(done, event, SemanticScores, "segmentation")
        assert len(scores) == len(voxels)
        assert np.average(np.isin(scores.label, (0, 1)), weights=voxels.energy) > 0.8
        clusters = made(done, event, Clusters, "clusters")
        assert clusters.charge.max() > 0.7 * voxels.energy.sum()
    output: MemoryOutput = done.assembly.modules["out"]
    products = next(p for number, p in output.events.items() if str(number) == "1:1:3")
    put = {
        key: product for key, product in products.items() if key.process == "Chain" and key.label != "TriggerResults"
    }
    stages = ("images", "planes", "infill", "flow", "voxels", "segmentation", "clusters", "michels")
    assert {key.label for key in put} >= set(stages)
    assert all(len(product) == 0 for product in put.values())
    assert made(done, "1:1:3", SpacePoints, "flow").meta["row_length"] == pytest.approx(0.3294)
    assert len(made(done, "1:1:1", Particles, "particles")) == len(made(done, "1:1:1", Clusters, "clusters"))


def test_a_status_that_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Wires that are silent are then taken as dead."""
    done = job({"1:1:1": {"butcher": muon(dead_plane=0), "gaushit": NO_HITS}}, flow__channel_status="chstatus")
    done.run()
    assert "there is no status of channels chstatus; silent wires are taken as dead" in capsys.readouterr().err
    assert made(done, "1:1:1", Voxels, "voxels").energy.sum() > 0.8 * 2.1 * LENGTH


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images__rebin": 4}, "reads Pixels 'images:[UVY]', which 'images' makes with rebin 4; it needs rebin 6"),
        ({"voxels__pitch": 0.5}, r"segmentation \(VoxelSegmentation\) reads Voxels 'voxels', .* makes with pitch 0.5"),
        ({"planes__archive": "segmentation_voxels.ts"}, "the job needs the detector microboone; the card has liquid_a"),
    ],
)
def test_stages_that_do_not_fit_are_named_before_the_first_event(changes: dict[str, Any], message: str) -> None:
    runner = job({"1:1:1": {"butcher": muon(), "gaushit": NO_HITS}}, **changes)
    with pytest.raises(LarmlrecoError, match=message):
        runner.run()
