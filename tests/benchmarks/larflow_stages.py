"""CPU time of LArFlow by stage, from wires to points, and peak memory.

OMP_NUM_THREADS=1 python tests/benchmarks/larflow_stages.py ARCHIVE.ts EVENTS.root [-n N]
"""

import argparse
import resource
import time

import numpy as np
import torch

from larmlreco.geometry import detector
from larmlreco.images import ImageSettings, dead_channels, images_of_wires
from larmlreco.inference import load_archive
from larmlreco.io import open_file
from larmlreco.products import ChannelStatus, Wires
from larmlreco.reco.candidates import (
    CandidateSettings,
    candidate_coords,
    candidate_features,
    find_candidates,
    plane_pixels,
)
from larmlreco.reco.flow import choose, make_points
from larmlreco.reco.shifts import frame_of, said_of_pixels, shift_input, shift_scores

STAGES = ("read", "images", "candidates", "features", "network", "choice", "points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("events")
    parser.add_argument("-n", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    mine = detector("microboone")
    archive = load_archive(options.archive)
    reader = open_file(options.events)
    keys = {key.type: key for key in reader.keys("event")}
    times = []
    limits = CandidateSettings(row_limit=512, pair_limit=4_000_000)
    for entry in range(min(options.n, reader.n_events)):
        marks = [time.process_time()]
        wires = reader.read(entry, keys["Wires"])
        status = reader.read(entry, keys["ChannelStatus"]) if "ChannelStatus" in keys else None
        assert isinstance(wires, Wires)
        dead = dead_channels(status) if isinstance(status, ChannelStatus) else np.zeros(0, np.int64)
        marks.append(time.process_time())
        images = images_of_wires(wires, mine, mine.active_readout_planes, ImageSettings(dead_channels=dead))
        pixels = [image.pixels for image in images.values()]
        marks.append(time.process_time())
        readouts = mine.readout_planes_of(0)
        planes = [plane_pixels(p, readout, mine, 0, dead) for p, readout in zip(pixels, readouts, strict=True)]
        found = find_candidates(planes, limits)
        marks.append(time.process_time())
        if "score" in archive.card.outputs:
            coords, features = candidate_coords(found, planes), candidate_features(planes, found)
            marks.append(time.process_time())
            score = archive(coords, features)["score"]
            marks.append(time.process_time())
        else:
            frame = frame_of([plane.plane for plane in planes])
            rows = shift_input(planes, frame)
            marks.append(time.process_time())
            outputs = archive(rows.coords, rows.charge[:, np.newaxis])
            marks.append(time.process_time())
            score = shift_scores(found, said_of_pixels(rows, planes, frame, outputs, archive.card.planes), 25.0)
            found, score = found.take(np.isfinite(score)), score[np.isfinite(score)]
        choices = choose(found, planes, score, [len(p) for p in pixels])
        marks.append(time.process_time())
        points = make_points(found, planes, choices, mine, 6, 0.3)
        marks.append(time.process_time())
        times.append(np.diff(marks))
        stages = " ".join(f"{name} {1e3 * t:.0f}" for name, t in zip(STAGES, times[-1], strict=True))
        sizes = "+".join(str(len(p)) for p in pixels)
        print(f"{sizes} pixels, {len(found)} candidates, {len(points.x)} points: {stages} ms")
    mean = np.mean(times, axis=0)
    for name, value in zip(STAGES, mean, strict=True):
        print(f"{name:<11}{1e3 * value:8.0f} ms")
    total = np.sum(times, axis=1)
    print(
        f"images to points, mean {mean[2:].sum():.2f} s; with reading and images {mean.sum():.2f} s, "
        f"worst event {total.max():.2f} s"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
