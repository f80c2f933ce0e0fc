"""Writes TorchScript archives from checkpoints, folded, frozen, compared with the network that they came from; and
reads the weights of an archive back.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from larmlreco.archive import native_program, pack, read_archive, seal, unpack, with_native
from larmlreco.card import ModelCard
from larmlreco.errors import ConfigurationError, OutputError
from larmlreco.inference import Archive, load_archive, quiet_torchscript
from larmlreco.models import build
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import Network
from larmlreco.sparse import native
from larmlreco.sparse.layers import Convolution, fold_norms
from larmlreco.version import __version__

Sample = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Coordinates (N, 1+D) and features (N, C) of one input."""

ARCHIVE = ".ts"
"""How the names of archives end."""

TOLERANCE = 1e-4
"""Largest difference between archive and network, relative to the largest output, or absolute where that is below 1."""

_FIRST_MARK = 1000.0
_STATISTICS = ("running_mean", "running_var")

ROUNDING = 16
"""How many times as far from the exact outputs as the network itself an archive may be, where that is more."""


def export_archive(
    checkpoint: Checkpoint, path: Path, engine: str = "portable", samples: Sequence[Sample] = ()
) -> ModelCard:
    """Write the network of a checkpoint as an archive and return its card.

    A portable archive also holds the native program of the network, which costs no weights, where the operators are
    there to make it. Batch norms are folded into the convolutions before them. The archive is loaded again and compared
    with the unfolded network on the portable engine, on random input, on no rows, on one row and on ``samples``; only
    then does it appear at ``path``. Raises ``ConfigurationError`` for an unknown engine, an absent one, or a checkpoint
    whose card and network disagree, and ``OutputError`` where archive and network differ or nothing can be written.
    """
    network = _folded(checkpoint.network(engine))
    architecture = checkpoint.architecture
    card = replace(
        checkpoint.card,
        network={"name": architecture.name, "params": dict(architecture.params)},
        outputs=dict(network.meanings),
        engine=engine,
        torch_version=str(torch.__version__),
        larmlreco_version=__version__,
    )
    # As it will be read: whole numbers become floats where those are meant, lists tuples.
    card = ModelCard.from_json(card.to_json(), f"the card for {path}")
    records = _script(network)
    if engine == "portable" and native.available():
        records = with_native(records, _script(_folded(checkpoint.network("native"))))
    card, content = seal(records, card)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _compare(checkpoint, partial, [*_random_samples(card), *samples])
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the archive {path}: {error.strerror}") from error
    return card


def checkpoint_of_archive(path: Path) -> Checkpoint:
    """The network of an archive as a checkpoint that a training can begin with.

    An archive holds weights as constants without names; they are recognised by their places, which those of a network
    of the same architecture with numbered weights take too. Norms that were folded into convolutions come back as
    identities: mean 0, variance 1, and the convolution's bias as their own. While they keep these statistics
    (``norm_freeze: 0``) the network gives the outputs of the archive, which is checked.

    Raises ``InputError`` for a file that is no archive, ``ConfigurationError`` where its network is none of this
    package, or has changed since.
    """
    card, records = read_archive(path)
    architecture = Architecture(str(card.network.get("name", "")), dict(card.network.get("params", {})))
    network = _folded(build(architecture.name, engine=card.engine, **architecture.params))
    state = network.state_dict()
    learned = [name for name, _ in network.named_parameters()]
    learned += [name for name in state if name.endswith(_STATISTICS)]
    for number, name in enumerate(learned):
        state[name].fill_(_FIRST_MARK + number)
    marked, constants = _constants(_script(network)), _constants(records)
    if [mark.shape for mark in marked] != [constant.shape for constant in constants]:
        raise ConfigurationError(f"archive {path} was made of another version of the network {architecture.name!r}")
    found = {float(mark.max()): value for mark, value in zip(marked, constants, strict=True) if mark.numel()}
    for number, name in enumerate(learned):
        state[name].copy_(found[_FIRST_MARK + number].reshape(state[name].shape))
    checkpoint = Checkpoint(architecture, card, _unfolded(network, architecture))
    _compare(checkpoint, path, _random_samples(card))
    return checkpoint


def averaged(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The first of these checkpoints with the mean of the weights of all; its card then quotes no figures.

    The mean of a network and of what it became when it learned on from other events is often better than either on the
    events of both (arXiv 2109.01903). Raises ``ConfigurationError`` for networks of different architectures.
    """
    first = checkpoints[0]
    state = {name: value.clone() for name, value in first.state_dict.items()}
    for other in checkpoints[1:]:
        if {n: v.shape for n, v in other.state_dict.items()} != {n: v.shape for n, v in state.items()}:
            raise ConfigurationError(
                f"cannot average the weights of networks of different architectures: {first.architecture} and "
                f"{other.architecture}"
            )
    for name, value in state.items():
        if value.is_floating_point():
            value.copy_(torch.stack([c.state_dict[name] for c in checkpoints]).mean(0))
    return first.with_state(state, None, {})


def _constants(records: Mapping[str, bytes]) -> list[Tensor]:
    """The tensors in the code of an archive, in the order of the code."""
    with quiet_torchscript():
        module: Any = torch.jit.load(io.BytesIO(pack(records)))  # type: ignore[no-untyped-call]

    def inside(block: Any) -> Iterator[Tensor]:
        for node in block.nodes():
            if node.kind() == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
                yield node.t("value")
            for inner in node.blocks():
                yield from inside(inner)

    return list(inside(module.graph))


def _unfolded(folded: Network, architecture: Architecture) -> dict[str, Tensor]:
    """Weights of the network with norms that do what the biases of the folded one do."""
    state = folded.state_dict()
    network = build(architecture.name, **architecture.params)
    for name, layer in network.named_modules():
        if isinstance(layer, Convolution) and layer.norm is not None:
            state[f"{name}.norm.bias"] = state.pop(f"{name}.bias")
            state[f"{name}.norm.running_var"] = torch.full_like(state[f"{name}.norm.bias"], 1 - layer.norm.eps)
    return {**network.state_dict(), **state}


def _folded(network: Network) -> Network:
    """The network itself, ready to be frozen."""
    network.eval()
    fold_norms(network)
    network.requires_grad_(False)
    return network


def _script(network: Network) -> dict[str, bytes]:
    """The records of the frozen network."""
    content = io.BytesIO()
    with quiet_torchscript():
        frozen = torch.jit.freeze(torch.jit.script(network), optimize_numerics=False)
        torch.jit.save(frozen, content)
    # Debugging records name the source files of the machine that exported; libtorch does without them.
    return {
        name: record
        for name, record in unpack(content.getvalue()).items()
        if not name.endswith(".debug_pkl") and not name.startswith(".data/")
    }


def _compare(checkpoint: Checkpoint, path: Path, samples: Sequence[Sample]) -> None:
    """Raise ``OutputError`` unless the archive, by each of its programs that can run, gives the network's outputs."""
    card, records = read_archive(path)
    both = native_program(records) is not None and native.available()
    for engine in [card.engine, "native"] if both else [card.engine]:
        _compare_program(checkpoint, load_archive(path, engine=engine), samples)


def _compare_program(checkpoint: Checkpoint, archive: Archive, samples: Sequence[Sample]) -> None:
    reference = checkpoint.network().eval()
    exact = checkpoint.network().eval().double()
    for number, (coords, features) in enumerate(samples):
        with torch.inference_mode():
            try:
                expected = reference(torch.from_numpy(coords), torch.from_numpy(features))
                unrounded = exact(torch.from_numpy(coords), torch.from_numpy(features).double())
            except ValueError as error:
                raise ConfigurationError(f"the network and its model card disagree: {error}") from error
        outputs = archive(coords, features)
        if sorted(outputs) != sorted(expected):
            raise OutputError(f"the archive gives {sorted(outputs)}; the network gives {sorted(expected)}")
        for key, value in expected.items():
            wanted, found = value.double().numpy(), outputs[key].astype(np.float64)
            # Large scores before a softmax, for one, make float32 probabilities that are uncertain by themselves.
            rounding = float(np.abs(wanted - unrounded[key].numpy()).max(initial=0.0))
            tolerance = max(TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0.0))), ROUNDING * rounding)
            if wanted.shape != found.shape or not np.allclose(found, wanted, rtol=0.0, atol=tolerance):
                worst = float(np.abs(found - wanted).max()) if wanted.shape == found.shape else found.shape
                raise OutputError(
                    f"the archive does not give the outputs of its network: {key!r} on sample {number} with "
                    f"{len(coords)} rows is off by {worst} on the {archive.engine} engine; the tolerance is "
                    f"{tolerance:.1e}"
                )


def _random_samples(card: ModelCard) -> list[Sample]:
    """Random walks in two batch items, partly at negative coordinates, with positive features; one row; no rows."""
    random = np.random.default_rng(0)
    steps = random.integers(-1, 2, (20, 100, card.dimension))
    starts = random.integers(-50, 50, (20, 1, card.dimension))
    walks = (starts + np.cumsum(steps, axis=1)).reshape(-1, card.dimension)
    coords = np.column_stack([np.repeat([0, 1], len(walks) // 2), walks]).astype(np.int64)
    features = random.gamma(2.0, 1.0, (len(coords), len(card.features))).astype(np.float32)
    return [(coords, features), (coords[:1], features[:1]), (coords[:0], features[:0])]
