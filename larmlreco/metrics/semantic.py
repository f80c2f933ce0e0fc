"""How well pixels, voxels or hits are classified: accuracy, confusion, ICPF (arXiv 1903.05663 IV, PRD 99 092001 VI)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.ratio import EventRatio, percent


def confusion_matrix(
    truth: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]], n_classes: int
) -> npt.NDArray[np.int64]:
    """Counts (n_classes, n_classes + 1) of labels: rows are true classes, columns predicted, the last one "none".

    ``truth`` and ``predicted`` are (N,); rows with a negative true label hold no true charge and are not counted; a
    negative prediction counts as "none", which is always wrong.

    Raises ``ValueError`` for lengths that differ or a label of ``n_classes`` or above.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has {truth.shape} labels, the prediction {predicted.shape}; expected equal shapes")
    for name, labels in (("true", truth), ("predicted", predicted)):
        if labels.size and int(labels.max()) >= n_classes:
            raise ValueError(f"{name} label {int(labels.max())} is outside the {n_classes} classes")
    known = truth >= 0
    column = np.where(predicted[known] < 0, n_classes, predicted[known])
    flat = truth[known].astype(np.int64) * (n_classes + 1) + column
    return np.bincount(flat, minlength=n_classes * (n_classes + 1)).reshape(n_classes, n_classes + 1)


class SemanticMetrics:
    """Accuracy overall and by class, confusion, and the incorrectly classified pixel fraction over events.

    Accuracies are ratios of pixel sums (the non-zero accuracy of 1903.05663); their errors take the event as the
    independent unit. ICPF is the fraction of wrong pixels of an event (PRD 99 092001), quoted as the mean and the 90 %
    quantile over events. The error rate of a class is the fraction of its pixels that are wrong in an event, as a mean
    over the events that have some (the shower and track error rates of that paper).
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        n = len(self.class_names)
        self.confusion = np.zeros((n, n + 1), dtype=np.int64)
        self._overall = EventRatio()
        self._classes = [EventRatio() for _ in range(n)]
        self._icpf: list[float] = []
        self._wrong: list[list[float]] = [[] for _ in range(n)]

    def add(self, truth: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]]) -> float:
        """Add one event, see :func:`confusion_matrix`; returns its ICPF.

        An event without true charge does not count, its ICPF is NaN.
        """
        counts = confusion_matrix(truth, predicted, len(self.class_names))
        self.confusion += counts
        right, total = int(np.trace(counts)), int(counts.sum())
        self._overall.add(right, total)
        for i, ratio in enumerate(self._classes):
            ratio.add(int(counts[i, i]), int(counts[i].sum()))
            if counts[i].any():
                self._wrong[i].append(float(1 - counts[i, i] / counts[i].sum()))
        if not total:
            return math.nan
        self._icpf.append(1 - right / total)
        return self._icpf[-1]

    def summary(self) -> dict[str, Any]:
        """All figures with their errors, as JSON values."""
        icpf = np.array(self._icpf)
        n = len(icpf)
        return {
            "events": n,
            "class_names": list(self.class_names),
            "accuracy": self._overall.as_dict(),
            "classes": {name: r.as_dict() for name, r in zip(self.class_names, self._classes, strict=True)},
            "icpf": {**_mean(self._icpf), "quantile90": float(np.quantile(icpf, 0.9)) if n else math.nan},
            "error_rates": {name: _mean(w) for name, w in zip(self.class_names, self._wrong, strict=True)},
            "confusion": self.confusion.tolist(),
        }

    def table(self, cells: str = "pixels") -> str:
        """The summary for people: accuracies with errors, then the confusion matrix in per cent of each true class.

        ``cells``: what was classified.
        """
        summary = self.summary()
        width = max(10, *(len(name) for name in self.class_names))
        lines = [f"{'':{width}}  accuracy %          {cells:>6}   error rate of events %"]
        for name, r in [("all", summary["accuracy"]), *summary["classes"].items()]:
            line = f"{name:{width}}  {percent(r['value'], r['error'], 6)} {int(r['count']):>13,}"
            rate = summary["error_rates"].get(name)
            lines.append(line + (f"  {percent(rate['mean'], rate['error'], 8)}" if rate else ""))
        icpf = summary["icpf"]
        lines += [
            (
                f"ICPF over {summary['events']} events: mean {percent(icpf['mean'], icpf['error'])} %, "
                f"90 % quantile {100 * icpf['quantile90']:.2f} %"
            ),
            f"confusion, % of the true class: {'true':>6} \\ predicted",
            " " * width + "".join(f"{name:>10}" for name in (*self.class_names, "none")),
        ]
        for name, row in zip(self.class_names, self.confusion, strict=True):
            total = max(int(row.sum()), 1)
            lines.append(f"{name:{width}}" + "".join(f"{100 * count / total:10.2f}" for count in row))
        return "\n".join(lines)


def _mean(values: list[float]) -> dict[str, float]:
    """Mean over events with its error, their standard deviation and their number."""
    n = len(values)
    std = float(np.std(values, ddof=1)) if n > 1 else math.nan
    return {
        "mean": float(np.mean(values)) if n else math.nan,
        "error": std / math.sqrt(n) if n > 1 else math.nan,
        "std": std,
        "events": n,
    }
