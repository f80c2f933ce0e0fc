"""A detector: its TPCs, planes, channels, readout window, and the conversions between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError, InputError, valid_choices
from larmlreco.geometry.planes import Float64, Int64, WirePlane


@dataclass(frozen=True, eq=False)
class TPC:
    """A drift volume and its three planes.

    ``index`` counts the TPCs of the detector, ``number`` those of its cryostat. ``drift`` is the sign of x along
    which electrons drift. ``active`` (3, 2) is the active volume (cm): low and high x, y, z; ``None`` for the outer
    side of an APA that looks at the cryostat wall.
    """

    index: int
    cryostat: int
    number: int
    drift: int
    active: Float64 | None
    planes: tuple[WirePlane, ...]

    @property
    def anode_x(self) -> float:
        """Where drift distance is 0: x of the first plane (cm)."""
        return self.planes[0].x


@dataclass(frozen=True, eq=False)
class ReadoutPlane:
    """Channels of one plane in the order in which an image shows them.

    Most readout planes are one wire plane, and column k is wire k. Where induction wires wrap around an APA, a
    channel reads wires on both faces and cannot be given to one of them; its readout plane then is the APA's
    whole view and column k is channel k of it (800 in DUNE), as the experiment draws it. It is named after the
    first TPC of the APA that looks at an active volume. The collection wires of the two faces are read
    apart and are two readout planes.

    ``name`` is the instance name of products on the plane: ``tpc0_Y``, or the view alone where there is one TPC.
    ``tpc`` and ``plane`` are those of the name, ``wire_planes`` all wire planes that the channels read,
    ``channels`` (columns,) the channel of every column.
    """

    name: str
    tpc: int
    plane: int
    view: str
    view_number: int
    signal_type: int
    active: bool
    channels: Int64
    wire_planes: tuple[WirePlane, ...]

    @property
    def n_columns(self) -> int:
        """Columns of the image."""
        return len(self.channels)


@dataclass(frozen=True, eq=False)
class Detector:
    """All that is known of a detector; made by :func:`larmlreco.geometry.detector`.

    Ticks are samples of the stored waveform; sample s is clock tick ``s + first_clock_tick``. The trigger is at
    sample ``trigger_sample``. Images show the samples [0, ``image_samples``) of the ``n_samples``. ``tick_period`` us,
    ``drift_speed`` cm/us, ``electric_field`` kV/cm, ``temperature`` K. ``unread_channels`` are numbered but have a
    wire without electronics.
    """

    name: str
    title: str
    source: str
    drift_speed: float
    electric_field: float
    temperature: float
    tick_period: float
    n_samples: int
    image_samples: int
    trigger_sample: int
    first_clock_tick: int
    n_channels: int
    unread_channels: Int64
    tpcs: tuple[TPC, ...]
    readout_planes: tuple[ReadoutPlane, ...]

    @cached_property
    def planes(self) -> tuple[WirePlane, ...]:
        """All wire planes, by TPC, then plane."""
        return tuple(plane for tpc in self.tpcs for plane in tpc.planes)

    def plane(self, tpc: int, plane: int | str) -> WirePlane:
        """A wire plane by TPC and number or view. Raises ``ConfigurationError``, naming the valid ones."""
        if not 0 <= tpc < len(self.tpcs):
            raise ConfigurationError(f"{self.name} has no TPC {tpc}; valid: 0 to {len(self.tpcs) - 1}")
        for candidate in self.tpcs[tpc].planes:
            if plane in (candidate.plane, candidate.view):
                return candidate
        names = ", ".join(f"{p.plane} ({p.view})" for p in self.tpcs[tpc].planes)
        raise ConfigurationError(f"TPC {tpc} of {self.name} has no plane {plane!r}; valid: {names}")

    def readout_plane(self, name: str) -> ReadoutPlane:
        """A readout plane by its name. Raises ``ConfigurationError``, naming the valid ones."""
        for plane in self.readout_planes:
            if plane.name == name:
                return plane
        raise ConfigurationError(
            f"{self.name} has no plane {name!r}; {valid_choices(name, (p.name for p in self.readout_planes))}"
        )

    def readout_planes_of(self, tpc: int) -> tuple[ReadoutPlane, ...]:
        """The readout planes, in plane order, that see the charge of a TPC."""
        seen = [p for p in self.readout_planes if any(w.tpc == tpc for w in p.wire_planes)]
        return tuple(sorted(seen, key=lambda p: p.plane))

    @cached_property
    def volumes(self) -> Mapping[int, tuple[ReadoutPlane, ...]]:
        """The readout planes, in plane order, that see the charge of each active TPC, by its number."""
        return {tpc.index: self.readout_planes_of(tpc.index) for tpc in self.tpcs if tpc.active is not None}

    @cached_property
    def active_readout_planes(self) -> tuple[ReadoutPlane, ...]:
        """The readout planes that see an active volume."""
        return tuple(p for p in self.readout_planes if p.active)

    @cached_property
    def channel_readout(self) -> Int64:
        """Index in ``readout_planes`` of every channel (channels,); -1 for a channel without a wire."""
        return self._channel_table(lambda index, plane: np.full(plane.n_columns, index))

    @cached_property
    def channel_column(self) -> Int64:
        """Column of every channel on its readout plane (channels,); -1 for a channel without a wire."""
        return self._channel_table(lambda index, plane: np.arange(plane.n_columns))

    @cached_property
    def channel_plane(self) -> Int64:
        """Plane in the TPC (0 to 2) of every channel (channels,); -1 for a channel without a wire."""
        return self._channel_table(lambda index, plane: np.full(plane.n_columns, plane.plane))

    def _channel_table(self, values: Callable[[int, ReadoutPlane], Int64]) -> Int64:
        table = np.full(self.n_channels, -1, dtype=np.int64)
        for index, plane in enumerate(self.readout_planes):
            table[plane.channels] = values(index, plane)
        return table

    def check_channels(self, channels: npt.ArrayLike, what: str) -> None:
        """Raise ``InputError`` for a channel outside the geometry; ``what`` says whose channels they are."""
        channels = np.asarray(channels)
        wrong = channels[(channels < 0) | (channels >= self.n_channels)]
        if wrong.size:
            raise InputError(
                f"{what}: channel {int(wrong[0])} is outside {self.name}; valid: 0 to {self.n_channels - 1}"
            )

    def check_views(self, channels: npt.ArrayLike, views: npt.ArrayLike, what: str) -> None:
        """Raise ``InputError`` where channels (N,) have other views (N,) than here: they are of another detector.

        ``what`` says whose channels they are. Views that no plane here has are unknown and fit, as do all channels
        without a wire. Raises as :meth:`check_channels` too.
        """
        self.check_channels(channels, what)
        channels, views = np.asarray(channels, dtype=np.int64), np.asarray(views)
        known = [plane.view_number for plane in self.readout_planes]
        here = self.channel_readout[channels]
        wanted = np.append(known, -1)[here]
        wrong = np.flatnonzero((here >= 0) & (views != wanted) & np.isin(views, known))
        if wrong.size:
            i = int(wrong[0])
            raise InputError(
                f"{what}: channel {channels[i]} has the view {views[i]}, and {wrong.size} of {len(channels)} channels "
                f"do not fit {self.name}, where it is on plane {self.readout_planes[here[i]].name} with the view "
                f"{wanted[i]}; are they of another detector?"
            )

    def check_name(self, named: str, what: str) -> None:
        """Raise ``ConfigurationError`` for products, called ``what``, that name another detector; empty: unknown."""
        if named not in ("", self.name):
            raise ConfigurationError(f"{what} are of the detector {named}; the module that reads them has {self.name}")

    @cached_property
    def _first_wire(self) -> Int64:
        counts = [[p.n_wires for p in tpc.planes] for tpc in self.tpcs]
        return np.concatenate([[0], np.cumsum(np.ravel(counts))]).astype(np.int64)

    @cached_property
    def wire_channels(self) -> Int64:
        """Channel of every wire of the detector (wires,), by TPC, plane, wire."""
        return np.concatenate([p.channels for p in self.planes])

    def channel_of(self, tpc: npt.ArrayLike, plane: npt.ArrayLike, wire: npt.ArrayLike) -> Int64:
        """Channel of wires; the arguments broadcast. Raises ``InputError`` for a wire that does not exist."""
        tpc, plane, wire = np.broadcast_arrays(np.asarray(tpc), np.asarray(plane), np.asarray(wire))
        per_tpc = len(self.tpcs[0].planes)
        index = np.where(
            (tpc >= 0) & (tpc < len(self.tpcs)) & (plane >= 0) & (plane < per_tpc), tpc * per_tpc + plane, -1
        )
        counts = np.diff(self._first_wire)
        wrong = (index < 0) | (wire < 0) | (wire >= counts[index])
        if wrong.any():
            at = tuple(np.argwhere(np.atleast_1d(wrong))[0])
            t, p, w = (int(np.atleast_1d(v)[at]) for v in (tpc, plane, wire))
            known = ", ".join(f"plane {k.plane}: 0 to {k.n_wires - 1}" for k in self.tpcs[0].planes)
            raise InputError(
                f"{self.name} has no wire {w} on plane {p} of TPC {t}; valid: TPC 0 to {len(self.tpcs) - 1}, {known}"
            )
        return np.asarray(self.wire_channels[self._first_wire[index] + wire])

    @cached_property
    def _wires_by_channel(self) -> tuple[Int64, Int64]:
        order = np.argsort(self.wire_channels, kind="stable")
        starts = np.searchsorted(self.wire_channels[order], np.arange(self.n_channels + 1))
        return order, starts

    def wires_of_channels(self, channels: npt.ArrayLike) -> tuple[Int64, Int64, Int64, Int64]:
        """All wires that channels (N,) read: four arrays (M,), index into ``channels``, TPC, plane, wire.

        Ordered by index, then TPC, plane, wire. Raises ``InputError`` for a channel outside the geometry.
        """
        channels = np.asarray(channels, dtype=np.int64)
        self.check_channels(channels, "wires of channels")
        order, starts = self._wires_by_channel
        counts = starts[channels + 1] - starts[channels]
        index = np.repeat(np.arange(len(channels)), counts)
        within = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
        flat = order[starts[channels][index] + within]
        group = np.searchsorted(self._first_wire, flat, side="right") - 1
        per_tpc = len(self.tpcs[0].planes)
        return index, group // per_tpc, group % per_tpc, flat - self._first_wire[group]

    def tpc_of(self, x: npt.ArrayLike, y: npt.ArrayLike, z: npt.ArrayLike) -> Int64:
        """The TPC (N,) whose active volume holds points (N,), cm, -1: none; of a detector with one TPC that one."""
        place = np.column_stack([np.asarray(a, dtype=np.float64) for a in (x, y, z)])
        if len(self.tpcs) == 1:
            return np.zeros(len(place), dtype=np.int64)
        found = np.full(len(place), -1, dtype=np.int64)
        for tpc in self.tpcs:
            if tpc.active is not None:
                found[((place >= tpc.active[:, 0]) & (place <= tpc.active[:, 1])).all(axis=1)] = tpc.index
        return found

    @cached_property
    def _anodes(self) -> tuple[Float64, Float64]:
        return np.array([t.anode_x for t in self.tpcs]), np.array([float(t.drift) for t in self.tpcs])

    def tick_to_x(self, tick: npt.ArrayLike, tpc: npt.ArrayLike = 0, t0: npt.ArrayLike = 0.0) -> Float64:
        """Place x (cm) of charge that arrives at stored sample ``tick`` when it was freed ``t0`` us after the trigger.

        x = anode -+ drift_speed * ((tick - trigger_sample) * tick_period - t0); the arguments broadcast.
        """
        anode, drift = (table[np.asarray(tpc)] for table in self._anodes)
        time = (np.asarray(tick, dtype=np.float64) - self.trigger_sample) * self.tick_period - np.asarray(t0)
        return np.asarray(anode - drift * self.drift_speed * time)

    def x_to_tick(self, x: npt.ArrayLike, tpc: npt.ArrayLike = 0, t0: npt.ArrayLike = 0.0) -> Float64:
        """Stored sample, not rounded, at which charge from x (cm) arrives: the inverse of :meth:`tick_to_x`."""
        anode, drift = (table[np.asarray(tpc)] for table in self._anodes)
        time = (anode - np.asarray(x, dtype=np.float64)) * drift / self.drift_speed + np.asarray(t0)
        return np.asarray(self.trigger_sample + time / self.tick_period)

    def tick_to_clock(self, tick: npt.ArrayLike) -> Float64:
        """Clock tick of a stored sample."""
        return np.asarray(tick, dtype=np.float64) + self.first_clock_tick

    def clock_to_tick(self, clock: npt.ArrayLike) -> Float64:
        """Stored sample of a clock tick: the inverse of :meth:`tick_to_clock`."""
        return np.asarray(clock, dtype=np.float64) - self.first_clock_tick


def readout_planes(tpcs: Sequence[TPC]) -> tuple[ReadoutPlane, ...]:
    """Group wire planes by the channels that they share, see :class:`ReadoutPlane`."""
    groups: dict[int, list[WirePlane]] = {}
    for plane in (p for tpc in tpcs for p in tpc.planes):
        groups.setdefault(int(plane.channels.min()), []).append(plane)
    single = len(tpcs) == 1
    out = []
    for planes in groups.values():
        named = next((p for p in planes if tpcs[p.tpc].active is not None), planes[0])
        out.append(
            ReadoutPlane(
                name=named.view if single else f"tpc{named.tpc}_{named.view}",
                tpc=named.tpc,
                plane=named.plane,
                view=named.view,
                view_number=named.view_number,
                signal_type=named.signal_type,
                active=tpcs[named.tpc].active is not None,
                channels=np.unique(named.channels) if named.wrapped else named.channels,
                wire_planes=tuple(planes),
            )
        )
    return tuple(sorted(out, key=lambda p: (p.tpc, p.plane)))
