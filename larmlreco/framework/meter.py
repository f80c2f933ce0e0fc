"""Time and memory that each module takes."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_rss_mb() -> float:
    """Highest resident memory of this process so far, in MB (1e6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT / 1e6


@dataclass
class Usage:
    """Sums over the calls of one module: seconds, and by how much the peak memory rose in its calls (MB)."""

    calls: int = 0
    total_s: float = 0.0
    max_s: float = 0.0
    growth_mb: float = 0.0

    @property
    def mean_ms(self) -> float:
        """Mean time of a call in ms, 0 without calls."""
        return 1e3 * self.total_s / self.calls if self.calls else 0.0


class Meter:
    """Measures calls by name. What is measured inside another call is not counted there."""

    def __init__(self) -> None:
        self.usage: dict[str, Usage] = {}
        self._inner: list[list[float]] = []

    def book(self, name: str) -> None:
        """Begin the list of a name, so that it is shown without calls too."""
        self.usage.setdefault(name, Usage())

    @contextmanager
    def measure(self, name: str, count: bool = True) -> Iterator[None]:
        """Measure a call; without ``count`` its time and memory are added to the name, but it is no call."""
        self._inner.append([0.0, 0.0])
        memory, start = peak_rss_mb(), time.perf_counter()
        try:
            yield
        finally:
            seconds, growth = time.perf_counter() - start, peak_rss_mb() - memory
            inner_seconds, inner_growth = self._inner.pop()
            if self._inner:
                self._inner[-1][0] += seconds
                self._inner[-1][1] += growth
            usage = self.usage.setdefault(name, Usage())
            own = max(0.0, seconds - inner_seconds)
            usage.total_s += own
            usage.growth_mb += max(0.0, growth - inner_growth)
            if count:
                usage.calls += 1
                usage.max_s = max(usage.max_s, own)
