"""Candidate sites for charge in dead regions: the dead sites that measured charge can reach.

A network says which candidates are active and with what energy (LArDRIP; MicroBooNE's sparse infill), so candidates
must hold the truth and stay few. Taken are the dead sites of four kinds: next to measured charge; on straight lines
between measured charge at the borders of a dead region; in cones that continue the charge at a border, for what ends
inside; and on planes, where it is asked for, those where pixels of the other planes cross. The number of
candidates so grows with the charge at the borders and on the other planes, not with the size of the dead region.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from larmlreco.products import Pixels, Voxels
from larmlreco.reco.dead import DeadRegion, DeadWires
from larmlreco.reco.infill_crossings import CROSSING_FEATURES, Crossings
from larmlreco.reco.infill_lines import LINE_FEATURES, line_features
from larmlreco.sites import SiteBox, dilated, match_sites, offsets

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.integer[Any]]

FEATURES: tuple[str, ...] = ("charge", "is_candidate")
"""First columns of :func:`infill_features`; the first is charge (ADC) of pixels, energy (MeV) of voxels."""

# The direction of charge at a border: away from the middle of its neighbours.
_NEIGHBOURS, _NEIGHBOUR_RADIUS = 24, 8.0
_CLEAR = 0.5  # sites from that middle; charge whose neighbours lie on all sides has no direction
_DENSE, _DENSE_RADIUS = 4, 4.0  # nor has charge with fewer sites, itself included, so near
_AHEAD = 0.8  # least cosine of direction and line
_PAIRS = 1_000_000  # sites at borders that are compared; with more the reach is halved until there are fewer


@dataclass(frozen=True)
class CandidateSettings:
    """What makes a candidate; lengths are in sites (pixels or voxels).

    ``reach``: longest line between two borders where the charge at both points along it; ``limit``: most candidates of
    an event, those nearest to measured charge; ``value``: charge that a candidate shows to the network: ``zero``,
    ``random`` (that of a measured site, drawn) or ``minus_one``.

    ``partners`` and ``partner_reach``: a line leads to the nearest partners within this length whatever the direction
    of the charge. ``halo``: dead sites this near (largest difference of a coordinate) to charge at a border are
    candidates; ``width``: the same for lines and cones. ``extension``: length of the cones that continue charge;
    ``opening``: how far they have opened at their end. ``pair_limit``: most lines of an event, the shortest. ``lines``:
    the network also gets the features of :mod:`larmlreco.reco.infill_lines`. ``crossings``: on planes, it also gets
    those of :mod:`larmlreco.reco.infill_crossings`, and crossings are candidates too, up to ``reach`` from live wires.
    """

    reach: int = 40
    limit: int = 100_000
    value: Literal["zero", "random", "minus_one"] = "zero"
    halo: int = 2
    width: int = 1
    extension: int = 10
    opening: int = 1
    partners: int = 3
    partner_reach: int = 16
    pair_limit: int = 10_000
    lines: bool = False
    crossings: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of :func:`infill_features`."""
        return FEATURES + (LINE_FEATURES if self.lines else ()) + (CROSSING_FEATURES if self.crossings else ())

    def __post_init__(self) -> None:
        lengths = (self.reach, self.partners, self.partner_reach, self.halo, self.width, self.extension, self.opening)
        if min(lengths) < 0 or self.limit < 1 or self.pair_limit < 1:
            raise ValueError(f"lengths and partners must be 0 or more, limits 1 or more; got {self}")
        if self.value not in ("zero", "random", "minus_one"):
            raise ValueError(f"value must be zero, random or minus_one; got {self.value!r}")


@dataclass(frozen=True)
class FoundCandidates:
    """Candidate ``sites`` (M, D), sorted by their coordinates, distinct, none measured.

    ``limited``: some were left out, see :class:`CandidateSettings`; ``lines`` (M, 2), or (M, 0) where they were not
    asked for: see :func:`larmlreco.reco.infill_lines.line_features`; ``crossings`` (M, 8), or (M, 0): see
    :class:`larmlreco.reco.infill_crossings.Crossings`, 0 where nothing crosses.
    """

    sites: Int64
    limited: bool
    lines: Float32
    crossings: Float32


def plane_candidates(
    coords: Index,
    dead_wires: Bools,
    settings: CandidateSettings = CandidateSettings(),
    n_rows: int = 0,
    crossings: Crossings | None = None,
) -> FoundCandidates:
    """Candidates on the dead wires of a plane for measured pixels (N, 2), wire and row.

    ``dead_wires`` (n_wires,); ``n_rows`` of the image bound the candidates, 0: no bound; ``crossings``: those on the
    dead wires, where the settings ask for them. Raises ``ValueError`` for coordinates of another shape, and where
    crossings are asked for and not given.
    """
    if settings.crossings and crossings is None:
        raise ValueError("the settings ask for crossings; expected those of the plane")
    dead = DeadWires(np.asarray(dead_wires, dtype=np.bool_), n_rows)
    return _candidates(coords, dead, settings, 2, crossings if settings.crossings else None)


def voxel_candidates(
    coords: Index, dead: DeadRegion, settings: CandidateSettings = CandidateSettings()
) -> FoundCandidates:
    """Candidates in a dead region for measured voxels (N, 3).

    Raises ``ValueError`` for coordinates of another shape, and for settings that ask for crossings, which planes have.
    """
    if settings.crossings:
        raise ValueError("crossings are of planes; voxels have none")
    return _candidates(coords, dead, settings, 3, None)


def infill_features(
    charge: npt.ArrayLike,
    found: FoundCandidates,
    settings: CandidateSettings = CandidateSettings(),
    random: np.random.Generator | None = None,
    charge_scale: float = 1.0,
) -> Float32:
    """Features (N + M, C) of measured sites with ``charge`` (N,) and of the M candidates after them.

    Their names are ``settings.features``; lines and crossings are 0 on measured sites. All charge is multiplied by
    ``charge_scale``; that of crossings is given as the logarithm to base 10 of 1 + charge. ``random`` draws the values
    of candidates where the settings ask for that; by default from a fixed seed.
    """
    measured, n_candidates = charge_scale * np.asarray(charge, dtype=np.float32), len(found.sites)
    values = np.full(n_candidates, -1 if settings.value == "minus_one" else 0, dtype=np.float32)
    if settings.value == "random" and len(measured):
        values = (random or np.random.default_rng(0)).choice(measured, n_candidates)
    flag = np.repeat(np.array([0, 1], dtype=np.float32), [len(measured), n_candidates])
    crossings = found.crossings.copy()
    crossings[:, -1:] = np.log10(1 + charge_scale * np.maximum(crossings[:, -1:], 0))
    more = np.column_stack([found.lines, crossings])
    more = np.concatenate([np.zeros((len(measured), more.shape[1]), dtype=np.float32), more])
    return np.column_stack([np.concatenate([measured, values]), flag, more])


def _candidates(
    coords: Index, dead: DeadRegion, settings: CandidateSettings, dimension: int, crossings: Crossings | None
) -> FoundCandidates:
    sites = np.asarray(coords)
    if sites.ndim != 2 or sites.shape[1] != dimension or sites.dtype.kind not in "iu":
        raise ValueError(f"coordinates must be integers (N, {dimension}); got {sites.dtype} {sites.shape}")
    met, limited = np.zeros((0, dimension), dtype=np.int64), False
    if crossings is not None:
        met, limited = crossings.sites[crossings.central], crossings.limited
    if not len(sites) and not len(met):
        widths = (len(LINE_FEATURES) * settings.lines, len(CROSSING_FEATURES) * settings.crossings)
        return FoundCandidates(met, limited, *(np.zeros((0, width), dtype=np.float32) for width in widths))
    margin = settings.reach + settings.halo + settings.extension + settings.opening + settings.width
    box = SiteBox.around(sites, met, margin=margin)
    measured = np.unique(box.keys(sites))
    sites = box.sites(measured)
    border = sites[_at_border(sites, dead)]
    tree = cKDTree(sites)
    direction = _directions(border, tree)
    pairs, too_many = _between(border, direction, dead, settings)
    between = _lines(border[pairs[:, 0]], border[pairs[:, 1]] - border[pairs[:, 0]])
    onward = _onward(border, direction, dead, settings)
    paths = box.sites(np.unique(box.keys(np.concatenate([between, onward]))))
    reached = np.concatenate([dilated(paths, settings.width), dilated(border, settings.halo), met])
    found = box.sites(np.setdiff1d(box.keys(reached), measured))
    found = found[dead.contains(found)]
    limited |= too_many or len(found) > settings.limit
    if len(found) > settings.limit:
        distance, _ = tree.query(found)
        found = found[np.sort(np.argsort(distance, kind="stable")[: settings.limit])]
    lines = np.zeros((len(found), 0), dtype=np.float32)
    if settings.lines:
        lines = line_features(tree, found, border, pairs, direction, settings.extension)
    of_found = np.zeros((len(found), 0), dtype=np.float32)
    if crossings is not None:
        none = np.zeros((1, len(CROSSING_FEATURES)), dtype=np.float32)
        of_found = np.concatenate([crossings.features, none])[match_sites(found, crossings.sites)]
    return FoundCandidates(found, limited, lines, of_found)


def _at_border(sites: Int64, dead: DeadRegion) -> Bools:
    """Whether a dead site is one or two steps along an axis from sites (N, D)."""
    dimension = sites.shape[1]
    steps = np.concatenate([length * np.eye(dimension, dtype=np.int64) for length in (-2, -1, 1, 2)])
    near = (sites[:, np.newaxis] + steps).reshape(-1, dimension)
    return np.asarray(dead.contains(near).reshape(len(sites), len(steps)).any(axis=1))


def _directions(border: Int64, tree: cKDTree) -> Float64:
    """Unit vectors (B, D) from the middle of its measured neighbours to each site at a border; 0: none is clear."""
    shape = len(border), max(min(_NEIGHBOURS, tree.n), 1)
    distance, neighbour = tree.query(border, shape[1], distance_upper_bound=_NEIGHBOUR_RADIUS)
    distance, neighbour = distance.reshape(shape), neighbour.reshape(shape)
    known = np.isfinite(distance)
    places = np.append(tree.data, np.zeros_like(tree.data[:1]), axis=0)[neighbour]
    away = border - (places * known[..., np.newaxis]).sum(axis=1) / known.sum(axis=1, keepdims=True)
    length = np.linalg.norm(away, axis=1)
    clear = (length > _CLEAR) & ((distance <= _DENSE_RADIUS).sum(axis=1) >= _DENSE)
    return np.where(clear[:, np.newaxis], away / np.maximum(length, _CLEAR)[:, np.newaxis], 0.0)


def _between(border: Int64, direction: Float64, dead: DeadRegion, settings: CandidateSettings) -> tuple[Int64, bool]:
    """Pairs (P, 2) of sites at borders with a dead region between them, and whether there were too many.

    A line is drawn to the nearest partners, and to those that lie ahead where both sites continue the charge.
    """
    tree, reach = cKDTree(border), float(settings.reach)
    while reach > 1 and tree.count_neighbors(tree, reach) > 2 * _PAIRS:
        reach /= 2
    pairs = tree.query_pairs(reach, output_type="ndarray")
    start, step = border[pairs[:, 0]], border[pairs[:, 1]] - border[pairs[:, 0]]
    through = np.zeros(len(pairs), dtype=np.bool_)
    for quarter in (1, 2, 3):
        through |= dead.contains(start + (quarter * step + 2) // 4)
    pairs, step = pairs[through], step[through]
    length = np.linalg.norm(step, axis=1)
    ahead = np.ones(len(pairs), dtype=np.bool_)
    for end, sign in ((0, 1.0), (1, -1.0)):
        ahead &= sign * (step * direction[pairs[:, end]]).sum(axis=1) >= _AHEAD * length
    wanted = ahead | (length <= settings.partner_reach) & _nearest(pairs, length, len(border), settings.partners)
    pairs, length = pairs[wanted], length[wanted]
    limited = reach < settings.reach or len(pairs) > settings.pair_limit
    shortest = np.lexsort((pairs[:, 1], pairs[:, 0], length))[: settings.pair_limit]
    return pairs[shortest], limited


def _nearest(pairs: Int64, length: Float64, n: int, partners: int) -> Bools:
    """Whether a pair (P, 2) of the n sites is among the shortest of either of its sites."""
    site = np.concatenate([pairs[:, 0], pairs[:, 1]])
    pair = np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((pair, length[pair], site))
    count = np.bincount(site, minlength=n)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    near = np.zeros(len(pairs), dtype=np.bool_)
    near[pair[order[rank < partners]]] = True
    return near


def _onward(border: Int64, direction: Float64, dead: DeadRegion, settings: CandidateSettings) -> Int64:
    """Sites in the cones that continue charge at a border."""
    dimension = border.shape[1]
    clear = direction.any(axis=1) & (settings.extension > 0)
    ahead = np.floor(direction[clear] * settings.extension + 0.5).astype(np.int64)
    spread = np.unique(offsets(1, dimension) * settings.opening, axis=0)
    start = np.repeat(border[clear], len(spread), axis=0)
    step = (ahead[:, np.newaxis] + spread).reshape(-1, dimension)
    into = dead.contains(start + (step + 2) // 4) | dead.contains(start + (step + 1) // 2)
    return _lines(start[into], step[into])


def _lines(start: Int64, step: Int64) -> Int64:
    """Sites on straight lines from ``start`` to ``start + step`` (L, D), one for each step along the longest axis."""
    length = np.abs(step).max(axis=1, initial=0)
    line = np.repeat(np.arange(len(start)), length)
    at = np.arange(len(line)) - np.repeat(np.cumsum(length) - length, length) + 1
    long = length[line, np.newaxis]
    return np.asarray(start[line] + (2 * at[:, np.newaxis] * step[line] + long) // (2 * long))


def with_infilled_pixels(pixels: Pixels, sites: Index, adc: npt.ArrayLike, meta: Mapping[str, Any]) -> Pixels:
    """The image with pixels (M, 2) of charge ``adc`` (M,) after the measured ones, marked; ``meta`` is added to its."""
    n = len(sites)
    n_all = len(pixels) + n
    return Pixels(
        tpc=np.full(n_all, int(pixels.meta["tpc"]), dtype=np.int32),
        plane=np.full(n_all, int(pixels.meta["plane"]), dtype=np.int32),
        column=np.concatenate([pixels.column, sites[:, 0]]).astype(np.int32),
        row=np.concatenate([pixels.row, sites[:, 1]]).astype(np.int32),
        adc=np.concatenate([pixels.adc, np.asarray(adc, dtype=np.float32)]),
        infilled=np.concatenate([pixels.infilled, np.ones(n, dtype=np.int32)]),
        meta={**pixels.meta, **meta},
    )


def with_infilled_voxels(voxels: Voxels, sites: Index, energy: npt.ArrayLike, meta: Mapping[str, Any]) -> Voxels:
    """The image with voxels (M, 3) of ``energy`` (M,) after the measured ones, marked; ``meta`` is added to its."""
    n = len(sites)
    x, y, z = (
        np.concatenate([a, b]).astype(np.int32) for a, b in zip((voxels.x, voxels.y, voxels.z), sites.T, strict=True)
    )
    return Voxels(
        x=x,
        y=y,
        z=z,
        energy=np.concatenate([voxels.energy, np.asarray(energy, dtype=np.float32)]),
        two_planes=np.concatenate([voxels.two_planes, np.zeros(n, dtype=np.float32)]),
        infilled=np.concatenate([voxels.infilled, np.ones(n, dtype=np.float32)]),
        origin=voxels.origin,
        pitch=voxels.pitch,
        meta={**voxels.meta, **meta},
    )
