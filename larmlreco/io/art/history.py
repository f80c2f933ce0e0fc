"""What an art file tells about how it was made: product registry, process history, configurations."""

import re
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larmlreco.io.art.decoder import DamagedError
from larmlreco.io.reader import Level, ProcessRecord

_LEVELS: tuple[Level, ...] = ("event", "subrun", "run")
_ERROR_SHOWN = 100
_REFERENCE = re.compile(r"@id::([0-9a-f]{40})")


@dataclass(frozen=True)
class Description:
    """A product as art's registry describes it (``art::BranchDescription``)."""

    level: Level
    product_id: int
    class_name: str
    friendly_class: str
    label: str
    instance: str
    process: str

    @property
    def branch(self) -> str:
        """Name of its branch."""
        return f"{self.friendly_class}_{self.label}_{self.instance}_{self.process}."


def registry(tree: Any) -> dict[str, Description]:
    """Descriptions by branch name, of a decoded ``art::ProductRegistry``; products of results are left out."""
    described = tree["productList_"].content["second"]
    columns = [_texts(described[name]) for name in _NAMES]
    out = {}
    for i, texts in enumerate(zip(*columns, strict=True)):
        level = int(described["branchType_"][i])
        if 0 <= level < len(_LEVELS):
            product_id = int(described["productID_"]["value_"][i])
            one = Description(_LEVELS[level], product_id, *texts)
            out[one.branch] = one
    return out


_NAMES = ("producedClassName_", "friendlyClassName_", "moduleLabel_", "productInstanceName_", "processName_")


def _texts(strings: Any) -> list[str]:
    return [text.decode("utf-8", "replace") for text in strings.tolist()]


def processes(tree: Any) -> list[ProcessRecord]:
    """The distinct processes of a decoded map of ``art::ProcessHistory``, the earliest of each history first."""
    configurations = tree.content["second"]["data_"].content
    names, releases = _texts(configurations["processName_"]), _texts(configurations["releaseVersion_"])
    ids = [row.tobytes().hex() for row in configurations["parameterSetID_"]["id_"]]
    records = [ProcessRecord(*one) for one in zip(names, releases, ids, strict=True)]
    return list(dict.fromkeys(records))


def parameter_sets(database: bytes) -> dict[str, str]:
    """FHiCL text by hexadecimal id of all parameter sets in the SQLite database that art keeps in its files.

    Raises :class:`DamagedError` for something that is no such database.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "RootFileDB"
        path.write_bytes(database)
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute("SELECT ID, PSetBlob FROM ParameterSets").fetchall()
        except sqlite3.Error as error:
            # SQLite repeats the text that it cannot decode, whole configurations
            raise DamagedError(f"the SQLite database of parameter sets: {str(error)[:_ERROR_SHOWN]}") from error
        finally:
            connection.close()
    return {_clean(key): _clean(text) for key, text in rows}


def _clean(value: Any) -> str:
    """art stores its texts with the zero that ends a C string."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0")


def expanded(key: str, sets: Mapping[str, str], within: tuple[str, ...] = ()) -> str:
    """Text of a parameter set with the sets it refers to in place; a set that is missing is an empty table."""
    if key in within:
        raise DamagedError(f"the parameter set {key} contains itself")
    inside = (*within, key)
    return _REFERENCE.sub(lambda m: "{" + expanded(m[1], sets, inside) + "}", sets.get(key, ""))
