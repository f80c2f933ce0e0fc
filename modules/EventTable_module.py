"""Analyser that prints a line an event."""

import time
from collections.abc import Sequence

import numpy as np

from larmlreco.framework import Analyzer, Event, ModuleContext, ParameterSet, parameter
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Hits, InputTag, Pixels, SemanticScores, Wires


class EventTable(Analyzer):
    """Print a table of the events: wires, hits, pixels and charge, pixels and hits by class, and the time.

    The time of an event is what passed since the event before: reading it, and all modules before this one.
    """

    class Parameters(ParameterSet):
        """Parameters of EventTable."""

        wires: InputTag = parameter("butcher", doc="wires to count")
        hits: InputTag = parameter("gaushit", doc="hits to count")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        planes: list[str] = parameter(["U", "V", "Y"], doc="planes to count")
        scores: InputTag | None = parameter(None, doc="semantic scores to count by class; @nil: none")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._wires = self.consumes(Wires, config.wires)
        self._hits = self.consumes(Hits, config.hits)
        self._images = [
            self.consumes(Pixels, InputTag(config.images.label, plane, config.images.process))
            for plane in config.planes
        ]
        self._planes, self._labelled_hits = [], []
        if config.scores is not None:
            label, process = config.scores.label, config.scores.process
            self._planes = [self.consumes(SemanticScores, InputTag(label, p, process)) for p in config.planes]
            self._labelled_hits = [self.consumes(SemanticScores, InputTag(label, "hits", process))]
        self._last = 0.0

    def begin_job(self) -> None:
        """Print the heads of the columns."""
        heads = ["event".ljust(14), *(head.rjust(8) for head in ("wires", "hits", "pixels")), "charge/ADC".rjust(12)]
        if self._planes:
            heads += [name.rjust(14) for name in SEMANTIC_NAMES]
        print("".join([*heads, "ms".rjust(8)]) + ("   (classes: pixels/hits)" if self._planes else ""))
        self._last = time.perf_counter()

    def analyze(self, event: Event) -> None:
        """Print the line of one event."""
        images = [event.get(Pixels, tag) for tag in self._images]
        cells = [
            str(event.id).ljust(14),
            f"{len(event.get(Wires, self._wires)):8,}",
            f"{len(event.get(Hits, self._hits)):8,}",
            f"{sum(map(len, images)):8,}",
            f"{sum(float(pixels.adc.sum(dtype=np.float64)) for pixels in images):12,.0f}",
        ]
        if self._planes:
            pixels, hits = self._counts(event, self._planes), self._counts(event, self._labelled_hits)
            cells += [f"{p:,}/{h:,}".rjust(14) for p, h in zip(pixels, hits, strict=True)]
        now = time.perf_counter()
        print("".join([*cells, f"{1000 * (now - self._last):8.0f}"]), flush=True)
        self._last = time.perf_counter()

    @staticmethod
    def _counts(event: Event, tags: Sequence[InputTag]) -> list[int]:
        labels = np.concatenate([event.get(SemanticScores, tag).label for tag in tags])
        return [int(n) for n in np.bincount(labels[labels >= 0], minlength=len(SEMANTIC_NAMES))]
