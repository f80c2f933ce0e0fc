"""Measure the speed and the memory of sparse networks, engine beside engine, and of the machine beside them.

A U-ResNet with random weights runs on each input with each engine, in processes that take turns. Times are those of
the whole network with its kernel maps made afresh, the best of several rounds; peak memory counts from before the
first run. With --dense the densest part of the input also runs as dense convolutions, with --backward a step of the
training is timed as well. Portable and native networks run as exported archives.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.benchmark import Case, Image, machine_peaks, measure, read_image
from larmlreco.errors import ConfigurationError
from larmlreco.sparse import native

EXAMPLE = "larmlreco bench --input 3d512_10k.npz 3d512_30k.npz --engine native portable --filters 16 --depth 5"

DENSE_SIDE = {2: 512, 3: 192}
"""Side lengths of the images of the dense comparison, as in arXiv 1903.05663."""

COLUMNS = (
    *(("engine", "engine", ""), ("input", "input", ""), ("n_voxels", "voxels", "d"), ("threads", "threads", "d")),
    *(("total_ms", "total ms", ".1f"), ("map_ms", "maps ms", ".1f"), ("layer_ms", "layers ms", ".1f")),
    *(("us_per_voxel", "us/voxel", ".2f"), ("gflop", "GFLOP", ".2f"), ("gflops", "GFLOP/s", ".1f")),
    *(("peak_rss_mb", "peak MB", ".0f"), ("max_difference", "difference", ".1e")),
    *(("forward_ms", "forward ms", ".1f"), ("step_ms", "step ms", ".1f"), ("step_ratio", "step/forward", ".2f")),
    *(("dense_time_ratio", "dense time", ".1f"), ("dense_memory_ratio", "dense memory", ".1f")),
)
"""Key, title and format of the table's columns; those without a value in any row are left out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("--input", type=Path, nargs="+", required=True, help=".npz: coords, feats, spatial_shape")
    parser.add_argument("--dim", type=int, choices=(2, 3), help="axes that the inputs must have")
    parser.add_argument("--filters", type=int, default=16, help="channels of the finest level")
    parser.add_argument("--depth", type=int, default=5, help="levels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--engine",
        nargs="+",
        choices=("portable", "native", "minkowski", "spconv"),
        help="default: native where it is built, else portable",
    )
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many counts")
    parser.add_argument("--backward", action="store_true", help="time a training step, too")
    parser.add_argument("--dense", action="store_true", help="compare with dense convolutions")
    parser.add_argument("--json", action="store_true", help="print JSON: an object for each engine and input")
    parser.add_argument("--plot", type=Path, help="draw the cost of a voxel against the number of voxels")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("filters", "depth", "threads", "rounds"):
        if getattr(options, name) < 1:
            raise ConfigurationError(f"--{name} must be at least 1; got {getattr(options, name)}")
    engines = options.engine or [native.best_engine()]
    images = [read_image(path) for path in options.input]
    for image in images:
        if options.dim not in (None, image.dimension):
            raise ConfigurationError(f"{image.name} has {image.dimension} axes; --dim asks for {options.dim}")
    peaks = machine_peaks(options.threads)
    rows: list[dict[str, Any]] = []
    for image in images:
        if options.dense:
            rows.extend(_against_dense(image.densest_crop(DENSE_SIDE[image.dimension]), engines, options))
        else:
            cases = [_case(engine, image, options) for engine in engines]
            rows.extend(result.values() for result in measure(cases, options.rounds))
    for row in rows:
        row.update({"filters": options.filters, "depth": options.depth, **peaks})
    if options.plot is not None:
        _plot(rows, options.plot)
    if options.json:
        print(json.dumps(rows[0] if len(rows) == 1 else rows, indent=1))
    else:
        print(_table(rows))
        bare = peaks["fma_peak_gflops"]
        print(
            f"U-ResNet of {options.filters} filters, depth {options.depth}; this machine, {options.threads} thread(s): "
            f"sgemm {peaks['sgemm_gflops']:.0f} GFLOP/s, bare multiply-adds "
            + (f"{bare:.0f} GFLOP/s" if bare is not None else "not measured without the native engine")
        )
    return 0


def _case(engine: str, image: Image, options: argparse.Namespace) -> Case:
    return Case(engine, image, options.filters, options.depth, options.threads, options.backward)


def _against_dense(image: Image, engines: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Results of the engines with the ratios of dense convolutions to them, then that of dense convolutions."""
    options = argparse.Namespace(**{**vars(options), "backward": False})
    sparse = measure([_case(engine, image, options) for engine in engines], options.rounds)
    (dense,) = measure([_case("dense", image, options)], min(options.rounds, 2))
    rows = []
    for result in sparse:
        ratios = {
            "dense_time_ratio": dense.total_ms / result.total_ms,
            "dense_memory_ratio": dense.peak_rss_mb / max(result.peak_rss_mb, 1e-3),
        }
        rows.append({**result.values(), **ratios})
    return [*rows, dense.values()]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [column for column in COLUMNS if any(row.get(column[0]) is not None for row in rows)]
    lines = [[title for _, title, _ in columns]]
    for row in rows:
        lines.append([format(row[key], form) if row.get(key) is not None else "" for key, _, form in columns])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if form else cell.ljust(width)
            for cell, width, (_, _, form) in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )


def _plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for engine in dict.fromkeys(row["engine"] for row in rows):
        mine = sorted((row["n_voxels"], row["us_per_voxel"]) for row in rows if row["engine"] == engine)
        axes.plot([n for n, _ in mine], [cost for _, cost in mine], marker="o", label=engine)
    axes.set(xscale="log", xlabel="active voxels", ylabel="time a voxel (µs)")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
