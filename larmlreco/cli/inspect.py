"""Show the model card of an archive, after checking its SHA-256."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from larmlreco.archive import read_archive

EXAMPLE = "larmlreco inspect segmentation_uboone.ts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("archive", type=Path, help="TorchScript archive")
    parser.add_argument("--json", action="store_true", help="print the card as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the card."""
    card, _ = read_archive(options.archive)
    if options.json:
        print(card.to_json())
        return 0
    lines = list(_lines(card.to_dict()))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:{width}}  {value}")
    return 0


def _lines(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and printed values."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _lines(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value):
                yield f"{prefix}{key}.{number}", ", ".join(f"{name} {part}" for name, part in item.items())
        elif isinstance(value, list):
            yield prefix + key, ", ".join(str(item) for item in value) or "none"
        else:
            yield prefix + key, "none" if value in ({}, "", None) else str(value)
