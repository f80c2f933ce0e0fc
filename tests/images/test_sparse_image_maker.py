"""The producer SparseImageMaker on in-memory events."""

from typing import Any

import numpy as np
import pytest
from test_image_pixels import make_hits, make_wires

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework import Module
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import ModuleHarness
from larmlreco.products import Assns, ChannelStatus, Pixels

WIRES = make_wires([(4800, 0, [50.0] * 12), (4801, 6, [50.0] * 6), (3, 0, [1.0] * 6)])
HITS = make_hits([(4800, 5.0, 1.0, 300.0), (4801, 8.0, 0.0, 300.0), (3, 2.0, 1.0, 6.0)])


@pytest.fixture(scope="module")
def maker() -> type[Module]:
    return Registry().load("SparseImageMaker", "test", "producer")


def harness(maker: type[Module], **parameters: Any) -> ModuleHarness:
    return ModuleHarness(maker, {"detector": "microboone"} | parameters, label="images")


def pairs(links: Assns) -> list[tuple[int, int]]:
    return list(zip(links.left.tolist(), links.right.tolist(), strict=True))


def test_images_of_wires_lead_back_to_wires_and_hits(maker: type[Module]) -> None:
    result = harness(maker, hits="gaushit").process({"butcher": WIRES, "gaushit::Reco1": HITS})
    pixels = result.get(Pixels, "Y")
    assert list(zip(pixels.column.tolist(), pixels.row.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    np.testing.assert_array_equal(pixels.adc, [300, 300, 300])
    wires, hits = result.get(Assns, "Y_wires"), result.get(Assns, "Y_hits")
    assert pairs(wires) == [(0, 0), (1, 0), (2, 1)]
    assert wires.meta == {"left": "Pixels_images_Y_TEST", "right": "Wires_butcher__INPUT"}
    assert pairs(hits) == [(0, 0), (1, 0), (2, 1)]
    assert hits.meta == {"left": "Pixels_images_Y_TEST", "right": "Hits_gaushit__Reco1"}
    assert len(result.get(Pixels, "U")) == len(result.get(Assns, "U_hits")) == 0


def test_images_of_hits(maker: type[Module]) -> None:
    result = harness(maker, source="hits", hits="gaushit", planes=["Y"], threshold=0.01).process({"gaushit": HITS})
    assert result.get(Pixels, "Y").adc.sum() == pytest.approx(600)
    assert {right for _, right in pairs(result.get(Assns, "Y_hits"))} == {0, 1}
    with pytest.raises(KeyError):
        result.get(Assns, "Y_wires")


def test_dead_channels_of_both_kinds(maker: type[Module]) -> None:
    tested = harness(maker, channel_status="status", dead_channels=[4800])
    result = tested.process({"butcher": WIRES, "status": ChannelStatus(channel=[4801], status=[1])})
    assert len(result.get(Pixels, "Y")) == 0


def test_empty_event_gives_all_declared_products(maker: type[Module]) -> None:
    result = harness(maker, hits="gaushit").process({"butcher": make_wires([]), "gaushit": make_hits([])})
    assert [len(result.get(Pixels, view)) for view in "UVY"] == [0, 0, 0]
    assert result.get(Pixels, "V").meta["n_columns"] == 2400


def test_wires_and_hits_of_another_detector_are_refused(maker: type[Module]) -> None:
    """The channels are all there in SBND, but on planes with other views."""
    for parameters in ({}, {"source": "hits", "hits": "gaushit"}):
        tested = harness(maker, detector="sbnd", **parameters)
        with pytest.raises(InputError, match=r"channel 2300 has the view 0, .* where it is on plane tpc0_V"):
            tested.process({"butcher": make_wires([(2300, 0, [50.0])]), "gaushit": make_hits([(2300, 5, 1, 300)])})


def test_planes_of_a_detector_with_several_tpcs(maker: type[Module]) -> None:
    declared = harness(maker, detector="protodunehd").module.declared_produces
    assert [p.key.instance for p in declared if p.key.type == "Pixels"][:4] == ["tpc1_U", "tpc1_V", "tpc1_W", "tpc2_U"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector": "uboone"}, "unknown detector 'uboone'"),
        ({"planes": ["W"]}, "microboone has no plane 'W'; valid: U, V, Y"),
        ({"source": "hits"}, 'images.hits: SparseImageMaker with source "hits" needs the tag of hits'),
        ({"rebin": 0}, "expects an integer .*at least 1, got 0"),
    ],
)
def test_wrong_parameters(maker: type[Module], parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        harness(maker, **parameters)


def test_bad_input_is_named(maker: type[Module]) -> None:
    with pytest.raises(InputError, match="ROI 0 of channel 7 holds nan at sample 4"):
        harness(maker).process({"butcher": make_wires([(7, 4, [float("nan")])])})
