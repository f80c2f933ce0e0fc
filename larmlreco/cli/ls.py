"""List the products in a file: tag, type, entries that have it, bytes in the file; then those that cannot be read."""

import argparse
from collections.abc import Sequence

from larmlreco.io import BranchSummary, Reader, open_file
from larmlreco.io.layout import TREES

EXAMPLE = "larmlreco ls img.root"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", help="a file or address of events of any format that jobs read")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    file = open_file(args.file)
    try:
        print("\n".join(listing(file)))
    finally:
        file.close()
    return 0


def listing(file: Reader) -> list[str]:
    """The lines that the verb prints."""
    state = "complete" if file.complete else "PARTIAL: its writer did not finish"
    counts = ((file.n_events, "event"), (len(file.subrun_ids), "subrun"), (len(file.run_ids), "run"))
    lines = [f"{file.path}: {', '.join(_counted(n, what) for n, what in counts)}, {state}"]
    made = [
        f"{process.name} ({process.version})" if process.version else process.name for process in file.process_history
    ]
    lines.append(f"processes: {', '.join(made) or 'unknown'}")
    for level, tree in TREES.items():
        branches = file.branches(level)
        readable = [(str(b.key.tag), b.key.type, str(b.entries), _size(b.bytes)) for b in branches if b.key is not None]
        if readable:
            lines += ["", *_table(("tag", "type", f"entries of {tree}", "bytes"), sorted(readable))]
        lines += _undecodable([b for b in branches if b.key is None], tree)
    return lines


def _undecodable(branches: Sequence[BranchSummary], tree: str) -> list[str]:
    if not branches:
        return []
    rows = sorted((b.name, b.type, str(b.entries), _size(b.bytes), b.reason) for b in branches)
    return ["", *_table(("cannot be read", "type", f"entries of {tree}", "bytes", "reason"), rows)]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _size(n: int) -> str:
    return f"{n:,}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; columns of numbers are aligned to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    right = [all(row[i].replace(",", "").isdigit() for row in rows) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
