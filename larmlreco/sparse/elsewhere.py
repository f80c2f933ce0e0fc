"""The convolutions of a network on other libraries: dense torch, spconv, MinkowskiEngine. For comparisons only.

Each function takes a network in evaluation mode whose norms are folded (:func:`larmlreco.sparse.layers.fold_norms`) and
gives a copy that computes the same numbers elsewhere. The rest of the network stays as it is: what its layers pass to
one another as features, sites and kernel maps is opaque to it.
"""

import collections.abc
import copy
import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from larmlreco.errors import ConfigurationError
from larmlreco.sparse.layers import Convolution, Levels, Pyramid
from larmlreco.sparse.portable import rectify


@dataclass
class _Level:
    """A level of coordinates as the other library knows it; ``content`` appears when it is first reached."""

    number: int
    kernel_size: list[int]
    content: Any = None


@dataclass
class _Step:
    """The way between two levels."""

    fine: _Level
    coarse: _Level
    kernel_size: list[int]
    stride: list[int]


@dataclass
class _Library:
    """How one library convolves: the finest level from coordinates, then one function for each way."""

    finest: Callable[[Tensor, _Level], None]
    same: Callable[["_Convolution", Tensor, _Level], Tensor]
    down: Callable[["_Convolution", Tensor, _Step], Tensor]
    up: Callable[["_Convolution", Tensor, _Step], Tensor]
    rows: Callable[[Tensor], tuple[Tensor, Tensor]] = field(
        default=lambda coords: (torch.arange(len(coords)), torch.arange(len(coords)))
    )


class _Pyramid(nn.Module):
    """Stands in for a :class:`Pyramid`: levels that fill themselves as the network reaches them."""

    def __init__(self, pyramid: Pyramid, library: _Library) -> None:
        super().__init__()
        self._pyramid, self._library = pyramid, library

    def forward(self, coords: Tensor) -> Levels:
        """Levels of distinct coordinates (N, 1+D) int64."""
        pyramid = self._pyramid
        levels = [_Level(number, pyramid.kernel_size) for number in range(pyramid.depth)]
        self._library.finest(coords, levels[0])
        steps: list[Any] = [
            _Step(fine, coarse, pyramid.resample_size, pyramid.stride) for fine, coarse in itertools.pairwise(levels)
        ]
        around: list[Any] = list(levels)
        first_row, site_of_row = self._library.rows(coords)
        return Levels(first_row, site_of_row, [coords] * len(levels), around, steps)


class _Convolution(nn.Module):
    """Stands in for a :class:`Convolution` whose norm is folded; ``layer`` is that of the other library.

    ``stem`` tells the first of the network, whose input comes from outside.
    """

    layer: Any

    def __init__(self, convolution: Convolution, library: _Library, stem: bool) -> None:
        super().__init__()
        if convolution.norm is not None:
            raise ValueError("the norms of a network that runs elsewhere must be folded")
        self._library = library
        self.transposed, self.negative_slope = convolution.transposed, convolution.negative_slope
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stem = stem
        self.layer = None

    def forward(self, features: Tensor, kernel_map: Any, n_out: int, residual: Tensor | None = None) -> Tensor:
        """As :meth:`Convolution.forward`, where ``kernel_map`` is a level or the step between two."""
        if isinstance(kernel_map, _Level):
            out = self._library.same(self, features, kernel_map)
        elif self.transposed:
            out = self._library.up(self, features, kernel_map)
        else:
            out = self._library.down(self, features, kernel_map)
        return rectify(out if residual is None else out.add_(residual), self.negative_slope)

    def with_axes(self, kernel_size: list[int]) -> Tensor:
        """The weight as (C_out, C_in, kernel axes...), the layout of dense torch convolutions."""
        taps, c_in, c_out = self.weight.shape
        if len(self.weight) != torch.Size(kernel_size).numel():
            raise ValueError(f"a kernel of size {kernel_size} has not {taps} taps")
        return self.weight.permute(2, 1, 0).reshape(c_out, c_in, *kernel_size)


def _moved(network: nn.Module, library: _Library) -> nn.Module:
    moved = copy.deepcopy(network).eval().requires_grad_(False)
    stem = True
    for parent in list(moved.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Pyramid):
                setattr(parent, name, _Pyramid(child, library))
            elif isinstance(child, Convolution):
                setattr(parent, name, _Convolution(child, library, stem))
                stem = False
    return moved


def on_dense(network: nn.Module, shape: list[int], batch_size: int = 1) -> nn.Module:
    """The network as dense convolutions on images of this shape, with items and coordinates from 0.

    Voxels that the sparse network does not have are set to zero after every convolution, which makes the values at
    active voxels equal. Sides must be multiples of the stride of the deepest level.
    """
    dimension = len(shape)
    convolve = (F.conv2d, F.conv3d)[dimension - 2]
    convolve_transposed = (F.conv_transpose2d, F.conv_transpose3d)[dimension - 2]

    def flat_index(coords: Tensor) -> Tensor:
        index = coords[:, 0]
        for axis, size in enumerate(shape):
            index = index * size + coords[:, 1 + axis]
        return index

    voxels = batch_size * torch.Size(shape).numel()

    def rows(coords: Tensor) -> tuple[Tensor, Tensor]:
        # Every voxel takes the features of some row; the first convolution masks those of inactive ones.
        index = flat_index(coords)
        first = torch.zeros(voxels, dtype=torch.long)
        first[index] = torch.arange(len(coords))
        return first, index

    def finest(coords: Tensor, level: _Level) -> None:
        mask = torch.zeros(voxels, 1)
        mask[flat_index(coords)] = 1.0
        level.content = (mask, list(shape))

    def image(features: Tensor, level: _Level) -> Tensor:
        # (voxels, C) seen as (items, C, axes...), channels last in memory.
        return features.reshape(batch_size, *level.content[1], -1).movedim(-1, 1)

    def matrix(image: Tensor, level: _Level) -> Tensor:
        channels = image.shape[1]
        flat = image.movedim(1, -1).reshape(-1, channels)
        level.content = (level.content[0], list(image.shape[2:]))
        return flat.mul_(level.content[0])

    def same(layer: _Convolution, features: Tensor, level: _Level) -> Tensor:
        if layer.layer is None:
            layer.layer = layer.with_axes(level.kernel_size)
        if layer.stem:
            features = features * level.content[0]
        padding = [(size - 1) // 2 for size in level.kernel_size]
        return matrix(convolve(image(features, level), layer.layer, layer.bias, 1, padding), level)

    def down(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        if layer.layer is None:
            layer.layer = layer.with_axes(step.kernel_size)
        mask = (F.max_pool2d, F.max_pool3d)[dimension - 2](image(step.fine.content[0], step.fine), step.stride)
        step.coarse.content = (mask.movedim(1, -1).reshape(-1, 1), list(mask.shape[2:]))
        return matrix(convolve(image(features, step.fine), layer.layer, layer.bias, step.stride), step.coarse)

    def up(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        if layer.layer is None:
            layer.layer = layer.with_axes(step.kernel_size).transpose(0, 1)
        coarse = image(features, step.coarse)
        return matrix(convolve_transposed(coarse, layer.layer, layer.bias, step.stride), step.fine)

    return _moved(network, _Library(finest, same, down, up, rows))


def on_spconv(network: nn.Module, shape: list[int], batch_size: int = 1) -> nn.Module:
    """The network on spconv 2.3; coordinates from 0, below ``shape``. Raises ``ConfigurationError`` without spconv."""
    spconv = _imported("spconv.pytorch", "spconv==2.3.8")
    dimension = len(shape)
    submanifold = getattr(spconv, f"SubMConv{dimension}d")
    strided, inverse = getattr(spconv, f"SparseConv{dimension}d"), getattr(spconv, f"SparseInverseConv{dimension}d")

    def convolve(layer: _Convolution, sparse: Any, make: Any, kernel_size: list[int], **options: Any) -> Any:
        if layer.layer is None:
            weight = layer.with_axes(kernel_size).movedim(1, -1).contiguous()
            layer.layer = make(weight.shape[-1], weight.shape[0], kernel_size, bias=False, **options)
            layer.layer.load_state_dict({"weight": weight})
            layer.layer.eval().requires_grad_(False)
        out = layer.layer(sparse)
        # Its own bias works on GPUs only.
        return out if layer.bias is None else out.replace_feature(out.features.add_(layer.bias))

    def finest(coords: Tensor, level: _Level) -> None:
        level.content = spconv.SparseConvTensor(torch.empty(len(coords), 0), coords.int(), shape, batch_size)

    def same(layer: _Convolution, features: Tensor, level: _Level) -> Tensor:
        sparse = level.content.replace_feature(features)
        key = f"around{level.number}"
        out: Tensor = convolve(layer, sparse, submanifold, level.kernel_size, indice_key=key).features
        return out

    def down(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        sparse = step.fine.content.replace_feature(features)
        key = f"below{step.fine.number}"
        made = convolve(layer, sparse, strided, step.kernel_size, stride=step.stride, indice_key=key)
        step.coarse.content = made
        out: Tensor = made.features
        return out

    def up(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        sparse = step.coarse.content.replace_feature(features)
        key = f"below{step.fine.number}"
        out: Tensor = convolve(layer, sparse, inverse, step.kernel_size, indice_key=key).features
        return out

    return _moved(network, _Library(finest, same, down, up))


def on_minkowski(network: nn.Module) -> nn.Module:
    """The network on MinkowskiEngine 0.5.4. Raises ``ConfigurationError`` without it."""
    for name in ("Mapping", "MutableMapping", "Sequence", "Iterable"):
        # it imports them from where they stood before Python 3.10
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    engine = _imported("MinkowskiEngine", "MinkowskiEngine 0.5.4")

    def layer_of(layer: _Convolution, make: Any, kernel_size: list[int], stride: list[int]) -> Any:
        if layer.layer is None:
            _, c_in, c_out = layer.weight.shape
            dimension = len(kernel_size)
            made = make(c_in, c_out, kernel_size, stride, bias=layer.bias is not None, dimension=dimension)
            # There the first axis is the fastest of the taps.
            axes = [*reversed(range(dimension)), dimension, dimension + 1]
            kernel = layer.weight.reshape(*kernel_size, c_in, c_out).permute(axes).reshape(made.kernel.shape)
            made.kernel = nn.Parameter(kernel.contiguous(), requires_grad=False)
            if layer.bias is not None:
                made.bias = nn.Parameter(layer.bias.reshape(1, -1), requires_grad=False)
            layer.layer = made
        return layer.layer

    def tensor(features: Tensor, level: _Level) -> Any:
        manager, key = level.content
        return engine.SparseTensor(features, coordinate_map_key=key, coordinate_manager=manager)

    def finest(coords: Tensor, level: _Level) -> None:
        sparse = engine.SparseTensor(torch.zeros(len(coords), 1), coords.int())
        level.content = (sparse.coordinate_manager, sparse.coordinate_map_key)

    def same(layer: _Convolution, features: Tensor, level: _Level) -> Tensor:
        ones = [1] * len(level.kernel_size)
        convolution = layer_of(layer, engine.MinkowskiConvolution, level.kernel_size, ones)
        out: Tensor = convolution(tensor(features, level)).F
        return out

    def down(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        convolution = layer_of(layer, engine.MinkowskiConvolution, step.kernel_size, step.stride)
        out = convolution(tensor(features, step.fine))
        step.coarse.content = (out.coordinate_manager, out.coordinate_map_key)
        coarse: Tensor = out.F
        return coarse

    def up(layer: _Convolution, features: Tensor, step: _Step) -> Tensor:
        convolution = layer_of(layer, engine.MinkowskiConvolutionTranspose, step.kernel_size, step.stride)
        out: Tensor = convolution(tensor(features, step.coarse), coordinates=step.fine.content[1]).F
        return out

    return _moved(network, _Library(finest, same, down, up))


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"this engine needs {package}, which cannot be imported: {error}") from error
