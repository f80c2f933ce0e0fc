"""Outputs that are not finished: partial files, full disks, refused names."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from larmlreco.errors import OutputError
from larmlreco.io import layout, open_file
from larmlreco.io.layout import Process
from larmlreco.io.root_reader import RootReader
from larmlreco.io.root_writer import RootWriter, check_output_path, partial_path
from larmlreco.products import Hits, ProductKey

KEY = ProductKey("Hits", "maker", "", "P")

WRITE = """
    import sys
    import numpy as np
    from larmlreco.io.layout import Process
    from larmlreco.io.root_writer import RootWriter
    from larmlreco.products import Hits, ProductKey

    rng = np.random.default_rng(0)
    with RootWriter(sys.argv[1], Process("P")) as writer:
        for i in range(int(sys.argv[2])):
            columns = {name: np.full(int(sys.argv[3]), i) for name in Hits.columns()}
            columns["integral"] = rng.normal(size=int(sys.argv[3]))
            writer.write((1, 1, i), {ProductKey("Hits", "maker", "", "P"): Hits.from_columns(columns)})
            if i % 50 == 0:
                print(i, flush=True)
"""


def hits(n: int, value: float) -> Hits:
    return Hits.from_columns({name: np.full(n, value) for name in Hits.columns()})


def test_an_output_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    path.write_text("an older output")
    writer = RootWriter(path, Process("P"))
    for i in range(10):
        writer.write((1, 1, i), {KEY: hits(3, i)})
    assert path.read_text() == "an older output"
    partial = RootReader(partial_path(path))
    assert not partial.complete
    assert partial.n_events == 7  # flushed after 1, 2 and 4 events
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.root"]
    assert RootReader(path).complete
    assert RootReader(path).n_events == 10


def test_a_failure_leaves_what_was_written_marked_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "a.root"

    def fail() -> None:
        with RootWriter(path, Process("P")) as writer:
            for i in range(10):
                writer.write((1, 1, i), {KEY: hits(3, i)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.root.partial"]
    reader = open_file(partial_path(path))
    assert not reader.complete
    assert reader.n_events == 10
    last = reader.read(9, KEY)
    assert isinstance(last, Hits)
    assert last.channel.tolist() == [9, 9, 9]


def test_a_file_without_any_event_is_partial_from_the_start(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path / "a.root", Process("P"))
    reader = RootReader(tmp_path / "a.root.partial")
    assert not reader.complete
    assert reader.n_events == 0
    assert reader.keys() == []
    assert [reader.branches(level) for level in layout.TREES] == [[], [], []]
    assert [p.name for p in reader.process_history] == ["P"]
    writer.abort()


@pytest.mark.parametrize("delay", [0.0, 0.013, 0.031, 0.05])
def test_a_killed_job_leaves_a_readable_partial_file(tmp_path: Path, delay: float) -> None:
    """Whenever the job is killed (SIGKILL), the events that were flushed can be read, by ROOT too."""
    path = tmp_path / "a.root"
    command = [sys.executable, "-c", textwrap.dedent(WRITE), str(path), "100000", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if int(line) >= 600:
                break
        time.sleep(delay)
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
    reader = RootReader(partial_path(path))
    assert not reader.complete
    assert not path.exists()
    n = reader.n_events
    assert n >= 511
    for i in (0, n // 2, n - 1):
        product = reader.read(i, KEY)
        assert isinstance(product, Hits)
        assert product.channel.tolist() == [i] * 20
    root = pytest.importorskip("ROOT")
    frame = root.RDataFrame("Events", str(partial_path(path)))
    assert frame.Sum("Hits_maker__P.channel").GetValue() == 20 * n * (n - 1) // 2


@pytest.mark.parametrize("limit", [3_000, 100_000, 1_000_000])
def test_full_disk(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files acts as a full disk does: error, exit status, no file under the output's name."""
    code = textwrap.dedent(
        """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            exec({write!r})
        except Exception as error:
            print(error, file=sys.stderr)
            sys.exit(getattr(error, "exit_status", 99))
        """
    ).format(limit=limit, write=textwrap.dedent(WRITE))
    path = tmp_path / "a.root"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "10000", "100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == OutputError.exit_status
    partial = partial_path(path)
    assert done.stderr == f"output {path}: File too large; what was written lies in {partial}\n"
    assert [p.name for p in tmp_path.iterdir()] == [partial.name]
    if limit > 3_000:
        reader = RootReader(partial)
        assert not reader.complete
        for i in range(reader.n_events):
            product = reader.read(i, KEY)
            assert isinstance(product, Hits)
            assert product.channel.tolist() == [i] * 100


def test_device_without_space(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "a.root.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"output .*a\.root: (No space left on device|Invalid argument)"):
        RootWriter(tmp_path / "a.root", Process("P")).close()
    assert not (tmp_path / "a.root").exists()


def test_memory_and_size_grow_as_they_should(tmp_path: Path) -> None:
    """Thousands of small events: the same memory, a size that is proportional."""

    def measured(n: int) -> tuple[int, int]:
        code = textwrap.dedent(WRITE) + "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        command = [sys.executable, "-c", code, str(tmp_path / f"{n}.root"), str(n), "20"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout.splitlines()[-1]), (tmp_path / f"{n}.root").stat().st_size

    few, many = measured(1000), measured(5000)
    assert many[0] < few[0] + 20_000  # kB
    assert 4 < many[1] / few[1] < 6


def test_reading_keeps_a_bounded_amount_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with RootWriter(path, Process("P")) as writer:
        for i in range(3000):
            writer.write((1, 1, i), {KEY: hits(100, i)})
    code = """
        import resource, sys
        from larmlreco.io import open_file
        reader = open_file(sys.argv[1])
        for i in range(reader.n_events):
            for key in reader.keys():
                reader.read(i, key)
            if i in (500, reader.n_events - 1):
                print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())
    assert late < early + 10_000  # kB


def test_refused_names(tmp_path: Path) -> None:
    (tmp_path / "in.root").touch()
    (tmp_path / "link.root").symlink_to(tmp_path / "in.root")
    os.link(tmp_path / "in.root", tmp_path / "hard.root")
    missing = tmp_path / "no" / "a.root"
    with pytest.raises(OutputError) as caught:
        RootWriter(missing, Process("P"))
    assert str(caught.value) == f"output {missing}: directory {missing.parent} does not exist; make it first"
    with pytest.raises(OutputError) as caught:
        RootWriter(tmp_path, Process("P"))
    assert str(caught.value) == f"output {tmp_path} is a directory; expected the name of a file"
    for name in ("in.root", "link.root", "hard.root", "../" + tmp_path.name + "/in.root"):
        with pytest.raises(OutputError) as caught:
            check_output_path(tmp_path / name, ["root://elsewhere//in.root", tmp_path / "in.root"])
        assert str(caught.value) == f"output {tmp_path / name} is also an input; choose another name"
    with pytest.raises(OutputError, match="is also an input"):
        check_output_path(tmp_path / "a.root", [tmp_path / "a.root.partial"])
    check_output_path(tmp_path / "in.root", [tmp_path / "other.root", "https://elsewhere/in.root"])


def test_directory_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OutputError) as caught:
        RootWriter(tmp_path / "a.root", Process("P"))
    assert str(caught.value) == f"output {tmp_path / 'a.root'}: Permission denied"
