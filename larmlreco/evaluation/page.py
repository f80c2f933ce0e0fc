"""The page "How good is it": tables beside the published ones, curves and event pictures, from evaluations."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from larmlreco.errors import OutputError
from larmlreco.evaluation.chain import chain_blocks, chain_figures
from larmlreco.evaluation.clusters import cluster_blocks, cluster_figures
from larmlreco.evaluation.flow import flow_blocks, flow_figures
from larmlreco.evaluation.infill import infill_blocks, infill_figures
from larmlreco.evaluation.markdown import percent, ratio, table
from larmlreco.evaluation.plots import draw_confusion, draw_curves, draw_scan
from larmlreco.evaluation.record import Evaluation
from larmlreco.metrics.published import (
    CLASSES,
    DEPTH_AND_FILTERS,
    IMAGE_SIZES,
    LABELS_AND_WEIGHTS,
    SCALABILITY,
    SSNET,
    SSNET_FIGURES,
    Resources,
)

_INTRODUCTION = """\
# How good is it

Made by `larmlreco evaluation-page` from the files of `larmlreco evaluate --save`; all figures are of events that no
network was trained on. Errors are statistical, with the event as the independent unit. Only pixels (voxels) that hold
true charge count; one without a class counts as wrong. *Published* figures were measured on the papers' own simulation,
so they show the order of what is possible, not a race on equal ground.

Definitions: the accuracy is the part of all pixels, of all events, that have the right class. ICPF is the part of an
event's pixels that is wrong, quoted as mean and 90 % quantile over events. The shower (track) error rate is the part of
an event's shower (track) pixels that is called track (shower), as a mean over events.
"""

_CURVES = {
    "energy": "Energy",
    "opening_angle": "Opening angle",
    "border": "Distance to the border",
}


def write_page(folders: Sequence[Path], page: Path) -> None:
    """Write the page (Markdown) of these evaluations, and its pictures into the folder ``<page's stem>`` beside it.

    Raises ``InputError`` for a folder without an evaluation, ``OutputError`` where something cannot be written.
    """
    evaluations = [(folder, Evaluation.load(folder)) for folder in folders]
    pictures = page.parent / page.stem
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        flows = [(_name(e), e) for _, e in evaluations if flow_figures(e)]
        chains = [(_name(e), e) for _, e in evaluations if chain_figures(e)]
        infills = [(_name(e), e) for _, e in evaluations if infill_figures(e)]
        # What the chain's own tables say of clusters is enough where it begins with pixels.
        clusters = [(_name(e), e) for _, e in evaluations if cluster_figures(e) and "pixels" not in chain_figures(e)]
        others = (flow_figures, chain_figures, infill_figures, cluster_figures)
        classes = [pair for pair in evaluations if not any(figures_of(pair[1]) for figures_of in others)]
        planes = [pair for pair in classes if _dimension(pair[1]) == 2]
        voxels = [pair for pair in classes if _dimension(pair[1]) == 3]
        blocks = [_INTRODUCTION, _archives([e for _, e in evaluations])]
        if planes:
            blocks += ["## Wire planes", _accuracies([e for _, e in planes]), _ssnet([e for _, e in planes])]
            blocks += [_details(folder, evaluation, pictures) for folder, evaluation in planes]
        if voxels:
            blocks += ["## Voxels", _accuracies([e for _, e in voxels]), _voxel_tables([e for _, e in voxels])]
            blocks += [_details(folder, evaluation, pictures) for folder, evaluation in voxels]
        if infills:
            blocks += ["## Infill of dead regions", *infill_blocks(infills, pictures)]
        if flows:
            blocks += ["## Partners and points in space (LArFlow)", *flow_blocks(flows, pictures)]
        if clusters:
            blocks += ["## Clusters and Michel electrons", *cluster_blocks(clusters, pictures)]
        for title, begin in (("The whole chain, from wires", True), ("From voxels", False)):
            mine = [(name, e) for name, e in chains if ("pixels" in chain_figures(e)) == begin]
            if mine:
                blocks += [f"## {title} to particles", *chain_blocks(mine)]
        partial = page.with_name(page.name + ".partial")
        partial.write_text("\n\n".join(block.strip() for block in blocks if block) + "\n", encoding="utf-8")
        partial.replace(page)
    except OSError as error:
        raise OutputError(f"cannot write {error.filename or page}: {error.strerror}") from error


def _dimension(evaluation: Evaluation) -> int:
    return max((int(card["dimension"]) for card in evaluation.cards.values()), default=2)


def _cells(evaluation: Evaluation) -> str:
    return "voxels" if _dimension(evaluation) == 3 else "pixels"


def _name(evaluation: Evaluation) -> str:
    return evaluation.sample or ", ".join(evaluation.inputs)


def _figures(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """Figures by instance of the evaluator of classes."""
    return next((values for values in results.values() if "pixels" in values), {})


def _evaluator(results: Mapping[str, Any]) -> str:
    return next(label for label, values in results.items() if "pixels" in values)


def _instances(figures: Mapping[str, Any]) -> list[str]:
    """All pixels together first, unless there is but one image; the hits last."""
    parts = [name for name in figures if name not in ("pixels", "hits")]
    return [*(["pixels"] if len(parts) != 1 else []), *parts, *(["hits"] if "hits" in figures else [])]


def _archives(evaluations: Sequence[Evaluation]) -> str:
    cards = {name: card for evaluation in evaluations for name, card in evaluation.cards.items()}
    rows = []
    for name, card in cards.items():
        params = {"filters": "-", "depth": "-", **card["network"].get("params", {})}
        made = {"iterations": "-", "batch_size": "-", **card["training"]}
        items = next((f"{made[what]} {what}" for what in ("images", "events") if what in made), "- images")
        network = f"{card['network'].get('name', '-')}, {params['filters']} filters, depth {params['depth']}"
        learned = f"{made['iterations']} batches of {made['batch_size']} from {items}"
        rows.append([f"`{name}`", card["detector"], network, learned, f"`{card['sha256'][:16]}`"])
    return "## Archives\n\n" + table(["archive", "detector", "network", "training", "SHA-256 begins"], rows)


def _accuracies(evaluations: Sequence[Evaluation]) -> str:
    """Accuracies of five classes and of the two-class view, by sample and image."""
    rows = []
    for evaluation in evaluations:
        figures = _figures(evaluation.results)
        for name in _instances(figures):
            five, two = figures[name]["five_classes"], figures[name]["track_shower"]
            row = [_name(evaluation), "all" if name == "pixels" else name, str(five["events"])]
            row += [ratio(five["accuracy"]), *(ratio(five["classes"][c]) for c in five["class_names"])]
            rows.append([*row, ratio(two["accuracy"])])
    names = ["HIP", "MIP", "shower", "delta", "Michel"]
    head = ["sample", "image", "events", "five classes", *names, "track/shower"]
    return "### Accuracy (%)\n\n" + table(head, rows)


def _ssnet(evaluations: Sequence[Evaluation]) -> str:
    """Table I of SSNet: collection plane, two classes."""
    ours: dict[str, list[str]] = {}
    for evaluation in evaluations:
        figures = _figures(evaluation.results)
        for name in ("Y", "pixels"):
            if name in figures:
                title = f"{_name(evaluation)}, {'plane Y' if name == 'Y' else 'all planes'}"
                ours[title] = _ssnet_figures(figures[name]["track_shower"])
    rows = [[title, *values] for title, values in ours.items()]
    used = {_name(evaluation) for evaluation in evaluations}
    order = [*(n for n in SSNET if n in used), *(n for n in SSNET if n not in used)]
    rows += [[f"*published {name}*", *(f"{value:.1f}" for value in SSNET[name])] for name in order]
    return (
        "### Track and shower: beside table I of PRD 99 092001 (%)\n\n"
        + table(["sample", *SSNET_FIGURES], rows)
        + "\n\nThe published figures are of collection-plane images of 512 x 512 pixels around the vertex, without"
        " cosmic muons; goal of this project: ICPF mean 2.5 on MPV."
    )


def _ssnet_figures(two: Mapping[str, Any]) -> list[str]:
    rates = two["error_rates"]
    return [
        ratio(two["icpf"]),
        percent(two["icpf"]["quantile90"]),
        ratio(rates["shower"]),
        ratio(rates["track"]),
    ]


def _voxel_tables(evaluations: Sequence[Evaluation]) -> str:
    return "\n\n".join(
        [_labels_and_weights(evaluations), _image_sizes(evaluations), _depths(evaluations), _scalability(evaluations)]
    )


def _class_row(five: Mapping[str, Any]) -> list[str]:
    return [*(ratio(five["classes"][name]) for name in CLASSES[:-1]), ratio(five["accuracy"])]


def _each_image(evaluations: Sequence[Evaluation]) -> Iterable[tuple[str, Evaluation, Mapping[str, Any]]]:
    """Title, evaluation and five-class figures of every image of every sample."""
    for evaluation in evaluations:
        figures = _figures(evaluation.results)
        for name in figures:
            if name != "pixels":
                yield f"{_name(evaluation)}, {name}", evaluation, figures[name]["five_classes"]


def _labels_and_weights(evaluations: Sequence[Evaluation]) -> str:
    rows = [[title, *_class_row(five)] for title, _, five in _each_image(evaluations)]
    rows += [[f"*published: {name}*", *(f"{v:.1f}" for v in row)] for name, row in LABELS_AND_WEIGHTS.items()]
    return "### Classes: beside table V of arXiv 1903.05663 (%)\n\n" + table(["", *CLASSES], rows)


def _image_sizes(evaluations: Sequence[Evaluation]) -> str:
    rows = []
    for evaluation in evaluations:
        for point in evaluation.scans.get("tile", []):
            figures = _figures(point["results"])
            size = f"tiles of {point['value']}" if point["value"] else "whole image"
            for name in figures:
                if name != "pixels":
                    rows.append([f"{_name(evaluation)}, {name}", size, *_class_row(figures[name]["five_classes"])])
    rows += [
        [f"*published: trained on {a}*", str(b), *(f"{v:.1f}" for v in row)] for (a, b), row in IMAGE_SIZES.items()
    ]
    return "### Image size at the test: beside table IV (%)\n\n" + table(["", "test image", *CLASSES], rows)


def _depths(evaluations: Sequence[Evaluation]) -> str:
    rows = []
    for title, evaluation, five in _each_image(evaluations):
        for card in evaluation.cards.values():
            params = card["network"].get("params", {})
            key = (int(params.get("depth", 0)), int(params.get("filters", 0)))
            published = DEPTH_AND_FILTERS.get(key)
            row = [title, str(key[0]), str(key[1]), ratio(five["accuracy"])]
            rows.append([*row, "-" if published is None else f"{published:.2f}"])
    published_rows = [["*published*", str(d), str(f), "-", f"{v:.2f}"] for (d, f), v in DEPTH_AND_FILTERS.items()]
    head = ["", "depth", "filters", "ours", "published"]
    return "### Depth and filters: beside table III (%)\n\n" + table(head, [*rows, *published_rows])


def _scalability(evaluations: Sequence[Evaluation]) -> str:
    rows = []
    for title, evaluation, five in _each_image(evaluations):
        spread = 1 - (five["icpf"]["mean"] or 0), five["icpf"]["std"]
        seconds = [v for k, v in evaluation.milliseconds.items() if "segment" in k]
        per_image = f"{seconds[0] / 1000:.3f} (all images of an event)" if seconds else "-"
        memory = f"{evaluation.peak_rss_mb / 1000:.2f} (whole job)"
        rows.append([title, "1", percent(spread[0]), percent(spread[1]), memory, per_image])
    for column in SCALABILITY:
        for machine, found in (("V100", column.gpu), ("Xeon 4110", column.cpu)):
            if isinstance(found, Resources):
                name = f"*published: {column.network}, {column.image_size} voxels, {machine}*"
                row = [name, str(column.batch_size), f"{column.accuracy:g}", f"{column.accuracy_std:g}"]
                rows.append([*row, f"{found.memory_test:g}", f"{found.time_test:g}"])
    head = ["", "batch", "accuracy, mean over images (%)", "spread (%)", "memory (GB)", "time (s a batch)"]
    after = "\n\nOur times are wall times of the job, whatever else its machine did; `larmlreco bench` takes them."
    return "### Size, memory and time at inference: beside table II\n\n" + table(head, rows) + after


def _details(folder: Path, evaluation: Evaluation, pictures: Path) -> str:
    """Confusion, scans, curves and event pictures of one evaluation."""
    name = _name(evaluation)
    slug = "".join(c if c.isalnum() else "_" for c in name).strip("_").lower()
    figures = _figures(evaluation.results)
    inputs = ", ".join(f"`{i}`" for i in evaluation.inputs)
    blocks = [f"### {name}", f"{evaluation.events} events of {inputs}, job `{evaluation.config}`."]
    if figures:
        blocks.append(_confusion(figures, slug, pictures, _cells(evaluation)))
    blocks += [_scan(evaluation, scan, slug, pictures) for scan in evaluation.scans]
    for curves in evaluation.results.values():
        for variable, title in _CURVES.items():
            if variable in curves:
                stem = pictures / f"{slug}_{variable}"
                cells, two = _cells(evaluation), stem.with_name(stem.name + "_track_shower")
                draw_curves(curves[variable]["five_classes"], variable, cells, stem)
                draw_curves(curves[variable]["track_shower"], variable, cells, two)
                blocks.append(f"{title}, five classes and track/shower:\n\n{_images(pictures, stem.name)}")
    for picture in evaluation.pictures:
        target = f"{slug}_{picture.file}"
        shutil.copyfile(folder / picture.file, pictures / target)
        wrong = f"{percent(picture.wrong, digits=1)} % of its {_cells(evaluation)} are wrong"
        title = f"A {picture.kind} event, {picture.event}: {wrong}"
        blocks.append(f"{title}.\n\n![{title}]({pictures.name}/{target})")
    return "\n\n".join(blocks)


def _images(pictures: Path, stem: str) -> str:
    names = (stem, f"{stem}_track_shower")
    return "\n".join(f"![{name}]({pictures.name}/{name}.png) ([PDF]({pictures.name}/{name}.pdf))" for name in names)


def _confusion(figures: Mapping[str, Any], slug: str, pictures: Path, cells: str) -> str:
    name = _instances(figures)[0]
    five = figures[name]["five_classes"]
    stem = pictures / f"{slug}_confusion"
    draw_confusion(five, stem)
    title = f"Found and true classes, {'all images' if name == 'pixels' else name} (% of the true class)"
    return f"{title}. {_losses(five, cells)}\n\n![{title}]({pictures.name}/{stem.name}.png)"


def _losses(five: Mapping[str, Any], cells: str) -> str:
    """The confusions that cost most, in per cent of all pixels (voxels): what limits the accuracy."""
    names = [*five["class_names"], "none"]
    total = sum(map(sum, five["confusion"]))
    wrong = [
        (count, f"{names[i]} called {names[j]}")
        for i, row in enumerate(five["confusion"])
        for j, count in enumerate(row)
        if i != j and count
    ]
    worst = sorted(wrong, reverse=True)[:4]
    if not worst:
        return f"None of the {cells} is wrong."
    return "Most is lost to " + ", ".join(f"{what} ({100 * count / total:.2f} % of all)" for count, what in worst) + "."


def _scan(evaluation: Evaluation, scan: str, slug: str, pictures: Path) -> str:
    points = evaluation.scans[scan]
    label = _evaluator(evaluation.results)
    stem = pictures / f"{slug}_{scan}"
    draw_scan(points, scan, label, "pixels", _cells(evaluation), stem)
    rows = []
    for point in points:
        figures = point["results"][label]["pixels"]
        row = [f"{point['value']:g}", ratio(figures["five_classes"]["accuracy"])]
        rows.append([*row, *_ssnet_figures(figures["track_shower"])])
    cut = f"Image cut into tiles with edges of so many {_cells(evaluation)}; 0: whole image"
    title = {"gain": "Charges scaled by a factor", "tile": cut}[scan]
    head = ["factor" if scan == "gain" else "tile", "five classes", *SSNET_FIGURES]
    after = ""
    if scan == "gain":
        after = (
            "\n\nPublished (PRD 99 092001, VII): ICPF changes by less than 1 % absolute when charges change by 25 %."
        )
    return f"{title} (%):\n\n{table(head, rows)}\n\n![{title}]({pictures.name}/{stem.name}.png){after}"
