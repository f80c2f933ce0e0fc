"""Wires or hits to sparse images of wire planes, and from pixels back to wires and hits.

The image of MicroBooNE sums six samples of 0.5 us into a row, about the pitch of the wires, and keeps pixels of
10 ADC and more (Domine and Terao, arXiv 1903.05663; MicroBooNE, PRD 99 092001). Everything is summed in double
precision and does not depend on the order of wires or hits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from larmlreco.errors import InputError
from larmlreco.geometry import Detector, ReadoutPlane, detector
from larmlreco.products import ChannelStatus, Hits, Pixels, Wires

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

GOOD_STATUS = 4
"""Channels below this status are dead (LArCV's numbers, see :class:`ChannelStatus`)."""

_REACH = 4.0  # standard deviations of a hit's Gaussian; 6e-5 of the charge lies beyond and is spread over the rest


@dataclass(frozen=True)
class ImageSettings:
    """How an image is made: ``rebin`` samples are summed into a row; pixels below ``threshold`` (ADC) are dropped.

    The image covers the samples [0, ``n_samples``); 0 takes the detector's window for images. Nothing is seen on
    ``dead_channels``.
    """

    rebin: int = 6
    threshold: float = 10.0
    n_samples: int = 0
    dead_channels: npt.ArrayLike = ()

    def rows(self, detector: Detector) -> int:
        """Rows of the image; a last row that is not full counts."""
        return -(-(self.n_samples or detector.image_samples) // self.rebin)


@dataclass(frozen=True)
class PlaneImage:
    """Pixels of a plane, and the rows of the input they come from.

    ``pixel`` and ``source`` (links,) are pairs of pixel and wire (or hit) row, ordered by pixel, then source.
    """

    pixels: Pixels
    pixel: Int64
    source: Int64


def dead_channels(status: ChannelStatus) -> Int64:
    """Channels (N,) whose status says that they are dead."""
    return status.channel[status.status < GOOD_STATUS].astype(np.int64)


def images_of_wires(
    wires: Wires, detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings = ImageSettings()
) -> dict[str, PlaneImage]:
    """Images of planes, by plane name, from the regions of interest of wires.

    A pixel holds the sum of the samples of its column in its row; ROIs that overlap, or of two wires with the same
    channel, add up. Samples outside the image's window, dead channels, channels of other planes and channels without a
    wire are left out.

    Raises ``InputError`` for a channel outside the geometry, a sample that is not finite, a ROI that begins below 0, or
    ROIs and samples that do not fit together, naming channel, ROI and what would be valid.
    """
    detector.check_channels(wires.channel, "wires")
    _check_rois(wires)
    begin, length = wires.roi_begin.astype(np.int64), wires.roi_length.astype(np.int64)
    filled = length > 0
    begin, length, wire = begin[filled], length[filled], wires.roi_wire[filled].astype(np.int64)
    if not len(begin):
        none = np.zeros(0, dtype=np.int64)
        return _images(detector, planes, settings, _Pieces(none, none, none, np.zeros(0)))
    first_row = begin // settings.rebin
    n_runs = (begin + length - 1) // settings.rebin - first_row + 1
    roi = np.repeat(np.arange(len(begin)), n_runs)
    row = first_row[roi] + _count_within(n_runs)
    first_sample = np.cumsum(length) - length
    run_start = first_sample[roi] + np.maximum(row * settings.rebin - begin[roi], 0)
    charge = np.add.reduceat(wires.adc.astype(np.float64), run_start)
    pieces = _Pieces(wires.channel[wire[roi]].astype(np.int64), row, wire[roi], charge)
    return _images(detector, planes, settings, pieces)


def images_of_hits(
    hits: Hits, detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings = ImageSettings()
) -> dict[str, PlaneImage]:
    """Images of planes, by plane name, from hits: each hit's integral spread over rows as its Gaussian.

    Sample s reaches from s - 0.5 to s + 0.5; the Gaussian (``peak_time``, ``rms``) is cut at 4 standard deviations
    and keeps its integral. A hit with ``rms`` 0 lies in one row. What lies outside the image's window is left out.

    Raises ``InputError`` for a channel outside the geometry and a hit whose numbers are not finite.
    """
    detector.check_channels(hits.channel, "hits")
    for name in ("peak_time", "rms", "integral"):
        wrong = np.flatnonzero(~np.isfinite(getattr(hits, name)))
        if wrong.size:
            i = int(wrong[0])
            raise InputError(f"hits: {name} of hit {i} on channel {hits.channel[i]} is {getattr(hits, name)[i]}")
    middle = hits.peak_time.astype(np.float64) + 0.5
    sigma = np.maximum(hits.rms.astype(np.float64), 1e-6)
    low, high = middle - _REACH * sigma, middle + _REACH * sigma
    last_row = settings.rows(detector) - 1
    first = np.clip(np.floor(low / settings.rebin), -1, last_row + 1).astype(np.int64)
    last = np.clip(np.floor(high / settings.rebin), -1, last_row + 1).astype(np.int64)
    n_rows = last - first + 1
    hit = np.repeat(np.arange(len(hits)), n_rows)
    row = first[hit] + _count_within(n_rows)
    edges = [np.clip(side * settings.rebin, low[hit], high[hit]) for side in (row, row + 1)]
    below, above = (ndtr((edge - middle[hit]) / sigma[hit]) for edge in edges)
    share = (above - below) / (ndtr(_REACH) - ndtr(-_REACH))
    charge = share * hits.integral.astype(np.float64)[hit]
    some = share > 0
    pieces = _Pieces(hits.channel.astype(np.int64)[hit[some]], row[some], hit[some], charge[some])
    return _images(detector, planes, settings, pieces)


def pixels_of_hits(hits: Hits, pixels: Pixels, detector: Detector, *, infilled: bool = False) -> tuple[Int64, Int64]:
    """Pixels on the wire of a hit in its samples [start_tick, end_tick), for all hits: pairs of hit and pixel rows.

    Ordered by hit, then the pixel's row in the image. Hits of other planes have none. A hit without samples counts as
    one sample long. Pixels that were filled in belong to no hit, unless ``infilled``. Reads ``tpc``, ``plane`` and
    ``rebin`` of the meta of ``pixels``.

    Raises ``InputError`` for a channel outside the geometry.
    """
    detector.check_channels(hits.channel, "hits")
    plane = readout_plane_of(pixels, detector)
    on_plane = np.zeros(detector.n_channels, dtype=np.bool_)
    on_plane[plane.channels] = True
    hit = np.flatnonzero(on_plane[hits.channel])
    rebin = int(pixels.meta["rebin"])
    column = detector.channel_column[hits.channel[hit]]
    start = hits.start_tick[hit].astype(np.int64)
    stop = np.maximum(hits.end_tick[hit].astype(np.int64), start + 1)
    kept = np.flatnonzero((pixels.infilled == 0) | infilled)
    key = pixels.column[kept].astype(np.int64) << 32 | pixels.row[kept]
    by_place = np.argsort(key, kind="stable")
    kept, key = kept[by_place], key[by_place]
    first = np.searchsorted(key, column << 32 | np.maximum(start // rebin, 0), side="left")
    last = np.searchsorted(key, column << 32 | np.maximum((stop - 1) // rebin, -1) + 1, side="left")
    counts = np.maximum(last - first, 0)
    return np.repeat(hit, counts), kept[np.repeat(first, counts) + _count_within(counts)]


def hits_of_pixels(hits: Hits, pixels: Pixels, detector: Detector) -> tuple[Int64, Int64]:
    """The pairs of :func:`pixels_of_hits` the other way round: pixel and hit rows, ordered by pixel, then hit."""
    hit, pixel = pixels_of_hits(hits, pixels, detector)
    order = np.argsort(pixel, kind="stable")
    return pixel[order], hit[order]


def readout_plane_of(pixels: Pixels, detector: Detector) -> ReadoutPlane:
    """The readout plane that an image shows (``tpc`` and ``plane`` of its meta)."""
    tpc, plane = int(pixels.meta["tpc"]), int(pixels.meta["plane"])
    for candidate in detector.readout_planes:
        if (candidate.tpc, candidate.plane) == (tpc, plane):
            return candidate
    known = ", ".join(f"{p.tpc}/{p.plane}" for p in detector.readout_planes)
    raise InputError(f"pixels are of TPC/plane {tpc}/{plane}, which {detector.name} does not read; valid: {known}")


def detector_of(pixels: Pixels) -> Detector:
    """The detector that an image is of (``detector`` of its meta)."""
    return detector(str(pixels.meta["detector"]))


def _check_rois(wires: Wires) -> None:
    n_samples = int(wires.roi_length.sum(dtype=np.int64))
    if n_samples != len(wires.adc):
        raise InputError(f"wires: the ROIs have {n_samples} samples together, adc has {len(wires.adc)}")
    wrong = np.flatnonzero((wires.roi_wire < 0) | (wires.roi_wire >= len(wires)))
    if wrong.size:
        i = int(wrong[0])
        raise InputError(f"wires: ROI {i} is on wire row {wires.roi_wire[i]}; valid: 0 to {len(wires) - 1}")
    wrong = np.flatnonzero((wires.roi_begin < 0) | (wires.roi_length < 0))
    if wrong.size:
        i = int(wrong[0])
        raise InputError(
            f"wires: {_roi_name(wires, i)} begins at sample {wires.roi_begin[i]} and has {wires.roi_length[i]} "
            "samples; valid: 0 or more"
        )
    if not np.isfinite(wires.adc).all():
        sample = int(np.flatnonzero(~np.isfinite(wires.adc))[0])
        ends = np.cumsum(wires.roi_length, dtype=np.int64)
        i = int(np.searchsorted(ends, sample, side="right"))
        tick = wires.roi_begin[i] + sample - (ends[i] - wires.roi_length[i])
        raise InputError(f"wires: {_roi_name(wires, i)} holds {wires.adc[sample]} at sample {tick}; valid: finite ADC")


def _roi_name(wires: Wires, roi: int) -> str:
    wire = wires.roi_wire[roi]
    number = int((wires.roi_wire[:roi] == wire).sum())
    return f"ROI {number} of channel {wires.channel[wire]}"


def _count_within(counts: Int64) -> Int64:
    """0, 1, ... n - 1 for every n of ``counts``, one after another."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True)
class _Pieces:
    """Pieces of charge (pieces,): on which channel and row, from which row of the input."""

    channel: Int64
    row: Int64
    source: Int64
    charge: Float64


def _images(
    detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings, pieces: _Pieces
) -> dict[str, PlaneImage]:
    """Sum pieces of charge into pixels, drop those below threshold, and keep where the others come from."""
    n_rows = settings.rows(detector)
    plane_size = max((p.n_columns for p in planes), default=1) * n_rows
    plane_index = _plane_index(detector, planes, settings)[pieces.channel]
    kept = (plane_index >= 0) & (pieces.row >= 0) & (pieces.row < n_rows)
    column = detector.channel_column[pieces.channel[kept]]
    place = plane_index[kept] * plane_size + column * n_rows + pieces.row[kept]

    pixel_place, pixel = np.unique(place, return_inverse=True)
    adc = np.asarray(np.bincount(pixel, pieces.charge[kept], minlength=len(pixel_place)), dtype=np.float64)
    seen = adc >= settings.threshold
    pixel_place, adc = pixel_place[seen], adc[seen]
    link_pixel, link_source = _unique_pairs((np.cumsum(seen) - 1)[pixel], pieces.source[kept], seen[pixel])

    first = np.searchsorted(pixel_place, np.arange(len(planes) + 1) * plane_size)
    first_link = np.searchsorted(link_pixel, first)
    out = {}
    for i, plane in enumerate(planes):
        on_plane, links = slice(first[i], first[i + 1]), slice(first_link[i], first_link[i + 1])
        local = pixel_place[on_plane] - i * plane_size
        pixels = Pixels(
            tpc=np.full(len(local), plane.tpc, dtype=np.int32),
            plane=np.full(len(local), plane.plane, dtype=np.int32),
            column=(local // n_rows).astype(np.int32),
            row=(local % n_rows).astype(np.int32),
            adc=adc[on_plane].astype(np.float32),
            meta=_meta(detector, plane, settings),
        )
        out[plane.name] = PlaneImage(pixels, link_pixel[links] - first[i], link_source[links])
    return out


def _plane_index(detector: Detector, planes: Sequence[ReadoutPlane], settings: ImageSettings) -> Int64:
    """Which of ``planes`` a channel (channels,) is on; -1 for dead channels and those of other planes."""
    index = np.full(detector.n_channels, -1, dtype=np.int64)
    for i, plane in enumerate(planes):
        index[plane.channels] = i
    dead = np.asarray(settings.dead_channels, dtype=np.int64)
    detector.check_channels(dead, "dead channels")
    index[dead] = -1
    return index


def _unique_pairs(left: Int64, right: Int64, wanted: npt.NDArray[np.bool_]) -> tuple[Int64, Int64]:
    """The different ones of the wanted pairs, ordered."""
    span = int(right.max(initial=0)) + 1
    pairs = np.unique(left[wanted] * span + right[wanted])
    return pairs // span, pairs % span


def _meta(detector: Detector, plane: ReadoutPlane, settings: ImageSettings) -> Mapping[str, str | int | float]:
    return {
        "detector": detector.name,
        "tpc": plane.tpc,
        "plane": plane.plane,
        "view": plane.view,
        "rebin": settings.rebin,
        "threshold": settings.threshold,
        "n_columns": plane.n_columns,
        "n_rows": settings.rows(detector),
    }
