"""Producers of truth on in-memory events."""

from pathlib import Path

import pytest
from test_true_pixels import UBOONE, make_hits, make_particles, make_pixels, make_steps
from test_truth_archive import archive

from larmlreco.errors import ConfigurationError, InputError
from larmlreco.framework.plugins import Registry
from larmlreco.framework.testing import ModuleHarness
from larmlreco.products import Hits, Pixels, Product, ProductKey, TrueLabels, TrueParticles, TrueSteps

STEPS = make_steps([100.0, 100.0], [500.05, 500.05], [3000.0, 2000.0], [1, 2])
PARTICLES = make_particles([1, 2], [3, 2])
ROW = int(STEPS.tick[0]) // 6
WIRE = int(UBOONE.plane(0, "Y").nearest_wire(0.0, 500.05))


def labeller(**parameters: object) -> ModuleHarness:
    module = Registry().load("TruthLabeller", "test", "producer")
    return ModuleHarness(module, {"detector": "microboone", "planes": ["Y"]} | parameters, label="labels")


def key(product: Product, label: str, instance: str = "") -> ProductKey:
    return ProductKey(type(product).__name__, label, instance, "INPUT")


def event(steps: TrueSteps, particles: TrueParticles, pixels: Pixels, hits: Hits) -> dict[str | ProductKey, Product]:
    return {
        key(steps, "largeant"): steps,
        key(particles, "largeant"): particles,
        key(pixels, "images", "Y"): pixels,
        key(hits, "gaushit"): hits,
    }


def test_labels_of_pixels_and_hits_name_what_they_label() -> None:
    pixels, hits = make_pixels([WIRE, 7], [ROW, 7]), make_hits([WIRE], [6 * ROW], [6 * ROW + 12])
    result = labeller(hits="gaushit").process(event(STEPS, PARTICLES, pixels, hits))
    labels = result.get(TrueLabels, "Y")
    assert labels.label.tolist() == [3, -1]
    assert labels.meta["target"] == "Pixels_images_Y_INPUT"
    assert labels.meta["class_names"][3] == "delta"
    of_hits = result.get(TrueLabels, "hits")
    assert of_hits.label.tolist() == [3]
    assert of_hits.meta["target"] == "Hits_gaushit__INPUT"


def test_empty_event_gives_all_declared_products() -> None:
    nothing = event(make_steps([], [], [], []), make_particles([], []), make_pixels([], []), make_hits([], [], []))
    result = labeller(hits="gaushit").process(nothing)
    assert len(result.get(TrueLabels, "Y")) == len(result.get(TrueLabels, "hits")) == 0


def test_without_hits_none_are_labelled() -> None:
    result = labeller().process(event(STEPS, PARTICLES, make_pixels([WIRE], [ROW]), make_hits([], [], [])))
    with pytest.raises(KeyError):
        result.get(TrueLabels, "hits")


def test_an_unknown_plane_is_refused_before_the_first_event() -> None:
    with pytest.raises(ConfigurationError, match="microboone has no plane 'Q'"):
        labeller(planes=["Q"])


def test_truth_is_found_by_the_number_of_the_event(tmp_path: Path) -> None:
    module = Registry().load("TruthFromNpz", "test", "producer")
    tested = ModuleHarness(module, {"file": str(archive(tmp_path / "t.npz"))}, label="truth")
    result = tested.process({}, "5:1:9")
    assert len(result.get(TrueSteps)) == 2
    assert result.get(TrueParticles).id.tolist() == [1]
    with pytest.raises(InputError, match="has no event 5:1:8"):
        tested.process({}, "5:1:8")
