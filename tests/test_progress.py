import io

from larmlreco.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines_and_one_at_the_end() -> None:
    stream = io.StringIO()
    progress = Progress(3, "events", stream=stream, interval=1000)
    for done in (1, 2, 3):
        progress.update(done, "loss 0.5")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("3/3 events, ")
    assert lines[0].endswith("0:00:00 left, loss 0.5")


def test_a_terminal_gets_one_line_that_is_renewed() -> None:
    stream = Terminal()
    Progress(1, "events", stream=stream).update(1)
    assert stream.getvalue().startswith("\r")
    assert stream.getvalue().count("\n") == 1


def test_rate_and_time_left_count_from_where_the_work_resumed() -> None:
    progress = Progress(1000, "iterations", done=400, stream=io.StringIO())
    progress.done = 500
    assert progress.line(10.0) == "500/1000 iterations, 10/s, 0:00:50 left"
