"""Writes TorchScript archives from checkpoints: folded, frozen, compared with the network that they came from."""

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from larmlreco.archive import seal, unpack
from larmlreco.card import ModelCard
from larmlreco.errors import ConfigurationError, OutputError
from larmlreco.inference import load_archive, quiet_torchscript
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.network import Network
from larmlreco.sparse.layers import fold_norms
from larmlreco.version import __version__

Sample = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Coordinates (N, 1+D) and features (N, C) of one input."""

TOLERANCE = 1e-4
"""Largest difference between archive and network, relative to the largest output, or absolute where that is below 1."""

ROUNDING = 16
"""How many times as far from the exact outputs as the network itself an archive may be, where that is more."""


def export_archive(
    checkpoint: Checkpoint, path: Path, engine: str = "portable", samples: Sequence[Sample] = ()
) -> ModelCard:
    """Write the network of a checkpoint as an archive and return its card.

    Batch norms are folded into the convolutions before them. The archive is loaded again and compared with the
    unfolded network on the portable engine, on random input, on no rows, on one row and on ``samples``; only then
    does it appear at ``path``. Raises ``ConfigurationError`` for an unknown engine, an absent one, or a checkpoint
    whose card and network disagree, and ``OutputError`` where archive and network differ or nothing can be written.
    """
    network = checkpoint.network(engine).eval()
    fold_norms(network)
    network.requires_grad_(False)
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
    card, content = seal(_script(network), card)
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
    """Raise ``OutputError`` unless the archive gives the outputs of the checkpoint's network."""
    reference = checkpoint.network().eval()
    exact = checkpoint.network().eval().double()
    archive = load_archive(path)
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
                    f"{len(coords)} rows is off by {worst}; the tolerance is {tolerance:.1e}"
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
