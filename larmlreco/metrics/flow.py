"""How well pixels find their partners on other planes (LArFlow), beside the published figures."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.metrics.ratio import EventRatio

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

DISTANCES = (2, 5, 10)
"""Largest distances, in wires, of a partner that counts as found."""

PUBLISHED: Mapping[int, float] = MappingProxyType({2: 0.32, 5: 0.60, 10: 0.78})
"""Validation of LArFlow (slides of the MicroBooNE collaboration), collection to first induction plane."""

TARGETS: Mapping[int, float] = MappingProxyType({2: 0.80, 5: 0.90, 10: 0.95})
"""What this project set out for, on simulated events of MicroBooNE with cosmic muons, all directions."""

CURVE = 20
"""Largest distance (wires) of the curves of the part that is found."""

COUNTS = (1, 4, 16, 64)
"""Lower ends of the ranges of the number of candidates by which the figures are split."""


class FlowMetrics:
    """Fractions of pixels whose partner is found within some wires; matchability.

    A fraction counts pixels whose true partner is seen (``matchable``); a pixel without a prediction is wrong. Pixels
    whose true wire is dead make figures of their own. Errors take the event as the independent unit.
    """

    def __init__(self) -> None:
        self._within: dict[str, list[EventRatio]] = {}
        self._off: dict[str, npt.NDArray[np.int64]] = {}
        self._directions: set[str] = set()
        self._efficiency, self._purity = EventRatio(), EventRatio()

    def add(
        self,
        direction: str,
        predicted: Ints,
        true: Ints,
        matchable: Bools,
        dead: Bools,
        said_matchable: Bools,
        candidates: Ints | None = None,
    ) -> None:
        """Add the pixels (N,) of one direction, for example ``Y2U``, of one event.

        ``predicted`` and ``true`` wires, -1 for none (pixels without a true wire do not count); ``dead``: the true wire
        has no signal; ``said_matchable``: the prediction; ``candidates``: how many the pixel had, where it chose.
        """
        columns = (predicted, true, matchable, dead, said_matchable, *([] if candidates is None else [candidates]))
        if len({len(column) for column in columns}) > 1:
            raise ValueError("predicted, true and the others must have one entry for each pixel")
        self._directions.add(direction)
        off = np.where(predicted < 0, np.iinfo(np.int64).max, np.abs(predicted.astype(np.int64) - true))
        known = true >= 0
        seen = known & matchable
        self._count("all", off[seen])
        self._count(direction, off[seen])
        self._count("into dead wires", off[known & dead & ~matchable])
        for low, high in zip(COUNTS, (*COUNTS[1:], np.inf), strict=True):
            if candidates is None:
                break
            here = seen & (candidates >= low) & (candidates < high)
            self._count(f"{low} to {high - 1:.0f} candidates" if np.isfinite(high) else f"{low} and more", off[here])
        both = int((seen & said_matchable).sum())
        self._efficiency.add(both, int(seen.sum()))
        self._purity.add(both, int((known & said_matchable).sum()))

    def _count(self, name: str, off: Ints) -> None:
        ratios = self._within.setdefault(name, [EventRatio() for _ in DISTANCES])
        for ratio, distance in zip(ratios, DISTANCES, strict=True):
            ratio.add(int((off <= distance).sum()), len(off))
        counts = self._off.setdefault(name, np.zeros(CURVE + 2, dtype=np.int64))
        counts += np.bincount(np.minimum(off, CURVE + 1), minlength=CURVE + 2)

    def summary(self) -> dict[str, Any]:
        """All figures with their errors, as JSON values; ``accuracy`` is that within 2 wires over all directions.

        ``curves``: the part within 0, 1, ... :data:`CURVE` wires, by the names of ``within_wires``.
        """
        within = {
            name: {str(d): r.as_dict() for d, r in zip(DISTANCES, ratios, strict=True)}
            for name, ratios in self._within.items()
        }
        nothing = EventRatio().as_dict()
        return {
            "accuracy": within.get("all", {}).get("2", nothing),
            "directions": {name: within[name]["2"] for name in sorted(self._directions)},
            "within_wires": within,
            "curves": {
                name: (np.cumsum(counts)[:-1] / max(counts.sum(), 1)).tolist() for name, counts in self._off.items()
            },
            "published_Y2U": {str(d): PUBLISHED[d] for d in DISTANCES},
            "matchability": {"efficiency": self._efficiency.as_dict(), "purity": self._purity.as_dict()},
        }

    def table(self) -> str:
        """The figures for people, the published ones in the last line of fractions."""
        width = max(20, *(len(name) for name in self._within)) if self._within else 20
        lines = [
            f"{'partner within':{width}}" + "".join(f"{f'{d} wires, %':>18}" for d in DISTANCES) + "        pixels"
        ]
        for name, ratios in self._within.items():
            figures = "".join(f"{f'{100 * r.value:.2f} +- {100 * r.error:.2f}':>18}" for r in ratios)
            lines.append(f"{name:{width}}{figures}{int(ratios[0].denominator):>14,}")
        lines.append(f"{'published Y2U':{width}}" + "".join(f"{100 * PUBLISHED[d]:>18.0f}" for d in DISTANCES))
        lines.append(
            f"matchability: efficiency {100 * self._efficiency.value:.2f} +- {100 * self._efficiency.error:.2f} %, "
            f"purity {100 * self._purity.value:.2f} +- {100 * self._purity.error:.2f} %"
        )
        return "\n".join(lines)
