"""Reads one event of wires from a NumPy archive of sparse samples, as ProtoDUNE-HD data after signal processing."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larmlreco.errors import InputError
from larmlreco.geometry import detector
from larmlreco.io.foreign import ForeignReader
from larmlreco.io.reader import BranchSummary, Level
from larmlreco.io.rootfile import first_line
from larmlreco.products import ChannelStatus, Product, ProductKey, Wires

DEAD = 1
"""``ChannelStatus.status`` of the channels that the archive calls bad."""

ARRAYS = ("channel", "tick", "adc", "n_ticks", "bad_channel_ranges", "run", "event")

_SHOWN = 8  # names of arrays in a message


class NpzReader(ForeignReader):
    """A file with one event; implements :class:`larmlreco.io.reader.Reader`.

    Arrays: ``channel``, ``tick`` and ``adc`` (samples,) are the samples that are not zero, ``n_ticks`` the length of
    the waveforms, ``bad_channel_ranges`` (n, 3) channel, first tick and last tick, ``run`` and ``event`` numbers
    (``subrun`` too, 0 where it is absent). Products: ``Wires``, a ROI a stretch of samples without a gap, and
    ``ChannelStatus``, the bad channels. Raises ``InputError`` for a file that is something else.
    """

    def __init__(
        self, path: str | Path, *, label: str = "wires", process: str = "NPZ", detector_name: str = "protodunehd"
    ) -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                self._arrays: dict[str, npt.NDArray[Any]] = {name: archive[name] for name in archive.files}
        except FileNotFoundError as error:
            raise InputError(f"input {path} does not exist") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise InputError(f"input {path} is not a readable npz archive: {first_line(error)}") from error
        missing = [name for name in ARRAYS if name not in self._arrays]
        if missing:
            more = f", ... ({len(self._arrays)} in all)" if len(self._arrays) > _SHOWN else ""
            raise InputError(
                f"input {path} lacks the arrays {', '.join(missing)}; expected an event of wires with "
                f"{', '.join(ARRAYS)}; it has {', '.join(list(self._arrays)[:_SHOWN]) or 'none'}{more}"
            )
        lengths = {name: self._arrays[name].shape for name in ("channel", "tick", "adc")}
        if len(set(lengths.values())) != 1 or len(lengths["adc"]) != 1:
            raise InputError(f"input {path}: channel, tick and adc have the shapes {list(lengths.values())}, not one")
        ids = [int(self._arrays.get(name, np.int64(0))) for name in ("run", "subrun", "event")]
        super().__init__(path, process, [ids])
        self._detector = detector(detector_name)
        self._size = Path(path).stat().st_size
        self._keys = [ProductKey(kind, label, "", process) for kind in ("Wires", "ChannelStatus")]

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """The two products; ``bytes`` is the share of the arrays each is made from."""
        if level != "event":
            return []
        status = self._arrays["bad_channel_ranges"].nbytes
        total = sum(array.nbytes for array in self._arrays.values())
        share = [round(self._size * (total - status) / total), round(self._size * status / total)]
        return [BranchSummary(key.branch, key.type, key, 1, size) for key, size in zip(self._keys, share, strict=True)]

    def _read(self, entry: int, key: ProductKey) -> Product:
        if entry != 0:
            raise IndexError(f"entry {entry} is outside the 1 entries")
        return self._wires() if key.type == "Wires" else self._status()

    def _wires(self) -> Wires:
        given, ticks, n_samples = self._arrays["channel"], self._arrays["tick"], int(self._arrays["n_ticks"])
        order = np.lexsort((ticks, given))
        channel, tick = given[order].astype(np.int64), ticks[order].astype(np.int64)
        outside = (tick < 0) | (tick >= n_samples)
        if outside.any():
            raise InputError(
                f"input {self.path}: tick {tick[outside][0]} of channel {channel[outside][0]} is outside the "
                f"{n_samples} ticks of the event"
            )
        new_wire = np.diff(channel, prepend=-1) != 0
        step = np.diff(tick, prepend=-1)
        if ((step == 0) & ~new_wire).any():
            twice = np.flatnonzero((step == 0) & ~new_wire)[0]
            raise InputError(f"input {self.path}: channel {channel[twice]} has tick {tick[twice]} twice")
        first = np.flatnonzero(new_wire | (step != 1))
        wire = np.cumsum(new_wire) - 1
        channels = channel[new_wire]
        self._detector.check_channels(channels, f"input {self.path}")
        views = np.array([plane.view_number for plane in self._detector.readout_planes])
        columns: dict[str, npt.ArrayLike] = {
            "channel": channels,
            "plane": self._detector.channel_plane[channels],
            "view": views[self._detector.channel_readout[channels]],
            "n_samples": np.full(len(channels), n_samples),
            "roi_wire": wire[first],
            "roi_begin": tick[first],
            "roi_length": np.diff(first, append=len(tick)),
            "adc": self._arrays["adc"][order],
        }
        return Wires.from_columns(columns)

    def _status(self) -> ChannelStatus:
        channel = np.unique(self._arrays["bad_channel_ranges"][:, 0])
        return ChannelStatus.from_columns({"channel": channel, "status": np.full(len(channel), DEAD)})

    def close(self) -> None:
        """Release the arrays."""
        self._arrays.clear()
