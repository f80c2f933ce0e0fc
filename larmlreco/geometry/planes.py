"""A plane of parallel wires in the y-z plane: positions, ends, nearest wire, crossings of two planes.

Coordinates are the experiment's: x along the drift, y up, z along the beam, in cm. A wire plane is given by
its angle, its pitch, the place of wire 0 and the rectangle that the wires fill; wires end at its border.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from larmlreco.units import CM

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_BORDER_TOLERANCE = 1e-3 * CM  # the data files give borders to 1e-4 cm


@dataclass(frozen=True, eq=False)
class WirePlane:
    """Wires of one plane of a TPC, numbered from 0 as LArSoft numbers them.

    ``angle`` is that of the wires from the vertical, positive where z grows with y (radian). ``first`` is the
    coordinate across the wires of wire 0 and ``normal`` (y, z) the unit vector along which wire numbers grow, so
    that wire k lies at ``normal[0] * y + normal[1] * z = first + k * pitch``. ``windows`` (wires, 2, 2) is the
    rectangle that a wire fills: low and high y, low and high z (cm). A plane whose wires are cut in the middle has
    several ``sections`` with the same number of wires each, one section's wire numbers after the other's;
    ``sections`` (sections,) is where in z they begin. ``channels`` (wires,) are the readout channels; where wires wrap
    around the frame, one channel reads several wires and ``segments`` (wires,) counts along it, from 0 at the
    electronics.
    """

    tpc: int
    plane: int
    view: str
    view_number: int
    angle: float
    pitch: float
    x: float
    first: float
    normal: tuple[float, float]
    windows: Float64
    sections: Float64
    channels: Int64
    segments: Int64

    @property
    def n_wires(self) -> int:
        """Number of wires; a wire that is cut in the middle counts twice."""
        return len(self.channels)

    @property
    def wrapped(self) -> bool:
        """Whether one channel reads several wires."""
        return bool(self.segments.any())

    @property
    def signal_type(self) -> int:
        """0 induction, 1 collection (``geo::SigType_t``)."""
        return int(self.plane == 2)

    @property
    def _wires_per_section(self) -> int:
        return self.n_wires // len(self.sections)

    def position(self, wire: npt.ArrayLike) -> Float64:
        """Coordinate across the wires (along ``normal``) of wires, cm; same shape as ``wire``."""
        return np.asarray(self.first + self.pitch * (np.asarray(wire) % self._wires_per_section), dtype=np.float64)

    def wire_coordinate(self, y: npt.ArrayLike, z: npt.ArrayLike) -> Float64:
        """Wire number, not rounded, of points (broadcast shape of y and z, cm).

        Neither clipped nor checked: a point beyond the plane has a coordinate below 0 or above the last wire.
        """
        y, z = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(z, dtype=np.float64))
        across = (self.normal[0] * y + self.normal[1] * z - self.first) / self.pitch
        section = np.searchsorted(self.sections[1:], z, side="right")
        return np.asarray(across + section * self._wires_per_section)

    def nearest_wire(self, y: npt.ArrayLike, z: npt.ArrayLike) -> Int64:
        """Wire nearest to points (broadcast shape of y and z, cm); -1 more than half a pitch beyond the last wire."""
        y, z = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(z, dtype=np.float64))
        section = np.searchsorted(self.sections[1:], z, side="right")
        row = np.floor(self.wire_coordinate(y, z) - section * self._wires_per_section + 0.5).astype(np.int64)
        inside = (row >= 0) & (row < self._wires_per_section)
        return np.where(inside, row + section * self._wires_per_section, -1)

    @cached_property
    def _ends(self) -> tuple[Float64, Float64]:
        wire = np.arange(self.n_wires)
        along = np.array([np.cos(self.angle), np.sin(self.angle)])
        foot = self.position(wire)[:, None] * np.array(self.normal)
        low = np.full(self.n_wires, -np.inf)
        high = np.full(self.n_wires, np.inf)
        for axis in range(2):
            if abs(along[axis]) < 1e-9:
                continue
            reach = np.sort((self.windows[:, axis] - foot[:, axis : axis + 1]) / along[axis], axis=1)
            low, high = np.maximum(low, reach[:, 0]), np.minimum(high, reach[:, 1])
        ends = [np.column_stack([np.full(self.n_wires, self.x), foot + s[:, None] * along]) for s in (low, high)]
        return ends[0], ends[1]

    @property
    def starts(self) -> Float64:
        """Lower ends of the wires (wires, 3), x y z in cm (of horizontal wires the end with smaller z)."""
        return self._ends[0]

    @property
    def ends(self) -> Float64:
        """Upper ends of the wires (wires, 3), x y z in cm (of horizontal wires the end with larger z)."""
        return self._ends[1]


def crossing(
    plane_a: WirePlane, wire_a: npt.ArrayLike, plane_b: WirePlane, wire_b: npt.ArrayLike
) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """Where wires of two planes cross, seen along the drift.

    ``wire_a`` and ``wire_b`` broadcast. Returns y and z (cm) of the crossing of the two lines, and whether it lies
    on both wires. Raises ``ValueError`` for parallel planes.
    """
    wire_a, wire_b = np.broadcast_arrays(np.asarray(wire_a), np.asarray(wire_b))
    a, b = plane_a.normal, plane_b.normal
    determinant = a[0] * b[1] - a[1] * b[0]
    if abs(determinant) < 1e-9:
        raise ValueError(f"wires of the planes {plane_a.view} and {plane_b.view} are parallel and do not cross")
    at_a, at_b = plane_a.position(wire_a), plane_b.position(wire_b)
    y = (at_a * b[1] - at_b * a[1]) / determinant
    z = (at_b * a[0] - at_a * b[0]) / determinant
    inside = np.ones(y.shape, dtype=np.bool_)
    for plane, wire in ((plane_a, wire_a), (plane_b, wire_b)):
        first, last = plane.starts[wire], plane.ends[wire]
        for axis, value in ((1, y), (2, z)):
            inside &= value > np.minimum(first[..., axis], last[..., axis]) - _BORDER_TOLERANCE
            inside &= value < np.maximum(first[..., axis], last[..., axis]) + _BORDER_TOLERANCE
    return y, z, inside
