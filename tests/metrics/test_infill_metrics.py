"""Figures of infill against counting by hand, site by site."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from larmlreco.metrics.infill import HiddenImage, InfillMetrics


def random_image(seed: int, dimension: int = 2) -> HiddenImage:
    random = np.random.default_rng(seed)
    box = np.array(list(product(range(12), range(9), range(3))))[:, :dimension]
    box = np.unique(box, axis=0)
    sites = box[random.permutation(len(box))[: len(box) // 2]]
    width = np.where((sites[:, 0] >= 3) & (sites[:, 0] < 5), 2, 0)
    width = np.where((sites[:, 0] >= 7) & (sites[:, 0] < 11), 4, width)
    region = box[((box[:, 0] >= 3) & (box[:, 0] < 5)) | ((box[:, 0] >= 7) & (box[:, 0] < 11))]
    found = region[random.permutation(len(region))[: len(region) * 2 // 3]]
    return HiddenImage(
        sites=sites,
        energy=random.uniform(1, 3, len(sites)),
        track=random.integers(-1, 2, len(sites)),
        cluster=random.integers(-1, 3, len(sites)),
        width=width,
        found=found,
        probability=random.uniform(0, 1, len(found)),
        found_energy=random.uniform(1, 3, len(found)),
        found_width=np.where(found[:, 0] < 5, 2, 4),
    )


def near(site: Any, others: list[tuple[int, ...]]) -> bool:
    return any(max(abs(a - b) for a, b in zip(site, other, strict=True)) <= 1 for other in others)


def by_hand(images: list[HiddenImage], threshold: float, least: int, most: int) -> dict[str, float]:
    """Precision and recall of sites in regions of a width from least to most, energies over the true ones."""
    n = dict.fromkeys(("found", "right", "beside", "true", "got", "got_near"), 0)
    e = dict.fromkeys(("true", "found", "expected", "true_right", "found_right"), 0.0)
    for image in images:
        true = {tuple(s): v for s, v, w in zip(image.sites.tolist(), image.energy, image.width, strict=True) if w > 0}
        true_here = {
            tuple(s) for s, w in zip(image.sites.tolist(), image.width, strict=True) if w > 0 and least <= w <= most
        }
        taken = {
            tuple(s): (v, w, p)
            for s, p, v, w in zip(
                image.found.tolist(), image.probability, image.found_energy, image.found_width, strict=True
            )
            if p >= threshold
        }
        for site, (energy, width, probability) in taken.items():
            if least <= width <= most:
                n["found"] += 1
                n["right"] += site in true
                n["beside"] += near(site, list(true))
                e["found"] += energy
                e["expected"] += probability * energy
        for site in true_here:
            n["true"] += 1
            e["true"] += true[site]
            n["got"] += site in taken
            n["got_near"] += near(site, list(taken))
            if site in taken:
                e["true_right"] += true[site]
                e["found_right"] += taken[site][0]
    return {
        "precision": n["right"] / n["found"],
        "recall": n["got"] / n["true"],
        "precision_near": n["beside"] / n["found"],
        "recall_near": n["got_near"] / n["true"],
        "matched": e["found_right"] / e["true_right"],
        "all": e["found"] / e["true"],
        "expected": e["expected"] / e["true"],
    }


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("threshold", [0.5, 0.37])
def test_sites_and_energies_are_counted_as_by_hand(dimension: int, threshold: float) -> None:
    images = [random_image(seed, dimension) for seed in range(3)]
    metrics = InfillMetrics(2, threshold)
    for image in images:
        metrics.add(image)
    summary = metrics.summary()
    for group, least, most in (("all", 1, 9), ("narrow", 1, 2), ("wide", 3, 9)):
        wanted = by_hand(images, threshold, least, most)
        found = summary["groups"][group]
        for key in ("precision", "recall", "precision_near", "recall_near"):
            assert found[key]["value"] == pytest.approx(wanted[key])
            assert found[key]["events"] == 3
        for key in ("matched", "all", "expected"):
            assert found["energy"][key]["value"] == pytest.approx(wanted[key])
        curve = summary["curves"][group]
        at = curve["threshold"].index(0.2)
        assert curve["recall"][at] == pytest.approx(by_hand(images, 0.2, least, most)["recall"])
    assert f"probability at least {threshold:g}" in metrics.table()


def test_short_gaps_are_those_of_tracks_and_not_of_regions() -> None:
    """Two tracks of 40 sites lose the same two rows of sites: one crosses them, the other runs along them."""
    crossing = np.column_stack([np.full(40, 5), np.arange(40)])
    along = np.column_stack([np.arange(100, 140), np.full(40, 20)])
    sites = np.concatenate([crossing, along])
    gone = (sites[:, 1] == 20) | (sites[:, 1] == 21)
    found = np.array([[5, 20], [6, 21], [110, 20], [111, 21]])
    image = HiddenImage(
        sites=sites,
        energy=np.ones(80),
        track=np.ones(80, dtype=np.int64),
        cluster=np.repeat([0, 1], 40),
        width=np.where(gone, 2, 0),
        found=found,
        probability=np.full(4, 0.9),
        found_energy=np.ones(4),
        found_width=np.full(4, 2),
    )
    metrics = InfillMetrics(2, 0.5)
    metrics.add(image)
    groups = metrics.summary()["groups"]
    assert groups["narrow track"]["recall"]["count"] == 42
    gap = groups["short gap"]
    assert (gap["recall"]["count"], gap["recall"]["value"]) == (2, 0.5)
    assert (gap["precision"]["count"], gap["precision"]["value"]) == (2, 0.5)
    assert gap["precision_near"]["value"] == gap["recall_near"]["value"] == 1.0


def test_classes_are_those_of_the_true_sites_and_of_the_nearest_charge() -> None:
    image = random_image(5)
    metrics = InfillMetrics(2, 0.5)
    metrics.add(image)
    groups = metrics.summary()["groups"]
    hidden = image.width > 0
    for group, number in (("track", 1), ("shower", 0)):
        assert groups[group]["recall"]["count"] == int((hidden & (image.track == number)).sum())
    nearest = []
    for site in image.found[image.probability >= 0.5]:
        nearest.append(image.track[np.argmin(((image.sites - site) ** 2).sum(axis=1))])
    alone = random_image(5)
    on_charge = {tuple(s) for s in image.sites.tolist()}
    sure = [t for s, t in zip(image.found[image.probability >= 0.5].tolist(), nearest, strict=True)
            if tuple(s) in on_charge]  # fmt: skip
    assert groups["track"]["precision"]["count"] >= sure.count(1)
    unknown = HiddenImage(**{**alone.__dict__, "track": np.full(len(alone.sites), -1)})
    metrics = InfillMetrics(2, 0.5)
    metrics.add(unknown)
    assert set(metrics.summary()["groups"]) == {"all", "narrow", "wide"}


def test_the_recall_at_the_precision_of_the_goal() -> None:
    sites = np.array([[i, 0] for i in range(20)])
    found = np.array([[i, 0] for i in range(5, 15)] + [[5, 5]])
    image = HiddenImage(
        sites=sites,
        energy=np.ones(20),
        track=np.ones(20, dtype=np.int64),
        cluster=np.zeros(20, dtype=np.int64),
        width=np.where((sites[:, 0] >= 5) & (sites[:, 0] < 15), 10, 0),
        found=found,
        probability=np.array([0.99] * 8 + [0.4, 0.3, 0.35]),
        found_energy=np.ones(11),
        found_width=np.full(11, 10),
    )
    metrics = InfillMetrics(10, 0.3)
    metrics.add(image)
    goal = metrics.summary()["groups"]["all"]["at_goal"]
    assert goal == {"recall": 1.0, "precision": pytest.approx(10 / 11), "threshold": 0.3}
    assert metrics.summary()["groups"]["all"]["at_goal_near"] == {
        "recall": 1.0,
        "precision": 1.0,
        "threshold": 0.4,
    }
    none = HiddenImage(**{**image.__dict__, "found": found[10:], "probability": image.probability[10:],
                          "found_energy": np.ones(1), "found_width": np.full(1, 10)})  # fmt: skip
    metrics = InfillMetrics(10, 0.3)
    metrics.add(none)
    assert metrics.summary()["groups"]["all"]["at_goal"]["recall"] is None
    assert "never so high" in metrics.table()


def line(hidden: range, found: list[int], n: int = 60, track: int = 1) -> HiddenImage:
    """A straight track of n sites, each with energy 2, and found sites along it with energy 3."""
    sites = np.column_stack([np.arange(n), np.arange(n)])
    where = np.array(found, dtype=np.int64)
    inside = (sites[:, 0] >= hidden.start) & (sites[:, 0] < hidden.stop)
    return HiddenImage(
        sites=sites,
        energy=np.full(n, 2.0),
        track=np.full(n, track),
        cluster=np.zeros(n, dtype=np.int64),
        width=np.where(inside, len(hidden), 0),
        found=np.column_stack([where, where]),
        probability=np.full(len(where), 0.9),
        found_energy=np.full(len(where), 3.0),
        found_width=np.full(len(where), len(hidden)),
    )


def test_gaps_are_closed_where_the_track_is_connected_again() -> None:
    metrics = InfillMetrics(5, 0.5)
    metrics.add(line(range(20, 25), [20, 21, 22, 23, 24]))
    metrics.add(line(range(20, 25), [20, 21, 23, 24]))  # 21 and 23 do not touch
    metrics.add(line(range(20, 30), list(range(20, 30))))  # closed, but wide
    metrics.add(line(range(10), []))  # nothing of the track lies before the region: no gap
    metrics.add(line(range(20, 25), [], track=0))  # a shower
    metrics.add(line(range(20, 22), [], n=23))  # one site is left behind the region
    gaps = metrics.summary()["gaps"]
    assert gaps["all"]["closed"]["value"] == pytest.approx(2 / 3)
    assert (gaps["narrow"]["closed"]["value"], gaps["narrow"]["closed"]["events"]) == (0.5, 2)
    assert gaps["all"]["tracks_whole"]["value"] == pytest.approx(2 / 3)


def test_the_energy_of_the_hidden_part_of_a_track() -> None:
    metrics = InfillMetrics(5, 0.5)
    first = metrics.add(line(range(20, 25), [20, 21, 22, 23, 24]))
    second = metrics.add(line(range(20, 25), [20, 21]))
    assert first["tracks"] == [(10.0, 15.0, 5, 5)]
    assert second == {"true": 5, "found": 2, "tracks": [(10.0, 6.0, 5, 2)]}
    tracks = metrics.summary()["tracks"]["narrow"]
    assert tracks["bias"] == pytest.approx(0.05)
    assert tracks["resolution"] == pytest.approx(0.68 * 0.9 / 2)
    assert tracks["tracks"] == 2


@pytest.mark.parametrize("dimension", [2, 3])
def test_empty_images_count_for_nothing(dimension: int) -> None:
    none = np.zeros(0)
    empty = np.zeros((0, dimension), dtype=np.int64)
    number = np.zeros(0, dtype=np.int64)
    metrics = InfillMetrics(5, 0.5)
    nothing = HiddenImage(empty, none, number, number, number, empty, none, none, number)
    assert metrics.add(nothing) == {"true": 0, "found": 0, "tracks": []}
    assert math.isnan(metrics.summary()["groups"]["all"]["recall"]["value"])
    assert "gaps of tracks" in metrics.table()
    only_found = HiddenImage(
        empty, none, number, number, number, np.ones((1, dimension), dtype=np.int64), np.ones(1), np.ones(1),
        np.ones(1, dtype=np.int64),
    )  # fmt: skip
    metrics.add(only_found)
    assert metrics.summary()["groups"]["all"]["precision"]["value"] == 0
