"""A canonical dump parsed again dumps identically, for any tree."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from larmlreco.errors import LarmlrecoError
from larmlreco.framework import fhicl

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
characters = st.characters(codec="utf-8", categories=("L", "N", "P", "S")) | st.sampled_from(" \n\t\"'\\")
strings = st.text(characters, max_size=12) | st.sampled_from(["true", "@nil", "1e6", "#include", "}", "@local::a"])
ints = st.integers(-(10**19) + 1, 10**19 - 1)
floats = st.floats(allow_nan=False)
complexes = st.builds(complex, floats, floats)
atoms = st.none() | st.booleans() | ints | floats | complexes | strings
values = st.recursive(atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))
tables = st.dictionaries(names, values, max_size=6)


def as_floats(value: Any) -> Any:
    """The tree with all numbers as floats, as the text does not tell a whole float from an int."""
    if isinstance(value, dict):
        return {name: as_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(ints)
def test_ints_are_exact(value: int) -> None:
    again = fhicl.loads(fhicl.dumps({"a": value}))["a"]
    assert type(again) is int
    assert again == value


@given(tables)
def test_python_to_text_and_back(table: dict[str, Any]) -> None:
    text = fhicl.dumps(table)
    again = fhicl.loads(text, strict=False)
    assert again.dumps() == text
    assert as_floats(again.to_python()) == as_floats(table)


@given(st.lists(st.tuples(names, atoms, st.booleans()), max_size=8))
def test_later_assignments_win(lines: list[tuple[str, Any, bool]]) -> None:
    text, expected = "", {}
    for name, value, erase in lines:
        text += f"{name}: @erase\n" if erase else fhicl.dumps({name: value})
        if erase:
            expected.pop(name, None)
        else:
            expected[name] = value
    assert as_floats(fhicl.loads(text, strict=False).to_python()) == as_floats(expected)


PUNCTUATION = [*":::.[]{}(),#\\\"'\n", "//"]
VALUES = ["a", "b", "c", "1", "2.5", "0x1", "true", "@nil", "infinity", "x", "'q'", '"d"']
REFERENCES = ["@local::", "@table::", "@sequence::"]
DIRECTIVES = ["@erase", "@protect_ignore:", "@protect_error:", "BEGIN_PROLOG", "END_PROLOG", "#include"]
fragments = st.sampled_from(PUNCTUATION + VALUES + REFERENCES + DIRECTIVES)


@settings(max_examples=300)
@given(st.lists(fragments, max_size=25), st.sampled_from(["", " "]))
def test_any_text_is_read_or_refused_with_its_place(pieces: list[str], between: str) -> None:
    try:
        text = fhicl.loads(between.join(pieces), name="job.fcl").dumps()
    except LarmlrecoError as error:
        refusal = str(error)
    else:
        refusal = "job.fcl: none"
        assert fhicl.loads(text).dumps() == text
    assert refusal.startswith("job.fcl:")
