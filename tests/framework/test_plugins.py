"""Modules are found by name, in three places."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Producer, plugins
from larmlreco.framework.plugins import PLUGIN_PATH, Registry

MODULE = """
from larmlreco.framework import Event, ParameterSet, Producer, parameter

class {name}(Producer):
    '''Found on the path.'''

    class Parameters(ParameterSet):
        n: int = parameter(3, doc="a number")

    def produce(self, event: Event) -> None:
        pass
"""


def write(folder: Path, name: str, text: str = MODULE) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_module.py"
    path.write_text(text.replace("{name}", name))
    return path


def test_a_module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one", "OneOfMine")
    write(tmp_path / "two", "AnotherOfMine")
    monkeypatch.setenv(PLUGIN_PATH, f"{tmp_path / 'one'}::{tmp_path / 'two'}")
    registry = Registry()
    found = registry.load("OneOfMine", "physics.producers.x", "producer")
    assert issubclass(found, Producer)
    assert found.Parameters.declared()["n"].default == 3
    assert registry.load("OneOfMine") is found is Registry().load("OneOfMine")
    assert registry.load("AnotherOfMine").kind == "producer"
    assert registry.load("EmptyEvent").kind == "source"


def test_the_package_holds_its_own_modules() -> None:
    assert Registry(path="").load("EmptyEvent") is sys.modules["larmlreco.modules.EmptyEvent_source"].EmptyEvent


def test_a_name_in_two_places(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", "Twin"), write(tmp_path / "b", "Twin")
    registry = Registry(path=f"{first.parent}:{second.parent}")
    with pytest.raises(ConfigurationError) as caught:
        registry.load("Twin", "physics.producers.x", "producer")
    assert str(caught.value) == (
        f"physics.producers.x: module type 'Twin' is found twice: {first} and {second}; rename or remove one"
    )
    Registry(path=f"{first.parent}:{first.parent}").load("Twin")


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("Flag", "job_modules:Maker", "larmlreco.modules")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == "larmlreco.modules" else [])
    registry = Registry(path="")
    assert registry.load("Flag").__name__ == "Maker"
    assert registry.plugins["Flag"][0].where == "entry point job_modules:Maker"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import nothing_of_that_name",
            "cannot be imported: ModuleNotFoundError: No module named 'nothing",
        ),
        ("def", "cannot be imported: SyntaxError: "),
        ("x = 1", "holds no class Mine derived from Producer, Filter, Analyzer, Output, Source or Service"),
        ("class Mine: pass", "holds no class Mine derived from Producer"),
    ],
)
def test_modules_that_cannot_be_loaded(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "Mine", text)
    with pytest.raises(ConfigurationError) as caught:
        Registry(path=str(tmp_path)).load("Mine")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_path_that_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"{PLUGIN_PATH} names .*/none, which is not a directory"):
        Registry(path=str(tmp_path / "none"))


def test_unknown_names_offer_what_fits() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry(path="").load("EmtyEvent", "source", "source")
    assert str(caught.value).startswith("source: no source class 'EmtyEvent'; did you mean 'EmptyEvent'? valid: ")
    assert "RootOutput" not in str(caught.value)
