"""Loads TorchScript archives, checks them against the job and runs them on arrays."""

import io
import itertools
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from larmlreco.archive import native_program, pack, read_archive
from larmlreco.card import ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.labels import scheme_of
from larmlreco.resources import archive_path
from larmlreco.sparse import native


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence torch's notices that TorchScript is no longer developed: it is the format that plain libtorch loads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        yield


class Archive:
    """A loaded network with its model card; made by :func:`load_archive`. ``engine``: the one that it runs on."""

    def __init__(self, path: Path, card: ModelCard, module: Any, device: torch.device, engine: str) -> None:
        self.path = path
        self.card = card
        self.device = device
        self.engine = engine
        self._module = module

    def check(
        self,
        *,
        detector: str,
        planes: Collection[str] = (),
        class_names: Collection[str] | None = None,
        task: str | None = None,
        outputs: Collection[str] = (),
        dimension: int | None = None,
        allow_other_detector: bool = False,
    ) -> None:
        """Raise ``ConfigurationError`` unless the card fits the job; meant for the time before the first event.

        ``planes`` are the views that the job will ask for, ``class_names`` the classes that it expects, in order,
        ``outputs`` the keys that it needs, and ``dimension`` 2 for pixels, 3 for voxels. With ``allow_other_detector``
        neither the detector nor its planes need be those of the card.
        """
        card = self.card

        def demand(good: bool, what: str, wanted: Any, found: Any, mend: str = "") -> None:
            if not good:
                raise ConfigurationError(
                    f"archive {self.path}: the job needs {what} {wanted}; the card has {found}{mend}"
                )

        demand(task in (None, card.task), "the task", task, card.task)
        if not allow_other_detector:
            mend = "\nanother archive, or the parameter that allows another detector, would do"
            demand(detector == card.detector, "the detector", detector, card.detector, mend)
            missing = sorted(set(planes) - set(card.planes))
            demand(not missing, "the planes", ", ".join(missing), ", ".join(card.planes) or "none")
        demand(dimension in (None, card.dimension), "the dimension", dimension, card.dimension)
        if class_names is not None:
            wanted = tuple(class_names)
            demand(wanted == card.class_names, "the classes", ", ".join(wanted), ", ".join(card.class_names))
        missing = sorted(set(outputs) - set(card.outputs))
        demand(not missing, "the outputs", ", ".join(missing), ", ".join(card.outputs))

    def check_factors(self, factors: Sequence[float]) -> None:
        """Raise ``ConfigurationError`` unless there is a factor above 0 for each class of the card, or none at all."""
        names = self.card.class_names
        if len(factors) and not (len(factors) == len(names) and all(0 < f < math.inf for f in factors)):
            raise ConfigurationError(
                f"class_factors: expected a number above 0 for each class of the archive {self.path.name}, "
                f"{', '.join(names)}, or none; got {list(factors)}"
            )

    def check_image(self, meta: Mapping[str, Any], charge_scale: float = 1.0) -> None:
        """Raise ``ConfigurationError`` unless an image (``meta`` of its pixels) was made as the card says.

        ``charge_scale`` is the factor by which the image's charge is multiplied before the network sees it.
        """
        for key, wanted in self.image_facts(charge_scale).items():
            found = meta[key]
            if not math.isclose(found, wanted, rel_tol=1e-6):
                raise ConfigurationError(
                    f"archive {self.path}: its card asks for images with {key} {wanted:g}, those of plane "
                    f"{meta.get('view')} were made with {found:g}; set {key} of their module to {wanted:g}"
                )

    def image_facts(self, charge_scale: float = 1.0) -> dict[str, float]:
        """What must be true of images by the card, as modules declare it: ``rebin`` and ``threshold``."""
        return {"rebin": float(self.card.rebin), "threshold": self.card.threshold / charge_scale}

    def voxel_facts(self) -> dict[str, float]:
        """What must be true of voxels by the card, as modules declare it: ``pitch`` in cm."""
        return {"pitch": self.card.pixel_size[0]}

    def check_pitch(self, pitch: npt.ArrayLike, name: str) -> None:
        """Raise ``ConfigurationError`` unless voxels of this edge (cm), called ``name``, are what the card asks for."""
        for found in np.asarray(pitch).reshape(-1).tolist():
            if not all(math.isclose(found, size, rel_tol=1e-4) for size in self.card.pixel_size):
                raise ConfigurationError(
                    f"archive {self.path}: its card asks for voxels of {self.card.pixel_size[0]:g} cm, "
                    f"those of {name} measure {found:g} cm"
                )

    def label_meta(self, detector: str) -> dict[str, Any]:
        """What labels that this archive gives to images of a detector say of their origin (``SemanticScores.meta``)."""
        card = self.card
        return {
            "class_names": list(card.class_names),
            "scheme": scheme_of(card.class_names),
            "model": self.path.name,
            "model_sha256": card.sha256,
            "model_detector": card.detector,
            "detector": detector,
            "trained_for_this_detector": detector == card.detector,
        }

    def __call__(self, coords: npt.ArrayLike, features: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
        """Outputs by key for coordinates (N, 1+D), integers, the batch item first, and features (N, C).

        Row ``i`` of every output belongs to row ``i`` of the input; no row is an input like any other. Raises
        ``InputError`` for coordinates that are not integers, for arrays whose shapes do not fit the card or one
        another, for features that are not finite, and where memory does not suffice.
        """
        rows = np.asarray(coords)
        if rows.dtype.kind not in "iu":
            raise InputError(f"archive {self.path}: coordinates must be integers; got {rows.dtype}")
        # Copies: arrays of products are read-only, and torch has no tensors that are.
        sites = torch.from_numpy(np.array(rows, dtype=np.int64, order="C")).to(self.device)
        values = torch.from_numpy(np.array(features, dtype=np.float32, order="C")).to(self.device)
        try:
            # Profiling and fusion help loops of one shape; every event has another and would pay for them again.
            with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                outputs: Mapping[str, Tensor] = self._module(sites, values)
        except (torch.jit.Error, RuntimeError) as error:
            raise InputError(f"archive {self.path}: {_reason(error, len(sites))}") from error
        return {key: value.cpu().numpy() for key, value in outputs.items()}

    def class_scores(
        self, coords: npt.ArrayLike, features: npt.ArrayLike, mirrored: bool = False
    ) -> npt.NDArray[np.float32]:
        """Scores (N, classes) of a classifier, the output ``semantic``; for the arguments and errors see the call.

        ``mirrored``: the mean over the image and its mirror images along all axes, 2^D of them; a network that learned
        on mirrored images is right a little more often so, in 2^D times the time.
        """
        if not mirrored:
            return self(coords, features)["semantic"]
        signs = [(1, *sign) for sign in itertools.product((1, -1), repeat=self.card.dimension)]
        scores = [self(np.asarray(coords) * np.array(sign), features)["semantic"] for sign in signs]
        return np.asarray(np.mean(scores, axis=0, dtype=np.float64), dtype=np.float32)


def load_archive(
    path: Path | str, device: str | torch.device = "cpu", threads: int | None = None, engine: str = "auto"
) -> Archive:
    """Load an archive onto a device; ``threads`` sets torch's number of threads for the whole process.

    ``path`` may be the name of a shipped archive. The device ``auto`` is a GPU where there is one, else the CPU. The
    ``engine`` of a portable archive is ``native`` if the archive holds a native program too and there are operators for
    it, on a CPU; ``portable`` and ``native`` insist. Raises ``InputError`` for a file that is missing, cut short,
    altered, no archive, or of a newer format, and ``ConfigurationError`` where its engine or the device is absent.
    """
    path = archive_path(path)
    card, records = read_archive(path)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"archive {path}: no CUDA device is available for device {device}; valid here: cpu")
    programs = {card.engine: records}
    second = native_program(records)
    if second is not None:
        programs["native"] = second
    if engine == "auto":
        engine = native.best_engine() if len(programs) == 2 and where.type == "cpu" else card.engine
    if engine not in programs:
        raise ConfigurationError(f"archive {path} has no program for the engine {engine}; valid: {', '.join(programs)}")
    if engine == "native" and where.type != "cpu":
        raise ConfigurationError(f"archive {path}: the native engine runs on a CPU; got the device {where}")
    if engine == "native":
        try:
            native.require()
        except ConfigurationError as error:
            raise ConfigurationError(f"archive {path}: {error}") from error
    if threads is not None:
        torch.set_num_threads(threads)
    with quiet_torchscript():
        content = io.BytesIO(pack(programs[engine]))
        module = torch.jit.load(content, map_location=where)  # type: ignore[no-untyped-call]
    return Archive(path, card, module, where, engine)


def _reason(error: Exception, rows: int) -> str:
    """The message that an archive raised, without the interpreter's traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if any("allocate memory" in line or "out of memory" in line for line in lines):
        return f"the memory does not suffice for {rows} rows"
    last = lines[-1] if lines else type(error).__name__
    return last.partition("Error: ")[2] or last
