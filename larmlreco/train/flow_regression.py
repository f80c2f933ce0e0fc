"""Training of the first LArFlow, which regresses the shift of a pixel to its partners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from larmlreco.geometry import Detector
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.reco.candidates import N_PLANES, PlanePixels
from larmlreco.reco.shifts import (
    Frame,
    ShiftInput,
    frame_of,
    said_of_pixels,
    shift_between,
    shift_input,
    wire_places,
)
from larmlreco.sites import rows_of
from larmlreco.train.flow import FlowEvent, RawOutputs, image_of, planes_of
from larmlreco.truth.flow import partners

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShiftTargets:
    """What the rows of an event should say in one direction.

    ``row`` (T,) and ``shift`` (T,): rows of the input with a true shift (wires), those of the source first;
    ``source_row`` (S,) and ``seen`` (S,): all rows of the source, and whether their partner is seen.
    """

    row: Int64
    shift: Float64
    source_row: Int64
    seen: Float64


def shift_targets(
    event: FlowEvent, planes: Sequence[PlanePixels], rows: ShiftInput, frame: Frame, source: int, target: int
) -> ShiftTargets:
    """Targets in one direction, where at least one end has charge.

    A row of the source learns the shift to its true partner, also where that lies on a dead wire. A pixel of the target
    whose true wire on the source is dead teaches the site of that wire, if any plane has charge there.
    """
    mine = np.flatnonzero(rows.plane == source)
    pixel = planes[source].pixel[rows.entry[mine]]
    wire = event.true[source][:, target].astype(np.int64)
    seen = partners(wire, event.row[source], image_of(event, target)) >= 0
    known = mine[wire[pixel] >= 0]
    shift = shift_between(rows.z[known], planes[target].plane, wire[pixel][wire[pixel] >= 0], frame)

    back = event.true[target][:, source].astype(np.int64)
    dead = np.flatnonzero((back >= 0) & ~np.append(planes[source].alive, True)[back])
    place = wire_places(planes[source].plane, back[dead], frame)
    at = _row_at(rows, place, event.row[target][dead].astype(np.int64))
    there, row = dead[at >= 0], at[at >= 0]
    column = event.column[target][there].astype(np.int64)
    far = shift_between(rows.z[row], planes[target].plane, column, frame)
    return ShiftTargets(
        np.concatenate([known, row]),
        np.concatenate([shift, far]),
        mine,
        seen[pixel].astype(np.float64),
    )


def _row_at(rows: ShiftInput, place: Int64, row: Int64) -> Int64:
    """A row (N,) of the input at places (N,) in rows (N,) of the image; -1 where no plane has charge."""
    key = (rows.coords[:, 2] << 32) + rows.coords[:, 1]
    return rows_of((row << 32) + place, key)


@dataclass(frozen=True)
class ShiftObjective:
    """That of :class:`larmlreco.models.larflow_regression.LArFlowRegression`, for the directions that it gives.

    Smooth L1 of the shift, quadratic below one wire and not capped; ``matchable_weight`` times the cross-entropy of
    whether the partner is seen; ``consistency_weight`` times the smooth L1 of the difference (cm) of the heights that
    the two shifts of a source's pixel give.
    """

    geometry: Detector
    matchable_weight: float = 1.0
    consistency_weight: float = 0.1

    def __call__(self, event: FlowEvent, outputs: RawOutputs, metrics: FlowMetrics) -> Tensor:
        """The mean loss over the directions; figures are those of the wires that were regressed, without a choice."""
        planes = planes_of(event, self.geometry)
        frame = frame_of([plane.plane for plane in planes])
        rows = shift_input(planes, frame)
        raw = outputs(rows.coords, rows.charge.astype(np.float32)[:, np.newaxis])
        losses = []
        for source in range(N_PLANES):
            heights = []
            for target in range(N_PLANES):
                name = f"{planes[source].plane.view}2{planes[target].plane.view}"
                if f"flow_{name}" not in raw:
                    continue
                wanted = shift_targets(event, planes, rows, frame, source, target)
                losses.append(self._direction(raw, name, wanted))
                heights.append(
                    raw[f"flow_{name}"][torch.from_numpy(wanted.source_row)] / frame.shift_per_height(source, target)
                )
            if len(heights) > 1 and len(heights[0]):
                losses.append(self.consistency_weight * F.smooth_l1_loss(heights[0], heights[1]))
        self._add_figures(metrics, event, planes, rows, frame, raw)
        return torch.stack(losses).sum() / max(len(losses), 1)

    def _direction(self, raw: Mapping[str, Tensor], name: str, wanted: ShiftTargets) -> Tensor:
        shift, seen = raw[f"flow_{name}"], raw[f"matchable_{name}"]
        loss = 0.0 * (shift.sum() + seen.sum())
        if len(wanted.row):
            truth = torch.from_numpy(wanted.shift).to(shift)
            loss = loss + F.smooth_l1_loss(shift[torch.from_numpy(wanted.row)], truth)
        if len(wanted.source_row):
            truth = torch.from_numpy(wanted.seen).to(seen)
            said = seen[torch.from_numpy(wanted.source_row)]
            loss = loss + self.matchable_weight * F.binary_cross_entropy_with_logits(said, truth)
        return loss

    def _add_figures(
        self,
        metrics: FlowMetrics,
        event: FlowEvent,
        planes: Sequence[PlanePixels],
        rows: ShiftInput,
        frame: Frame,
        raw: Mapping[str, Tensor],
    ) -> None:
        values = {key: value.detach().cpu() for key, value in raw.items()}
        values = {k: torch.sigmoid(v) if k.startswith("matchable_") else v for k, v in values.items()}
        views = [plane.plane.view for plane in planes]
        outputs = {key: value.numpy() for key, value in values.items()}
        said = said_of_pixels(rows, planes, frame, outputs, views)
        for source, what in said.items():
            for target in range(N_PLANES):
                if target == source:
                    continue
                pixel = planes[source].pixel
                true = event.true[source][pixel, target].astype(np.int64)
                wire = np.floor(what.wire[:, target] + 0.5).astype(np.int64)
                image = image_of(event, target)
                metrics.add(
                    f"{views[source]}2{views[target]}",
                    np.maximum(wire, 0),
                    true,
                    partners(true, event.row[source][pixel], image) >= 0,
                    ~np.append(planes[target].alive, True)[true],
                    what.matchable[:, target] > 0.5,
                )
