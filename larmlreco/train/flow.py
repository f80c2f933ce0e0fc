"""Training of LArFlow: events with the true partners of their pixels, targets of candidates, loss and figures."""

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.geometry import Detector
from larmlreco.images.pixels import ImageSettings, dead_channels, images_of_wires
from larmlreco.io import open_file
from larmlreco.metrics.flow import FlowMetrics
from larmlreco.models.checkpoint import Checkpoint
from larmlreco.models.network import Network
from larmlreco.products import ChannelStatus, Pixels, Product, TrueSteps, Wires
from larmlreco.progress import Progress
from larmlreco.reco.candidates import (
    N_PLANES,
    Candidates,
    CandidateSettings,
    PlanePixels,
    candidate_coords,
    candidate_features,
    find_candidates,
    plane_pixels,
)
from larmlreco.reco.flow import choose, partner_wires
from larmlreco.train.files import fingerprint, only_key
from larmlreco.train.images import image_generator
from larmlreco.train.trainer import Figures, Plan, TrainingLoop
from larmlreco.truth.flow import partners, pixel_origin, true_wires

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

RawOutputs = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float32]], dict[str, Tensor]]
"""Runs a network on coordinates and features, in training with gradients."""

_REACH = 2
_FIELDS = ("column", "row", "adc", "true", "pixels", "dead", "dead_count")


@dataclass(frozen=True)
class FlowEvent:
    """Pixels of the three planes of a TPC, and their true partners.

    By plane: ``column``, ``row``, ``adc`` (N,), ``true`` (N, 3) true wires, -1: none. ``dead``: channels.
    """

    column: Sequence[npt.NDArray[np.int16]]
    row: Sequence[npt.NDArray[np.int16]]
    adc: Sequence[npt.NDArray[np.float32]]
    true: Sequence[npt.NDArray[np.int16]]
    dead: Int64


class FlowStore:
    """Many events in few arrays.

    ``pixels`` (events, 3): pixels of each event and plane; ``column``, ``row``, ``adc`` (M,), ``true`` (M, 3): of all
    of them, by event, then plane; ``dead_count`` (events,) and ``dead``: dead channels.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.arrays = dict(arrays)
        self._first = np.concatenate([[0], np.cumsum(self.arrays["pixels"])]).astype(np.int64)
        self._first_dead = np.concatenate([[0], np.cumsum(self.arrays["dead_count"])]).astype(np.int64)

    @classmethod
    def collect(cls, events: Sequence[FlowEvent]) -> "FlowStore":
        """Put events into one store."""
        return cls(
            {
                "column": _joined([part for e in events for part in e.column], np.int16),
                "row": _joined([part for e in events for part in e.row], np.int16),
                "adc": _joined([part for e in events for part in e.adc], np.float32),
                "true": _joined([part for e in events for part in e.true], np.int16, (N_PLANES,)),
                "pixels": np.array([[len(c) for c in e.column] for e in events], np.int64).reshape(-1, N_PLANES),
                "dead": _joined([e.dead for e in events], np.int32),
                "dead_count": np.array([len(e.dead) for e in events], np.int64),
            }
        )

    @classmethod
    def concatenate(cls, stores: Sequence["FlowStore"]) -> "FlowStore":
        """One store of the events of several."""
        return cls({name: np.concatenate([s.arrays[name] for s in stores]) for name in _FIELDS})

    def __len__(self) -> int:
        return len(self.arrays["pixels"])

    def __getitem__(self, index: int) -> FlowEvent:
        if not 0 <= index < len(self):
            raise IndexError(f"event {index} of {len(self)}")
        spans = [slice(int(self._first[i]), int(self._first[i + 1])) for i in range(3 * index, 3 * index + 3)]
        fields = {name: [self.arrays[name][span] for span in spans] for name in ("column", "row", "adc", "true")}
        dead = self.arrays["dead"][self._first_dead[index] : self._first_dead[index + 1]]
        return FlowEvent(**fields, dead=dead.astype(np.int64))

    def save(self, path: Path) -> None:
        """Write the arrays as one compressed ``.npz`` that appears under its name only when it is whole."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may make the same
        with partial.open("wb") as file:
            fields: dict[str, Any] = self.arrays
            np.savez_compressed(file, **fields)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "FlowStore":
        """Read what :meth:`save` wrote. Raises ``InputError`` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls({name: arrays[name] for name in _FIELDS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is no store of events, or it was cut short; delete it to have it made again"
            ) from error


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros((0, *shape), dtype), *parts]).astype(dtype)


def flow_events(
    paths: Sequence[Path], geometry: Detector, settings: ImageSettings, cache: Path | None = None
) -> FlowStore:
    """Events of files with the true partners of their pixels, for a detector with one TPC whose wires do not wrap.

    What was made of a file is kept in the folder ``cache``. Raises ``InputError`` for a file that cannot be read or
    lacks wires or truth, ``ConfigurationError`` for a detector of another kind.
    """
    if len(geometry.tpcs) != 1 or any(plane.wrapped for plane in geometry.planes):
        raise ConfigurationError(
            f"training.data.detector: {geometry.name} has {len(geometry.tpcs)} TPCs; LArFlow learns from one with one, "
            "for example microboone"
        )
    stores = []
    progress = Progress(len(paths), "files of events")
    for number, path in enumerate(paths):
        if not path.is_file():
            raise InputError(f"{path} does not exist")
        name = f"{path.stem}-{fingerprint(path, f'flow {geometry.name} {settings}')}.npz"
        kept = cache / name if cache else None
        if kept is not None and kept.exists():
            stores.append(FlowStore.load(kept))
        else:
            stores.append(FlowStore.collect(_events(path, geometry, settings)))
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                stores[-1].save(kept)
        progress.update(number + 1)
    return FlowStore.concatenate(stores)


def _events(path: Path, geometry: Detector, settings: ImageSettings) -> list[FlowEvent]:
    reader = open_file(str(path))
    needed: tuple[type[Product], ...] = (Wires, TrueSteps)
    events = []
    try:
        keys = {product: only_key(reader, product) for product in (*needed, ChannelStatus)}
        for product in needed:
            if keys[product] is None:
                there = ", ".join(key.branch for key in reader.keys("event"))
                raise InputError(f"{path} holds no {product.__name__}; training needs wires and truth; there: {there}")
        for entry in range(reader.n_events):
            got = {product: reader.read(entry, key) for product, key in keys.items() if key is not None}
            wires, steps, status = got[Wires], got[TrueSteps], got.get(ChannelStatus)
            if not (isinstance(wires, Wires) and isinstance(steps, TrueSteps)):
                raise InputError(f"{path}, entry {entry}: wires or truth are missing from this event")
            dead = dead_channels(status) if isinstance(status, ChannelStatus) else np.zeros(0, np.int64)
            chosen = ImageSettings(settings.rebin, settings.threshold, settings.n_samples, dead)
            images = images_of_wires(wires, geometry, geometry.active_readout_planes, chosen)
            events.append(flow_event([image.pixels for image in images.values()], steps, geometry, dead))
    finally:
        reader.close()
    return events


def flow_event(images: Sequence[Pixels], steps: TrueSteps, geometry: Detector, dead: Int64) -> FlowEvent:
    """The event of three images and the true steps behind them."""
    true = []
    for pixels in images:
        deposit = pixel_origin(pixels, steps, geometry).deposit
        true.append(np.column_stack([true_wires(deposit, steps, plane) for plane in geometry.planes]).astype(np.int16))
    return FlowEvent(
        [pixels.column.astype(np.int16) for pixels in images],
        [pixels.row.astype(np.int16) for pixels in images],
        [pixels.adc for pixels in images],
        true,
        dead,
    )


@dataclass(frozen=True)
class FlowAugmentation:
    """Changes of an event that leave its partners true.

    ``flip_time``: mirror the time axis of half of the events; ``scale_sigma``: width of the log-normal factors on the
    charge, one for the event and one, a third as wide, for each plane; with ``dead_probability``, up to ``dead_blocks``
    blocks of up to ``dead_width`` wires of each plane die.
    """

    flip_time: bool = True
    scale_sigma: float = 0.1
    dead_probability: float = 0.3
    dead_blocks: int = 3
    dead_width: int = 40

    def __call__(self, event: FlowEvent, geometry: Detector, random: np.random.Generator) -> FlowEvent:
        """A changed copy of the event."""
        row = list(event.row)
        last = max((int(r.max()) for r in row if len(r)), default=0)
        if self.flip_time and random.random() < 0.5:
            row = [(last - r).astype(np.int16) for r in row]
        common = random.normal(0, self.scale_sigma)
        factors = np.exp(common + random.normal(0, self.scale_sigma / 3, N_PLANES))
        adc = [(a * f).astype(np.float32) for a, f in zip(event.adc, factors, strict=True)]
        out = FlowEvent(event.column, row, adc, event.true, event.dead)
        return self._kill(out, geometry, random) if random.random() < self.dead_probability else out

    def _kill(self, event: FlowEvent, geometry: Detector, random: np.random.Generator) -> FlowEvent:
        dead = [event.dead]
        keep = []
        for number, plane in enumerate(geometry.planes):
            killed = np.zeros(plane.n_wires, dtype=np.bool_)
            for _ in range(int(random.integers(0, self.dead_blocks + 1))):
                first = int(random.integers(0, plane.n_wires))
                killed[first : first + int(random.integers(1, self.dead_width + 1))] = True
            dead.append(plane.channels[killed])
            keep.append(~killed[event.column[number]])
        fields = {
            name: [part[k] for part, k in zip(getattr(event, name), keep, strict=True)]
            for name in ("column", "row", "adc", "true")
        }
        return FlowEvent(**fields, dead=np.unique(np.concatenate(dead)))


def planes_of(event: FlowEvent, geometry: Detector) -> list[PlanePixels]:
    """The planes of an event, for :func:`larmlreco.reco.candidates.find_candidates`."""
    out = []
    for number, readout in enumerate(geometry.readout_planes_of(0)):
        n = len(event.column[number])
        pixels = Pixels(
            tpc=np.zeros(n, np.int32),
            plane=np.full(n, number, np.int32),
            column=event.column[number].astype(np.int32),
            row=event.row[number].astype(np.int32),
            adc=event.adc[number],
        )
        out.append(plane_pixels(pixels, readout, geometry, 0, event.dead))
    return out


@dataclass(frozen=True)
class Targets:
    """What the pixels of an event should choose; pixels are numbered over all planes.

    ``candidate`` and ``pixel`` (E,): which candidates belong to which pixel; ``share`` (E,): what part of the pixel's
    answer each should have; ``none`` (pixels,): 1 where no candidate is true; ``weight`` (pixels,): 0 without any.
    """

    candidate: Int64
    pixel: Int64
    share: Float64
    none: Float64
    weight: Float64


def candidate_targets(
    planes: Sequence[PlanePixels], found: Candidates, true: Sequence[npt.ArrayLike], blur: float, hard_weight: float
) -> Targets:
    """Targets of the candidates of an event whose pixels have the true wires ``true``, by plane (N, 3).

    A candidate whose wires on the other two planes lie within two wires of the true ones has a share that falls as a
    Gaussian of width ``blur`` (wires). A pixel with n candidates weighs 1 + ``hard_weight`` * log(n).
    """
    candidates, pixels, shares = [], [], []
    offset = 0
    for number, plane in enumerate(planes):
        wires = np.asarray(true[number], dtype=np.int64)
        mine = np.flatnonzero(found.entry[:, number] >= 0)
        pixel = plane.pixel[found.entry[mine, number]]
        others = [p for p in range(N_PLANES) if p != number]
        off = np.abs(found.wire[mine][:, others] - wires[pixel][:, others])
        known = (wires[pixel] >= 0).any(axis=1)
        near = known & (off <= _REACH).all(axis=1)
        share = np.where(near, np.exp(-0.5 * (np.minimum(off, _REACH) ** 2).sum(axis=1) / blur**2), 0.0)
        candidates.append(mine)
        pixels.append(pixel + offset)
        shares.append(share)
        offset += len(wires)
    candidate, pixel, share = (np.concatenate(parts) for parts in (candidates, pixels, shares))
    total = np.bincount(pixel, share, offset)
    count = np.bincount(pixel, minlength=offset)
    share = share / np.where(total > 0, total, 1.0)[pixel]
    weight = np.where(count > 0, 1 + hard_weight * np.log(np.maximum(count, 1)), 0.0)
    return Targets(candidate, pixel, share, (total == 0).astype(np.float64), weight)


def candidate_loss(score: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy of each pixel's softmax over its candidates and "no partner", which has score 0; weighted mean.

    ``score`` (K,), log-odds. 0 where no pixel has candidates.
    """
    device, dtype = score.device, score.dtype
    candidate, pixel = (torch.from_numpy(a).to(device) for a in (targets.candidate, targets.pixel))
    share, none, weight = (torch.from_numpy(a).to(device, dtype) for a in (targets.share, targets.none, targets.weight))
    of_pair = score.index_select(0, candidate)
    highest = torch.zeros_like(weight).scatter_reduce(0, pixel, of_pair.detach(), "amax")
    total = torch.exp(-highest).index_add(0, pixel, torch.exp(of_pair - highest.index_select(0, pixel)))
    normal = highest + torch.log(total)
    right = of_pair - normal.index_select(0, pixel)
    loss = (none * weight * normal).sum() - (share * weight.index_select(0, pixel) * right).sum()
    return loss / weight.sum().clamp(min=1e-9)


def add_figures(
    metrics: FlowMetrics, event: FlowEvent, planes: Sequence[PlanePixels], found: Candidates, score: npt.ArrayLike
) -> None:
    """Add the partners that scores (K,) choose in an event to the figures."""
    views = [plane.plane.view for plane in planes]
    for source, choice in enumerate(choose(found, planes, score, [len(c) for c in event.column])):
        predicted = partner_wires(choice, found)
        for target in range(N_PLANES):
            if target == source:
                continue
            true = event.true[source][:, target].astype(np.int64)
            image = image_of(event, target)
            metrics.add(
                f"{views[source]}2{views[target]}",
                predicted[:, target],
                true,
                partners(true, event.row[source], image) >= 0,
                ~np.append(planes[target].alive, True)[true],
                choice.matched[:, target] > 0.5,
                choice.count,
            )


def image_of(event: FlowEvent, plane: int) -> Pixels:
    """The pixels of a plane as an image, ordered by column, then row."""
    order = np.lexsort((event.row[plane], event.column[plane]))
    n = len(order)
    return Pixels(
        tpc=np.zeros(n, np.int32),
        plane=np.full(n, plane, np.int32),
        column=event.column[plane][order].astype(np.int32),
        row=event.row[plane][order].astype(np.int32),
        adc=event.adc[plane][order],
    )


class FlowObjective(Protocol):
    """What a network of LArFlow sees of an event, and how it learns from it."""

    def __call__(self, event: FlowEvent, outputs: RawOutputs, metrics: FlowMetrics) -> Tensor:
        """Loss of an event, whose partners are added to the figures.

        ``outputs`` runs the network on coordinates and features.
        """


class CandidateObjective:
    """That of :class:`larmlreco.models.larflow.LArFlow`: each pixel chooses among its candidates."""

    def __init__(self, geometry: Detector, settings: CandidateSettings, blur: float = 0.7, hard_weight: float = 0.5):
        self._geometry, self._settings = geometry, settings
        self._blur, self._hard_weight = blur, hard_weight

    def __call__(self, event: FlowEvent, outputs: RawOutputs, metrics: FlowMetrics) -> Tensor:
        """The cross-entropy of :func:`candidate_loss`."""
        planes = planes_of(event, self._geometry)
        found = find_candidates(planes, self._settings)
        score = outputs(candidate_coords(found, planes), candidate_features(planes, found))["score"]
        add_figures(metrics, event, planes, found, score.detach().cpu().numpy())
        return candidate_loss(score, candidate_targets(planes, found, event.true, self._blur, self._hard_weight))


class FlowTrainer(TrainingLoop):
    """Trains networks of LArFlow; the accuracy is that of partners within two wires."""

    details = "directions"

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: Network,
        training: FlowStore,
        validation: FlowStore,
        plan: Plan,
        augmentation: FlowAugmentation,
        geometry: Detector,
        objective: FlowObjective,
        directory: Path,
        device: torch.device,
    ) -> None:
        sizes = {"training": len(training), "validation": len(validation)}
        super().__init__(checkpoint, network, sizes, plan, directory, device)
        self._training = training
        self._validation = validation
        self._augment = augmentation
        self._geometry = geometry
        self._objective = objective

    def _loss(self, iteration: int) -> tuple[Tensor, dict[str, float]]:
        plan = self._plan
        losses, metrics = [], FlowMetrics()
        pixels = 0
        for item, number in self._items(len(self._training), iteration):
            random = image_generator(plan.seed, iteration, item)
            event = self._augment(self._training[number], self._geometry, random)
            losses.append(self._objective(event, self._outputs, metrics))
            pixels += sum(len(c) for c in event.column)
        accuracy = metrics.summary()["accuracy"]["value"]
        return torch.stack(losses).mean(), {"accuracy": accuracy, "pixels": pixels}

    def _outputs(self, coords: npt.NDArray[np.int64], features: npt.NDArray[np.float32]) -> dict[str, Tensor]:
        return self._raw(torch.from_numpy(coords).to(self._device), torch.from_numpy(features).to(self._device))

    def validate(self) -> tuple[float, Figures]:
        """Mean loss and the figures over the validation set, without augmentation."""
        metrics = FlowMetrics()
        self._network.eval()
        with torch.no_grad():
            losses = [
                float(self._objective(self._validation[number], self._outputs, metrics))
                for number in range(len(self._validation))
            ]
        return sum(losses) / len(losses), metrics
