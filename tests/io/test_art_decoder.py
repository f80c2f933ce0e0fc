"""Every kind of member that ROOT writes, at three split levels, against what ROOT itself read (zoo.json).

The files of tests/io/data are made by tests/oracles/art_files/write.py with ROOT.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larmlreco.io.art import ArtFile
from larmlreco.io.art.branches import source
from larmlreco.io.art.decoder import Jagged, Strings

DATA = Path(__file__).parent / "data"


def rows(tree: Any) -> list[Any]:
    """The columns of a decoded tree as one Python value a row, arrays flattened."""
    if isinstance(tree, dict):
        if set(tree) == {"_M_elems"}:
            return rows(tree["_M_elems"])
        columns = {name: rows(child) for name, child in tree.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(tree, Strings):
        return [text.decode() for text in tree.tolist()]
    if isinstance(tree, Jagged):
        items, ends = rows(tree.content), np.cumsum(tree.counts).tolist()
        return [items[e - n : e] for e, n in zip(ends, tree.counts.tolist(), strict=True)]
    return list(tree.tolist())


def flattened(animal: dict[str, Any]) -> dict[str, Any]:
    return {**animal, "matrix": [n for row in animal["matrix"] for n in row]}


def check(decoded: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(decoded) == set(expected)
    for member, value in flattened(expected).items():
        if member in ("half", "plain16", "angle16"):
            value = float(np.float32(value))  # ROOT printed the shortest text of a float32
        assert decoded[member] == value, member


@pytest.mark.parametrize("name", ["zoo_split0", "zoo_split1", "zoo_split99", "zoo_object_wise"])
def test_every_member(name: str) -> None:
    file = ArtFile(DATA / f"{name}.root")
    tree = file._trees["event"]
    many = source(tree["zoo::Animals_keeper__Reco1."], file._classes)
    one = source(tree["zoo::Animal_keeper__Reco1."], file._classes)
    for entry, expected in enumerate(json.loads((DATA / "zoo.json").read_text())):
        decoded = rows(many.read(entry)["obj"])[0] if expected["animals"] else []
        assert len(decoded) == len(expected["animals"])
        for animal, wanted in zip(decoded, expected["animals"], strict=True):
            check(animal, wanted)
        (single,) = rows(one.read(entry)["obj"])
        check(single, expected["animal"])
