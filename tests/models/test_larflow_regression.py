"""The network that regresses shifts: its directions, and what it must not depend on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Network, build
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.sparse import native

SMALL = {"filters": 4, "depth": 3}


def network(**params: object) -> Network:
    """A small network whose norms are not those of the start."""
    torch.manual_seed(3)
    made = build("larflow_regression", **{**SMALL, **params})
    coords, features = rows(200, 5)
    made.raw(coords, features)
    return made.eval()


def rows(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of the three planes of two items on few sites, so that planes share some."""
    random = np.random.default_rng(seed)
    coords = np.column_stack([random.integers(0, 6, n), random.integers(-20, 20, n), random.integers(0, 12, n)])
    coords = np.unique(coords, axis=0)
    return torch.from_numpy(coords), torch.from_numpy(random.gamma(2, 20, (len(coords), 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("sources", "directions"),
    [
        (["Y"], ["Y2U", "Y2V"]),
        (["V", "U"], ["V2U", "V2Y", "U2V", "U2Y"]),
        (["U", "V", "Y"], ["U2V", "U2Y", "V2U", "V2Y", "Y2U", "Y2V"]),
    ],
)
def test_directions_follow_from_the_sources(sources: list[str], directions: list[str]) -> None:
    made = network(sources=sources)
    coords, features = rows(100, 1)
    keys = {f"{kind}_{name}" for kind in ("flow", "matchable") for name in directions}
    assert set(made.meanings) == keys
    with torch.no_grad():
        out = made(coords, features)
        raw = made.raw(coords, features)
    assert set(out) == set(raw) == keys
    assert all(value.shape == (len(coords),) for value in out.values())
    for key in keys:
        assert torch.equal(out[key], torch.sigmoid(raw[key]) if key.startswith("matchable") else raw[key])


def test_order_items_precision_and_layout_do_not_matter() -> None:
    made = network()
    coords, features = rows(300, 2)
    order = torch.randperm(len(coords), generator=torch.Generator().manual_seed(1))
    first = coords[:, 0] < 3
    wide = torch.stack([coords, coords], 2)[:, :, 0]
    with torch.no_grad():
        whole = made(coords, features)
        shuffled = made(coords[order], features[order])
        alone = made(coords[first], features[first])
        strided = made(wide, torch.cat([features, features], 1)[:, :1])
        double = network().double()(coords, features.double())
        assert all(value.shape == (0,) for value in made(coords[:0], features[:0]).values())
        assert all(value.shape == (1,) for value in made(coords[:1], features[:1]).values())
    for key, value in whole.items():
        assert torch.allclose(shuffled[key], value[order], atol=1e-4)
        assert torch.allclose(alone[key], value[first], atol=1e-4)
        assert torch.equal(strided[key], value)
        assert torch.allclose(double[key].float(), value, atol=1e-3)


def test_rows_of_one_site_say_the_same_and_planes_are_told_apart() -> None:
    made = network()
    coords = torch.tensor([[0, 5, 3], [2, 5, 3], [2, 6, 3]])
    features = torch.tensor([[30.0], [50.0], [20.0]])
    other = coords.clone()
    other[0, 0] = 1
    with torch.no_grad():
        out, moved = made(coords, features), made(other, features)
    for key, value in out.items():
        assert value[0] == value[1]
        assert not torch.allclose(value, moved[key])


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_archive_gives_what_the_network_gives(engine: str, tmp_path: Path) -> None:
    if engine == "native" and not native.available():
        pytest.skip("the native engine is not built")
    params = {**SMALL, "sources": ["Y", "U"]}
    made = network(**params)
    card = ModelCard(
        task="flow",
        detector="microboone",
        dimension=2,
        class_names=(),
        features=(Feature("adc", "ADC"),),
        pixel_size=(0.3, 6.0),
        pixel_units=("cm", "tick"),
        planes=("U", "V", "Y"),
    )
    checkpoint = Checkpoint(Architecture("larflow_regression", params), card)
    path = tmp_path / "regression.ts"
    written = export_archive(checkpoint.with_state(made.state_dict(), None), path, engine)
    assert set(written.outputs) == set(made.meanings)
    coords, features = rows(300, 4)
    out = load_archive(path)(coords.numpy(), features.numpy())
    with torch.no_grad():
        for key, value in made(coords, features).items():
            assert out[key] == pytest.approx(value.numpy(), abs=1e-3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sources": ["W"]}, "sources must be some of U, V, Y"),
        ({"sources": []}, "sources must be some of U, V, Y"),
        ({"views": ["U", "V"]}, "names of 3 planes"),
        ({"stride": [4]}, "stride must be 2 numbers"),
        ({"in_channels": 2}, "2 axes, 1 feature"),
        ({"charge_unit": 0.0}, "must be above 0"),
    ],
)
def test_what_cannot_be_built(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build("larflow_regression", **params)
