"""The portable engine: kernel maps and sparse convolution in stock, scriptable torch operators.

One relation holds everywhere, for an output site ``o``, a tap at ``offset`` and an input site ``i``::

    i = stride * o + dilation * (offset - centre)

with offsets from 0 to ``kernel_size - 1`` on every axis and ``centre`` ``(kernel_size - 1) / 2`` for an odd and 0
for an even size. Taps are in lexicographic order of their offset, the last axis fastest.

*Sites* are a tensor (M, 1+D) int64 of distinct rows, the batch item in the first column. A *kernel map* is the list
``[fine, coarse, counts]``: two tensors (P,) int64 of row numbers, sorted by tap, and (taps,) int64 on the CPU with the
pairs of each tap; the count -1 stands for a tap that joins every row with itself and has no rows in the other two.
Layers treat maps as opaque, so that another engine may hold something else in them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def check_kernel(sites: Tensor, name: str, values: list[int]) -> None:
    """Raise ``ValueError`` unless a kernel size, stride or dilation has a number above 0 for each axis of sites."""
    axes = sites.size(1) - 1
    if len(values) != axes or min(values) < 1:
        raise ValueError(f"{name}: expected whole numbers above 0, one for each of {axes} axes; got {values}")


def offsets(kernel_size: list[int], dilation: list[int]) -> Tensor:
    """Displacements (taps, 1+D) int64 of the taps from the centre, the batch column 0, in the order of the taps."""
    rows = torch.zeros((1, 1), dtype=torch.long)
    for axis in range(len(kernel_size)):
        size = kernel_size[axis]
        centre = (size - 1) // 2 if size % 2 == 1 else 0
        steps = (torch.arange(size) - centre) * dilation[axis]
        taps = rows.size(0)
        rows = torch.cat([rows.repeat_interleave(size, 0), steps.repeat(taps).unsqueeze(1)], 1)
    return rows


def key_strides(lowest: Tensor, highest: Tensor) -> Tensor:
    """Multipliers (1+D,) int64 that turn every point between two corners (1+D,) int64 into a number of its own.

    Raises ``ValueError`` where the box between the corners holds 2^62 points or more.
    """
    extents = highest.double() - lowest.double() + 1.0
    if float(extents.prod()) >= 2.0**62:
        spans: list[float] = extents.tolist()
        raise ValueError(
            f"coordinates span too large a box: {spans} (batch items, then axes); the product must stay below 2^62"
        )
    sizes = (highest - lowest + 1).flip(0)
    return torch.cat([torch.ones_like(sizes[:1]), torch.cumprod(sizes[:-1], 0)], 0).flip(0)


def distinct_sites(coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows of coordinates (N, 1+D) int64, in order of first appearance.

    Returns sites (M, 1+D) int64, the first row (M,) int64 of each site, and the site (N,) int64 of each row.
    """
    n = coords.size(0)
    if n == 0:
        return coords, torch.arange(0, device=coords.device), torch.arange(0, device=coords.device)
    lowest, highest = coords.amin(0), coords.amax(0)
    keys = ((coords - lowest) * key_strides(lowest, highest)).sum(1)
    ordered, rows = torch.sort(keys, stable=True, dim=0)
    starts = torch.ones(n, dtype=torch.bool, device=coords.device)
    starts[1:] = ordered[1:] != ordered[:-1]
    firsts = rows[starts]
    is_first = torch.zeros(n, dtype=torch.bool, device=coords.device)
    is_first[firsts] = True
    number = torch.cumsum(is_first.long(), 0) - 1
    site_of_row = torch.empty_like(rows)
    site_of_row[rows] = number[firsts][torch.cumsum(starts.long(), 0) - 1]
    first_row = is_first.nonzero().squeeze(1)
    return coords[first_row], first_row, site_of_row


def submanifold_map(sites: Tensor, kernel_size: list[int], dilation: list[int]) -> list[Tensor]:
    """Kernel map whose output sites are its input sites (M, 1+D): stride 1, any kernel size and dilation.

    Raises ``ValueError`` where the coordinates span too large a box for keys, and as :func:`check_kernel`; so do the
    other functions here.
    """
    ones = [1] * len(kernel_size)
    return _join(sites, sites, kernel_size, ones, dilation, True)


def strided(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Coarse sites (L, 1+D) ``floor(site / stride)``, in lexicographic order, and the map from the fine ones to them.

    A transposed convolution takes the same map. Raises ``ValueError`` where the coordinates span too large a box.
    """
    check_kernel(sites, "stride", stride)
    steps = _multiples(stride).to(sites.device)
    parents = torch.div(sites, steps, rounding_mode="floor")
    coarse = _sorted_distinct(parents)
    return coarse, joining_map(sites, coarse, kernel_size, stride)


def children(sites: Tensor, kernel_size: list[int], stride: list[int]) -> tuple[Tensor, list[Tensor]]:
    """All fine sites (L, 1+D) that a transposed convolution of these coarse sites (M, 1+D) reaches, and the map.

    The fine sites are in lexicographic order. Used where the finer sites are not known.
    """
    check_kernel(sites, "kernel_size", kernel_size)
    check_kernel(sites, "stride", stride)
    steps = _multiples(stride).to(sites.device)
    ones = [1] * len(kernel_size)
    taps = offsets(kernel_size, ones).to(sites.device)
    fine = _sorted_distinct(((sites * steps).unsqueeze(1) + taps).reshape(-1, sites.size(1)))
    return fine, joining_map(fine, sites, kernel_size, stride)


def joining_map(fine: Tensor, coarse: Tensor, kernel_size: list[int], stride: list[int]) -> list[Tensor]:
    """Kernel map between fine sites (M, 1+D) and coarse sites (L, 1+D) that both exist already."""
    return _join(fine, coarse, kernel_size, stride, [1] * len(kernel_size), False)


def _multiples(stride: list[int]) -> Tensor:
    factors = [1]
    factors.extend(stride)
    return torch.tensor(factors)


def _sorted_distinct(rows: Tensor) -> Tensor:
    if rows.size(0) == 0:
        return rows
    lowest, highest = rows.amin(0), rows.amax(0)
    keys, order = torch.sort(((rows - lowest) * key_strides(lowest, highest)).sum(1))
    keep = torch.ones(rows.size(0), dtype=torch.bool, device=rows.device)
    keep[1:] = keys[1:] != keys[:-1]
    return rows[order[keep]]


def _join(
    fine: Tensor, coarse: Tensor, kernel_size: list[int], stride: list[int], dilation: list[int], same: bool
) -> list[Tensor]:
    """Kernel map by look-up of every (coarse site, tap) among the fine sites; ``same``: both are one tensor."""
    check_kernel(fine, "kernel_size", kernel_size)
    check_kernel(fine, "stride", stride)
    check_kernel(fine, "dilation", dilation)
    taps = offsets(kernel_size, dilation)
    n_taps = taps.size(0)
    counts = [0] * n_taps
    if fine.size(0) == 0 or coarse.size(0) == 0:
        none = torch.arange(0, device=fine.device)
        return [none, none, torch.tensor(counts)]
    bases = coarse * _multiples(stride).to(coarse.device)
    near, far = taps.amin(0).to(fine.device), taps.amax(0).to(fine.device)
    lowest = torch.minimum(fine.amin(0), bases.amin(0) + near)
    highest = torch.maximum(fine.amax(0), bases.amax(0) + far)
    strides = key_strides(lowest, highest)
    keys, fine_order = torch.sort(((fine - lowest) * strides).sum(1))
    # Queries in the order of their keys walk through memory in one direction, which makes the search several times
    # faster, and rows that are near in space come near in the map.
    queries, coarse_order = torch.sort(((bases - lowest) * strides).sum(1))
    shifts: list[int] = (taps.to(fine.device) * strides).sum(1).tolist()
    # The pairs of the opposite tap of a symmetric kernel are the same with the two sides exchanged.
    mirrored = same and shifts[0] == -shifts[n_taps - 1]
    searched = (n_taps + 1) // 2 if mirrored else n_taps
    fine_rows: list[Tensor] = []
    coarse_rows: list[Tensor] = []
    for tap in range(searched):
        if same and shifts[tap] == 0:
            counts[tap] = -1
            continue
        wanted = queries + shifts[tap]
        place = torch.searchsorted(keys, wanted).clamp(max=keys.size(0) - 1)
        found = (keys[place] == wanted).nonzero().squeeze(1)
        counts[tap] = found.size(0)
        fine_rows.append(fine_order[place[found]])
        coarse_rows.append(coarse_order[found])
    if mirrored:
        for tap in range(searched, n_taps):
            opposite = n_taps - 1 - tap
            counts[tap] = counts[opposite]
            fine_rows.append(coarse_rows[opposite])
            coarse_rows.append(fine_rows[opposite])
    if len(fine_rows) == 0:
        none = torch.arange(0, device=fine.device)
        return [none, none, torch.tensor(counts)]
    return [torch.cat(fine_rows), torch.cat(coarse_rows), torch.tensor(counts)]


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
    """``activation(convolution(features) + bias + residual)``, (n_out, C_out).

    features (M, C_in), weight (taps, C_in, C_out), bias (C_out,), residual (n_out, C_out); ``transposed`` goes from
    the coarse to the fine side of the map. The activation is a leaky rectifier; slope 0 is the plain rectifier and
    slope 1 none. Sums run in the order of the taps: the result is the same, bit by bit, from run to run.
    """
    source, target = kernel_map[0], kernel_map[1]
    if transposed:
        source, target = target, source
    counts: list[int] = kernel_map[2].tolist()
    if -1 in counts:
        centre = weight[counts.index(-1)]
        out = torch.mm(features, centre) if bias is None else torch.addmm(bias, features, centre)
    elif bias is None:
        out = features.new_zeros((n_out, weight.size(2)))
    else:
        out = bias.unsqueeze(0).repeat(n_out, 1)
    begin = 0
    for tap in range(len(counts)):
        end = begin + max(counts[tap], 0)
        if end > begin:
            part = torch.mm(features.index_select(0, source[begin:end]), weight[tap])
            out.index_add_(0, target[begin:end], part)
        begin = end
    if residual is not None:
        out.add_(residual)
    return rectify(out, negative_slope)


def rectify(features: Tensor, negative_slope: float) -> Tensor:
    """Leaky rectifier, in place; slope 0 is the plain rectifier and slope 1 leaves the features as they are."""
    if negative_slope == 0.0:
        return F.relu_(features)
    if negative_slope == 1.0:
        return features
    return F.leaky_relu_(features, negative_slope)


def pool(features: Tensor, kernel_map: list[Tensor], n_out: int, mode: str) -> Tensor:
    """Maximum, sum or average (``mode`` ``"max"``, ``"sum"`` or ``"avg"``) over the active sites of each window.

    features (M, C) to (n_out, C); an output without an active site is 0.
    """
    source, target = kernel_map[0], kernel_map[1]
    if bool((kernel_map[2] < 0).any()):
        every = torch.arange(n_out, device=source.device)
        source, target = torch.cat([source, every]), torch.cat([target, every])
    values = features.index_select(0, source)
    out = features.new_zeros((n_out, features.size(1)))
    if mode == "max":
        return out.scatter_reduce(0, target.unsqueeze(1).expand_as(values), values, "amax", include_self=False)
    out = out.index_add(0, target, values)
    if mode == "avg":
        members = features.new_zeros(n_out).index_add(0, target, torch.ones_like(values[:, 0]))
        out = out / members.clamp(min=1.0).unsqueeze(1)
    return out


def pool_items(features: Tensor, sites: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Maximum, sum or average over all sites of each batch item.

    Returns the item numbers (B,) int64 in rising order and the features (B, C).
    """
    items, item_of_site = torch.unique(sites[:, 0], return_inverse=True)
    rows = torch.arange(sites.size(0), device=sites.device)
    joined = [rows, item_of_site, torch.ones(1, dtype=torch.long)]
    return items, pool(features, joined, items.size(0), mode)


def instance_norm(features: Tensor, sites: Tensor, eps: float) -> Tensor:
    """Features (M, C) shifted and scaled to mean 0 and population variance 1 in each batch item and channel."""
    items, item_of_site = torch.unique(sites[:, 0], return_inverse=True)
    rows = torch.arange(sites.size(0), device=sites.device)
    joined = [rows, item_of_site, torch.ones(1, dtype=torch.long)]
    centred = features - pool(features, joined, items.size(0), "avg").index_select(0, item_of_site)
    variance = pool(centred * centred, joined, items.size(0), "avg")
    return centred * torch.rsqrt(variance + eps).index_select(0, item_of_site)
