"""A pre-activation U-ResNet on weights as MinkowskiEngine stores them, in float64, by dictionaries of sites.

Coordinates in units of the finest level, tensor strides, taps with the first axis fastest: the rules of
MinkowskiEngine, not those of the package, of which nothing is imported. ``SPINE`` and ``PLAIN`` are names of layers.
"""

import itertools
import math

import numpy as np

SPINE = {
    "stem": "backbone.encoder.input_layer",
    "encoder": "backbone.encoder.encoding_block.{level}.{rep}",
    "down": ("backbone.encoder.encoding_conv.{level}.0", "backbone.encoder.encoding_conv.{level}.1.module",
             "backbone.encoder.encoding_conv.{level}.2"),
    "up": ("backbone.decoder.decoding_conv.{step}.0", "backbone.decoder.decoding_conv.{step}.1.module",
           "backbone.decoder.decoding_conv.{step}.2"),
    "decoder": "backbone.decoder.decoding_block.{step}.{rep}",
    "acts": ("act_fn1.module", "act_fn2.module"),
    "shortcut": "residual.linear",
    "last": ("output.0", "output.1.module"),
    "head": "linear_segmentation.linear",
    "ghost": "linear_ghost.linear",
}  # fmt: skip
PLAIN = {
    "stem": "stem",
    "encoder": "encoder.{level}.{rep}",
    "down": ("down.{level}.norm", "down.{level}.act.module", "down.{level}.conv"),
    "up": ("up.{level}.norm", "up.{level}.act.module", "up.{level}.conv"),
    "decoder": "decoder.{level}.{rep}",
    "acts": ("act1.module", "act2.module"),
    "shortcut": "shortcut",
    "last": ("final_norm", "final_act.module"),
    "head": "classifier.linear",
    "ghost": "ghost.linear",
}

ACTIVATIONS = {
    "relu": lambda x, w: np.maximum(x, 0),
    "none": lambda x, w: x,
    "leaky_relu": lambda x, w: np.where(x > 0, x, 0.33 * x),
    "elu": lambda x, w: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "prelu": lambda x, w: np.where(x > 0, x, w * x),
    "selu": lambda x, w: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "tanh": lambda x, w: np.tanh(x),
}


def taps(size):
    """Offsets of a kernel, the first axis fastest."""
    ranges = [range(-((k - 1) // 2), (k - 1) // 2 + 1) if k % 2 else range(k) for k in reversed(size)]
    return [tuple(reversed(offset)) for offset in itertools.product(*ranges)]


class Weights:
    """A state dict that makes its random weights when they are first asked for, or reads them from one."""

    def __init__(self, given=None, seed=0):
        self.values = {} if given is None else dict(given)
        self.fixed = given is not None
        self.random = np.random.default_rng(seed)

    def __call__(self, name, shape, mean=0.0, spread=1.0):
        if name not in self.values:
            assert not self.fixed, name
            self.values[name] = (mean + spread * self.random.uniform(-1, 1, shape)).astype(np.float32)
        return np.asarray(self.values[name], dtype=np.float64)


class UResNet:
    def __init__(self, names, weights, *, dimension, widths, in_channels, repetitions, classes, activation,
                 norm="batch_norm", eps=1e-5, bias=False, input_kernel=3, resample_size=2, ghost=False):  # fmt: skip
        self.names, self.weights = names, weights
        self.dimension, self.widths, self.in_channels, self.repetitions = dimension, widths, in_channels, repetitions
        self.classes, self.activation, self.norm_kind, self.eps, self.bias = classes, activation, norm, eps, bias
        self.input_kernel = [input_kernel] * dimension if isinstance(input_kernel, int) else input_kernel
        self.resample_size, self.ghost = [resample_size] * dimension, ghost

    def norm(self, name, rows, x):
        if self.norm_kind == "none":
            return x
        c = x.shape[1]
        if self.norm_kind == "instance_norm":
            out = np.empty_like(x)
            items = np.array([row[0] for row in rows])
            for item in set(items.tolist()):
                mine = x[items == item]
                out[items == item] = (mine - mine.mean(0)) / np.sqrt(mine.var(0) + 1e-8)
            return out * self.weights(f"{name}.weight", (1, c), 1, 0.3) + self.weights(f"{name}.bias", (1, c), 0, 0.3)
        scale = self.weights(f"{name}.bn.weight", (c,), 1, 0.3)
        shift = self.weights(f"{name}.bn.bias", (c,), 0, 0.3)
        mean = self.weights(f"{name}.bn.running_mean", (c,), 0, 0.3)
        variance = self.weights(f"{name}.bn.running_var", (c,), 1, 0.5)
        return (x - mean) / np.sqrt(variance + self.eps) * scale + shift

    def act(self, name, x):
        weight = self.weights(f"{name}.weight", (1,), 0.25, 0.1) if self.activation == "prelu" else None
        return ACTIVATIONS[self.activation](x, weight)

    def kernel(self, name, size, a, b):
        volume = math.prod(size)
        shape = (a, b) if volume == 1 else (volume, a, b)
        kernel = self.weights(f"{name}.kernel", shape, 0, 1.5 / math.sqrt(a * max(volume / 4, 1)))
        bias = self.weights(f"{name}.bias", (1, b), 0, 0.5) if self.bias else 0.0
        return kernel.reshape(volume, a, b), bias

    def convolution(self, name, x, rows, out_rows, size, stride, b, transposed=False):
        kernel, bias = self.kernel(name, size, x.shape[1], b)
        out = np.zeros((len(out_rows), b))
        number = {row: i for i, row in enumerate(out_rows if transposed else rows)}
        for tap, offset in enumerate(taps(size)):
            for here, row in enumerate(rows if transposed else out_rows):
                site = (row[0], *(c + stride * d for c, d in zip(row[1:], offset, strict=True)))
                there = number.get(site)
                if there is not None and transposed:
                    out[there] += x[here] @ kernel[tap]
                elif there is not None:
                    out[here] += x[there] @ kernel[tap]
        return out + bias

    def linear(self, name, x, b, bias=True):
        out = x @ self.weights(f"{name}.weight", (b, x.shape[1]), 0, 1.5 / math.sqrt(x.shape[1])).T
        return out + self.weights(f"{name}.bias", (b,), 0, 0.5) if bias else out

    def block(self, name, x, rows, stride, b):
        size = [3] * self.dimension
        first, second = (f"{name}.{act}" for act in self.names["acts"])
        residual = x
        if x.shape[1] != b and self.names["shortcut"].endswith("linear"):
            residual = self.linear(f"{name}.{self.names['shortcut']}", x, b, self.bias)
        elif x.shape[1] != b:
            kernel, bias = self.kernel(f"{name}.{self.names['shortcut']}", [1] * self.dimension, x.shape[1], b)
            residual = x @ kernel[0] + bias
        hidden = self.act(first, self.norm(f"{name}.norm1", rows, x))
        hidden = self.convolution(f"{name}.conv1", hidden, rows, rows, size, stride, b)
        hidden = self.act(second, self.norm(f"{name}.norm2", rows, hidden))
        return self.convolution(f"{name}.conv2", hidden, rows, rows, size, stride, b) + residual

    def resample(self, names, x, rows, out_rows, stride, b, transposed, **numbers):
        norm, act, conv = (name.format(**numbers) for name in names)
        hidden = self.act(act, self.norm(norm, rows, x))
        return self.convolution(conv, hidden, rows, out_rows, self.resample_size, stride, b, transposed)

    def __call__(self, coords, features):
        """Logits, and those of the ghost head or None, of distinct rows."""
        names, depth = self.names, len(self.widths)
        levels = [[tuple(map(int, row)) for row in coords]]
        for level in range(1, depth):
            step = 2**level
            levels.append(sorted({(r[0], *(math.floor(c / step) * step for c in r[1:])) for r in levels[0]}))
        x = np.asarray(features, dtype=np.float64)
        x = self.convolution(names["stem"], x, levels[0], levels[0], self.input_kernel, 1, self.widths[0])
        skips = []
        for level in range(depth):
            for rep in range(self.repetitions):
                name = names["encoder"].format(level=level, rep=rep)
                x = self.block(name, x, levels[level], 2**level, self.widths[level])
            skips.append(x)
            if level < depth - 1:
                x = self.resample(names["down"], x, levels[level], levels[level + 1], 2**level,
                                  self.widths[level + 1], False, level=level)  # fmt: skip
        for step, level in enumerate(range(depth - 2, -1, -1)):
            x = self.resample(names["up"], x, levels[level + 1], levels[level], 2**level, self.widths[level], True,
                              level=level, step=step)  # fmt: skip
            x = np.concatenate([skips[level], x], 1)
            for rep in range(self.repetitions):
                name = names["decoder"].format(level=level, step=step, rep=rep)
                x = self.block(name, x, levels[level], 2**level, self.widths[level])
        norm, act = names["last"]
        x = self.act(act, self.norm(norm, levels[0], x))
        return self.linear(names["head"], x, self.classes), self.linear(names["ghost"], x, 2) if self.ghost else None
