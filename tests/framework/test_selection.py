"""What an output keeps and which events it takes, in art's words."""

import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework.selection import EventSelector, ProductSelector
from larmlreco.products import PathState, ProductKey

READY, PASS, FAIL, EXCEPTION = PathState
KEYS = [
    ProductKey("Hits", "gaushit", "", "Reco1"),
    ProductKey("Wires", "butcher", "", "Reco1"),
    ProductKey("Pixels", "images", "tpc0_Y", "Img"),
    ProductKey("Pixels", "images", "tpc0_U", "Img"),
]


@pytest.mark.parametrize(
    ("commands", "kept"),
    [
        ([], [0, 1, 2, 3]),
        (["keep *"], [0, 1, 2, 3]),
        (["drop *"], []),
        (["keep *", "drop *_*_*_Reco1"], [2, 3]),
        (["drop *", "keep Hits_*_*_*"], [0]),
        (["keep Pixels_*_*_*"], [2, 3]),
        (["keep *_images_tpc0_?_Img", "drop *_*_*U_*"], [2]),
        (["keep *", "drop *_*_*_Reco1", "keep Hits_gaushit__Reco1"], [0, 2, 3]),
        (["  keep   *_butcher_*_*  "], [1]),
    ],
)
def test_output_commands(commands: list[str], kept: list[int]) -> None:
    assert ProductSelector(commands, "here").kept(KEYS) == [KEYS[i] for i in kept]


@pytest.mark.parametrize("command", ["keep", "kepp *", "keep Hits", "keep Hits_a_b", "keep * *", "drop Hi-ts_*_*_*"])
def test_wrong_output_commands(command: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProductSelector(["keep *", command], "outputs.out.outputCommands")
    assert str(caught.value) == (
        f'outputs.out.outputCommands: "{command}" is not an output command; expected "keep PATTERN" or "drop PATTERN" '
        "where PATTERN is * or Type_label_instance_process, with wildcards * and ?"
    )


@pytest.mark.parametrize(
    ("criteria", "states", "taken"),
    [
        ([], (FAIL, FAIL, FAIL), True),
        (["pa"], (PASS, FAIL, FAIL), True),
        (["pa"], (FAIL, PASS, PASS), False),
        (["pa", "pb"], (FAIL, PASS, FAIL), True),
        (["!pa"], (FAIL, PASS, PASS), True),
        (["!pa"], (EXCEPTION, PASS, PASS), False),
        (["*"], (FAIL, FAIL, PASS), True),
        (["*"], (FAIL, FAIL, FAIL), False),
        (["p*"], (FAIL, FAIL, PASS), False),
        (["p?"], (FAIL, PASS, FAIL), True),
        (["!*"], (FAIL, FAIL, PASS), False),
        (["!*"], (FAIL, FAIL, FAIL), True),
        (["!p*"], (FAIL, FAIL, PASS), True),
        (["exception@pa"], (EXCEPTION, READY, READY), True),
        (["exception@*"], (FAIL, FAIL, PASS), False),
        (["pa&noexception"], (PASS, EXCEPTION, FAIL), False),
        (["pa & noexception"], (PASS, FAIL, FAIL), True),
        (["pa&noex"], (PASS, EXCEPTION, FAIL), False),
        (["!p*&noexception"], (FAIL, FAIL, EXCEPTION), False),
        (["NOW:pa"], (PASS, FAIL, FAIL), True),
        (["nothing*"], (PASS, PASS, PASS), False),
    ],
)
def test_select_events(criteria: list[str], states: tuple[PathState, ...], taken: bool) -> None:
    paths = ["pa", "pb", "other"]
    selector = EventSelector(criteria, paths, "NOW", "here")
    assert selector.accepts(dict(zip(paths, states, strict=True))) is taken


def test_events_of_an_earlier_process() -> None:
    selector = EventSelector(["Reco1:good"], ["pa"], "NOW", "here")
    assert selector.processes == ["Reco1"]
    assert selector.accepts({"pa": FAIL}, {"Reco1": {"good": PASS}})
    assert not selector.accepts({"pa": PASS}, {"Reco1": {"good": FAIL}})


@pytest.mark.parametrize(
    ("criterion", "text"),
    [
        ("paa", "outputs.out.SelectEvents: \"paa\" names no trigger path; did you mean 'pa'? valid: pa, pb"),
        ("!x*", '"!x*" names no trigger path'),
        ("!exception@pa", '"!exception@pa" is not a criterion; exception@ goes with neither ! nor &noexception'),
        ("exception@pa&noexception", "exception@ goes with neither"),
        ("pa&often", '"pa&often" is not a criterion; after & only noexception may follow'),
    ],
)
def test_wrong_criteria(criterion: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EventSelector([criterion], ["pa", "pb"], "NOW", "outputs.out.SelectEvents")
    assert text in str(caught.value)
