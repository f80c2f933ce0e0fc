"""What can be opened, and what is said of files that cannot."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from larmlreco.errors import InputError
from larmlreco.io import Reader, open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_reader import RootReader
from larmlreco.io.root_writer import RootWriter
from larmlreco.products import Hits, ProductKey

KEY = ProductKey("Hits", "maker", "", "P")


def hits(n: int, value: float) -> Hits:
    columns = {name: np.full(n, value) for name in Hits.columns()}
    return Hits.from_columns(columns | {"integral": np.random.default_rng(int(value)).normal(size=n)})


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    with RootWriter(tmp_path / "ours.root", Process("P")) as writer:
        for i in range(50):
            writer.write((1, 1, i), {KEY: hits(100, i)})
    return tmp_path / "ours.root"


def message(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        open_file(path)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x.root"
    assert message(path) == f"input {path} does not exist"
    assert message(tmp_path) == f"input {tmp_path}: Is a directory"
    path.touch()
    assert message(path) == f"input {path} is empty; expected a ROOT file"
    path.write_text("hello, this is text")
    assert message(path) == f"input {path} is not a ROOT file: it begins with b'hell', not b'root'"


def test_root_file_without_events(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "x.root") as file:
        file["histogram"] = np.histogram([1, 2, 3])
        file["note"] = "text"
    assert message(tmp_path / "x.root") == (
        f"input {tmp_path / 'x.root'} holds no events: it has histogram, note; expected a tree Events (art, larmlreco) "
        "or image2d_*_tree, sparse3d_*_tree, particle_*_tree (LArCV2)"
    )


@pytest.mark.parametrize("kept", [10, 50, 150, 1000, 0.3, 0.7, 0.9, -1])
def test_truncated(ours: Path, kept: float) -> None:
    content = ours.read_bytes()
    length = len(content) + kept if kept < 0 else kept if isinstance(kept, int) else kept * len(content)
    ours.write_bytes(content[: int(length)])
    text = message(ours)
    expected = f"of {len(content)} bytes" if length > 20 else "bytes"
    assert text.startswith(f"input {ours} is truncated: it has {int(length)} {expected}")


def test_truncated_larcv(tmp_path: Path, shared_path: Callable[[str], Path]) -> None:
    content = shared_path("samples/larcv2_proton_10evt.root").read_bytes()
    path = tmp_path / "x.root"
    path.write_bytes(content[:-100])
    assert message(path) == f"input {path} is truncated: it has {len(content) - 100} of {len(content)} bytes"


def test_corrupt_basket(ours: Path) -> None:
    """Bytes of one compressed basket are changed: the events before can be read, the message names the place."""
    tree = uproot.open(ours)["Events"]
    branch = tree["Hits_maker__P.integral"]
    basket = 4
    start = branch.member("fBasketSeek")[basket] + 100
    content = bytearray(ours.read_bytes())
    content[start : start + 400] = os.urandom(400)
    ours.write_bytes(content)
    reader = RootReader(ours)
    first = int(branch.entry_offsets[basket])
    for i in range(first):
        assert reader.read(i, KEY) is not None
    with pytest.raises(InputError) as caught:
        reader.read(first, KEY)
    text = str(caught.value)
    assert text.startswith(
        f"input {ours}: tree Events, Hits_maker__P, entry {first} cannot be read, the file is damaged: "
    )
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("compression", ["zstd", "lz4", "zlib", "lzma"])
def test_no_damaged_byte_goes_unnoticed(tmp_path: Path, compression: Any) -> None:
    """A single bit of a compressed basket flips: an error, never other numbers."""
    path = tmp_path / "a.root"
    product = Hits.from_columns(dict(hits(2000, 1).to_columns()) | {"integral": np.sqrt(np.arange(2000.0) // 4)})
    with RootWriter(path, Process("P"), compression=compression) as writer:
        writer.write((1, 1, 1), {KEY: product})
    basket = uproot.open(path)["Events"]["Hits_maker__P.integral"].basket_key(0)
    assert basket.data_compressed_bytes < basket.data_uncompressed_bytes
    start, length = basket.data_cursor.index + 9, basket.data_compressed_bytes - 9
    content = path.read_bytes()
    for place in np.random.default_rng(1).integers(start, start + length, 25):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            read = RootReader(path).read(0, KEY)
        except InputError:
            continue
        assert read is not None  # a bit that no decoder looks at may flip
        np.testing.assert_array_equal(read.to_columns()["integral"], product.integral)


def test_corrupt_list_of_objects(ours: Path) -> None:
    content = bytearray(ours.read_bytes())
    content[100:260] = bytes(160)
    ours.write_bytes(content)
    assert message(ours).startswith(f"input {ours}")


def test_unknown_protocols() -> None:
    assert message("nowhere://host/x.root") == (
        "input nowhere://host/x.root cannot be opened: ValueError: Protocol not known: nowhere"
    )
    assert message("https://127.0.0.1:9/x.root").startswith("input https://127.0.0.1:9/x.root cannot be opened: ")


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files and parts of them (one part at a time), as web servers do."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        unit, _, part = self.headers.get("Range", "").partition("=")
        if unit == "bytes" and "," not in part:
            start, stop = (int(number) for number in part.split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop}/{len(content)}")
            content = content[start : stop + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    def handler(*arguments: object) -> _Ranges:
        return _Ranges(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_input_over_http(ours: Path, address: str) -> None:
    remote, local = open_file(f"{address}/{ours.name}"), open_file(ours)
    assert remote.event_ids.array.tolist() == local.event_ids.array.tolist()
    for i in (0, 20, 49):
        a, b = remote.read(i, KEY), local.read(i, KEY)
        assert isinstance(a, Hits)
        assert isinstance(b, Hits)
        assert a.integral.tolist() == b.integral.tolist()
    remote.close()


def test_readers_follow_the_protocol(ours: Path, shared_path: Callable[[str], Path]) -> None:
    samples = ["larcv2_electron_10evt.root", "protodunehd_run27409_evt40896_apa1.npz", "sim_uboone_art_10evt.root"]
    for path in (ours, *(shared_path(f"samples/{name}") for name in samples)):
        reader = open_file(path)
        assert isinstance(reader, Reader)
        assert reader.path == str(path)
        assert len(reader.event_ids) == reader.n_events
        assert reader.complete
        reader.close()
