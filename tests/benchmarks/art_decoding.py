"""Time to decode art files, beside the time to decompress them: ``python tests/benchmarks/art_decoding.py FILE...``.

A figure is the best of several passes over all events, in milliseconds an event, on one thread.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from larmlreco.io.art import ArtFile
from larmlreco.io.art.branches import _Leaf
from larmlreco.products import ProductKey

PASSES = 5


def timed(call: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(PASSES):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def leaves(source: object) -> list[_Leaf]:
    """All branches with data below a product branch."""
    if isinstance(source, _Leaf):
        return [source]
    inside = list(vars(source).values())
    members = [made for value in inside if isinstance(value, list) for _, made in value]
    return [leaf for one in (*inside, *members) if hasattr(one, "__dict__") for leaf in leaves(one)]


def main(paths: list[str]) -> None:
    """Print one line a product."""
    print(f"{'product':34}{'decompress':>12}{'decode':>10}{'to product':>12}   ms/event; MB/event")
    for path in paths:
        file = ArtFile(path)
        n = file.n_events
        print(f"{path}: {n} events; processor's own copy speed {copy_speed():.1f} GB/s")
        sums = np.zeros(4)
        for key in list(file.keys()):
            figures = np.array(measure(file, key)) / n * 1e3
            sums += figures
            print(f"{key.branch:34}{figures[0]:12.2f}{figures[1]:10.2f}{figures[2]:12.2f}   {figures[3]:.2f}")
        print(f"{'all':34}{sums[0]:12.2f}{sums[1]:10.2f}{sums[2]:12.2f}   {sums[3]:.2f}")


def measure(file: ArtFile, key: ProductKey) -> tuple[float, float, float, float]:
    """Seconds to decompress, decode and translate all events, and size in GB."""
    branch = next(b for b in file._products["event"] if b.key == key)
    assert branch.source is not None
    data = leaves(branch.source)
    n = file.n_events

    def decompress() -> int:
        return sum(len(leaf._branch.basket(i).data) for leaf in data for i in range(leaf._branch.num_baskets))

    size = decompress()
    decoding = making = 0.0
    for entry in range(n):
        file.read(entry, key)  # now the basket is in memory and the versions are known
        decoded = timed(partial(branch.source.read, entry))
        decoding += decoded
        making += timed(partial(file.read, entry, key)) - decoded
    return timed(decompress), decoding, making, size / 1e9


def copy_speed() -> float:
    """GB/s of copying memory, to compare machines."""
    block = np.ones(50_000_000, dtype=np.uint8)
    return 2 * len(block) / timed(block.copy) / 1e9


if __name__ == "__main__":
    main(sys.argv[1:])
