"""The native engine: the functions of :mod:`larmlreco.sparse.portable` as operators of the compiled library.

The library registers its operators with libtorch (``torch.ops.larmlreco``); this file finds it, and gives its functions
the names and the meaning that the portable engine has. A kernel map of this engine is a list of four or eight tensors
for the library alone: pairs in blocks of output sites, for the way from the fine to the coarse side and, where the
kernel is not its own mirror image, the way back.
"""

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError
from larmlreco.sparse import portable

LIBRARY = Path(__file__).with_name("liblarmlreco_ops.so")
"""The operator library that installing the package builds; ``$LARMLRECO_OPERATORS`` names another one."""

BLOCK_ROWS = 256
"""Output sites of a block in a kernel map."""

_warned = False


def _load() -> str:
    """Load the library; the reason where that fails, or an empty text."""
    path = Path(os.environ.get("LARMLRECO_OPERATORS", LIBRARY))
    if not path.is_file():
        return f"{path} does not exist"
    try:
        torch.ops.load_library(path)  # type: ignore[no-untyped-call]
    except OSError as error:
        return str(error).splitlines()[0]
    return ""


_absent = _load()


def available() -> bool:
    """Whether the operator library is loaded."""
    return not _absent


def require() -> None:
    """Raise ``ConfigurationError`` where the operator library is absent."""
    if not available():
        raise ConfigurationError(
            f"the native engine needs the operator library of larmlreco: {_absent}; "
            "install larmlreco with --no-build-isolation beside torch and a C++17 compiler, or use the portable engine"
        )


def best_engine() -> str:
    """``"native"`` where the operator library is loaded, else ``"portable"``, which it says once."""
    global _warned
    if available():
        return "native"
    if not _warned:
        _warned = True
        warnings.warn(f"the portable engine serves, several times slower than the native one: {_absent}", stacklevel=2)
    return "portable"


def distinct_sites(coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`larmlreco.sparse.portable.distinct_sites`; the sites come in a space-filling (Morton) order.

    Raises ``ValueError`` for coordinates of the wrong width or beyond the range of a 64-bit key, ``TypeError`` where
    they are not int64; so do the other functions here.
    """
    sites, first_row, site_of_row = torch.ops.larmlreco.distinct_sites(coords)
    return sites, first_row, site_of_row


def submanifold_map(sites: Tensor, kernel_size: list[int], dilation: list[int]) -> list[Tensor]:
    """See :func:`larmlreco.sparse.portable.submanifold_map`; sites in any order, fastest in that of this engine."""
    joined: list[Tensor] = torch.ops.larmlreco.submanifold_map(sites, kernel_size, dilation)
    return joined


def strided(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
    """See :func:`larmlreco.sparse.portable.strided`; the coarse sites come in a space-filling order."""
    coarse, joined = torch.ops.larmlreco.strided_sites(sites, kernel_size, stride)
    return coarse, joined


def children(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
    """See :func:`larmlreco.sparse.portable.children`."""
    fine = portable.children(sites, kernel_size, stride)[0]
    return fine, joining_map(fine, sites, kernel_size, stride)


def joining_map(fine: Tensor, coarse: Tensor, kernel_size: list[int], stride: list[int]) -> list[Tensor]:
    """See :func:`larmlreco.sparse.portable.joining_map`."""
    ones = [1] * len(kernel_size)
    joined: list[Tensor] = torch.ops.larmlreco.joining_map(fine, coarse, kernel_size, stride, ones)
    return joined


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernel_map: list[Tensor],
    n_out: int,
    transposed: bool,
    residual: Tensor | None,
    negative_slope: float,
) -> Tensor:
    """See :func:`larmlreco.sparse.portable.convolve`; the same bits for any number of threads.

    The type is float32, float64 or, for inference, bfloat16 (sums are float32).

    Raises ``ValueError`` where the shapes of the tensors do not fit each other or the map, ``TypeError`` for types.
    """
    out: Tensor = torch.ops.larmlreco.convolve(
        features, weight, bias, kernel_map, n_out, transposed, residual, negative_slope
    )
    return out


def join(left: Tensor, right: Tensor) -> Tensor:
    """Features (M, A + B) from features (M, A) and (M, B), in the memory of this engine."""
    out: Tensor = torch.ops.larmlreco.join(left, right)
    return out


def linear(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Features (M, C_out) from features (M, C_in), weight (C_out, C_in) and bias (C_out,), in this engine's memory.

    Raises ``ValueError`` and ``TypeError`` as :func:`convolve`.
    """
    out: Tensor = torch.ops.larmlreco.linear(features, weight, bias)
    return out


def pool(features: Tensor, kernel_map: list[Tensor], n_out: int, mode: str) -> Tensor:
    """See :func:`larmlreco.sparse.portable.pool`."""
    pairs: list[Tensor] = torch.ops.larmlreco.map_pairs(kernel_map)
    return portable.pool(features, pairs, n_out, mode)


def _register_fakes() -> None:
    """Shapes of the operators whose sizes depend on the coordinates, for ``torch.compile`` and ``torch.export``."""

    def some_sites(like: Tensor) -> tuple[torch.SymInt, Tensor]:
        n = torch.library.get_ctx().new_dynamic_size()
        return n, like.new_empty((n, like.shape[1]))

    def direction(like: Tensor, n_out: int | torch.SymInt, taps: int) -> list[Tensor]:
        pairs = torch.library.get_ctx().new_dynamic_size()
        blocks = (n_out + BLOCK_ROWS - 1) // BLOCK_ROWS
        return [
            like.new_empty(pairs, dtype=torch.int32),
            like.new_empty(pairs, dtype=torch.uint8),
            like.new_empty(blocks * taps + 1, dtype=torch.int64),
            like.new_empty(n_out, dtype=torch.int32),
        ]

    def volume(kernel_size: list[int]) -> int:
        taps = 1
        for size in kernel_size:
            taps *= size
        return taps

    def fake_distinct_sites(coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, sites = some_sites(coords)
        return sites, coords.new_empty(n), coords.new_empty(coords.shape[0])

    def fake_strided_sites(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
        n, coarse = some_sites(sites)
        taps = volume(kernel_size)
        return coarse, direction(sites, n, taps) + direction(sites, sites.shape[0], taps)

    def fake_submanifold_map(sites: Tensor, kernel_size: list[int], dilation: list[int]) -> list[Tensor]:
        there = direction(sites, sites.shape[0], volume(kernel_size))
        if all(size % 2 == 1 for size in kernel_size):
            return there
        return there + direction(sites, sites.shape[0], volume(kernel_size))

    def fake_joining_map(
        fine: Tensor, coarse: Tensor, kernel_size: list[int], stride: list[int], dilation: list[int]
    ) -> list[Tensor]:
        taps = volume(kernel_size)
        return direction(fine, coarse.shape[0], taps) + direction(fine, fine.shape[0], taps)

    def fake_map_pairs(kernel_map: list[Tensor]) -> list[Tensor]:
        pairs = kernel_map[0].shape[0]
        taps = torch.library.get_ctx().new_dynamic_size()
        return [kernel_map[2].new_empty(pairs), kernel_map[2].new_empty(pairs), kernel_map[2].new_empty(taps)]

    fakes = (fake_distinct_sites, fake_strided_sites, fake_submanifold_map, fake_joining_map, fake_map_pairs)
    for fake in fakes:
        torch.library.register_fake(fake.__name__.replace("fake_", "larmlreco::"), fake)


if available():
    _register_fakes()
