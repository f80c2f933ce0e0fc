"""Damaged art files: one line that says what and where, never a crash, a hang or a wrong product."""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from larmlreco.errors import InputError
from larmlreco.io.art import ArtFile
from larmlreco.io.art.branches import source
from larmlreco.io.art.decoder import DamagedError, Decoder, Jagged, Strings, UndecodableError
from larmlreco.io.art.streamer import (
    Basic,
    Classes,
    ClassInfo,
    Element,
    Headed,
    Object,
    Sequence,
    Text,
    Unreadable,
    named_type,
)
from larmlreco.products import ProductKey

DATA = Path(__file__).parent / "data"
ZOO = DATA / "zoo_split1.root"  # not compressed
WIRES = ProductKey("Wires", "butcher", "", "Reco1")
WIRES_BRANCH = "recob::Wires_butcher__Reco1."
Patch = Callable[[bytearray], None]


def content(branch: str, entry: int) -> tuple[int, bytes]:
    """Where in the uncompressed file the bytes of an entry of ``<branch>obj`` lie, and the bytes."""
    with uproot.open(ZOO) as file:
        leaf = file["Events"][branch][branch + "obj"]
        basket = leaf.basket(0)
        begin, end = basket.byte_offsets[entry : entry + 2]
        start = int(leaf.member("fBasketSeek")[0]) + basket.member("fKeylen") + int(begin)
        return start, bytes(basket.data[begin:end])


def patched(directory: Path, patch: Patch) -> Path:
    data = bytearray(ZOO.read_bytes())
    patch(data)
    path = directory / "patched.root"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_samples_that_are_not_finite(tmp_path: Path, value: float, text: str) -> None:
    start, data = content(WIRES_BRANCH, 4)
    place = start + data.index(struct.pack(">f", 4 + 2 / 4 + 1 / 16))  # the second sample of wire 2

    def patch(raw: bytearray) -> None:
        raw[place : place + 4] = struct.pack(">f", value)

    path = patched(tmp_path, patch)
    with pytest.raises(InputError) as error:
        ArtFile(path).read(4, WIRES)
    assert str(error.value) == (
        f"input {path}: tree Events, branch {WIRES_BRANCH}, entry 4 (event 7:2:104): "
        f"channel 4802: sample 103 is {text}; expected a finite number"
    )


def test_a_region_that_does_not_fit_its_samples_or_the_waveform(tmp_path: Path) -> None:
    start, data = content(WIRES_BRANCH, 4)
    place = start + data.index(struct.pack(">QQ", 2, 102))  # offsets of the two regions of wire 2
    for at, number, what in [
        (place + 8, 101, "channel 4802: the ROI [101, 105) is not as long as its samples"),
        (place, 7000, "channel 4802: the ROI [7000, 2) is not as long as its samples"),
        (place - 24, 50, "channel 4802: the ROI [102, 105) ends beyond the waveform"),
    ]:
        path = patched(tmp_path, lambda raw, a=at, n=number: struct.pack_into(">Q", raw, a, n))
        with pytest.raises(InputError) as error:
            ArtFile(path).read(4, WIRES)
        assert str(error.value).endswith(what)


def test_missing_empty_foreign_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input .*none\.root does not exist"):
        ArtFile(tmp_path / "none.root")
    (tmp_path / "empty.root").write_bytes(b"")
    with pytest.raises(InputError, match="is empty; expected a ROOT file"):
        ArtFile(tmp_path / "empty.root")
    (tmp_path / "text.root").write_text("no file of ROOT")
    with pytest.raises(InputError, match="is not a ROOT file"):
        ArtFile(tmp_path / "text.root")
    whole = ZOO.read_bytes()
    for size in (*range(5, len(whole), len(whole) // 19), len(whole) - 1):
        (tmp_path / "cut.root").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.root is truncated: it has \d+"):
            ArtFile(tmp_path / "cut.root")


def test_a_root_file_that_is_not_of_art(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as out:
        out.mktree("hits", {"x": np.arange(3)})
    with pytest.raises(InputError, match=r"has no TTree Events, so it is not of art; it has: hits \(TTree\)"):
        ArtFile(tmp_path / "other.root")
    with uproot.recreate(tmp_path / "other.root") as out:
        out.mktree("Events", {"x": np.arange(3)})
    with pytest.raises(InputError, match="tree Events has no branch EventAuxiliary, so it is not of art; it has: x"):
        ArtFile(tmp_path / "other.root")


def test_an_rntuple_is_not_a_tree(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as out:
        out.mkrntuple("Events", {"x": np.arange(3)})
    with pytest.raises(InputError, match=r"has no TTree Events, .*; it has: Events \(ROOT::RNTuple\)"):
        ArtFile(tmp_path / "other.root")


def test_any_flipped_bit_of_a_file_is_an_input_error_or_harmless(tmp_path: Path) -> None:
    flips = random.Random(5)
    for name in ("zoo_split1.root", "zoo_split99.root"):
        whole = (DATA / name).read_bytes()
        for _ in range(15):
            data = bytearray(whole)
            data[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
            (tmp_path / "flipped.root").write_bytes(data)
            message = ""
            try:
                file = ArtFile(tmp_path / "flipped.root")
                for key in list(file.keys()):
                    file.read(4, key)
            except InputError as error:
                message = str(error)
            assert not message or message.startswith(f"input {tmp_path / 'flipped.root'}")
            assert "\n" not in message


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {k: v for name, child in tree.items() for k, v in leaves(child, f"{path}.{name}").items()}
    if isinstance(tree, Jagged):
        return {f"{path}#": tree.counts, **leaves(tree.content, path)}
    if isinstance(tree, Strings):
        return {f"{path}#": tree.counts, path: tree.characters}
    return {path: tree}


@pytest.mark.parametrize(
    "branch",
    [WIRES_BRANCH, "recob::Hits_gaushit__Reco1.", "recob::Hitrecob::SpacePointvoidart::Assns_pandora__Reco2.",
     "zoo::Animals_keeper__Reco1."],
)  # fmt: skip
def test_a_flipped_bit_of_the_bytes_is_noticed_or_changes_one_number_only(branch: str) -> None:
    """What holds the structure together - counts, versions, lengths - cannot change unnoticed."""
    file = ArtFile(ZOO)
    decoder = source(file._trees["event"][branch][branch + "obj"], file._classes)._leaf._decoder  # type: ignore[attr-defined]
    data = np.frombuffer(content(branch, 3)[1], dtype=np.uint8)
    before = leaves(decoder(data))
    flips = random.Random(7)
    noticed = 0
    for _ in range(300):
        flipped = data.copy()
        flipped[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
        try:
            after = leaves(decoder(flipped))
        except (DamagedError, UndecodableError):
            noticed += 1
            continue
        assert after.keys() == before.keys()
        assert all(after[name].shape == before[name].shape for name in before)
        changed = sum(int((after[n].view("u1") != before[n].view("u1")).any(axis=-1).sum() > 0) for n in before)
        assert changed <= 1
    assert noticed > 0


def test_bytes_cut_anywhere_or_with_more_behind() -> None:
    file = ArtFile(ZOO)
    decoder = source(file._trees["event"][WIRES_BRANCH][WIRES_BRANCH + "obj"], file._classes)._leaf._decoder  # type: ignore[attr-defined]
    data = np.frombuffer(content(WIRES_BRANCH, 3)[1], dtype=np.uint8)
    for size in range(len(data)):
        with pytest.raises(DamagedError):
            decoder(data[:size])
    with pytest.raises(DamagedError, match=r"1 of \d+ bytes are left over"):
        decoder(np.append(data, np.uint8(0)))
    decoder(data)


# -- versions of classes, from bytes made by hand


def header(body: bytes, version: int, checksum: int | None = None) -> bytes:
    body = struct.pack(">H", version) + (b"" if checksum is None else struct.pack(">I", checksum)) + body
    return struct.pack(">I", 0x40000000 | len(body)) + body


POINT_1 = ClassInfo("Point", 3, 111, (Element("x", Basic("f4")),))
POINT_2 = ClassInfo("Point", 4, 222, (Element("x", Basic("f8")), Element("n", Basic("i4"))))
LINE_1 = ClassInfo("Line", 1, 333, (Element("p", Object("Point")),))
LINE_2 = ClassInfo("Line", 1, 4000000000, (Element("p", Object("Point")), Element("t", Headed(Text()))))
VERSIONS = Classes([POINT_1, POINT_2, LINE_1, LINE_2])


def test_every_version_that_the_file_describes() -> None:
    decoder = Decoder(VERSIONS, Object("Point"))
    old = np.frombuffer(header(struct.pack(">f", 1.5), 3) * 2, dtype=np.uint8)
    new = np.frombuffer(header(struct.pack(">di", 2.5, 7), 4) * 3, dtype=np.uint8)
    for _ in range(2):  # back and forth
        assert decoder(old, 2)["x"].tolist() == [1.5, 1.5]  # type: ignore[call-overload,index]
        assert decoder(new, 3)["n"].tolist() == [7, 7, 7]  # type: ignore[call-overload,index]
    with pytest.raises(DamagedError, match="Point has version 5, which the file does not describe; it describes: 4, 3"):
        decoder(np.frombuffer(header(b"", 5), dtype=np.uint8))
    mixed = np.concatenate([new, old, np.zeros(8, dtype=np.uint8)])
    with pytest.raises(DamagedError, match="Point, item 3 of 4: wrong byte count 0x40000006"):
        decoder(mixed, 4)


def test_classes_without_a_version_are_told_by_their_checksum() -> None:
    decoder = Decoder(VERSIONS, Object("Line"))
    point = header(struct.pack(">f", 1.5), 3)
    line_1 = header(point, 0, 333)
    line_2 = header(point + header(b"\x02ab", 10), 0, 4000000000)
    assert decoder(np.frombuffer(line_1, dtype=np.uint8))["p"]["x"].tolist() == [1.5]  # type: ignore[call-overload,index]
    assert decoder(np.frombuffer(line_2, dtype=np.uint8))["t"].tolist() == [b"ab"]  # type: ignore[call-overload,index,union-attr]
    with pytest.raises(DamagedError, match="Line has checksum 0x5, which the file does not describe"):
        decoder(np.frombuffer(header(point, 0, 5), dtype=np.uint8))


def test_a_huge_count_ends_with_the_bytes() -> None:
    decoder = Decoder(VERSIONS, Headed(Sequence(Object("Point"))))
    bytes_ = header(struct.pack(">Hi", 4, 0x7FFFFFFF) + b"\0" * 40, 0x4009)
    with pytest.raises(DamagedError, match="ends within its content"):
        decoder(np.frombuffer(bytes_, dtype=np.uint8))
    negative = header(struct.pack(">Hi", 4, -1), 0x4009)
    with pytest.raises(DamagedError, match="its length is negative"):
        decoder(np.frombuffer(negative, dtype=np.uint8))


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        (Unreadable("it holds pointers (X*)"), "it holds pointers"),
        (named_type("vector<Unknown*>"), r"it holds pointers \(Unknown\*\)"),
        (named_type("vector<Unknown>"), "the file describes no class Unknown"),
        (Object("TObject"), "TObject writes itself in its own way"),
        (Object("Loop"), "Loop contains itself"),
    ],
)
def test_what_cannot_be_decoded_says_why(type_: Any, reason: str) -> None:
    loop = ClassInfo("Loop", 2, 1, (Element("inside", Headed(Sequence(Object("Loop")))),))
    with pytest.raises(UndecodableError, match=reason):
        Decoder(Classes([loop]), type_)


def test_a_closed_file_is_an_input_error(tmp_path: Path) -> None:
    path = shutil.copy(ZOO, tmp_path / "zoo.root")
    file = ArtFile(path)
    file.close()
    with pytest.raises(InputError, match="is damaged"):
        file.read(0, WIRES)
