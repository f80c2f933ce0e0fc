"""The native engine: the functions of :mod:`larmlreco.sparse.portable` as operators of the compiled library."""

import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError


def available() -> bool:
    """Whether the operator library is loaded."""
    return hasattr(torch.ops.larmlreco, "convolve")


def require() -> None:
    """Raise ``ConfigurationError`` where the operator library is absent."""
    if not available():
        raise ConfigurationError(
            "the native engine needs the compiled operator library of larmlreco, which is absent here; "
            "install larmlreco with a C++17 compiler at hand, or use the portable engine"
        )


def distinct_sites(coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`larmlreco.sparse.portable.distinct_sites`; the sites may come in another order."""
    sites, first_row, site_of_row = torch.ops.larmlreco.distinct_sites(coords)
    return sites, first_row, site_of_row


def submanifold_map(sites: Tensor, kernel_size: list[int], dilation: list[int]) -> list[Tensor]:
    """See :func:`larmlreco.sparse.portable.submanifold_map`; the tensors of the map are for this engine only."""
    joined: list[Tensor] = torch.ops.larmlreco.submanifold_map(sites, kernel_size, dilation)
    return joined


def strided(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
    """See :func:`larmlreco.sparse.portable.strided`; the tensors of the map are for this engine only."""
    coarse, joined = torch.ops.larmlreco.strided(sites, kernel_size, stride)
    return coarse, joined


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
    """See :func:`larmlreco.sparse.portable.convolve`."""
    out: Tensor = torch.ops.larmlreco.convolve(
        features, weight, bias, kernel_map, n_out, transposed, residual, negative_slope
    )
    return out
