"""Checkpoints: round trip, broken files, foreign architectures."""

import dataclasses

import pytest
import torch

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError, OutputError
from larmlreco.models import Architecture, Checkpoint, build, load_checkpoint, save_checkpoint

PARAMS = {"dimension": 2, "classes": 2, "filters": 2, "depth": 2}
CARD = ModelCard(
    task="semantic_segmentation",
    detector="microboone",
    dimension=2,
    class_names=("track", "shower"),
    features=(Feature("adc", "ADC"),),
    pixel_size=(1.0, 6.0),
    pixel_units=("wire", "tick"),
    planes=("U", "V", "Y"),
)


@pytest.fixture
def checkpoint():
    torch.manual_seed(1)
    network = build("uresnet", **PARAMS)
    optimizer = torch.optim.Adam(network.parameters())
    network.raw(torch.tensor([[0, 1, 1], [0, 1, 2]]), torch.ones(2, 1))["semantic"].sum().backward()
    optimizer.step()
    training = {"iteration": 7, "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
    return Checkpoint(Architecture("uresnet", PARAMS), CARD).with_state(
        network.state_dict(), training, {"accuracy": 0.5}
    )


def test_round_trip(checkpoint, tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, checkpoint)
    save_checkpoint(path, checkpoint)
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    loaded = load_checkpoint(path)
    assert loaded.architecture == checkpoint.architecture
    assert loaded.card == dataclasses.replace(CARD, metrics={"accuracy": 0.5})
    assert loaded.training["iteration"] == 7
    coords, features = torch.tensor([[0, 1, 1], [0, 1, 2]]), torch.ones(2, 1)
    assert torch.equal(
        loaded.network().eval()(coords, features)["semantic"], checkpoint.network().eval()(coords, features)["semantic"]
    )
    torch.optim.Adam(loaded.network().parameters()).load_state_dict(loaded.training["optimizer"])


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_file_cut_short_is_refused(checkpoint, tmp_path, keep):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(InputError, match=r"last\.ckpt is no checkpoint made by larmlreco train, or it was cut short"):
        load_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.ckpt does not exist"):
        load_checkpoint(tmp_path / "absent.ckpt")
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(InputError, match=r"text\.ckpt is no checkpoint"):
        load_checkpoint(tmp_path / "text.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="expected the format 'larmlreco checkpoint 1'; got None"):
        load_checkpoint(tmp_path / "other.ckpt")


def test_weights_of_another_architecture_are_refused(checkpoint):
    state = dict(checkpoint.state_dict)
    wide = dataclasses.replace(checkpoint, architecture=Architecture("uresnet", {**PARAMS, "filters": 4}))
    with pytest.raises(
        ConfigurationError, match=r"has the shape \(9, 1, 2\); the network 'uresnet' expects \(9, 1, 4\)"
    ):
        wide.network()
    deep = dataclasses.replace(checkpoint, architecture=Architecture("uresnet", {**PARAMS, "depth": 3}))
    with pytest.raises(ConfigurationError, match=r"lacks the weight '.*' of the network 'uresnet'"):
        deep.network()
    foreign = checkpoint.with_state({**state, "attention.weight": torch.zeros(1)}, None)
    with pytest.raises(
        ConfigurationError, match=r"holds 'attention\.weight', which the network 'uresnet' does not have"
    ):
        foreign.network()


def test_a_directory_that_is_absent_is_named(checkpoint, tmp_path):
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*: No such file or directory"):
        save_checkpoint(tmp_path / "no" / "last.ckpt", checkpoint)
