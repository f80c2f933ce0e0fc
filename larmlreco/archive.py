"""The container of an archive: the zip file of ``torch.jit`` with a model card in it. Importing this needs no torch.

The card's SHA-256 covers the weights, the code and the card itself, so that an archive that was cut short or altered is
refused. An archive may hold a second program of the same network for another engine; weights are there once.
"""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from larmlreco.card import ModelCard
from larmlreco.errors import InputError, valid_choices
from larmlreco.resources import archives_directory

CARD_RECORD = "extra/card.json"
"""Record that holds the model card; for libtorch it is the extra file ``card.json``."""

_SECOND = "extra/native/"
"""Folder of the records of a native program beside a portable one; ``same.json`` names those that both share."""

_SAME = _SECOND + "same.json"

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)
"""What ``zipfile`` raises on bytes that are no zip file, or no longer one."""


def read_archive(path: Path | str) -> tuple[ModelCard, dict[str, bytes]]:
    """Model card and other records of an archive, its hash checked.

    Raises ``InputError`` for a file that is missing, cut short, altered, no archive, or of another format version.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        shipped = valid_choices(Path(path).name, [file.name for file in archives_directory().glob("*.ts")])
        raise InputError(f"archive {path} cannot be read: {error.strerror}; {shipped}, or a path") from error
    try:
        records = unpack(content)
    except _BROKEN as error:
        raise InputError(f"archive {path} is no TorchScript archive, or it was cut short or altered") from error
    text = records.pop(CARD_RECORD, None)
    if text is None:
        raise InputError(f"archive {path} holds no model card ({CARD_RECORD}); larmlreco export writes one")
    card = ModelCard.from_json(text.decode(errors="replace"), f"archive {path}")
    unsigned = text.replace(f'"{card.sha256}"'.encode(), b'""', 1)
    if _digest({**records, CARD_RECORD: unsigned}) != card.sha256:
        raise InputError(f"archive {path} was altered: its content does not have the SHA-256 that its card names")
    return card, records


def seal(records: Mapping[str, bytes], card: ModelCard) -> tuple[ModelCard, bytes]:
    """The card with the hash of these records and itself, and the archive of both.

    The hash is the SHA-256 (hexadecimal) of all records in the order of their names, each after its name and size; the
    card is hashed as it stands in the archive, its own hash left empty.
    """
    unsigned = replace(card, sha256="")
    signed = replace(card, sha256=_digest({**records, CARD_RECORD: unsigned.to_json().encode()}))
    return signed, pack({**records, CARD_RECORD: signed.to_json().encode()})


def with_native(records: Mapping[str, bytes], program: Mapping[str, bytes]) -> dict[str, bytes]:
    """The records of a portable program and, as extra files, those of the native program of the same network."""
    known = {record: name for name, record in records.items()}
    same = {name: known[record] for name, record in program.items() if record in known}
    own = {_SECOND + name: record for name, record in program.items() if record not in known}
    return {**records, **own, _SAME: json.dumps(same, indent=0).encode()}


def native_program(records: Mapping[str, bytes]) -> dict[str, bytes] | None:
    """The records of the native program that :func:`with_native` put beside a portable one; ``None`` without one.

    Raises ``InputError`` where they are not complete.
    """
    if _SAME not in records:
        return None
    own = {name.removeprefix(_SECOND): value for name, value in records.items() if name.startswith(_SECOND)}
    del own["same.json"]
    try:
        return {**own, **{name: records[twin] for name, twin in json.loads(records[_SAME]).items()}}
    except (ValueError, AttributeError, KeyError) as error:
        raise InputError(f"the archive's {_SAME} names records that it does not hold") from error


def _digest(records: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(records):
        total.update(f"{name}\0{len(records[name])}\0".encode())
        total.update(records[name])
    return total.hexdigest()


def unpack(content: bytes) -> dict[str, bytes]:
    """The records of a zip container by name, without the folder that holds them all; raises what ``zipfile`` does."""
    with zipfile.ZipFile(io.BytesIO(content)) as container:
        return {info.filename.partition("/")[2]: container.read(info) for info in container.infolist()}


def pack(records: Mapping[str, bytes]) -> bytes:
    """Records as the zip container that libtorch reads: stored, in one folder, the same bytes every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as container:
        for name, record in records.items():
            container.writestr(zipfile.ZipInfo(f"archive/{name}"), record)
    return content.getvalue()
