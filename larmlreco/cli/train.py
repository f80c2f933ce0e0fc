"""Train a network as the ``training`` table of a FHiCL file says.

Checkpoints and logs go into the folder ``training.output``. Ctrl-C or SIGTERM end the training after the present
iteration with a checkpoint; ``--resume`` goes on from it as if nothing had happened. On several GPUs or nodes:
torchrun --nproc-per-node 4 --no-python larmlreco train -c ... --device cuda
"""

import argparse
import sys
from pathlib import Path

EXAMPLE = "larmlreco train -c fcl/train_segmentation_uboone.fcl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-c", "--config", required=True, metavar="JOB.fcl", help="configuration with a training table")
    parser.add_argument("--resume", type=Path, metavar="CKPT", help="checkpoint to go on from")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: all cores)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")


def run(options: argparse.Namespace) -> int:
    """Train; 0 when all iterations are done, 130 when it was interrupted."""
    import torch

    from larmlreco.cli.main import INTERRUPTED
    from larmlreco.errors import ConfigurationError
    from larmlreco.framework import fhicl
    from larmlreco.train.processes import Processes, join_processes, leave_processes
    from larmlreco.train.tasks import trainer_of

    if options.threads:
        torch.set_num_threads(options.threads)
    table = fhicl.load(options.config)
    values = table.to_python()
    if "training" not in values:
        raise ConfigurationError(f"{options.config} has no table 'training'; it has {', '.join(values) or 'nothing'}")
    device = join_processes(options.device)
    try:
        trainer = trainer_of(values["training"], device, table.origin)
        if options.resume is not None:
            trainer.resume(options.resume)
        result = trainer.run()
        first = Processes(device).first
    finally:
        leave_processes()
    if result["interrupted"]:
        if first:
            print(f"stopped at iteration {result['iteration']}; go on with --resume {trainer.last}", file=sys.stderr)
        return INTERRUPTED
    if first:
        print(f"best validation accuracy {result['best_accuracy']:.4f} at iteration {result['best_iteration']}")
        print(f"{trainer.best} (best), {trainer.last} (last); make an archive with: larmlreco export {trainer.best}")
    return 0
