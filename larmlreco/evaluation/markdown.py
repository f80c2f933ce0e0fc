"""Figures and tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence


def percent(value: float | None, error: float | None = None, digits: int = 2) -> str:
    """A part, and its error, in per cent; ``-`` where it is not known."""
    if value is None:
        return "-"
    text = f"{100 * value:.{digits}f}"
    return text if error is None else f"{text} ± {100 * error:.{digits}f}"


def ratio(figure: Mapping[str, float | None], digits: int = 2) -> str:
    """``value`` (or ``mean``) and ``error`` of a figure in per cent."""
    return percent(figure.get("value", figure.get("mean")), figure["error"], digits)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are text."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
