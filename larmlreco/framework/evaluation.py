"""Analysers that measure: their figures are what ``larmlreco evaluate`` prints."""

from abc import abstractmethod
from typing import Any

from larmlreco.framework.module import Analyzer


class Evaluator(Analyzer):
    """Base of analysers that compare products with truth; the figures are asked for after the last event."""

    @abstractmethod
    def results(self) -> dict[str, Any]:
        """All figures with their errors, as JSON values."""

    @abstractmethod
    def table(self) -> str:
        """The figures for people."""

    def wrong_parts(self) -> dict[str, float]:
        """Part of each event that is wrong, 0 to 1, by the event's id; of evaluators that rank events."""
        return {}
