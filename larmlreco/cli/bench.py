"""Measure the speed and the memory of sparse networks, engine beside engine, and of the machine beside them.

A U-ResNet with random weights runs on each input with each engine, in processes that take turns. Times are those of
the whole network with its kernel maps made afresh, the best of several rounds; peak memory counts from before the
first run. With --dense the densest crop of the input, or with --batch so many of its densest crops, also run as dense
convolutions; with --backward a step of the training is timed as well. Portable and native networks run as exported
archives.

--clusters measures the forming of clusters from embeddings instead, against numbers of made-up voxels and clusters,
beside the published procedure (up to 2e8 voxels times clusters) and DBSCAN of as many voxels: processor time of one
thread.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.benchmark import Case, Image, machine_peaks, measure, read_image
from larmlreco.benchmark_clustering import measure_clustering
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

CLUSTERING_COLUMNS = (
    *(("voxels", "voxels", "d"), ("clusters", "clusters", "d"), ("fast_s", "fast s", ".3f")),
    *(("published_s", "published s", ".3f"), ("dbscan_s", "DBSCAN s", ".3f"), ("different", "different", "d")),
)
"""The same of the table of ``--clusters``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, nargs="+", help=".npz: coords, feats, spatial_shape")
    what.add_argument("--clusters", type=int, nargs="+", help="measure clustering, with these numbers of clusters")
    parser.add_argument(
        "--voxels",
        type=int,
        nargs="+",
        default=[3_000, 10_000, 30_000, 100_000],
        help="with --clusters: numbers of voxels; those below 10 a cluster are left out",
    )
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
    parser.add_argument(
        "--batch",
        type=int,
        default=1,
        help="with --dense: compare on so many crops at once, those with most voxels of all that start at multiples of "
        "half a side; where there are fewer, they are taken again in turn",
    )
    parser.add_argument("--json", action="store_true", help="print JSON: an object for each engine and input")
    parser.add_argument("--plot", type=Path, help="draw the cost against the number of voxels")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("filters", "depth", "threads", "rounds", "batch"):
        if getattr(options, name) < 1:
            raise ConfigurationError(f"--{name} must be at least 1; got {getattr(options, name)}")
    if options.batch > 1 and not options.dense:
        raise ConfigurationError("--batch goes with --dense; other measurements are of whole inputs")
    if options.clusters is not None:
        return _clustering(options)
    engines = options.engine or [native.best_engine()]
    images = [read_image(path) for path in options.input]
    for image in images:
        if options.dim not in (None, image.dimension):
            raise ConfigurationError(f"{image.name} has {image.dimension} axes; --dim asks for {options.dim}")
    peaks = machine_peaks(options.threads)
    rows: list[dict[str, Any]] = []
    for image in images:
        if options.dense:
            crops = image.densest_crops(DENSE_SIDE[image.dimension], options.batch)
            rows.extend({**row, "batch": options.batch} for row in _against_dense(crops, engines, options))
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
        print(_table(rows, COLUMNS))
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


def _clustering(options: argparse.Namespace) -> int:
    """Measure and print the forming of clusters."""
    for name in ("clusters", "voxels"):
        if min(getattr(options, name)) < 1:
            raise ConfigurationError(f"--{name} must be at least 1; got {min(getattr(options, name))}")
    cases = [(n, k) for k in options.clusters for n in options.voxels if n >= 10 * k]
    if not cases:
        raise ConfigurationError(
            f"--voxels must have at least 10 for each of --clusters {options.clusters}; got {options.voxels}"
        )
    rows = [measure_clustering(n, k, options.rounds).values() for n, k in cases]
    if options.plot is not None:
        _plot_clustering(rows, options.plot)
    print(json.dumps(rows, indent=1) if options.json else _table(rows, CLUSTERING_COLUMNS))
    return 0


def _plot_clustering(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for number, k in enumerate(dict.fromkeys(row["clusters"] for row in rows)):
        for key, name, style in (
            ("fast_s", "fast", "-o"),
            ("published_s", "published", "--s"),
            ("dbscan_s", "DBSCAN", ":^"),
        ):
            mine = sorted((row["voxels"], row[key]) for row in rows if row["clusters"] == k and key in row)
            label = f"{name}, {k} clusters"
            axes.plot([n for n, _ in mine], [cost for _, cost in mine], style, color=f"C{number}", label=label)
    axes.set(xscale="log", yscale="log", xlabel="voxels", ylabel="processor time (s)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path)


def _table(rows: Sequence[Mapping[str, Any]], known: Sequence[tuple[str, str, str]]) -> str:
    columns = [column for column in known if any(row.get(column[0]) is not None for row in rows)]
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
