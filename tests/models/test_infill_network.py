"""The network of infill: ranges, rows, what it sees of candidates, scripting, export."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError
from larmlreco.export import export_archive
from larmlreco.inference import load_archive
from larmlreco.models import Architecture, Checkpoint, build
from larmlreco.sparse import native
from larmlreco.sparse.layers import fold_norms

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")
PARAMS = {"dimension": 3, "filters": 4, "depth": 3, "energy_unit": 0.5}
KEYS = ("active", "energy")


def network(**params):
    torch.manual_seed(2)
    return build("infill_uresnet", **{**PARAMS, **params})


def image(n=200, items=2, seed=0, dimension=3):
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, items, n), random.integers(-20, 20, (n, dimension))])
    rows = random.permutation(np.unique(rows, axis=0)).astype(np.int64)
    flag = (random.random(len(rows)) < 0.5).astype(np.float32)
    charge = random.gamma(2.0, 1.0, len(rows)).astype(np.float32) * (1 - flag)
    return torch.from_numpy(rows), torch.from_numpy(np.column_stack([charge, flag]))


@torch.no_grad()
@pytest.mark.parametrize("dimension", [2, 3])
def test_outputs_are_in_their_ranges_and_belong_to_their_rows(dimension):
    net = network(dimension=dimension).eval()
    coords, features = image(dimension=dimension)
    out, raw = net(coords, features), net.raw(coords, features)
    for key in KEYS:
        assert out[key].shape == (len(coords), 1)
    assert bool(((out["active"] >= 0) & (out["active"] <= 1)).all())
    assert bool((out["energy"] >= 0).all())
    torch.testing.assert_close(torch.logit(out["active"].double()), raw["active"].double(), rtol=1e-4, atol=1e-4)
    assert torch.equal(out["energy"], raw["energy"])
    shuffle = torch.randperm(len(coords), generator=torch.Generator().manual_seed(0))
    shuffled = net(coords[shuffle], features[shuffle])
    for key in KEYS:
        torch.testing.assert_close(shuffled[key], out[key][shuffle], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_items_do_not_see_one_another_and_an_image_may_lie_anywhere():
    net = network().eval()
    coords, features = image()
    together = net(coords, features)
    mine = coords[:, 0] == 1
    # even numbers keep the phase of the pyramid
    alone = net(coords[mine] + torch.tensor([3, 64, -128, 256]), features[mine])
    for key in KEYS:
        torch.testing.assert_close(alone[key], together[key][mine], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_candidate_differs_from_a_measured_site_and_so_does_what_it_is_filled_with():
    net = network().eval()
    coords, features = image()
    filled = features[:, 1] > 0
    changed = {"flag": features.clone(), "minus_one": features.clone()}
    changed["flag"][filled, 1] = 0
    changed["minus_one"][filled, 0] = -1
    for other in changed.values():
        assert not torch.allclose(net(coords, other)["active"], net(coords, features)["active"])


@torch.no_grad()
def test_the_energy_is_in_units_of_energy_unit():
    coords, features = image()
    small, large = (network(energy_unit=unit).eval()(coords, features)["energy"] for unit in (1.0, 40.0))
    torch.testing.assert_close(large, 40 * small)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("training", [False, True])
def test_empty_and_single_inputs(n, training):
    out = network().train(training)(torch.zeros((n, 4), dtype=torch.int64), torch.ones(n, 2))
    assert [len(out[key]) for key in KEYS] == [n, n]
    assert all(bool(torch.isfinite(out[key]).all()) for key in KEYS)
    sum(out[key].sum() for key in KEYS).backward()


@torch.no_grad()
def test_duplicate_rows_and_strided_tensors():
    net = network().eval()
    coords, features = image()
    out = net(torch.cat([coords, coords[:3]]), torch.cat([features, features[:3]]))
    wide = torch.zeros((len(coords), 8), dtype=torch.int64)
    wide[:, ::2] = coords
    strided = net(wide[:, ::2], features.T.contiguous().T)
    for key in KEYS:
        torch.testing.assert_close(out[key][-3:], out[key][:3])
        torch.testing.assert_close(strided[key], out[key][:-3], rtol=1e-5, atol=1e-6)


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
def test_an_archive_gives_the_outputs_of_the_network_in_another_process(engine, tmp_path):
    if engine == "native" and not native.available():
        pytest.skip("the native operators are not built here")
    net = network()
    coords, features = image(items=1)
    net.raw(coords, features)
    card = ModelCard(
        task="infill",
        detector="liquid_argon",
        dimension=3,
        class_names=(),
        features=(Feature("energy", "MeV"), Feature("is_candidate", "flag")),
        pixel_size=(0.3, 0.3, 0.3),
        pixel_units=("cm", "cm", "cm"),
    )
    source = Checkpoint(Architecture("infill_uresnet", PARAMS), card).with_state(net.state_dict(), None, {})
    path = tmp_path / "infill.ts"
    made = export_archive(source, path, engine, [(coords.numpy(), features.numpy())])
    assert set(made.outputs) == set(KEYS)
    with torch.inference_mode():
        expected = net.eval()(coords, features)
    np.savez(tmp_path / "in.npz", coords=coords.numpy(), features=features.numpy())
    script = (
        "import sys, numpy as np\n"
        "from larmlreco.inference import load_archive\n"
        "given = np.load(sys.argv[2])\n"
        "np.savez(sys.argv[3], **load_archive(sys.argv[1])(given['coords'], given['features']))\n"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True)
    elsewhere, here = np.load(tmp_path / "out.npz"), load_archive(path)(coords.numpy(), features.numpy())
    for key in KEYS:
        np.testing.assert_allclose(elsewhere[key], expected[key].numpy(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(here[key], elsewhere[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"energy_unit": 0.0}, r"energy_unit must be above 0; got 0\.0"),
        ({"in_channels": 1}, "sites have at least the features charge and is_candidate; got 1"),
        ({"filters": 0}, "filters must be at least 1; got 0"),
        ({"depth": 0}, "depth must be at least 1; got 0"),
        ({"dimension": 4}, "dimension must be 2 or 3; got 4"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigurationError, match=message):
        network(**params)
