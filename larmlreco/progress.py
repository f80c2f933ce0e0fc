"""Progress of long work: one line that renews itself on a terminal, plain lines now and then in a log."""

import sys
import time
from typing import TextIO


class Progress:
    """Counts units of work and says how many are done, the rate and the time left.

    On a terminal the line is renewed at most four times a second, elsewhere a line is written every ``interval``
    seconds, and one at the end.
    """

    def __init__(
        self, total: int, unit: str, *, done: int = 0, interval: float = 30.0, stream: TextIO | None = None
    ) -> None:
        self.total = total
        self.unit = unit
        self.done = done
        self._first = done
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._interval = 0.25 if self._terminal else interval
        self._start = self._last = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Say that ``done`` units are done in all; ``note`` is appended."""
        self.done = done
        now = time.monotonic()
        if now - self._last >= self._interval or done >= self.total:
            self._last = now
            self._write(self.line(now - self._start, note), end=done >= self.total)

    def line(self, seconds: float, note: str = "") -> str:
        """The text after that many seconds of work."""
        rate = (self.done - self._first) / seconds if seconds > 0 else 0.0
        left = _clock((self.total - self.done) / rate) if rate > 0 else "?"
        text = f"{self.done}/{self.total} {self.unit}, {rate:.3g}/s, {left} left"
        return f"{text}, {note}" if note else text

    def _write(self, text: str, end: bool) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if end else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
