"""What a job did, as a table for people and as JSON for programs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from larmlreco.errors import OutputError
from larmlreco.framework.meter import Usage
from larmlreco.products.trigger import PathState

EXIT_EVENTS_SKIPPED = 6
"""Exit status of a job that is done, but in which events failed and were skipped (``on_error: skip``)."""

EXIT_INTERRUPTED = 130
"""Exit status of a job that was interrupted."""


@dataclass
class PathSummary:
    """How often a trigger path passed, was ended by a filter, and failed."""

    name: str
    passed: int = 0
    rejected: int = 0
    failed: int = 0

    def count(self, state: PathState) -> None:
        """Add one event."""
        self.passed += state == PathState.PASS
        self.rejected += state == PathState.FAIL
        self.failed += state == PathState.EXCEPTION


@dataclass
class FileSummary:
    """A file read or written, and how many events of it."""

    path: str
    label: str = ""
    events: int = 0
    complete: bool = True


@dataclass
class JobReport:
    """Counts of a job.

    ``read``: events that were read; ``processed``: those that went through all paths; ``passed``: those for which a
    trigger path passed (all, where there is no trigger path); ``skipped``: ids of those that failed and the label of
    the module that failed. ``pot``: protons on target in the subruns read, by tag of the POTSummary.
    """

    process: str
    configuration_sha256: str = ""
    read: int = 0
    processed: int = 0
    passed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0
    subruns: int = 0
    pot: dict[str, float] = field(default_factory=dict)
    paths: list[PathSummary] = field(default_factory=list)
    inputs: list[FileSummary] = field(default_factory=list)
    outputs: list[FileSummary] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    exit_status: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "process_name": self.process,
            "configuration_sha256": self.configuration_sha256,
            "exit_status": self.exit_status,
            "interrupted": self.interrupted,
            "errors": self.errors,
            "events": {
                "read": self.read,
                "processed": self.processed,
                "passed": self.passed,
                "skipped": len(self.skipped),
            },
            "skipped_events": [{"event": event, "module": label} for event, label in self.skipped],
            "runs": self.runs,
            "subruns": self.subruns,
            "pot": self.pot,
            "paths": [asdict(path) for path in self.paths],
            "inputs": [{"path": f.path, "events": f.events, "complete": f.complete} for f in self.inputs],
            "outputs": [asdict(f) for f in self.outputs],
            "modules": [
                {
                    "label": label,
                    "module_type": self.types.get(label, ""),
                    "calls": usage.calls,
                    "mean_ms": usage.mean_ms,
                    "max_ms": 1e3 * usage.max_s,
                    "total_s": usage.total_s,
                    "peak_rss_growth_mb": usage.growth_mb,
                }
                for label, usage in self.usage.items()
            ],
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "peak_rss_mb": self.peak_rss_mb,
            "versions": self.versions,
            "models": self.models,
        }

    def write(self, path: str) -> None:
        """Write the report as JSON. Raises ``OutputError`` if that cannot be."""
        try:
            Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write the job report {path}: {error.strerror}") from error

    def table(self, time: bool = True, memory: bool = True) -> str:
        """The summary for people; ``time`` and ``memory`` choose the columns of the modules."""
        lines = [
            f"events: {self.read} read, {self.processed} processed, {self.passed} passed, {len(self.skipped)} skipped; "
            f"{self.runs} runs, {self.subruns} subruns"
            + "".join(f", {pot:.4g} POT ({tag})" for tag, pot in self.pot.items())
        ]
        for path in self.paths:
            lines.append(
                f"path {path.name}: {path.passed} passed, {path.rejected} rejected"
                + (f", {path.failed} failed" if path.failed else "")
            )
        for file in self.outputs:
            lines.append(f"output {file.label}: {file.events} events in {file.path}")
        if time or memory:
            lines += ["", *self._modules(time, memory)]
        if memory:
            lines.append(f"wall {self.wall_s:.2f} s, CPU {self.cpu_s:.2f} s, peak memory {self.peak_rss_mb:.0f} MB")
        elif time:
            lines.append(f"wall {self.wall_s:.2f} s, CPU {self.cpu_s:.2f} s")
        return "\n".join(lines)

    def _modules(self, time: bool, memory: bool) -> list[str]:
        head = ["module", "type", "calls"]
        head += ["mean ms", "max ms", "total s"] if time else []
        head += ["peak growth MB"] if memory else []
        rows = [head]
        for label, usage in self.usage.items():
            row = [label, self.types.get(label, ""), str(usage.calls)]
            row += [f"{usage.mean_ms:.2f}", f"{1e3 * usage.max_s:.2f}", f"{usage.total_s:.3f}"] if time else []
            row += [f"{usage.growth_mb:.1f}"] if memory else []
            rows.append(row)
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        return [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
