"""The FHiCL language, feature by feature; what art makes of each text is written out by hand."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError, LarmlrecoError
from larmlreco.framework import fhicl
from larmlreco.resources import fcl_directory


def dump(text: str) -> str:
    return fhicl.loads(text).dumps()


def python(text: str) -> dict[str, Any]:
    return fhicl.loads(text).to_python()


def refusal(text: str) -> str:
    with pytest.raises(fhicl.FhiclError) as caught:
        fhicl.loads(text, name="job.fcl")
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FHICL_FILE_PATH", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0e-5", "0"),
        ("-0e99", "0"),
        ("+7", "7"),
        ("007", "7"),
        ("123456", "123456"),
        ("1234567", "1.234567e6"),
        ("1000000", "1e6"),
        ("-1234567", "-1.234567e6"),
        ("12345678901234567890", "1.234567890123456789e19"),
        ("5.", "5"),
        (".5", "5e-1"),
        ("+.25", "2.5e-1"),
        ("0.09", "9e-2"),
        ("10.5", "1.05e1"),
        ("123456.5", "1.234565e5"),
        ("12E4", "120000"),
        ("12E5", "1.2e6"),
        ("12.000E5", "1.2e6"),
        ("-12.e2", "-1200"),
        ("1e+03", "1000"),
        ("1e-300", "1e-300"),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("0x0", "0"),
        ("0X00123De", "74718"),
        ("0x1234567890", "7.818749352e10"),
        ("0b1000110100101100011001", "2.312985e6"),
        ("0B11", "3"),
        ("infinity", "+infinity"),
        ("-infinity", "-infinity"),
        ("( 1 , 2.30 )", "(1,2.3)"),
        ("(infinity,-0x10)", None),
        ("(+infinity, 0x10)", "(+infinity,16)"),
        ("true", "true"),
        ("@nil", "@nil"),
        ("True", '"True"'),
        ("nil", '"nil"'),
        ("nan", '"nan"'),
        ("infinityx", '"infinityx"'),
        ("3a4B5c", '"3a4B5c"'),
        ("1_000", '"1_000"'),
        ("1e", '"1e"'),
        ("0x", '"0x"'),
        ("0b12", '"0b12"'),
        ("0xZZ", '"0xZZ"'),
        ("e5", '"e5"'),
        ("_1", '"_1"'),
        ("BEGIN_PROLOG", '"BEGIN_PROLOG"'),
        (".", None),
        ("+", None),
        ("--5", None),
        ("1e+", None),
        ("1.2.3", None),
        ("1.5x", None),
        ("+0x10", None),
        ("(1,2", None),
        ("(a, b)", None),
        ("(1, 2, 3)", None),
        ("+ 5", None),
        ("9...", None),
    ],
)
def test_atoms(text: str, canonical: str | None) -> None:
    if canonical is None:
        assert refusal(f"a: {text}\n").startswith("job.fcl:1: ")
    else:
        assert dump(f"a: {text}\n") == f"a: {canonical}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'plain'", "plain"),
        (r"''", ""),
        (r'""', ""),
        (r"'a\n\'", "a\\n\\"),
        (r'"a\n\t\\b"', "a\n\t\\b"),
        (r'"say \"it\""', 'say "it"'),
        (r'"it\'s"', "it's"),
        ("'two\nlines'", "two\nlines"),
        ('"# no comment // here"', "# no comment // here"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert python(f"a: {text}") == {"a": value}
    assert fhicl.loads(dump(f"a: {text} b: 1"), strict=False).to_python() == {"a": value, "b": 1}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('a: "\\d"', "job.fcl:1: unknown escape \\d in the string; valid: "),
        ("a: 'x", "job.fcl:1: this string has no closing '"),
        ('a: "ends in \\\\"', 'job.fcl:1: this string has no closing "'),
        ("a: 'x'# tight", "job.fcl:1: expected white space, ',', ']' or '}' after the string, found '#'"),
        ("a: 'x'b: 1", "after the string, found 'b'"),
        ("a: 'x\x01'", "job.fcl:1: the string holds the unprintable character '\\x01'"),
        ("# caf\u00e9\na: 1", "job.fcl:1: '\u00e9' is not an ASCII character"),
        ("a: 1\nb: '\u00b5s'", "job.fcl:2: '\u00b5' is not an ASCII character"),
        ("a: foo-bar", "job.fcl:1: expected a value, found 'foo-bar'; text that is no word needs quotes"),
        ("a: file.root", "job.fcl:1: expected 'name: value', found '.'; text that is no word needs quotes"),
    ],
)
def test_strings_refused(text: str, cause: str) -> None:
    assert cause in refusal(text)


def test_what_may_follow_a_value() -> None:
    # A comment can touch a number or a word, but turns true and infinity into words and breaks @nil.
    assert python("a: 1# c\nb: x// c\nc: true# c\nd: infinity# c\n") == {"a": 1, "b": "x", "c": "true", "d": "infinity"}
    assert refusal("a: @nil# c\n") == "job.fcl:1: expected a value, found '@nil#'; text that is no word needs quotes"
    assert python("a:{b:true}c:[@nil]d:(1,2)e:3") == {"a": {"b": True}, "c": [None], "d": 1 + 2j, "e": 3}


def test_plain_numbers_are_ints_where_they_are_whole() -> None:
    values = python("a: 1e6 b: 2.0 c: 0x1F d: 2.5 e: 1e18 f: 6.02214076e23 g: -infinity h: -3 i: (1, .5) j: 12345678")
    assert values == {
        "a": 1000000,
        "b": 2,
        "c": 31,
        "d": 2.5,
        "e": 10**18,
        "f": 6.02214076e23,
        "g": -math.inf,
        "h": -3,
        "i": complex(1, 0.5),
        "j": 12345678,
    }
    assert {name for name, value in values.items() if type(value) is int} == set("abcehj")


def test_sequences() -> None:
    assert python("a: [] b: [ 1 , x,'y' , [ ] , {} , { c: 2 } ]") == {"a": [], "b": [1, "x", "y", [], {}, {"c": 2}]}
    assert python("a: [ , 1 ]") == {"a": [1]}  # accepted by art, too
    assert "no ',' may stand before ']'" in refusal("a: [ 1, ]")
    assert refusal("a: [ 1,\n $ ]") == "job.fcl:1: expected an element after this ',', found '$' below it"
    assert refusal("a: [\n1\n2 ]") == (
        "job.fcl:3: expected ',' or ']' in the sequence that begins at job.fcl:1; found '2'"
    )
    assert "found '}'" in refusal("a: [ 1, }")
    assert "no ',' may stand before ']'" in refusal("b: [] a: [ @sequence::b, ]")


def test_tables_are_sorted_and_the_last_of_two_members_wins() -> None:
    assert dump("b: { z: 1 a: 2 z: 3 } B: 4 _c: 5 a: 6") == ("B: 4\n_c: 5\na: 6\nb: {\n   a: 2\n   z: 3\n}\n")


def test_braces_after_an_empty_table_are_as_art_prints_them() -> None:
    assert dump("z: { y: { x: {} } } w: [ { v: {} }, [ [] ] ]") == (
        "w: [\n   {\n      v: {}\n},\n   [\n      []\n   ]\n]\nz: {\n   y: {\n      x: {}\n}\n}\n"
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("t: { a.b: 1 }", "job.fcl:1: 'a' is followed by '.': names in a table are not qualified"),
        ("t: { a: 1\nBEGIN_PROLOG }", "job.fcl:2: 'BEGIN_PROLOG' inside the table that begins at job.fcl:1"),
        ("t: { a: 1 ]", "job.fcl:1: expected '}' for the table that begins at job.fcl:1, found ']'"),
        ("t: { a @protect_error: }", "job.fcl:1: expected a value after 'a @protect_error:', found '}'"),
        ("t: { a = 1 }", "job.fcl:1: expected ':' after 'a', found '='"),
        ("t: { x: @table::y }", "job.fcl:1: @table:: cannot stand where a value is expected"),
        ("{ a: 1 }", "job.fcl:1: expected 'name: value', found '{'"),
        ("a @protect_ignore : 1", "job.fcl:1: expected ':' directly after 'a @protect_ignore'"),
        ("a.b 1", "job.fcl:1: expected ':' after 'a.b', found '1'"),
        ("a.1: 2", "job.fcl:1: expected a name after '.', found '1'"),
        ("a[1: 2", "job.fcl:1: expected an index, which is a number from 0, found '1'"),
        ("a[ 1 2]: 2", "job.fcl:1: expected ']' after the index, found '2'"),
        ("a: @local::", "job.fcl:1: expected a name directly after '::', found the end of the job"),
        ("a: 1 b: @local:: a", "expected a name directly after '::', found 'a'"),
        ("a: @db::x", "job.fcl:1: @db:: is not available"),
        ("a: @id::12", "job.fcl:1: expected 40 hexadecimal digits after '@id::', found '12'"),
        (f"a: @id::{'0' * 40}", f"job.fcl:1: no table with the id {'0' * 40} is known"),
        ("BEGIN_PROLOG\na: 1", "job.fcl:2: END_PROLOG is missing: the prolog began at job.fcl:1"),
        ("a: 1\nBEGIN_PROLOG\nb: 2\nEND_PROLOG", "job.fcl:2: a prolog must come before all other parameters"),
    ],
)
def test_grammar_refused(text: str, cause: str) -> None:
    assert refusal(text).startswith(cause) or cause in refusal(text)


def test_qualified_names_with_white_space() -> None:
    assert python("a . b [ 1 ] . c : 1 d: @local::a.b [1] .c") == {"a": {"b": [None, {"c": 1}]}, "d": 1}


def test_prolog() -> None:
    text = "BEGIN_PROLOG a: 1 t: { b: 2 c: 3 } t.c: @erase END_PROLOG BEGIN_PROLOG d: @local::t END_PROLOG "
    assert python(text) == {}
    assert python(text + "x: @local::d a: @erase y: @local::a") == {"x": {"b": 2}, "y": 1}
    assert python(text + "t.b: @local::t.b t.e: @local::t.b") == {"t": {"b": 2, "e": 2}}
    assert python("BEGIN_PROLOGa: 1 x: 3 x: @eraseEND_PROLOG b: @local::a") == {"b": 1}


def test_references_take_the_value_of_their_place() -> None:
    text = """
    t: { a: { b: [ 1, 2 ] } }
    copy: @local::t
    t.a.b[0]: 10
    copy.a.c: 3
    later: @local::t.a
    later.b[1]: 20
    """
    assert python(text) == {
        "t": {"a": {"b": [10, 2]}},
        "copy": {"a": {"b": [1, 2], "c": 3}},
        "later": {"b": [10, 20]},
    }
    assert "cannot look up 'v[2]': 'v' has 2 elements" in refusal("v: [ 1, 2 ] w: @local::v[2]")
    assert "cannot look up 'a.b': 'a' is a number, not a table" in refusal("a: 1 w: @local::a.b")
    assert "did you mean 'gain'?" in refusal("gain: 1 w: @local::gian")


def test_splices() -> None:
    text = "p: { a: 1 b: { c: 2 } } v: [ 1, [ 2 ] ] "
    assert python(text + "t: { x: 0 @table::p a: 3 } w: [ @sequence::v[1], @sequence::v, @sequence::v[1] ]") == {
        **python(text),
        "t": {"x": 0, "a": 3, "b": {"c": 2}},
        "w": [2, 1, [2], 2],
    }
    assert python(text + "@table::p b.c: 5 p.b.d: 6") == {
        "a": 1,
        "b": {"c": 5},
        "p": {"a": 1, "b": {"c": 2, "d": 6}},
        "v": [1, [2]],
    }
    assert python("v: [] w: [ @sequence::v, @sequence::v ]") == {"v": [], "w": []}


def test_overrides_create_what_is_missing() -> None:
    assert python("a.b.c: 1 v[2]: 3 n: @nil n.x: 4 m: @nil m[0].y: 5") == {
        "a": {"b": {"c": 1}},
        "v": [None, None, 3],
        "n": {"x": 4},
        "m": [{"y": 5}],
    }
    assert "'v[1000001]' lies" in refusal("v[1000001]: 1")


def test_erase() -> None:
    assert python("t: { a: 1 b: 2 a: @erase c: @erase } t.b: @erase x.y: @erase z: @erase") == {"t": {}}
    assert python("w: [ { a: 1 b: 2 } ] w[0].a: @erase w[5].a: @erase") == {"w": [{"b": 2}]}
    assert "cannot erase 'w[0]': elements of a sequence stay" in refusal("w: [ 1 ] w[0]: @erase")
    assert "cannot erase 'a.b': 'a' is a number, not a table" in refusal("a: 1 a.b: @erase")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x @protect_ignore: 1 x: 2 x: @erase", {"x": 1}),
        ("t @protect_ignore: { a: 1 } t.a: 2 t: 3", {"t": {"a": 1}}),
        ("t @protect_ignore: { a: 1 } t.b: 2", {"t": {"a": 1, "b": None}}),  # art leaves this nil, too
        ("t: { x @protect_ignore: 1 x: 2 x: @erase }", {"t": {"x": 1}}),
        ("t: { x @protect_error: 1 } t: { x: 2 }", {"t": {"x": 2}}),
        ("t: { x @protect_error: 1 } t: @erase", {}),
        ("x @protect_error: 1 y: @local::x y: 2", {"x": 1, "y": 2}),
        ("BEGIN_PROLOG x @protect_error: 1 END_PROLOG x: 2", {"x": 2}),
        ("p: { x @protect_ignore: 1 } t: { @table::p x: 2 } ", {"p": {"x": 1}, "t": {"x": 1}}),
        ("p: { x: 2 } t: { x @protect_ignore: 1 @table::p } ", {"p": {"x": 2}, "t": {"x": 1}}),
        ("n: @nil n @protect_ignore: 1 n: 2", {"n": 1}),
        ("t @protect_ignore: { x @protect_error: 1 }", {"t": {"x": 1}}),
        ("v @protect_ignore: [ 1 ] v[0]: 2 w: [ @local::v ] w[0][0]: 3", {"v": [1], "w": [[3]]}),
    ],
)
def test_protection_that_is_kept(text: str, values: dict[str, Any]) -> None:
    assert python(text) == values


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("x @protect_error: 1\nx: 2", "job.fcl:2: 'x' is protected by @protect_error, set at job.fcl:1"),
        ("x @protect_error: 1\nx: @erase", "job.fcl:2: 'x' is protected by @protect_error, set at job.fcl:1"),
        ("t @protect_error: { a: 1 }\nt.a: 2", "job.fcl:2: 't' is protected by @protect_error, set at job.fcl:1"),
        ("t: { a @protect_error: {} }\nt.a.b: @erase", "job.fcl:2: 't.a' is protected by @protect_error"),
        ("t: { x @protect_error: 1\nx: 2 }", "job.fcl:2: 'x' is protected by @protect_error, set at job.fcl:1"),
        ("t: { x @protect_error: 1\nx: @erase }", "job.fcl:2: 'x' is protected by @protect_error"),
        ("p: { x: 2 } t: { x @protect_error: 1\n@table::p }", "job.fcl:2: 'x' is protected by @protect_error"),
        ("p: { x @protect_ignore: 2 } t: { x: 1\n@table::p }", "job.fcl:2: 'x' cannot be given @protect_ignore now"),
        ("x: 1\nx @protect_ignore: 2", "job.fcl:2: 'x' cannot be given @protect_ignore now: it exists with no "),
        (
            "x @protect_ignore: 1\nx @protect_error: 2",
            "'x' cannot be given @protect_error now: it exists with @protect_ignore, set at job.fcl:1",
        ),
        (
            "t @protect_error: { a: [ { x @protect_ignore: 1 } ] }",
            "job.fcl:1: 't.a[0].x' has @protect_ignore inside 't', which has the stricter @protect_error",
        ),
    ],
)
def test_protection_that_refuses(text: str, cause: str) -> None:
    assert cause in refusal(text)


def test_includes_are_found_on_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "one" / "inc").mkdir(parents=True)
    (folder / "two").mkdir()
    (folder / "one" / "inc" / "x.fcl").write_text("x: 1\n")
    (folder / "two" / "x.fcl").write_text('#include "inc/x.fcl"  \nx2: @local::x\n')
    job = folder / "job.fcl"
    job.write_text('#include "x.fcl"\n  #include "not read"\n')
    monkeypatch.setenv("FHICL_FILE_PATH", f"{folder / 'one'}::{folder / 'two'}/")
    assert fhicl.load(job).to_python() == {"x": 1, "x2": 1}
    assert fhicl.load("x.fcl").to_python() == {"x": 1, "x2": 1}  # a job is looked up, too
    assert fhicl.load("x.fcl").origin("x2") == f"{folder}/two/x.fcl:2"
    assert fhicl.load("job.fcl", [folder / "two", folder / "one"]).origin("x") == f"{folder}/one/inc/x.fcl:1"
    monkeypatch.delenv("FHICL_FILE_PATH")
    with pytest.raises(fhicl.FhiclError, match=r'job.fcl:1: cannot find the included file "x.fcl" in \., '):
        fhicl.load("job.fcl")
    (folder / "x.fcl").write_text("x: here")
    assert fhicl.load("job.fcl")["x"] == "here"


def test_our_own_jobs_are_found_without_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHICL_FILE_PATH", "/nowhere")
    own = sorted(path.name for path in fcl_directory().glob("*.fcl"))
    for name in own:
        (folder / "job.fcl").write_text(f'#include "{name}"\n')
        assert fhicl.load("job.fcl").dumps() == fhicl.load(name).dumps()


def test_include_errors_tell_the_way(folder: Path) -> None:
    (folder / "bad.fcl").write_text("# one\na: 1\nb: $\n")
    (folder / "middle.fcl").write_text('\n#include "bad.fcl"\n')
    (folder / "job.fcl").write_text('x: 1\ny: 2\n#include "middle.fcl"\n')
    with pytest.raises(fhicl.FhiclError) as caught:
        fhicl.load("job.fcl")
    assert str(caught.value) == (
        "./bad.fcl:3: expected a value, found '$'; text that is no word needs quotes\n"
        "  included from ./middle.fcl:2, from ./job.fcl:3"
    )
    assert (caught.value.path, caught.value.line) == ("./bad.fcl", 3)

    (folder / "loop.fcl").write_text('a: 1\n#include "loop.fcl"\n')
    with pytest.raises(fhicl.FhiclError, match=r"^\./loop.fcl:2: \./loop.fcl includes itself$"):
        fhicl.load("loop.fcl")
    with pytest.raises(fhicl.FhiclError, match=r"^absent.fcl: no such job; looked in \., "):
        fhicl.load("absent.fcl")
    with pytest.raises(fhicl.FhiclError, match="no such job"):
        fhicl.load(folder)
    with pytest.raises(LarmlrecoError, match=r"^/absent\.fcl: no such job"):
        fhicl.load("/absent.fcl")


@pytest.mark.parametrize(
    "line", ["#include", '#include"x.fcl"', '#include  "x.fcl"', '#include "x.fcl" # why', '#include ""', "#included"]
)
def test_malformed_include(line: str) -> None:
    assert refusal(f"a: 1\n{line}\n").startswith(f"job.fcl:2: malformed '{line}'; valid: #include \"FILE\"")


def test_lines_after_an_include(folder: Path) -> None:
    (folder / "inc.fcl").write_text("i: 1\nj: 2\n")
    (folder / "job.fcl").write_text('a: 1\n\n#include "inc.fcl"\nb: 2\nc: {\n d: 3 }\ne: $\n')
    with pytest.raises(fhicl.FhiclError, match=r"^\./job.fcl:7: "):
        fhicl.load("job.fcl")
    (folder / "job.fcl").write_text('a: 1\n\n#include "inc.fcl"\nb: 2\nc: {\n d: 3 }\n')
    job = fhicl.load("job.fcl")
    assert [job.origin(key) for key in ("a", "i", "j", "b", "c", "c.d")] == [
        "./job.fcl:1",
        "./inc.fcl:1",
        "./inc.fcl:2",
        "./job.fcl:4",
        "./job.fcl:5",
        "./job.fcl:6",
    ]
    # art counts the two lines before the include once more, and annotations are to be comparable
    assert job.dumps(annotate=True) == (
        "a: 1  # ./job.fcl:1\nb: 2  # ./job.fcl:6\nc: {  # ./job.fcl:7\n   d: 3  # ./job.fcl:8\n}\n"
        "i: 1  # ./inc.fcl:1\nj: 2  # ./inc.fcl:2\n"
    )


def test_errors_at_the_end_of_the_job(folder: Path) -> None:
    (folder / "open.fcl").write_text("t: {\n")
    (folder / "job.fcl").write_text('a: 1\n#include "open.fcl"\n')
    with pytest.raises(fhicl.FhiclError) as caught:
        fhicl.load("job.fcl")
    assert str(caught.value) == "./job.fcl:2: expected '}': nothing closes the table that begins at ./open.fcl:1"


def test_line_ends_of_other_systems() -> None:
    assert python("a: 1\r\n# c\rb: 2\r\n\r\nc: 3") == {"a": 1, "b": 2, "c": 3}
    assert refusal("a: 1\r\nb: 2\rc: $").startswith("job.fcl:3: ")


def test_annotation_of_tables_with_equal_content() -> None:
    # art keeps one table of each content, so the second shows the lines of the first
    text = "a: {\n x: 1\n y: [ 2,\n { z: 3 } ] }\nb: { x: 1 y: [ 2, { z: 3 } ] }\nc: {\n x: 2\n}\n"
    inside = """   x: 1  # j:2
   y: [  # j:3
      2,  # j:3
      {  # j:4
         z: 3  # j:4
      }
   ]
}
"""
    assert fhicl.loads(text, name="j").dumps(annotate=True) == (
        f"a: {{  # j:1\n{inside}b: {{  # j:5\n{inside}c: {{  # j:6\n   x: 2  # j:7\n}}\n"
    )


def test_annotation_of_sequences_in_sequences() -> None:
    # art's commas after an inner sequence follow the size of that one
    text = fhicl.loads("m: [ [ 1 ], [ 2, 3 ], [] ]", name="j").dumps(annotate=True)
    assert [line.strip() for line in text.splitlines() if "]" in line] == ["]", "]", "],", "]"]


def test_prefix_annotation() -> None:
    text = "t: {\n v: [ 1,\n { w: 2 } ] }\nt.u.x: 3\n"
    assert fhicl.loads(text, name="j").dumps_prefix_annotated() == (
        "#KEY|t|\n#SRC|j:1|\nt: {\n#KEY|t.u|\n#SRC||\n   u: {\n#KEY|t.u.x|\n#SRC|j:4|\n      x: 3\n   }\n"
        "#KEY|t.v|\n#SRC|j:2|\n   v: [\n#KEY|t.v[0]|\n#SRC|j:2|\n      1,\n#KEY|t.v[1]|\n#SRC|j:3|\n      {\n"
        "#KEY|t.v[1].w|\n#SRC|j:3|\n         w: 2\n      }\n   ]\n}\n"
    )


def test_origins() -> None:
    job = fhicl.loads("t: {\n a: [ 1,\n 2 ] }\nt.n.m: 3\nu: @local::t\nu.a[1]: 5\n", name="job.fcl")
    assert {key: job.origin(key) for key in ("t", "t.a", "t.a[1]", "t.n", "t.n.m", "u", "u.a[0]", "u.a[1]")} == {
        "t": "job.fcl:1",
        "t.a": "job.fcl:2",
        "t.a[1]": "job.fcl:3",
        "t.n": "job.fcl:4",
        "t.n.m": "job.fcl:4",
        "u": "job.fcl:5",
        "u.a[0]": "job.fcl:2",
        "u.a[1]": "job.fcl:6",
    }
    with pytest.raises(KeyError, match=r"t.x: 't.x' is not set; valid: a, n"):
        job.origin("t.x")
    with pytest.raises(KeyError, match=r"'t.a' has 2 elements"):
        job.origin("t.a[2]")


def test_table_as_a_mapping() -> None:
    job = fhicl.loads("b: { c: [ 1, { d: x } ] } a: 1")
    assert list(job) == ["a", "b"]
    assert len(job) == 2
    assert job["b.c[1].d"] == "x"
    assert job["b"] == {"c": [1, {"d": "x"}]}
    assert "b.c[0]" in job
    assert "b.c[2]" not in job
    assert "b d" not in job
    assert job.get("x", 7) == 7
    assert job.node("a").kind is fhicl.Kind.NUMBER
    with pytest.raises(ConfigurationError, match=r"'a\.\.b' is not the name of a parameter"):
        job.node("a..b")


def test_put_overrides_as_a_last_line_would() -> None:
    job = fhicl.loads("source: { n: 1 fixed @protect_error: 2 kept @protect_ignore: 3 } copy: @local::source", name="j")
    job.put("source.n", 5, origin="-n")
    job.put("source.fileNames", ["a.root", Path("b.root")], origin="-s")
    job.put("source.kept", 4)
    assert job["source"] == {"n": 5, "fixed": 2, "kept": 3, "fileNames": ["a.root", "b.root"]}
    assert job["copy"] == {"n": 1, "fixed": 2, "kept": 3}
    assert job.origin("source.n") == "-n"
    assert job.origin("source.fileNames[1]") == "-s"
    assert '"b.root"  # ""\n' in job.dumps(annotate=True)
    with pytest.raises(fhicl.FhiclError, match=r"^'source.fixed' is protected by @protect_error, set at j:1$"):
        job.put("source.fixed", 1)
    with pytest.raises(fhicl.FhiclError, match=r"^cannot set 'source.n.x': 'source.n' is a number, not a table$"):
        job.put("source.n.x", 1)


def test_from_python() -> None:
    values = {
        "i": np.int64(3),
        "f": np.float32(0.5),
        "b": np.bool_(True),
        "n": None,
        "z": 1 - 2.5j,
        "v": np.arange(3),
        "t": (1, "x", {"k": []}),
        "e": {},
        "big": 2**63,
        "inf": -math.inf,
        "s": 'a "b" \\ \n\t\'',
        "u": "\u00b5s \\",
    }
    text = fhicl.dumps(values)
    assert text == (
        "b: true\nbig: 9.223372036854775808e18\ne: {}\nf: 5e-1\ni: 3\ninf: -infinity\nn: @nil\n"
        's: "a \\"b\\" \\\\ \\n\\t\\\'"\nt: [\n   1,\n   "x",\n   {\n      k: []\n   }\n]\n'
        'u: "\u00b5s \\\\"\nv: [\n   0,\n   1,\n   2\n]\nz: (1,-2.5)\n'
    )
    assert fhicl.loads(text, strict=False).to_python() == {
        **values,
        "b": True,
        "v": [0, 1, 2],
        "t": [1, "x", {"k": []}],
    }
    assert fhicl.dumps({"t": fhicl.loads("a: 1")}) == "t: {\n   a: 1\n}\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": {"b c": 1}}, "'b c' in a cannot be a name; valid: a letter or _"),
        ({"1": 1}, "'1' in the table cannot be a name"),
        ({"a": [math.nan]}, r"a\[0\] is not a number, which FHiCL cannot hold"),
        ({"a": {"b": object()}}, "a.b is a object; valid: numbers, strings"),
        ({"a": "x\x07"}, r"the string 'x\\x07' holds '\\x07', which FHiCL text cannot hold"),
    ],
)
def test_from_python_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fhicl.from_python(values)


def test_deep_nesting_has_no_limit() -> None:
    depth = 600  # twice that many levels
    job = fhicl.loads("a: " + "[{b: " * depth + "1" + "}]" * depth + " c: @local::a")
    assert job["a" + "[0].b" * depth] == 1
    assert fhicl.loads(job.dumps()).dumps() == job.dumps()
    assert job.dumps(annotate=True).count("{") == 2 * depth
    assert fhicl.dumps(job.to_python()) == job.dumps()
    qualified = fhicl.loads("a" + ".b" * depth + ": 1")
    assert qualified["a" + ".b" * depth] == 1


def test_a_long_job_expands_at_once() -> None:
    lines = ["BEGIN_PROLOG"]
    lines += [f"base{i}: {{ module_type: Toy th: [ 1.5, 2.5, {i} ] fit: {{ n: {i} }} }}  # text" for i in range(300)]
    lines += ["END_PROLOG", "physics: { producers: {"]
    lines += [f'm{i}: {{ @table::base{i % 300} input: "butcher" x: 1e-{i} }}' for i in range(1000)]
    lines += ["} }"]
    lines += [f"physics.producers.m{i % 1000}.th[{i % 4}]: {i}.5" for i in range(4000)]
    start = time.perf_counter()
    job = fhicl.loads("\n".join(lines))
    text = job.dumps()
    assert time.perf_counter() - start < 2.0  # 0.15 s on one free core
    assert job["physics.producers.m999.th[3]"] == 3999.5
    assert fhicl.loads(text).dumps() == text


def test_dump_verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "job.fcl").write_text("b: 2\na: { c: 1 }\n")
    assert main(["fhicl-dump", "job.fcl"]) == 0
    assert capsys.readouterr().out == "a: {\n   c: 1\n}\nb: 2\n"
    assert main(["fhicl-dump", "-a", "job.fcl", "-o", "out.txt"]) == 0
    assert (folder / "out.txt").read_text() == "a: {  # ./job.fcl:2\n   c: 1  # ./job.fcl:2\n}\nb: 2  # ./job.fcl:1\n"
    assert main(["fhicl-dump", "--prefix-annotate", "job.fcl"]) == 0
    assert capsys.readouterr().out.startswith("#KEY|a|\n#SRC|./job.fcl:2|\na: {\n")
    assert main(["fhicl-dump", "-q", "job.fcl"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["fhicl-dump", "job.fcl", "-o", "no/such/out.txt"]) == 5
    assert capsys.readouterr().err == (
        "larmlreco fhicl-dump: cannot write no/such/out.txt: No such file or directory\n"
    )
    assert main(["fhicl-dump", "absent.fcl"]) == 3
