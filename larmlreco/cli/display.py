"""Draw an event: charge, hits and labels on the wire planes, as a picture or as a page that zooms (.html).

Any file of events that jobs read can be drawn. A file without images needs --detector; its images are then made
from wires or hits with the defaults.
"""

import argparse
from pathlib import Path

from larmlreco.errors import ConfigurationError, InputError, OutputError
from larmlreco.framework import EventID
from larmlreco.io import Reader, open_file
from larmlreco.io.root_writer import check_output_path

EXAMPLE = "larmlreco display images.root -e 5000:21:1051 -o event.html"

_FORMATS = (".html", ".png", ".pdf", ".svg")
_IDS_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", help="a file or address of events of any format that jobs read")
    parser.add_argument(
        "-e", "--event", type=_event_id, metavar="R:S:E", help="event to draw; the first one by default"
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write: .html, .png, .pdf or .svg")
    parser.add_argument("--images", metavar="LABEL", help="module label of the images, where several modules made some")
    parser.add_argument(
        "--layers",
        metavar="NAMES",
        help="draw only layers whose names begin so, for example charge,pixel,true; points also by what colours them: "
        '"voxels by class"',
    )
    parser.add_argument("--detector", metavar="NAME", help="detector of a file that holds wires or hits but no images")


def _event_id(text: str) -> EventID:
    try:
        return EventID.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Draw the event."""
    out = Path(args.output)
    if out.suffix not in _FORMATS:
        raise ConfigurationError(f"-o {out}: unknown format {out.suffix!r}; valid: {', '.join(_FORMATS)}")
    check_output_path(out, [args.file])
    wanted = args.layers.split(",") if args.layers else ()
    file = open_file(args.file)
    try:
        from larmlreco.display.scene import scene_of  # drawing libraries load only when there is a file to draw

        scene = scene_of(file, _entry(file, args.event), args.detector, args.images, wanted)
    finally:
        file.close()
    if out.suffix == ".html":
        from larmlreco.display.page import draw
    else:
        from larmlreco.display.picture import draw
    partial = out.with_name(f"{out.stem}.partial{out.suffix}")
    try:
        draw(scene, partial)
        partial.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return 0


def _entry(file: Reader, wanted: EventID | None) -> int:
    ids = [EventID(*id) for id in file.event_ids]
    if not ids:
        raise InputError(f"{file.path} has no events")
    if wanted is None:
        return 0
    if wanted not in ids:
        shown = ", ".join(map(str, ids[:_IDS_SHOWN]))
        more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
        raise InputError(f"{file.path} has no event {wanted}; valid: {shown}{more}")
    return ids.index(wanted)
