"""Make the page "How good is it" from evaluations: tables beside the published ones, plots, event pictures.

The page is Markdown; its pictures (PNG, and PDF of the plots) lie in a folder of its name beside it.
"""

import argparse
from pathlib import Path

EXAMPLE = "larmlreco evaluation-page evaluation/mpv evaluation/1e1p -o docs/how_good.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="folders that larmlreco evaluate --save made"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PAGE.md", help="the page to write")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from larmlreco.evaluation.page import write_page

    write_page(args.folders, args.output)
    return 0
