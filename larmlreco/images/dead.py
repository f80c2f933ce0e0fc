"""Which channels are dead in an event: by status, by configuration, or because they are silent."""

import logging
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from larmlreco.geometry import ReadoutPlane
from larmlreco.images.pixels import dead_channels
from larmlreco.products import ChannelStatus, Pixels

Int64 = npt.NDArray[np.int64]


def silent_channels(pixels: Pixels, readout: ReadoutPlane, longest: int = 0) -> Int64:
    """Channels (N,) of a plane without a pixel in an image: where nobody says which are dead, dead ones are among them.

    That wires which only had nothing to see are among them too costs little: what is made there is true where it goes
    on as the track on both sides, which the networks see. Runs of more than ``longest`` silent columns are left out,
    unless that is 0.
    """
    seen = np.unique(pixels.column).astype(np.int64)
    silent = np.ones(readout.n_columns, dtype=np.bool_)
    silent[seen] = False
    if longest:
        edges = np.concatenate([[-1], seen, [readout.n_columns]])
        run = np.diff(edges) - 1
        silent[silent] = np.repeat(run, run) <= longest
    return readout.channels[silent]


class DeadChannelFinder:
    """Tells which channels of an event are dead.

    They are ``known`` (N,) and those of the event's status. Without a status, with ``silent_is_dead``, those are added
    that are silent in the event, see :func:`silent_channels`. ``expected`` is the name of the status that events should
    hold, or ``None``. What stands for a status is said once: a warning where one was expected, else, where silent wires
    are taken as dead, for information.
    """

    def __init__(
        self,
        known: npt.ArrayLike,
        silent_is_dead: bool,
        log: logging.Logger,
        expected: str | None = None,
        longest_silent: int = 0,
    ) -> None:
        self._known = np.asarray(known, dtype=np.int64)
        self._silent_is_dead = silent_is_dead
        self._longest = longest_silent
        self._log = log
        self._expected = expected
        self._said = False

    def find(self, status: ChannelStatus | None, images: Iterable[tuple[Pixels, ReadoutPlane]] = ()) -> Int64:
        """Dead channels (N,), rising, of an event with this status and these images of planes."""
        parts = [self._known]
        if status is not None:
            parts.append(dead_channels(status))
        else:
            if not self._said:
                self._say_what_stands_for_it()
            if self._silent_is_dead:
                parts += [silent_channels(pixels, readout, self._longest) for pixels, readout in images]
        return np.unique(np.concatenate(parts))

    def _say_what_stands_for_it(self) -> None:
        self._said = True
        instead = "silent wires are taken as dead" if self._silent_is_dead else "all others are taken as alive"
        if self._silent_is_dead and self._longest:
            instead += f" in runs of up to {self._longest}"
        if self._expected is not None:
            self._log.warning("there is no status of channels %s; %s", self._expected, instead)
        elif self._silent_is_dead:
            self._log.info("no status of channels is configured; %s", instead)
