"""Jobs and refusals of the real fhicl-dump, reproduced byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from larmlreco.cli.main import main
from larmlreco.errors import ConfigurationError
from larmlreco.framework import fhicl

SharedPath = Callable[[str], Path]

# fmt: off
CASES = [
    "bare_strings", "binary", "comment_at_eof_no_newline", "comments", "complex_spacing", "crlf",
    "dotted_override_new_table", "dotted_replace_table_by_atom", "empty_containers", "empty_file",
    "erase_in_spliced", "erase_then_set", "float_canonical", "float_large_small", "hex",
    "hex_bad_digits_is_string", "include_after_text", "include_nested", "include_simple", "include_twice",
    "indexed_append_gap", "indexed_override", "infinity", "int_canonical", "job_generate", "job_hits",
    "job_label", "local_before_override", "local_body", "local_from_protected", "local_in_sequence",
    "nested_sequences", "nested_tables", "one_line", "only_comments", "prolog_blocks_two", "prolog_empty",
    "prolog_name_overridden_dotted", "prolog_not_in_output", "prolog_override_inside", "prolog_shadow",
    "protect_ignore", "protect_ignore_nested", "protect_in_prolog", "quoted_keywords", "sequence_of_tables",
    "sequence_splice", "sequence_splice_nested_name", "string_in_sequence_with_commas",
    "table_in_prolog_spliced_and_indexed", "table_splice", "table_splice_override_after",
    "table_splice_override_before", "table_splice_two", "whitespace_everywhere",
]
# fmt: on
ANNOTATED = ["include_nested", "job_generate", "job_hits", "job_label", "protect_ignore", "table_splice"]

ERRORS = {
    "comma_in_table": (1, "expected 'name: value' or '}', found ','"),
    "complex_one_part": (1, "expected ',' and the imaginary part of a complex number, found ')'"),
    "dot_through_atom": (2, "cannot set 'a.b': 'a' is a number, not a table"),
    "equals_sign": (1, "expected ':' after 'a', found '='"),
    "include_missing_file": (1, 'cannot find the included file "inc/not_there.fcl" in ., '),
    "include_unquoted": (1, "malformed '#include inc/numbers.fcl'"),
    "index_of_atom": (2, "cannot set 'a[0]': 'a' is a number, not a sequence"),
    "key_starts_with_digit": (1, "expected a name, which cannot start with a digit, found '1a'"),
    "keyword_as_key": (1, "expected 'name: value', found '@local'"),
    "local_forward": (1, "cannot look up 'b': 'b' is not set before this line"),
    "local_undefined_nested": (2, "cannot look up 't.c': 't' has no 'c'; valid: a"),
    "missing_colon": (1, "expected ':' after 'a', found '1'"),
    "missing_value": (1, "expected a value, found the end of the job"),
    "negative_index": (2, "expected an index, which is a number from 0, found '-'"),
    "prolog_end_only": (2, "END_PROLOG without BEGIN_PROLOG"),
    "prolog_nested": (3, "a prolog cannot hold another"),
    "protect_error_erased": (2, "'a' is protected by @protect_error, set at ./errors/protect_error_erased.fcl:1"),
    "protect_error_violated": (2, "'a' is protected by @protect_error, set at ./errors/protect_error_violated.fcl:1"),
    "protect_misspelt": (1, "found '@protect_warn' after the name"),
    "semicolon": (1, "expected a value, found '1;'"),
    "sequence_of_table": (2, "@sequence::t is a table, not a sequence"),
    "table_of_atom": (2, "@table::v is a number, not a table"),
    "table_undefined": (1, "cannot look up 'nothing': 'nothing' is not set before this line"),
    "trailing_comma": (1, "no ',' may stand before ']'"),
    "unclosed_brace": (1, "expected '}': nothing closes the table that begins at ./errors/unclosed_brace.fcl:1"),
    "unclosed_bracket": (1, "expected ',' or ']' in the sequence that begins at ./errors/unclosed_bracket.fcl:1"),
    "unterminated_string": (1, 'this string has no closing "'),
    "value_garbage": (1, "expected 'name: value', found '$'"),
}


@pytest.fixture
def reference(shared_path: SharedPath, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared_path("fhicl")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FHICL_FILE_PATH", ".")
    return folder


def test_every_reference_file_is_listed(reference: Path) -> None:
    assert sorted(path.stem for path in (reference / "cases").glob("*.fcl")) == CASES
    assert sorted(path.name.split(".")[0] for path in (reference / "expected").glob("*.annotated.txt")) == ANNOTATED
    assert sorted(ERRORS) == sorted(path.stem for path in (reference / "errors").glob("*.fcl"))


@pytest.mark.parametrize("name", CASES)
def test_dump_is_that_of_art(name: str, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fhicl-dump", f"cases/{name}.fcl"]) == 0
    assert capsys.readouterr().out == (reference / "expected" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", CASES)
def test_dump_parses_to_itself(name: str, reference: Path) -> None:
    text = (reference / "expected" / f"{name}.txt").read_text()
    assert fhicl.loads(text).dumps() == text


@pytest.mark.parametrize("name", ANNOTATED)
def test_annotated_dump_is_that_of_art(name: str, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fhicl-dump", "--annotate", f"cases/{name}.fcl"]) == 0
    assert capsys.readouterr().out == (reference / "expected" / f"{name}.annotated.txt").read_text()


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_refusal_names_file_line_and_cause(name: str, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, cause = ERRORS[name]
    assert main(["fhicl-dump", f"errors/{name}.fcl"]) == ConfigurationError.exit_status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"larmlreco fhicl-dump: ./errors/{name}.fcl:{line}: ")
    assert cause in captured.err
    assert len(captured.err.splitlines()) <= 2
