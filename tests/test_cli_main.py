"""What every verb has in common: how it fails."""

import pytest

from larmlreco.cli import ls
from larmlreco.cli.main import VERBS, main
from larmlreco.errors import InputError


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"example:\n  larmlreco {verb} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InputError("input x is empty"), 4, "larmlreco ls: input x is empty\n"),
        (
            ZeroDivisionError("in\ntwo lines"),
            1,
            "larmlreco ls: a fault of the program, ZeroDivisionError: in two lines; --debug shows where\n",
        ),
        (KeyboardInterrupt(), 130, "larmlreco ls: interrupted\n"),
    ],
)
def test_a_traceback_is_shown_only_when_asked_for(
    error: BaseException, status: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(ls, "run", fail)
    assert main(["ls", "x"]) == status
    assert capsys.readouterr().err == text
    assert main(["ls", "x", "--debug"]) == status
    shown = capsys.readouterr().err
    assert shown.endswith(text)
    assert ("Traceback" in shown) == (status != 130)
