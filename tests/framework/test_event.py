"""The view of an event that a module gets."""

import numpy as np
import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework import (
    DeclarationError,
    Event,
    EventID,
    ModuleContext,
    ParameterSet,
    Producer,
    ProductNotFoundError,
    parameter,
)
from larmlreco.framework.event import Access, Consumption, Principal, Production
from larmlreco.framework.testing import ModuleHarness, memory_principal
from larmlreco.products import ChannelStatus, Hits, InputTag, ProductKey, Wires


def status(*channels: int) -> ChannelStatus:
    return ChannelStatus.from_columns({"channel": channels, "status": np.ones(len(channels))})


def view(principal: Principal, *tags: str, produces: tuple[Production, ...] = ()) -> Event:
    consumes = tuple(Consumption("ChannelStatus", InputTag.parse(tag)) for tag in tags)
    return Event(principal, Access("me", "Me", consumes, produces), EventID(1, 2, 3))


def test_event_id() -> None:
    assert EventID.parse("1:2:3") == EventID(1, 2, 3)
    assert str(EventID(1, 2, 3)) == "1:2:3"
    with pytest.raises(ValueError, match="'1:2' is not an event id; expected RUN:SUBRUN:EVENT, for example 1:1:5"):
        EventID.parse("1:2")


def test_get_and_find() -> None:
    event = view(memory_principal("NOW", {"a": status(7)}), "a", "b", "a:x")
    assert event.get(ChannelStatus, "a").channel.tolist() == [7]
    assert event.find(ChannelStatus, "b") is None
    assert event.key(ChannelStatus, "a") == ProductKey("ChannelStatus", "a", "", "INPUT")
    assert event.process == "NOW"
    with pytest.raises(ProductNotFoundError) as caught:
        event.get(ChannelStatus, "b")
    assert str(caught.value) == "no ChannelStatus 'b' in this event; ChannelStatus there: a::INPUT"
    with pytest.raises(ProductNotFoundError, match="no ChannelStatus 'a:x' in this event"):
        event.key(ChannelStatus, "a:x")


def test_a_tag_without_process_means_the_latest() -> None:
    products = {"a::Old": status(1), "a::New": status(2)}
    held = memory_principal("NOW", products)
    ordered = Principal("NOW", "event", held.product_keys(), held.product, ["Old", "New"])
    key = ProductKey("ChannelStatus", "a", "", "NOW")
    event = view(ordered, "a", "a::Old", produces=(Production(key),))
    assert event.get(ChannelStatus, "a").channel.tolist() == [2]
    event.put(status(3))
    assert event.get(ChannelStatus, "a").channel.tolist() == [3]
    assert event.get(ChannelStatus, "a::Old").channel.tolist() == [1]


def test_only_what_is_declared_is_read_and_put() -> None:
    key = ProductKey("ChannelStatus", "me", "x", "NOW")
    event = view(memory_principal("NOW", {"a": status(1)}), "a", produces=(Production(key),))
    with pytest.raises(DeclarationError) as caught:
        event.get(Hits, "a")
    assert str(caught.value) == "reads Hits a of the event, which it did not declare; declared: ChannelStatus a"
    with pytest.raises(DeclarationError) as caught:
        event.put(status())
    expected = "puts ChannelStatus into the event, which it did not declare; declared: ChannelStatus 'x'"
    assert str(caught.value) == expected
    assert event.put(status(), "x") == key
    with pytest.raises(DeclarationError, match="ChannelStatus_me_x_NOW was put twice in one event"):
        event.put(status(), "x")
    with pytest.raises(DeclarationError, match="reads by full name, which only outputs do"):
        event.read(key)


def test_input_products_are_read_once_and_only_when_asked_for() -> None:
    reads: list[ProductKey] = []

    def read(key: ProductKey) -> ChannelStatus:
        reads.append(key)
        return status(1)

    keys = [ProductKey("ChannelStatus", label, "", "INPUT") for label in ("a", "b")]
    event = view(Principal("NOW", "event", keys, read, ["INPUT"]), "a", "b")
    event.get(ChannelStatus, "a")
    event.get(ChannelStatus, "a")
    assert reads == keys[:1]


class WireCounter(Producer):
    """Channels of the wires."""

    class Parameters(ParameterSet):
        wires: InputTag = parameter("butcher", doc="wires")
        put: bool = parameter(True, doc="whether it puts what it declared")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self.consumes(Wires, config.wires)
        self.key = self.produces(ChannelStatus, "seen")

    def produce(self, event: Event) -> None:
        wires = event.get(Wires, self._config.wires)
        if self._config.put:
            event.put(ChannelStatus(channel=wires.channel, status=np.ones_like(wires.channel)), "seen")


def test_harness_shows_one_module_an_event() -> None:
    harness = ModuleHarness(WireCounter, {"wires": "other"}, label="counter")
    result = harness.process({"other": Wires.empty()}, "1:2:3")
    assert len(result.get(ChannelStatus, "seen")) == 0
    assert result.passed
    with pytest.raises(KeyError, match="no Hits '' was put; put: ChannelStatus_counter_seen_TEST"):
        result.get(Hits)
    with pytest.raises(ConfigurationError, match=r"counter\.wire: WireCounter has no parameter 'wire'"):
        ModuleHarness(WireCounter, {"wire": "x"}, label="counter")
    with pytest.raises(AssertionError, match="declared but not put: ChannelStatus_tested_seen_TEST"):
        ModuleHarness(WireCounter, {"put": False}).process({"butcher": Wires.empty()})
