"""Sparse convolution by definition: loops over dictionaries, for output site o, tap offset and input site i.

i = stride * o + dilation * (offset - centre); centre (k - 1) / 2 for an odd kernel size k and 0 for an even one; taps
in lexicographic order of the offset. Rows are tuples (batch item, axis 1, ...). Imports nothing of the package.
"""

import itertools
import math

import numpy as np


def tap_offsets(kernel_size, dilation):
    centres = [(k - 1) // 2 if k % 2 else 0 for k in kernel_size]
    for tap in itertools.product(*(range(k) for k in kernel_size)):
        yield tuple(d * (t - c) for t, c, d in zip(tap, centres, dilation, strict=True))


def _input_site(site, offset, stride):
    return (site[0], *(s * x + d for s, x, d in zip(stride, site[1:], offset, strict=True)))


def coarse_sites(rows, stride):
    return sorted({(row[0], *(math.floor(x / s) for x, s in zip(row[1:], stride, strict=True))) for row in rows})


def pairs(in_rows, out_rows, kernel_size, stride, dilation):
    """Triples (tap, input row number, output row number)."""
    number = {row: index for index, row in enumerate(in_rows)}
    found = []
    for tap, offset in enumerate(tap_offsets(kernel_size, dilation)):
        for out, site in enumerate(out_rows):
            source = number.get(_input_site(site, offset, stride))
            if source is not None:
                found.append((tap, source, out))
    return found


def convolution(in_rows, features, weight, out_rows, kernel_size, stride, dilation):
    out = np.zeros((len(out_rows), weight.shape[2]), dtype=np.float64)
    for tap, source, target in pairs(in_rows, out_rows, kernel_size, stride, dilation):
        out[target] += features[source].astype(np.float64) @ weight[tap].astype(np.float64)
    return out


def transposed_convolution(coarse_rows, features, weight, fine_rows, kernel_size, stride):
    out = np.zeros((len(fine_rows), weight.shape[2]), dtype=np.float64)
    for tap, fine, coarse in pairs(fine_rows, coarse_rows, kernel_size, stride, [1] * len(kernel_size)):
        out[fine] += features[coarse].astype(np.float64) @ weight[tap].astype(np.float64)
    return out


def pooling(in_rows, features, out_rows, kernel_size, stride, mode):
    members = {}
    for _, source, target in pairs(in_rows, out_rows, kernel_size, stride, [1] * len(kernel_size)):
        members.setdefault(target, []).append(features[source].astype(np.float64))
    reduce = {"max": np.max, "sum": np.sum, "avg": np.mean}[mode]
    nothing = [np.zeros(features.shape[1])]
    return np.array([reduce(members.get(row, nothing), axis=0) for row in range(len(out_rows))])


def distinct(rows):
    """First row number of each distinct row, in order, and the position there of every row."""
    position, first, of_row = {}, [], []
    for index, row in enumerate(rows):
        if row not in position:
            position[row] = len(first)
            first.append(index)
        of_row.append(position[row])
    return first, of_row
