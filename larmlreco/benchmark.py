"""Measures whole networks: time, kernel maps, arithmetic and memory, engine beside engine.

Every measurement runs in a process of its own, so that its peak memory is its own; processes take turns, so that
whatever else the machine does meets all of them alike.
"""

import ctypes
import multiprocessing
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError, LarmlrecoError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Architecture, Checkpoint, Network, build
from larmlreco.sparse import elsewhere, native
from larmlreco.sparse.layers import ENGINES, BatchNorm, Convolution, Linear, fold_norms

ALL_ENGINES = (*ENGINES, "minkowski", "spconv", "dense")
CLASSES = 5


@dataclass(frozen=True)
class Image:
    """Distinct coordinates (N, 1+D) int64 from 0, features (N, 1) float32, side lengths and number of batch items."""

    name: str
    coords: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    shape: tuple[int, ...]
    items: int = 1

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def densest_crops(self, side: int, items: int) -> "Image":
        """A batch of crops of this side with most voxels, of those whose corners are multiples of half a side.

        Where fewer than ``items`` of them hold a voxel, these are taken again in turn. Raises ``InputError`` where none
        does.
        """
        axes = self.coords[:, 1:]
        origins = [np.multiply(corner, side // 2) for corner in np.ndindex(*self._crops(side))]
        crops = [(np.flatnonzero(((axes >= origin) & (axes < origin + side)).all(1)), origin) for origin in origins]
        crops = sorted((crop for crop in crops if len(crop[0])), key=lambda crop: -len(crop[0]))[:items]
        if not crops:
            raise InputError(f"{self.name}: no voxel lies in the image of shape {self.shape}")
        batch = [crops[item % len(crops)] for item in range(items)]
        coords = [np.insert(axes[rows] - origin, 0, item, axis=1) for item, (rows, origin) in enumerate(batch)]
        features = np.concatenate([self.features[rows] for rows, _ in batch])
        name = f"{self.name}[{side}]" if items == 1 else f"{self.name}[{items}x{side}]"
        return Image(name, np.concatenate(coords), features, (side,) * self.dimension, items)

    def _crops(self, side: int) -> list[int]:
        """Crops along each axis, half a side apart."""
        return [max(1, 2 * length // side - 1) for length in self.shape]


def read_image(path: Path) -> Image:
    """The image in an ``.npz`` file with ``coords`` (N, 1+D) integer, ``feats`` (N, 1) and ``spatial_shape`` (D,).

    Raises ``InputError`` for a file that does not hold this.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            coords, features, shape = (file[key] for key in ("coords", "feats", "spatial_shape"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: expected arrays coords, feats and spatial_shape in an .npz file: {error}") from error
    axes = shape.size
    if coords.dtype.kind not in "iu" or coords.ndim != 2 or axes not in (2, 3) or coords.shape[1] != 1 + axes:
        raise InputError(
            f"{path}: expected integer coords (N, 1 + axes) for the {axes} axes of spatial_shape, 2 or 3; "
            f"got {coords.dtype} {coords.shape}"
        )
    if features.shape != (len(coords), 1):
        raise InputError(f"{path}: expected feats ({len(coords)}, 1); got {features.shape}")
    if not np.isfinite(features).all():
        raise InputError(f"{path}: expected finite feats; row {int(np.argmin(np.isfinite(features[:, 0])))} is not")
    outside = (coords[:, 0] != 0) | ((coords[:, 1:] < 0) | (coords[:, 1:] >= shape)).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"{path}: expected coords of one batch item 0 with voxels in {shape.tolist()}; "
            f"row {row} is {coords[row].tolist()}"
        )
    if len(np.unique(coords, axis=0)) != len(coords):
        raise InputError(f"{path}: expected distinct coords; some rows are there more than once")
    return Image(path.stem, coords.astype(np.int64), features.astype(np.float32), tuple(int(side) for side in shape))


@dataclass(frozen=True)
class Case:
    """One thing to measure: a U-ResNet of ``filters`` and ``depth`` on an image, by an engine."""

    engine: str
    image: Image
    filters: int
    depth: int
    threads: int
    backward: bool = False


@dataclass
class Result:
    """What was measured, in the units of the names; None where it does not apply."""

    engine: str
    input: str
    n_voxels: int
    threads: int
    total_ms: float
    map_ms: float | None
    gflop: float
    peak_rss_mb: float
    max_difference: float
    forward_ms: float | None = None
    step_ms: float | None = None

    @property
    def gflops(self) -> float:
        """Speed of the whole network, maps included, GFLOP/s."""
        return self.gflop / self.total_ms * 1e3

    def values(self) -> dict[str, Any]:
        """As printed."""
        values = {key: value for key, value in vars(self).items() if value is not None}
        values["gflops"] = self.gflops
        values["us_per_voxel"] = self.total_ms / max(self.n_voxels, 1) * 1e3
        if self.map_ms is not None:
            values["layer_ms"] = self.total_ms - self.map_ms
        if self.forward_ms is not None and self.step_ms is not None:
            values["step_ratio"] = self.step_ms / self.forward_ms
        return values


def measure(cases: Sequence[Case], rounds: int) -> list[Result]:
    """Measure cases on the same image, in turns; the best of so many rounds counts.

    Raises ``ConfigurationError`` where the library of an engine is absent, ``InputError`` where an engine fails.
    """
    gflop, reference = _count(cases[0])
    context = multiprocessing.get_context("spawn")
    workers = []
    directory = tempfile.TemporaryDirectory()
    try:
        for case in cases:
            archive = Path(directory.name) / f"{case.engine}.ts"
            if case.engine in ENGINES:
                export_archive(_checkpoint(case), archive, case.engine)
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, case, archive), daemon=True)
            process.start()
            theirs.close()
            workers.append((process, ours))
        first = [_ask(ours, case) for case, (_, ours) in zip(cases, workers, strict=True)]
        timings: list[list[dict[str, float]]] = [[] for _ in cases]
        for _ in range(rounds):
            for case, (_, ours), mine in zip(cases, workers, timings, strict=True):
                ours.send("run")
                mine.append(_ask(ours, case))
        results = []
        for case, (_, ours), mine, scores in zip(cases, workers, timings, first, strict=True):
            ours.send("finish")
            last = _ask(ours, case)
            difference = float(np.abs(scores - reference).max(initial=0.0)) / max(
                float(np.abs(reference).max(initial=0.0)), 1e-30
            )
            results.append(
                Result(
                    engine=case.engine,
                    input=case.image.name,
                    n_voxels=len(case.image.coords),
                    threads=case.threads,
                    total_ms=min(timing["total_ms"] for timing in mine),
                    gflop=gflop,
                    max_difference=difference,
                    **last,
                )
            )
        return results
    finally:
        for process, ours in workers:
            ours.close()
            process.join(timeout=5.0)
            process.terminate()
        directory.cleanup()


def _ask(connection: Connection, case: Case) -> Any:
    try:
        answer = connection.recv()
    except EOFError as error:
        raise InputError(
            f"engine {case.engine} died on {case.image.name} with {len(case.image.coords)} voxels, "
            "perhaps for want of memory"
        ) from error
    if isinstance(answer, LarmlrecoError):
        raise answer
    return answer


def _serve(connection: Connection, case: Case, archive: Path) -> None:
    """In the other process: scores first, then a timing for every ``run``, the rest at ``finish``."""
    try:
        worker = _Worker(case, archive)
        connection.send(worker.scores())
        while (command := connection.recv()) == "run":
            connection.send(worker.run())
        if command == "finish":
            connection.send(worker.finish())
    except LarmlrecoError as error:
        connection.send(error)
    except (RuntimeError, MemoryError) as error:
        connection.send(InputError(f"engine {case.engine}: {str(error).splitlines()[0]}"))
    except (EOFError, BrokenPipeError):
        return


def _checkpoint(case: Case) -> Checkpoint:
    """A U-ResNet with random weights, the same for every engine, and norms whose statistics leave numbers sane."""
    params: dict[str, Any] = {
        "dimension": case.image.dimension,
        "classes": CLASSES,
        "filters": case.filters,
        "depth": case.depth,
    }
    card = ModelCard(
        task="benchmark",
        detector="none",
        dimension=case.image.dimension,
        class_names=tuple(f"class {i}" for i in range(CLASSES)),
        features=(Feature("value", "1"),),
        pixel_size=(1.0,) * case.image.dimension,
        pixel_units=("voxel",) * case.image.dimension,
    )
    torch.manual_seed(0)
    empty = Checkpoint(Architecture("uresnet", params), card)
    network = build("uresnet", **params)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.0)
    return replace(empty, state_dict=network.state_dict())


def _count(case: Case) -> tuple[float, npt.NDArray[np.float32]]:
    """GFLOP of the network on the image (2 a multiply-add, pairs of sites that exist), and its scores."""
    network = _checkpoint(case).network(native.best_engine()).eval()
    fold_norms(network)
    flop = 0.0

    def count_convolution(layer: nn.Module, arguments: Any, out: Tensor) -> None:
        nonlocal flop
        assert isinstance(layer, Convolution)
        _, c_in, c_out = layer.weight.shape
        kernel_map = arguments[1]
        centres = 0 if layer.native else int((kernel_map[2] < 0).sum())
        flop += 2.0 * (len(kernel_map[0]) + centres * len(out)) * c_in * c_out

    def count_linear(layer: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal flop
        assert isinstance(layer, nn.Linear | Linear)
        flop += 2.0 * len(out) * layer.weight.numel()

    for layer in network.modules():
        if isinstance(layer, Convolution):
            layer.register_forward_hook(count_convolution)
        elif isinstance(layer, nn.Linear | Linear):
            layer.register_forward_hook(count_linear)
    try:
        with torch.inference_mode():
            out = network(torch.from_numpy(case.image.coords), torch.from_numpy(case.image.features))
    except ValueError as error:
        raise InputError(f"{case.image.name}: {error}") from error
    return flop * 1e-9, out["semantic"].numpy()


class _Worker:
    """One case in this process."""

    def __init__(self, case: Case, archive: Path) -> None:
        torch.set_num_threads(case.threads)
        self._case = case
        image = case.image
        self._coords, self._features = torch.from_numpy(image.coords), torch.from_numpy(image.features)
        self._checkpoint = _checkpoint(case)
        if case.backward and case.engine not in ENGINES:
            raise ConfigurationError(f"engine {case.engine}: only {' and '.join(ENGINES)} run backward here")
        self._forward: Callable[[Tensor, Tensor], Mapping[str, Any]]
        if case.engine in ENGINES:
            self._forward = load_archive(archive, engine=case.engine)
        else:
            self._forward = self._elsewhere(list(image.shape), image.items)
        if case.engine == "dense":
            small = self._elsewhere([2**case.depth] * image.dimension, 1)
            small(torch.zeros_like(self._coords[:1]), self._features[:1])
        else:
            self._forward(self._coords[:1000], self._features[:1000])
        _forget_peak()
        self._base = _status("VmRSS")

    def _elsewhere(self, shape: list[int], items: int) -> Callable[[Tensor, Tensor], Mapping[str, Any]]:
        """The network on another library, for so many images of this shape."""
        case = self._case
        network = self._checkpoint.network().eval()
        fold_norms(network)
        if case.engine == "dense":
            moved = elsewhere.on_dense(network, shape, items)
        elif case.engine == "spconv":
            moved = elsewhere.on_spconv(network, shape, items)
        else:
            moved = elsewhere.on_minkowski(network)

        def forward(coords: Tensor, features: Tensor) -> Mapping[str, Any]:
            with torch.inference_mode():
                outputs: Mapping[str, Any] = moved(coords, features)
            return outputs

        return forward

    def scores(self) -> npt.NDArray[np.float32]:
        """The probabilities (N, classes)."""
        return np.asarray(self._forward(self._coords, self._features)["semantic"])

    def run(self) -> dict[str, float]:
        """Time of the whole network."""
        return {"total_ms": _milliseconds(lambda: self._forward(self._coords, self._features))}

    def finish(self) -> dict[str, float | None]:
        """Peak memory, and the times of parts."""
        last: dict[str, float | None] = {"peak_rss_mb": _status("VmHWM") - self._base, "map_ms": None}
        if self._case.engine in ENGINES:
            network: Any = self._checkpoint.network(self._case.engine)
            last["map_ms"] = min(_milliseconds(lambda: network.pyramid(self._coords)) for _ in range(5))
            if self._case.backward:
                last.update(self._training(network.train()))
        return last

    def _training(self, network: Network) -> dict[str, float | None]:
        """The forward pass in training mode, and a whole step of the optimiser."""
        optimizer = torch.optim.Adam(network.parameters())
        target = torch.zeros(len(self._coords), dtype=torch.int64)

        def forward() -> Tensor:
            return network.raw(self._coords, self._features)["semantic"]

        def step() -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(forward(), target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        step()
        pairs = [(_milliseconds(forward), _milliseconds(step)) for _ in range(5)]
        return {"forward_ms": min(pair[0] for pair in pairs), "step_ms": min(pair[1] for pair in pairs)}


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def _status(key: str) -> float:
    """A line of this process's memory status, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def _forget_peak() -> None:
    """Let the peak of memory count from now on, from what is in use."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine_peaks(threads: int) -> dict[str, float | None]:
    """GFLOP/s of torch's matrix products and, summed over the threads, of bare multiply-adds in registers."""
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    with _threads(threads):
        best = min(_milliseconds(lambda: torch.mm(a, b)) for _ in range(20))
    bare = float(torch.ops.larmlreco.fma_peak_gflops(0.3)) * threads if native.available() else None
    return {"sgemm_gflops": 2.0 * side**3 / best * 1e-6, "fma_peak_gflops": bare}
