"""The producer of charge in dead regions and what takes its images, with a network whose answer is known."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from larmlreco.modules.DeadRegionInfill_module import DeadRegionInfill
from larmlreco.modules.InfillEvaluator_module import InfillEvaluator

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.framework.event import ProductNotFoundError
from larmlreco.framework.testing import HarnessResult, ModuleHarness
from larmlreco.geometry import detector
from larmlreco.models import Network, register
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import check_input
from larmlreco.products import (
    Assns,
    ChannelStatus,
    DeadRegions,
    InfilledPixels,
    InfilledVoxels,
    Pixels,
    Product,
    TrueLabels,
    Voxels,
)
from larmlreco.reco.infill import CandidateSettings, plane_candidates

UBOONE = detector("microboone")
COLLECTION_FIRST = 4800
Event = dict[str, Product]


@register("infill_by_parity")
class ByParity(Network):
    """A site is active with 0.9 where its coordinates add up to an even number, else with 0.2; its energy is 5 more
    than what it showed, or not a number after charge above 1e8."""

    meanings: Mapping[str, str] = {"active": "probability", "energy": "charge"}

    def __init__(self, dimension: int = 2, channels: int = 2) -> None:
        super().__init__()
        self.dimension = dimension
        self.channels = channels

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        even = coords[:, 1:].sum(1, keepdim=True) % 2 == 0
        active = torch.where(even, 0.9, 0.2) * torch.ones_like(features[:, :1])
        broken = (features[:, :1] > 1e8).any()
        return {"active": active, "energy": torch.where(broken, torch.nan, features[:, :1] + 5.0)}

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, self.dimension, self.channels)
        return self.raw(coords, features)


def make_archive(path: Path, dimension: int = 2, **changes: Any) -> str:
    values: dict[str, Any] = {
        "task": "infill",
        "detector": "microboone" if dimension == 2 else "liquid_argon",
        "dimension": dimension,
        "planes": ("U", "V", "Y") if dimension == 2 else (),
        "class_names": (),
        "features": (Feature("adc", "ADC"), Feature("is_candidate", "flag")),
        "pixel_size": (1.0, 6.0) if dimension == 2 else (0.3, 0.3, 0.3),
        "pixel_units": ("wire", "tick") if dimension == 2 else ("cm", "cm", "cm"),
        "threshold": 10.0 if dimension == 2 else 0.0,
        "rebin": 6 if dimension == 2 else 1,
        "outputs": {"active": "probability", "energy": "charge"},
        "metrics": {"threshold": 0.6},
        "training": {"candidates": {"halo": 3, "value": "zero"}},
        **changes,
    }
    params = {"dimension": dimension, "channels": len(values["features"])}
    checkpoint = Checkpoint(Architecture("infill_by_parity", params), ModelCard(**values))
    export_archive(checkpoint.with_state(ByParity(**params).state_dict(), None), path)
    return str(path)


@pytest.fixture(scope="module")
def planes_archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_archive(tmp_path_factory.mktemp("planes") / "planes.ts")


@pytest.fixture(scope="module")
def voxels_archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_archive(tmp_path_factory.mktemp("voxels") / "voxels.ts", 3)


@pytest.fixture(scope="module")
def crossings_archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    settings = CandidateSettings(halo=0, width=0, extension=0, reach=8, crossings=True)
    features = (Feature("adc", "ADC"), *(Feature(name, "x") for name in settings.features[1:]))
    path = tmp_path_factory.mktemp("crossings") / "crossings.ts"
    return make_archive(path, features=features, training={"candidates": asdict(settings)})


def image(column: Any, row: Any, view: str = "Y", **meta: Any) -> Pixels:
    plane = UBOONE.readout_plane(view)
    column, row = (np.asarray(a, dtype=np.int64) for a in (column, row))
    order = np.lexsort((row, column))
    n = len(column)
    return Pixels.from_columns(
        {
            "tpc": np.zeros(n),
            "plane": np.full(n, plane.plane),
            "column": column[order],
            "row": row[order],
            "adc": 20.0 + np.arange(n),
        },
        {
            "detector": "microboone",
            "tpc": 0,
            "plane": plane.plane,
            "view": view,
            "rebin": 6,
            "threshold": 10.0,
            "n_columns": plane.n_columns,
            "n_rows": 1008,
            **meta,
        },
    )


def status_of(*channels: int, status: int = 1) -> ChannelStatus:
    return ChannelStatus.from_columns({"channel": channels, "status": [status] * len(channels)})


def track() -> Pixels:
    """A track over wires 100 to 139 without 110 to 114."""
    wire = np.array([w for w in range(100, 140) if not 110 <= w < 115])
    return image(wire, wire + 50)


def planes_harness(archive: str, **parameters: Any) -> ModuleHarness:
    return ModuleHarness(
        DeadRegionInfill, {"archive": archive, "detector": "microboone", "images": ["Y"], **parameters}
    )


def test_the_other_planes_say_where_charge_crosses_dead_wires(crossings_archive: str) -> None:
    # U 1500 and V 1500 cross on Y 2328, U 1503 and V 1500 on Y 2331
    images = {
        "images:U": image([1500, 1503], [40, 41], "U"),
        "images:V": image([1500, 1500], [40, 41], "V"),
        "images:Y": image([2000], [7]),
    }
    dead = status_of(*(COLLECTION_FIRST + np.arange(2326, 2334)))
    tested = planes_harness(crossings_archive, channel_status="chstatus", min_probability=0.0)
    filled = tested.process({**images, "chstatus": dead}).get(InfilledPixels, "Y")
    assert places(filled) == [(2328, 40), (2331, 41)]
    assert filled.probability.tolist() == pytest.approx([0.9, 0.9])
    wide = status_of(*(COLLECTION_FIRST + np.arange(2310, 2345)))
    assert len(tested.process({**images, "chstatus": wide}).get(InfilledPixels, "Y")) == 0
    with pytest.raises(ProductNotFoundError, match="images:V"):
        tested.process({name: image for name, image in images.items() if name != "images:V"} | {"chstatus": dead})
    coarse = image([1500], [40], "V", rebin=12)
    with pytest.raises(ConfigurationError, match="rebin 6, those of plane V were made with 12"):
        tested.process({**images, "images:V": coarse, "chstatus": dead})


def places(product: Pixels | InfilledPixels) -> list[tuple[int, int]]:
    return list(zip(product.column.tolist(), product.row.tolist(), strict=True))


def test_dead_wires_are_filled_and_the_image_stays(planes_archive: str) -> None:
    measured = track()
    status = status_of(*(COLLECTION_FIRST + np.arange(110, 115)))
    tested = planes_harness(planes_archive, channel_status="chstatus")
    event = tested.process({"images:Y": measured, "chstatus": status})
    dead = np.zeros(3456, dtype=bool)
    dead[110:115] = True
    coords = np.column_stack([measured.column, measured.row])
    candidates = plane_candidates(coords, dead, CandidateSettings(halo=3)).sites
    filled, merged, links = event.get(InfilledPixels, "Y"), event.get(Pixels, "Y"), event.get(Assns, "Y")
    assert places(filled) == [tuple(site) for site in candidates.tolist()]
    even = candidates.sum(axis=1) % 2 == 0
    assert filled.probability == pytest.approx(np.where(even, 0.9, 0.2))
    assert (filled.adc == 5).all()
    n = len(measured)
    assert places(merged)[:n] == places(measured)
    assert (merged.adc[:n] == measured.adc).all()
    assert places(merged)[n:] == [tuple(site) for site in candidates[even].tolist()]
    assert (merged.adc[n:] == 5).all()
    assert merged.infilled.tolist() == [0] * n + [1] * int(even.sum())
    assert [places(filled)[i] for i in links.left] == [places(merged)[i] for i in links.right]
    assert links.meta == {"left": "InfilledPixels_tested_Y_TEST", "right": "Pixels_tested_Y_TEST"}
    assert {110 <= w < 115 for w, _ in places(filled)} == {True}
    assert (merged.meta["rebin"], merged.meta["n_rows"]) == (6, 1008)
    about = merged.meta["infill"]
    assert (about["n_measured"], about["n_infilled"], about["threshold"]) == (n, even.sum(), 0.6)
    assert about["image"] == "Pixels_images_Y_INPUT"
    assert filled.meta["model"] == "planes.ts"
    assert len(filled.meta["model_sha256"]) == 64
    assert filled.meta["n_candidates"] == len(candidates)


def test_thresholds_are_those_of_the_job(planes_archive: str) -> None:
    channels = (COLLECTION_FIRST + np.arange(110, 115)).tolist()
    tested = planes_harness(planes_archive, dead_channels=channels, threshold=0.1, silent_is_dead=False)
    all_of = tested.process({"images:Y": track()})
    assert len(all_of.get(Pixels, "Y")) == 35 + len(all_of.get(InfilledPixels, "Y"))
    tested = planes_harness(planes_archive, dead_channels=channels, min_probability=0.5)
    assert (tested.process({"images:Y": track()}).get(InfilledPixels, "Y").probability > 0.5).all()


def test_the_image_may_hold_expected_charge(planes_archive: str) -> None:
    event = planes_harness(planes_archive, expected=True).process({"images:Y": track()})
    filled, merged, links = event.get(InfilledPixels, "Y"), event.get(Pixels, "Y"), event.get(Assns, "Y")
    assert (filled.adc == 5).all()
    assert merged.adc[links.right] == pytest.approx(0.9 * 5)
    assert merged.meta["infill"]["expected"] is True


@pytest.mark.parametrize("value", ["minus_one", "random"])
def test_candidates_show_what_the_job_asks_for(planes_archive: str, value: str) -> None:
    tested = planes_harness(planes_archive, value=value)
    shown = tested.process({"images:Y": track()}).get(InfilledPixels, "Y").adc - 5
    again = tested.process({"images:Y": track()}).get(InfilledPixels, "Y").adc - 5
    assert shown.tolist() == again.tolist()
    if value == "minus_one":
        assert (shown == -1).all()
    else:
        assert set(shown.tolist()) <= set(track().adc.tolist())
        assert len(set(shown.tolist())) > 3


def test_without_a_status_narrow_silent_runs_are_dead(planes_archive: str, caplog: pytest.LogCaptureFixture) -> None:
    tested = planes_harness(planes_archive, channel_status="nowhere", longest_silent=10)
    with caplog.at_level(logging.WARNING):
        filled = tested.process({"images:Y": track()}).get(InfilledPixels, "Y")
    assert "there is no status of channels nowhere; silent wires are taken as dead" in caplog.text
    assert set(filled.column.tolist()) == set(range(110, 115))
    alive = planes_harness(planes_archive, silent_is_dead=False).process({"images:Y": track()})
    assert len(alive.get(InfilledPixels, "Y")) == 0
    assert places(alive.get(Pixels, "Y")) == places(track())


def test_what_images_must_be_is_said_before_the_first_event(planes_archive: str, voxels_archive: str) -> None:
    planes = planes_harness(planes_archive, charge_scale=0.5).module
    voxels = ModuleHarness(
        DeadRegionInfill,
        {"archive": voxels_archive, "input_type": "Voxels", "regions": "dead", "detector": "liquid_argon"},
    ).module
    for module, kind, facts in (
        (planes, "Pixels", {"detector": "microboone", "rebin": 6.0, "threshold": 20.0}),
        (voxels, "Voxels", {"pitch": 0.3}),
    ):
        assert [dict(read.facts) for read in module.declared_consumes if read.type == kind] == [facts]
        assert [dict(put.facts) for put in module.declared_produces if put.key.type == kind] == [facts]


def test_a_plane_of_which_everything_is_dead(planes_archive: str, caplog: pytest.LogCaptureFixture) -> None:
    status = status_of(*(COLLECTION_FIRST + np.arange(3456)))
    tested = planes_harness(planes_archive, channel_status="chstatus")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            event = tested.process({"images:Y": image([], []), "chstatus": status})
    assert len(event.get(InfilledPixels, "Y")) == len(event.get(Pixels, "Y")) == len(event.get(Assns, "Y")) == 0
    assert caplog.text.count("all wires of plane Y are dead") == 1
    # pixels on wires that are called dead are measured; candidates stay around them
    event = tested.process({"images:Y": image([1000], [500]), "chstatus": status})
    filled = event.get(InfilledPixels, "Y")
    assert 0 < len(filled) < 200
    assert (1000, 500) not in places(filled)


def test_an_empty_event_and_a_region_larger_than_the_event(planes_archive: str) -> None:
    status = status_of(*(COLLECTION_FIRST + np.arange(200, 3000)))
    tested = planes_harness(planes_archive, channel_status="chstatus")
    for pixels in (image([], []), image([10, 11, 3300], [5, 5, 5])):
        event = tested.process({"images:Y": pixels, "chstatus": status})
        assert len(event.get(InfilledPixels, "Y")) == 0
        assert len(event.get(Pixels, "Y")) == len(pixels)
    beside = image(np.arange(190, 200), np.arange(190, 200))
    filled = tested.process({"images:Y": beside, "chstatus": status}).get(InfilledPixels, "Y")
    assert 0 < len(filled) < 500
    assert filled.column.max() < 220


def test_candidates_stay_in_the_image_and_in_bounds(planes_archive: str) -> None:
    tested = planes_harness(planes_archive, limit=4)
    wires = np.array([0, 1, 4, 5])
    event = tested.process({"images:Y": image(wires, [0, 0, 0, 0])})
    filled = event.get(InfilledPixels, "Y")
    assert len(filled) == 4
    assert filled.meta["limited"] is True
    assert (filled.row >= 0).all()


def test_the_units_of_another_detector(planes_archive: str) -> None:
    pixels = image([5, 6, 8, 9], [5, 5, 5, 5], threshold=1000.0)
    with pytest.raises(ConfigurationError, match="asks for images with threshold 10"):
        planes_harness(planes_archive).process({"images:Y": pixels})
    scaled = planes_harness(planes_archive, charge_scale=0.01).process({"images:Y": pixels})
    assert (scaled.get(InfilledPixels, "Y").adc == 500).all()


def test_archives_that_do_not_fit(tmp_path: Path, planes_archive: str, voxels_archive: str) -> None:
    with pytest.raises(ConfigurationError, match="the job needs the detector microboone; the card has liquid_argon"):
        planes_harness(voxels_archive)
    with pytest.raises(ConfigurationError, match="the job needs the dimension 2; the card has 3"):
        planes_harness(make_archive(tmp_path / "a.ts", 3, detector="microboone", planes=("Y",)))
    with pytest.raises(ConfigurationError, match="needs the task infill; the card has flow"):
        planes_harness(make_archive(tmp_path / "b.ts", task="flow"))
    features = (Feature("adc", "ADC"), Feature("tick", "tick"))
    with pytest.raises(ConfigurationError, match="features charge or energy, is_candidate; the card has adc, tick"):
        planes_harness(make_archive(tmp_path / "c.ts", features=features))
    with pytest.raises(ConfigurationError, match="needs the planes Y; the card has U"):
        planes_harness(make_archive(tmp_path / "d.ts", planes=("U",)))
    with pytest.raises(ConfigurationError, match='dead_regions: only for input_type "Voxels"'):
        planes_harness(planes_archive, dead_regions=[[0, 0, 0, 1, 1, 1]])


def test_a_network_that_gives_no_numbers(planes_archive: str) -> None:
    tested = planes_harness(planes_archive)
    with pytest.raises(InputError, match=r"energy of \d+ of \d+ candidates is not finite in event 1:1:1"):
        tested.process({"images:Y": replace(track(), adc=np.full(35, 1e9, dtype=np.float32))})


def voxels(index: Any, **changes: Any) -> Voxels:
    x, y, z = np.asarray(index, dtype=np.int64).reshape(-1, 3).T
    columns = {"x": x, "y": y, "z": z, "energy": 1.0 + np.arange(len(x)), "pitch": [0.3]}
    origin = {"origin_x": [0.0], "origin_y": [-116.25], "origin_z": [0.0]}
    return Voxels.from_columns({**columns, **origin, **changes}, {"shape": [854, 775, 3456]})


LINE = np.array([[100 + i, 300 + i, 500 + i] for i in range(40) if not 10 <= i < 15])


def voxels_harness(archive: str, **parameters: Any) -> ModuleHarness:
    return ModuleHarness(
        DeadRegionInfill, {"archive": archive, "input": "voxels", "input_type": "Voxels", **parameters}
    )


def check_voxels(event: HarnessResult) -> None:
    filled, merged, links = event.get(InfilledVoxels), event.get(Voxels), event.get(Assns)
    n = len(LINE)
    assert np.column_stack([merged.x, merged.y, merged.z])[:n].tolist() == LINE.tolist()
    assert merged.infilled.tolist() == [0] * n + [1] * (len(merged) - n)
    assert merged.energy[:n].tolist() == (1.0 + np.arange(n)).tolist()
    inside = set(zip(filled.x.tolist(), filled.y.tolist(), filled.z.tolist(), strict=True))
    assert {(100 + i, 300 + i, 500 + i) for i in range(10, 15)} <= inside
    assert (filled.probability[links.left] > 0.6).all()
    assert (merged.z[links.right] == filled.z[links.left]).all()
    assert (merged.origin[0, 1], merged.pitch[0]) == pytest.approx((-116.25, 0.3))


def test_voxels_in_boxes_are_filled(voxels_archive: str) -> None:
    box = [0.0, -200.0, 510 * 0.3, 300.0, 200.0, 515 * 0.3]
    event = voxels_harness(voxels_archive, dead_regions=[box]).process({"voxels": voxels(LINE)})
    check_voxels(event)
    assert set(event.get(InfilledVoxels).z.tolist()) == set(range(510, 515))
    regions = DeadRegions.from_columns(
        {f"{side}_{axis}": [box[i]] for i, (side, axis) in enumerate((s, a) for s in ("low", "high") for a in "xyz")}
    )
    same = voxels_harness(voxels_archive, regions="mask").process({"voxels": voxels(LINE), "mask": regions})
    check_voxels(same)
    assert same.get(InfilledVoxels).x.tolist() == event.get(InfilledVoxels).x.tolist()


def test_voxels_that_too_few_planes_see_are_filled(voxels_archive: str) -> None:
    z = (500 + np.arange(10, 15) + 0.5) * 0.3
    y = -116.25 + (300 + np.arange(10, 15) + 0.5) * 0.3
    dead = np.concatenate(
        [plane.channels[np.unique(np.clip(plane.nearest_wire(y, z)[:, None] + np.arange(-1, 2), 0, None))]
         for plane in (UBOONE.planes[0], UBOONE.planes[2])]
    )  # fmt: skip
    tested = voxels_harness(voxels_archive, geometry="microboone", channel_status="chstatus")
    event = tested.process({"voxels": voxels(LINE), "chstatus": status_of(*dead)})
    check_voxels(event)
    few = voxels_harness(voxels_archive, geometry="microboone", channel_status="chstatus", min_planes=1)
    assert len(few.process({"voxels": voxels(LINE), "chstatus": status_of(*dead)}).get(InfilledVoxels)) == 0


def test_voxels_without_dead_regions(voxels_archive: str, caplog: pytest.LogCaptureFixture) -> None:
    tested = voxels_harness(voxels_archive, geometry="microboone", channel_status="chstatus")
    with caplog.at_level(logging.WARNING):
        event = tested.process({"voxels": voxels(LINE)})
    assert "there is no status of channels chstatus; all others are taken as alive" in caplog.text
    assert len(event.get(InfilledVoxels)) == 0
    assert len(event.get(Voxels)) == len(LINE)
    empty = tested.process({"voxels": voxels([]), "chstatus": status_of(1)})
    assert len(empty.get(Voxels)) == 0
    nothing = Voxels.empty()
    assert len(tested.process({"voxels": nothing, "chstatus": status_of(1)}).get(Voxels)) == 0
    with pytest.raises(ConfigurationError, match="nothing says where voxels are dead"):
        voxels_harness(voxels_archive)
    with pytest.raises(ConfigurationError, match="geometry: channels tell which voxels are dead through a geometry"):
        voxels_harness(voxels_archive, dead_channels=[5])
    with pytest.raises(ConfigurationError, match=r"asks for voxels of 0\.3 cm"):
        tested.process({"voxels": voxels(LINE, pitch=[0.5]), "chstatus": status_of(1)})


def evaluator(**parameters: Any) -> ModuleHarness:
    return ModuleHarness(InfillEvaluator, {"detector": "microboone", "images": ["Y"], **parameters})


def whole_track() -> Pixels:
    return image(np.arange(100, 140), np.arange(150, 190))


def filled_track(*wires: int, probability: float = 0.9) -> InfilledPixels:
    n = len(wires)
    column = np.array(wires, dtype=np.int64)
    columns = {"tpc": np.zeros(n), "plane": np.full(n, 2), "column": column, "row": column + 50}
    more = {"adc": np.full(n, 30.0), "probability": np.full(n, probability)}
    return InfilledPixels.from_columns(columns | more, {"threshold": 0.6})


def masked(first: int, last: int) -> ChannelStatus:
    return status_of(*(COLLECTION_FIRST + np.arange(first, last)))


def test_the_evaluator_counts_masked_wires_only() -> None:
    tested = evaluator()
    event = {"images:Y": whole_track(), "mask:masked": masked(110, 115)}
    # 112 is missed, 113 is not probable enough, 120 was not masked
    filled = filled_track(110, 111, 114, 120)
    result = tested.process({**event, "infill:Y": filled})
    figures = tested.module.results()["Y"]  # type: ignore[attr-defined]
    assert figures["groups"]["all"]["precision"]["value"] == 1
    assert figures["groups"]["all"]["recall"]["value"] == pytest.approx(3 / 5)
    assert figures["groups"]["all"]["recall_near"]["value"] == 1
    true = 20.0 + np.arange(10, 15)
    assert figures["groups"]["all"]["energy"]["all"]["value"] == pytest.approx(90 / true.sum())
    assert figures["gaps"]["all"]["closed"]["value"] == 0
    assert figures["rows"]["sites"] == [[5, 3]]
    assert figures["rows"]["energy"] == [[pytest.approx(true.sum()), 90.0]]
    assert (figures["threshold"], figures["narrow"]) == (0.6, 10)
    assert "-- Y" in tested.module.table()  # type: ignore[attr-defined]
    assert result is not None


def test_the_evaluator_splits_by_class_and_closes_gaps_in_true_tracks() -> None:
    tested = evaluator(labels="truth")
    n = 40
    labels = TrueLabels.from_columns({"label": [1] * 20 + [2] * 20, "cluster": [-1] * n, "particle": [1] * n})
    event = {"images:Y": whole_track(), "mask:masked": masked(110, 125), "truth:Y": labels}
    tested.process({**event, "infill:Y": filled_track(*range(110, 125))})
    groups = tested.module.results()["Y"]["groups"]  # type: ignore[attr-defined]
    assert (groups["track"]["recall"]["count"], groups["shower"]["recall"]["count"]) == (10, 5)
    assert groups["track"]["precision"]["value"] == groups["shower"]["precision"]["value"] == 1
    short = TrueLabels.from_columns({"label": [1], "cluster": [-1], "particle": [1]})
    with pytest.raises(InputError, match=r"truth:Y has 1 rows; expected the 40 of images:Y"):
        tested.process({**event, "truth:Y": short, "infill:Y": filled_track()})
    other = replace(filled_track(), meta={"threshold": 0.5})
    with pytest.raises(InputError, match=r"from the probability 0\.5 on, those before from 0\.6"):
        tested.process({**event, "infill:Y": other})
    assert evaluator().module.table() == "no events"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="detector: images of planes need it"):
        ModuleHarness(InfillEvaluator, {"images": ["Y"]})


def test_the_evaluator_of_voxels(voxels_archive: str) -> None:
    every = np.array([[100 + i, 300 + i, 500 + i] for i in range(40)])
    box = [0.0, -200.0, 510 * 0.3, 300.0, 200.0, 515 * 0.3]
    regions = DeadRegions.from_columns(
        {f"{side}_{axis}": [box[i]] for i, (side, axis) in enumerate((s, a) for s in ("low", "high") for a in "xyz")}
    )
    filled = voxels_harness(voxels_archive, regions="mask").process({"voxels": voxels(LINE), "mask": regions})
    tested = ModuleHarness(
        InfillEvaluator, {"input_type": "Voxels", "truth": "voxels", "masked": "mask", "threshold": 0.1}
    )
    event = {"voxels": voxels(every), "mask": regions, "infill": filled.get(InfilledVoxels)}
    tested.process({**event, "voxels": Voxels.empty()})
    tested.process(event)
    figures = tested.module.results()["voxels"]  # type: ignore[attr-defined]
    assert figures["groups"]["all"]["recall"]["value"] == 1
    assert figures["groups"]["narrow"]["recall"]["count"] == 5
    assert figures["gaps"]["narrow"]["closed"]["value"] == 1
    empty = replace(event["infill"], **{k: np.zeros(0) for k in ("x", "y", "z", "energy", "probability")})
    tested.process({**event, "voxels": voxels([]), "infill": empty})
    assert tested.module.results()["voxels"]["rows"]["sites"][1:] == [[0, 0]]  # type: ignore[attr-defined]
