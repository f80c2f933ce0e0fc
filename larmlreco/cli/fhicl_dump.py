"""Print the expanded job in canonical form: includes, references and overrides resolved, names sorted."""

import argparse
from pathlib import Path

from larmlreco.errors import OutputError
from larmlreco.framework import fhicl

EXAMPLE = "larmlreco fhicl-dump --annotate run_images_uboone.fcl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("job", metavar="JOB.fcl", help="a path, or a name looked up on FHICL_FILE_PATH")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("-a", "--annotate", action="store_true", help="tell where each parameter was set, behind it")
    form.add_argument("--prefix-annotate", action="store_true", help="tell it on two lines before each parameter")
    form.add_argument("-q", "--quiet", action="store_true", help="only check the job")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of the terminal")


def run(args: argparse.Namespace) -> int:
    """Expand and print the job; FhiclError names file, line and cause of what is wrong in it."""
    table = fhicl.load(args.job)
    if args.quiet:
        return 0
    text = table.dumps_prefix_annotated() if args.prefix_annotate else table.dumps(annotate=args.annotate)
    if args.output is None:
        print(text, end="")
        return 0
    try:
        args.output.write_text(text)
    except OSError as error:
        raise OutputError(f"cannot write {args.output}: {error.strerror}") from error
    return 0
