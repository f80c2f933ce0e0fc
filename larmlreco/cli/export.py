"""Write a TorchScript archive from a checkpoint and compare it with the network that it came from."""

import argparse
import sys
from pathlib import Path

import numpy as np

from larmlreco.errors import ConfigurationError, InputError

EXAMPLE = "larmlreco export training/best.ckpt -o segmentation_uboone.ts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, help="checkpoint of larmlreco train, or of the package of --from")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.ts", help="archive to write")
    parser.add_argument(
        "--engine",
        choices=("portable", "native"),
        default="portable",
        help="portable: any libtorch loads it, and jobs run its native program where the operator library is; native: "
        "needs that library (default: %(default)s)",
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("larmlreco", "minkowski", "spine"),
        default="larmlreco",
        help="what wrote the checkpoint: this package, a U-ResNet on MinkowskiEngine layers, or SPINE's uresnet "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--architecture",
        type=Path,
        metavar="FILE",
        help="JSON or YAML with the architecture (minkowski) or the configuration (spine), where the checkpoint does "
        "not hold it",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="JSON with facts for the model card of a foreign checkpoint: detector, class_names, features, ...",
    )
    parser.add_argument(
        "--average-with",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="take the mean of the weights of both: a checkpoint, or an archive (.ts) that training began with; "
        "repeatable",
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="put the figures of larmlreco evaluate --save on the card, for those of the training's validation; "
        "repeatable",
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
    from larmlreco.evaluation.record import Evaluation, for_card
    from larmlreco.export import ARCHIVE, Sample, averaged, checkpoint_of_archive, export_archive
    from larmlreco.models.checkpoint import load_checkpoint
    from larmlreco.models.foreign import load_foreign, read_facts

    samples: list[Sample] = []
    for path in options.compare_on:
        try:
            with np.load(path, allow_pickle=False) as file:
                samples.append((file["coords"].astype(np.int64), file["feats"].astype(np.float32)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected an npz file with arrays coords and feats: {error}") from error
    if options.origin != "larmlreco":
        facts = None if options.card is None else read_facts(options.card)
        checkpoint, left_out = load_foreign(options.checkpoint, options.origin, options.architecture, facts)
        if left_out:
            print(
                f"left out: {len(left_out)} weights of other modules, {left_out[0]} the first of them", file=sys.stderr
            )
    elif options.architecture is not None or options.card is not None:
        raise ConfigurationError("--architecture and --card describe foreign checkpoints; ours hold both: add --from")
    else:
        checkpoint = load_checkpoint(options.checkpoint)
    if options.average_with:
        others = [checkpoint_of_archive(p) if p.suffix == ARCHIVE else load_checkpoint(p) for p in options.average_with]
        checkpoint = averaged([checkpoint, *others])
    if options.evaluation:
        figures = for_card([Evaluation.load(folder) for folder in options.evaluation])
        checkpoint = checkpoint.with_state(checkpoint.state_dict, checkpoint.training, figures)
    card = export_archive(checkpoint, options.output, options.engine, samples)
    print(f"{options.output}: {card.task} for {card.detector}, engine {card.engine}, SHA-256 {card.sha256}")
    return 0
