"""The network with one encoder and two decoders: ranges, rows, items, scripting, export."""

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Architecture, Checkpoint, build
from larmlreco.models.clustering import activated
from larmlreco.sparse import native
from larmlreco.sparse.layers import fold_norms

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")
PARAMS = {"dimension": 3, "filters": 4, "depth": 3, "repetitions": 1}
KEYS = ("embedding", "margin", "seediness")


def network(**params):
    torch.manual_seed(2)
    return build("clustering_uresnet", **{**PARAMS, **params})


def image(n=200, items=2, seed=0):
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, items, n), random.integers(-20, 20, (n, 3))])
    rows = random.permutation(np.unique(rows, axis=0)).astype(np.int64)
    return torch.from_numpy(rows), torch.from_numpy(random.gamma(2.0, 1.0, (len(rows), 1)).astype(np.float32))


@torch.no_grad()
def test_outputs_are_in_their_ranges_and_belong_to_their_rows():
    net = network(embedding=4).eval()
    coords, features = image()
    out = net(coords, features)
    assert [tuple(out[key].shape) for key in KEYS] == [(len(coords), 4), (len(coords), 1), (len(coords), 1)]
    assert bool((out["embedding"].abs() <= 1).all())
    assert bool(((out["margin"] >= 0) & (out["margin"] <= 2)).all())
    assert bool(((out["seediness"] >= 0) & (out["seediness"] <= 1)).all())
    shuffle = torch.randperm(len(coords), generator=torch.Generator().manual_seed(0))
    shuffled = net(coords[shuffle], features[shuffle])
    raw = activated(net.raw(coords, features))
    for key in KEYS:
        torch.testing.assert_close(shuffled[key], out[key][shuffle], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(raw[key], out[key])


@torch.no_grad()
def test_items_do_not_see_one_another_and_an_image_may_lie_anywhere():
    net = network().eval()
    coords, features = image()
    together = net(coords, features)
    mine = coords[:, 0] == 1
    # Even numbers keep the phase of the pyramid.
    moved = coords[mine] + torch.tensor([3, 64, -128, 256])
    alone = net(moved, features[mine])
    for key in KEYS:
        torch.testing.assert_close(alone[key], together[key][mine], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_tracks_that_look_alike_have_different_embeddings():
    line = torch.column_stack(
        [torch.zeros(20).long(), torch.arange(20), torch.zeros(20).long(), torch.zeros(20).long()]
    )
    coords = torch.cat([line, line + torch.tensor([0, 0, 128, 0])])
    embedding = network().eval()(coords, torch.ones(40, 1))["embedding"]
    apart = (embedding[:20] - embedding[20:]).abs()
    assert float(apart[:, 1].min()) > 0.3


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("training", [False, True])
def test_empty_and_single_inputs(n, training):
    out = network().train(training)(torch.zeros((n, 4), dtype=torch.int64), torch.ones(n, 1))
    assert [len(out[key]) for key in KEYS] == [n] * 3
    assert all(bool(torch.isfinite(out[key]).all()) for key in KEYS)
    sum(out[key].sum() for key in KEYS).backward()


@torch.no_grad()
def test_float64_scripted_and_folded_agree():
    net = network().double()
    coords, features = image()
    net.train()(coords, features.double())
    net.eval()
    expected = net(coords, features.double())
    scripted = torch.jit.script(net)(coords, features.double())
    fold_norms(net)
    folded = net(coords, features.double())
    for key in KEYS:
        assert expected[key].dtype == torch.float64
        torch.testing.assert_close(scripted[key], expected[key])
        torch.testing.assert_close(folded[key], expected[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_an_archive_gives_the_outputs_of_the_network(engine, tmp_path):
    if engine == "native" and not native.available():
        pytest.skip("the native operators are not built here")
    net = network()
    coords, features = image(items=1)
    net.raw(coords, features)
    card = ModelCard(
        task="instance_clustering",
        detector="liquid_argon",
        dimension=3,
        class_names=("HIP", "MIP"),
        features=(Feature("energy", "MeV"),),
        pixel_size=(0.3, 0.3, 0.3),
        pixel_units=("cm", "cm", "cm"),
    )
    source = Checkpoint(Architecture("clustering_uresnet", PARAMS), card).with_state(net.state_dict(), None, {})
    card = export_archive(source, tmp_path / "clustering.ts", engine, [(coords.numpy(), features.numpy())])
    assert set(card.outputs) == set(KEYS)
    found = load_archive(tmp_path / "clustering.ts")(coords.numpy(), features.numpy())
    with torch.inference_mode():
        expected = net.eval()(coords, features)
    for key in KEYS:
        np.testing.assert_allclose(found[key], expected[key].numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"embedding": 2}, "embedding must have at least 3 coordinates; got 2"),
        ({"extent": 0.0}, r"extent must be above 0; got 0\.0"),
        ({"filters": 0}, "filters must be at least 1; got 0"),
        ({"depth": 0}, "depth must be at least 1; got 0"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigurationError, match=message):
        network(**params)
