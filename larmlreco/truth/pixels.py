"""True charge and class of pixels and hits on a wire plane.

A pixel or hit takes the class with the most charge in it after drift and response; one that holds no true charge
has no label (-1) and counts for nothing.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from larmlreco.geometry import Detector, WirePlane
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Hits, Pixels, TrueParticles, TrueSteps
from larmlreco.sites import rows_of
from larmlreco.truth.spread import Arrivals, ChargeResponse, arrivals

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

MINIMUM_ELECTRONS = 20.0
"""Less charge than this (0.1 ADC tick in MicroBooNE) is a tail, not a label."""

_REACH_SIGMA = 4.0


def step_classes(steps: TrueSteps, particles: TrueParticles) -> Int32:
    """Class (N,) of every step: that of its particle. Raises ``ValueError`` for a step of an unknown particle."""
    row = particle_rows(steps.particle, particles.id)
    return particles.semantic[row]


def step_instances(steps: TrueSteps, particles: TrueParticles) -> Int32:
    """Instance (N,) of every step: id of the particle whose cluster it belongs to."""
    return particles.instance[particle_rows(steps.particle, particles.id)]


def particle_rows(wanted: Int32, ids: Int32) -> Int64:
    """Row (N,) of the particles with the wanted ids (N,). Raises ``ValueError`` for one that is not there."""
    row = rows_of(wanted, ids)
    wrong = row < 0
    if wrong.any():
        raise ValueError(f"a true step belongs to particle {int(wanted[wrong][0])}, which is not among the particles")
    return row


def plane_arrivals(
    steps: TrueSteps, detector: Detector, plane: WirePlane, response: ChargeResponse | None = None
) -> Arrivals:
    """Where the charge of true steps in its TPC arrives on a plane; row numbers are those of ``steps``."""
    in_tpc = detector.tpc_of(steps.x, steps.y, steps.z) == plane.tpc
    return arrivals(
        plane.wire_coordinate(steps.y, steps.z),
        np.abs(steps.x - detector.tpcs[plane.tpc].anode_x) / detector.drift_speed,
        steps.tick.astype(np.float64),
        np.where(in_tpc, steps.electrons, 0.0),
        n_wires=plane.n_wires,
        pitch=plane.pitch,
        drift_cm_per_us=detector.drift_speed,
        tick_us=detector.tick_period,
        plane=plane.plane,
        response=response or ChargeResponse(),
    )


def pixel_charge(
    arriving: Arrivals, group: npt.ArrayLike, n_groups: int, column: npt.ArrayLike, row: npt.ArrayLike, rebin: int
) -> Float64:
    """Electrons (pixels, n_groups) of every group of deposits in pixels.

    ``group`` (deposits,): class or instance of each deposit, 0 to n_groups - 1; ``column`` and ``row`` (pixels,):
    wire, and bin of ``rebin`` samples. Of repeated pixels only the first has charge.
    """
    charge = np.zeros((len(np.asarray(column)), n_groups))
    of_deposit = np.asarray(group, dtype=np.int64)
    for pixel, deposit, weight in pixel_pairs(arriving, column, row, rebin):
        charge += _summed(pixel, of_deposit[deposit], weight, charge.shape)
    return charge


def pixel_pairs(
    arriving: Arrivals, column: npt.ArrayLike, row: npt.ArrayLike, rebin: int
) -> Iterator[tuple[Int64, Int64, Float64]]:
    """Pixels, deposits and the electrons that go from one to the other, piece by piece; arguments of `pixel_charge`.

    A pixel and a deposit are together in one piece at most. Of repeated pixels only the first has charge.
    """
    columns, rows = np.asarray(column, dtype=np.int64), np.asarray(row, dtype=np.int64)
    if not len(columns) or not len(arriving.wire):
        return
    n_rows = int(rows.max()) + 1
    key, first = np.unique(columns * n_rows + rows, return_index=True)
    low = np.floor((arriving.tick - _REACH_SIGMA * arriving.sigma) / rebin).astype(np.int64)
    for offset in range(int(np.ceil(2 * _REACH_SIGMA * arriving.sigma.max() / rebin)) + 1):
        here = low + offset
        wanted = arriving.wire * n_rows + here
        at = rows_of(wanted, key)
        pair = np.flatnonzero((at >= 0) & (here >= 0) & (here < n_rows))
        begin = here[pair] * rebin
        weight = arriving.charge[pair] * _share(arriving, pair, begin, begin + rebin)
        yield first[at[pair]], arriving.deposit[pair], weight


def hit_charge(arriving: Arrivals, group: npt.ArrayLike, n_groups: int, hits: Hits, plane: int) -> Float64:
    """Electrons (hits, n_groups) of every group of deposits in the samples [start_tick, end_tick) of hits on a plane.

    Hits of other planes have none.
    """
    charge = np.zeros((len(hits), n_groups))
    on_plane = np.flatnonzero(hits.plane == plane)
    if not len(on_plane) or not len(arriving.wire):
        return charge
    by_wire = on_plane[np.argsort(hits.wire[on_plane], kind="stable")]
    wires = hits.wire[by_wire]
    first = np.searchsorted(wires, arriving.wire, side="left")
    count = np.searchsorted(wires, arriving.wire, side="right") - first
    pair = np.repeat(np.arange(len(arriving.wire)), count)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    hit = by_wire[first[pair] + within]
    reach = _REACH_SIGMA * arriving.sigma[pair]
    near = (hits.start_tick[hit] - reach < arriving.tick[pair]) & (arriving.tick[pair] < hits.end_tick[hit] + reach)
    pair, hit = pair[near], hit[near]
    share = _share(arriving, pair, hits.start_tick[hit], hits.end_tick[hit])
    of_pair = np.asarray(group, dtype=np.int64)[arriving.deposit[pair]]
    return _summed(hit, of_pair, arriving.charge[pair] * share, charge.shape)


def _summed(row: Int64, column: Int64, weight: Float64, shape: tuple[int, int]) -> Float64:
    """Table of this shape with the weights added up."""
    flat = np.bincount(row * shape[1] + column, weight, shape[0] * shape[1])
    return np.asarray(flat, dtype=np.float64).reshape(shape)


def _share(arriving: Arrivals, pair: Int64, begin: npt.NDArray[np.integer], end: npt.NDArray[np.integer]) -> Float64:
    """Part of the charge of pairs in the samples [begin, end); sample s reaches from s - 0.5 to s + 0.5."""
    tick, sigma = arriving.tick[pair], arriving.sigma[pair]
    return np.asarray(ndtr((end - 0.5 - tick) / sigma) - ndtr((begin - 0.5 - tick) / sigma))


def labels_of_charge(charge: Float64) -> Int32:
    """Group with the most charge (N,) for charge (N, groups): ties to the lower one, -1 without charge."""
    best = charge.argmax(axis=1)
    return np.where(charge.sum(axis=1) > MINIMUM_ELECTRONS, best, -1).astype(np.int32)


def pixel_labels(
    pixels: Pixels,
    steps: TrueSteps,
    particles: TrueParticles,
    detector: Detector,
    response: ChargeResponse | None = None,
) -> Int32:
    """True class (N,) of the pixels of one plane; -1 where there is no true charge.

    Reads ``tpc``, ``plane`` and ``rebin`` of the pixels' meta.
    """
    plane = detector.plane(int(pixels.meta["tpc"]), int(pixels.meta["plane"]))
    arriving = plane_arrivals(steps, detector, plane, response)
    classes = step_classes(steps, particles)
    rebin = int(pixels.meta["rebin"])
    return labels_of_charge(pixel_charge(arriving, classes, len(SEMANTIC_NAMES), pixels.column, pixels.row, rebin))


def pixel_particles(
    pixels: Pixels,
    steps: TrueSteps,
    particles: TrueParticles,
    detector: Detector,
    response: ChargeResponse | None = None,
) -> Int32:
    """Id (N,) of the particle whose cluster left most charge in each pixel of one plane; -1 where there is none.

    Reads ``tpc``, ``plane`` and ``rebin`` of the pixels' meta.
    """
    plane = detector.plane(int(pixels.meta["tpc"]), int(pixels.meta["plane"]))
    ids, group = np.unique(step_instances(steps, particles), return_inverse=True)
    if not len(ids):
        return np.full(len(pixels), -1, dtype=np.int32)
    arriving = plane_arrivals(steps, detector, plane, response)
    charge = pixel_charge(arriving, group, len(ids), pixels.column, pixels.row, int(pixels.meta["rebin"]))
    best = labels_of_charge(charge)
    return np.where(best < 0, -1, ids[best]).astype(np.int32)


def hit_labels(
    hits: Hits,
    steps: TrueSteps,
    particles: TrueParticles,
    detector: Detector,
    response: ChargeResponse | None = None,
) -> Int32:
    """True class (N,) of hits on all planes; -1 where there is no true charge."""
    classes = step_classes(steps, particles)
    charge = np.zeros((len(hits), len(SEMANTIC_NAMES)))
    for plane in detector.planes:
        arriving = plane_arrivals(steps, detector, plane, response)
        mine = hits.tpc == plane.tpc
        charge[mine] += hit_charge(arriving, classes, len(SEMANTIC_NAMES), hits, plane.plane)[mine]
    return labels_of_charge(charge)
