"""Networks by name, those of other packages included."""

import sys

import pytest
import torch

from larmlreco.errors import ConfigurationError
from larmlreco.models import Network, build, names, register

FOREIGN = """
import torch
from larmlreco.models import Network

class Constant(Network):
    meanings = {"answer": "always the same number"}

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"answer": self.value.expand(coords.size(0), 1)}

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.raw(coords, features)

NOT_A_NETWORK = 3
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A package of another author, with an entry point."""
    (tmp_path / "others.py").write_text(FOREIGN)
    about = tmp_path / "others-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[larmlreco.models]\nconstant = others:Constant\nbroken = others:NOT_A_NETWORK\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("others", None)


def test_by_entry_point_and_by_import_path(foreign):
    assert {"uresnet", "constant"} <= set(names())
    for name in ("constant", "others:Constant"):
        network = build(name, value=4.0)
        out = network(torch.zeros((2, 3), dtype=torch.int64), torch.ones(2, 1))
        assert out["answer"].tolist() == [[4.0], [4.0]]


def test_what_is_no_network_is_refused(foreign):
    for name in ("broken", "others:NOT_A_NETWORK"):
        with pytest.raises(ConfigurationError, match=f"network '{name}' must be a subclass of"):
            build(name)
    with pytest.raises(ConfigurationError, match="network 'others:Absent' cannot be imported"):
        build("others:Absent")
    with pytest.raises(ConfigurationError, match=r"network 'no\.such:Thing' cannot be imported: No module named 'no'"):
        build("no.such:Thing")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigurationError, match=r"unknown network 'uresnt': did you mean 'uresnet'\? valid: .*uresnet"
    ):
        build("uresnt")


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two networks are named 'uresnet'"):
        register("uresnet")(Network)
