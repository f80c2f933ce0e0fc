"""Registry, configurations and ids of art files."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from larmlreco.io.art.decoder import DamagedError
from larmlreco.io.art.history import expanded, parameter_sets
from larmlreco.io.reader import IDs

A, B, C = "a" * 40, "b" * 40, "c" * 40


def database(tmp_path: Path, rows: list[tuple[object, object]]) -> bytes:
    path = tmp_path / "sets.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE ParameterSets(ID PRIMARY KEY, PSetBlob)")
        connection.executemany("INSERT INTO ParameterSets VALUES (?, ?)", rows)
    connection.close()
    return path.read_bytes()


def test_parameter_sets_are_expanded_in_place(tmp_path: Path) -> None:
    rows = [(f"{A}\0", f'x:@id::{B} y:[@id::{C}] z:"text"\0'), (B.encode(), f"inner:@id::{C}".encode()), (C, "n:1")]
    sets = parameter_sets(database(tmp_path, rows))
    assert set(sets) == {A, B, C}
    assert expanded(A, sets) == 'x:{inner:{n:1}} y:[{n:1}] z:"text"'


def test_a_missing_set_is_empty_and_a_circle_an_error() -> None:
    assert expanded(A, {A: f"x:@id::{B}"}) == "x:{}"
    with pytest.raises(DamagedError, match=f"the parameter set {A} contains itself"):
        expanded(A, {A: f"x:@id::{B}", B: f"y:@id::{A}"})


def test_what_sqlite_cannot_decode_is_not_repeated_whole(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("CREATE TABLE ParameterSets(ID, PSetBlob)")
    connection.execute("INSERT INTO ParameterSets VALUES ('ab', CAST(? AS TEXT))", (b"x: 1 " * 100 + b"\xff",))
    connection.commit()
    connection.close()
    with pytest.raises(DamagedError) as caught:
        parameter_sets((tmp_path / "db").read_bytes())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(100)])
def test_something_that_is_no_database(content: bytes) -> None:
    with pytest.raises(DamagedError, match="the SQLite database of parameter sets"):
        parameter_sets(content)


def test_ids_are_tuples_of_integers() -> None:
    ids = IDs(np.array([[1, 2, 3], [1, 2, 4], [5, 6, 7]], dtype=np.uint32))
    assert list(ids) == [(1, 2, 3), (1, 2, 4), (5, 6, 7)]
    assert ids[-1] == (5, 6, 7)
    assert list(ids[1:]) == [(1, 2, 4), (5, 6, 7)]
    assert (1, 2, 4) in ids
    assert ids.index((5, 6, 7)) == 2
    assert len(IDs(np.zeros((0, 3)))) == 0
