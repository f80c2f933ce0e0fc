"""Real art files give exactly what the real classes read from them (the samples' reference files)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.io.art import ArtFile
from larmlreco.products import Assns, Hits, PathState, ProductKey, TriggerResults, Wires

WIRES = ProductKey("Wires", "butcher", "", "Reco1")
HITS = ProductKey("Hits", "gaushit", "", "Reco1")
ASSNS = ProductKey("Assns", "gaushit", "", "Reco1")
RESULTS = ProductKey("TriggerResults", "TriggerResults", "", "Reco1")
HIT_FIELDS = {
    "channel": "channel",
    "view": "view",
    "signal_type": "signal_type",
    "start_tick": "start_tick",
    "end_tick": "end_tick",
    "peak_time": "peak_time",
    "sigma_peak_time": "sigma_peak_time",
    "rms": "rms",
    "peak_amplitude": "peak_amplitude",
    "sigma_peak_amplitude": "sigma_peak_amplitude",
    "roi_summed_adc": "roi_summed_adc",
    "hit_summed_adc": "summed_adc",
    "integral": "integral",
    "sigma_integral": "sigma_integral",
    "multiplicity": "multiplicity",
    "local_index": "local_index",
    "goodness_of_fit": "goodness_of_fit",
    "degrees_of_freedom": "dof",
}


def total(values: Any) -> float:
    """Sum in double precision, one after another, as the reference was summed."""
    return float(np.add.accumulate(np.append(0.0, values.astype("f8")))[-1])


def wire_summary(wires: Wires, i: int) -> dict[str, Any]:
    rois = np.flatnonzero(wires.roi_wire == i)
    ends = np.cumsum(wires.roi_length)
    return {
        "channel": int(wires.channel[i]),
        "view": int(wires.view[i]),
        "n_signal": int(wires.n_samples[i]),
        "roi_begin": wires.roi_begin[rois].tolist(),
        "roi_adc": [wires.adc[ends[r] - wires.roi_length[r] : ends[r]].tolist() for r in rois],
    }


def hit_summary(hits: Hits, i: int) -> dict[str, Any]:
    out = {name: getattr(hits, field)[i].item() for name, field in HIT_FIELDS.items()}
    place = {name: getattr(hits, name)[i].item() for name in ("cryostat", "tpc", "plane", "wire")}
    return {**out, "wire_id": {**place, "is_valid": True}}


@pytest.fixture(scope="module", params=["sim_uboone_art_10evt", "sim_uboone_art_split99_2evt"])
def sample(request: pytest.FixtureRequest, shared_path: Callable[[str], Path]) -> tuple[ArtFile, dict[str, Any]]:
    name = f"samples/{request.param}"
    return ArtFile(shared_path(f"{name}.root")), json.loads(shared_path(f"{name}_reference.json").read_text())


def test_ids_and_event_records(sample: tuple[ArtFile, dict[str, Any]]) -> None:
    file, reference = sample
    expected = [(e["run"], e["subrun"], e["event"]) for e in reference["events"]]
    assert list(file.event_ids) == expected
    assert file.n_events == len(expected)
    assert sorted(set(file.subrun_ids)) == sorted({e[:2] for e in expected})
    assert sorted(set(file.run_ids)) == sorted({e[:1] for e in expected})
    for i, event in enumerate(reference["events"]):
        assert file.event_info(i) == (event["is_real_data"], event["time"])


def test_products(sample: tuple[ArtFile, dict[str, Any]]) -> None:
    file, reference = sample
    assert sorted(file.keys(), key=str) == sorted([WIRES, ASSNS, HITS, RESULTS], key=str)
    assert file.keys("run") == file.keys("subrun") == []
    assert file.undecodable() == {}
    for entry in range(file.n_events):
        results = file.read(entry, RESULTS)
        assert isinstance(results, TriggerResults)
        assert dict(results.states) == {"reco": PathState.PASS}
    expected = {b["name"]: b["class_name"] for b in reference["event_branches"] if b["name"] != "EventAuxiliary"}
    assert {b.name: b.type for b in file.branches()} == expected
    assert all(b.bytes > 0 and b.entries == file.n_events for b in file.branches())


def test_every_number(sample: tuple[ArtFile, dict[str, Any]]) -> None:
    file, reference = sample
    for entry, expected in enumerate(reference["events"]):
        wires, hits, assns = (file.read(entry, key) for key in (WIRES, HITS, ASSNS))
        assert isinstance(wires, Wires)
        assert isinstance(hits, Hits)
        assert isinstance(assns, Assns)
        assert len(wires) == expected["n_wires"]
        assert len(hits) == expected["n_hits"]
        assert len(wires.roi_wire) == expected["n_rois"]
        assert len(wires.adc) == expected["n_samples"]
        assert (wires.plane == -1).all()
        roi_view = np.repeat(wires.view[wires.roi_wire], wires.roi_length)
        for view in range(3):
            assert (wires.view == view).sum() == expected["wires_per_plane"][view]
            assert total(wires.adc[roi_view == view]) == expected["roi_adc_sum"][view]
            assert wires.adc[roi_view == view].max() == np.float32(expected["roi_adc_max"][view])
            of_plane = hits.plane == view
            assert of_plane.sum() == expected["hits_per_plane"][view]
            assert total(hits.integral[of_plane]) == expected["hit_integral_sum"][view]
            assert total(hits.peak_amplitude[of_plane]) == expected["hit_amplitude_sum"][view]
            assert total(hits.peak_time[of_plane]) == expected["hit_peak_time_sum"][view]
        assert wire_summary(wires, 0) == expected["first_wire"]
        assert wire_summary(wires, len(wires) - 1) == expected["last_wire"]
        assert hit_summary(hits, 0) == expected["first_hit"]
        assert hit_summary(hits, len(hits) - 1) == expected["last_hit"]
        assert assns.meta == {"left": WIRES.branch, "right": HITS.branch}
        assert len(assns) == expected["assns"]["n"]
        assert assns.left.sum() == expected["assns"]["sum_wire_key"]
        assert assns.right.sum() == expected["assns"]["sum_hit_key"]
        mismatches = (wires.channel[assns.left] != hits.channel[assns.right]).sum()
        assert mismatches == expected["assns"]["channel_mismatches"]


def test_history(sample: tuple[ArtFile, dict[str, Any]]) -> None:
    file, reference = sample
    (process,) = file.process_history
    assert (process.name, process.version) == ("Reco1", reference["art"])
    text = file.configurations["Reco1"]
    assert 'gaushit:{directory:"out/' in text
    assert 'module_type:"HitFeeder" wires:"butcher"}' in text
    assert "@id" not in text
