"""Write a TorchScript archive from a checkpoint and compare it with the network that it came from."""

import argparse
from pathlib import Path

import numpy as np

from larmlreco.errors import InputError

EXAMPLE = "larmlreco export training/best.ckpt -o segmentation_uboone.ts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, help="checkpoint that larmlreco train wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.ts", help="archive to write")
    parser.add_argument(
        "--engine",
        choices=("portable", "native"),
        default="portable",
        help="portable: any libtorch loads it; native: needs the operator library (default: %(default)s)",
    )
    parser.add_argument(
        "--compare-on",
        type=Path,
        action="append",
        default=[],
        metavar="INPUT.npz",
        help="real input, arrays coords (N, 1+D) and feats (N, C), on which archive and network must agree; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Export and say what was written."""
    from larmlreco.export import Sample, export_archive
    from larmlreco.models.checkpoint import load_checkpoint

    samples: list[Sample] = []
    for path in options.compare_on:
        try:
            with np.load(path, allow_pickle=False) as file:
                samples.append((file["coords"].astype(np.int64), file["feats"].astype(np.float32)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected an npz file with arrays coords and feats: {error}") from error
    card = export_archive(load_checkpoint(options.checkpoint), options.output, options.engine, samples)
    print(f"{options.output}: {card.task} for {card.detector}, engine {card.engine}, SHA-256 {card.sha256}")
    return 0
