"""The producer of labels of voxels, on a small network whose answer is known: the class follows from the energy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from larmlreco.modules.SegmentationEvaluator_module import SegmentationEvaluator
from larmlreco.modules.VoxelSegmentation_module import VoxelSegmentation

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError
from larmlreco.export import export_archive
from larmlreco.framework.testing import ModuleHarness
from larmlreco.labels import SEMANTIC_NAMES, SPINE_NAMES
from larmlreco.models import Network, register
from larmlreco.models.checkpoint import Architecture, Checkpoint
from larmlreco.models.network import check_input
from larmlreco.products import SemanticScores, TrueLabels, Voxels


@register("classes_by_energy")
class ByEnergy(Network):
    """Class i where the energy is nearest to i + 1."""

    meanings = {"semantic": "probability of each class"}  # noqa: RUF012

    def __init__(self, dimension: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.dimension = dimension
        self.register_buffer("centres", 1.0 + torch.arange(classes))

    def raw(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"semantic": -torch.abs(features - self.centres.to(features.dtype))}

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        check_input(coords, features, self.dimension, 1)
        return {"semantic": torch.softmax(-torch.abs(features - self.centres.to(features.dtype)), 1)}


def make_archive(path: Path, **changes: object) -> str:
    values: dict[str, object] = {
        "task": "semantic_segmentation",
        "detector": "liquid_argon",
        "dimension": 3,
        "class_names": SEMANTIC_NAMES,
        "features": (Feature("energy", "MeV"),),
        "pixel_size": (0.3, 0.3, 0.3),
        "pixel_units": ("cm", "cm", "cm"),
        "outputs": {"semantic": "probability of each class"},
        **changes,
    }
    card = ModelCard(**values)  # type: ignore[arg-type]
    params = {"dimension": card.dimension, "classes": len(card.class_names)}
    network = ByEnergy(**params)
    checkpoint = Checkpoint(Architecture("classes_by_energy", params), card)
    export_archive(checkpoint.with_state(network.state_dict(), None), path)
    return str(path)


def voxels(energy: list[float], pitch: float = 0.3) -> Voxels:
    n = len(energy)
    columns = {"x": np.arange(n), "y": np.zeros(n), "z": np.zeros(n), "energy": energy, "pitch": [pitch]}
    return Voxels.from_columns(columns | {f"origin_{axis}": [0.0] for axis in "xyz"})


def harness(archive: str, **parameters: object) -> ModuleHarness:
    return ModuleHarness(VoxelSegmentation, {"archive": archive, "images": ["thin", "smeared"], **parameters})


def test_every_voxel_has_the_scores_of_its_class(tmp_path: Path) -> None:
    tested = harness(make_archive(tmp_path / "a.ts"))
    result = tested.process({"voxels:thin": voxels([1, 2, 3, 4, 5]), "voxels:smeared": voxels([])})
    scores = result.get(SemanticScores, "thin")
    assert scores.label.tolist() == [0, 1, 2, 3, 4]
    assert scores.track + scores.shower == pytest.approx(1)
    assert scores.meta["target"] == "Voxels_voxels_thin_INPUT"
    assert scores.meta["scheme"] == "larmlreco"
    assert scores.meta["trained_for_this_detector"] is True
    empty = result.get(SemanticScores, "smeared")
    assert empty.scores.shape == (0, 5)


def test_energies_are_scaled_for_the_network(tmp_path: Path) -> None:
    tested = harness(make_archive(tmp_path / "a.ts"), images=[""], energy_scale=2.0)
    scores = tested.process({"voxels": voxels([0.5, 1, 1.5, 2, 2.5])}).get(SemanticScores, "")
    assert scores.label.tolist() == [0, 1, 2, 3, 4]
    assert scores.meta["energy_scale"] == 2.0


def test_a_factor_finds_more_of_its_class(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.ts")
    asked = {"images": [""], "class_factors": [1.0, 1.0, 1.0, 4.0, 1.0]}
    scores = harness(archive, **asked).process({"voxels": voxels([3.2, 1.2])}).get(SemanticScores, "")
    assert scores.label.tolist() == [3, 0]
    assert scores.scores.sum(axis=1) == pytest.approx(1)
    assert scores.meta["class_factors"] == asked["class_factors"]
    for factors in ([1.0, 2.0], [1.0, 1.0, 1.0, 0.0, 1.0]):
        with pytest.raises(ConfigurationError, match=r"a number above 0 for each class .* HIP, MIP, shower"):
            harness(archive, images=[""], class_factors=factors)


def test_scores_from_elsewhere_are_combined(tmp_path: Path) -> None:
    """What the network cannot decide takes the other class; what the others do not know keeps its own."""
    tested = harness(make_archive(tmp_path / "a.ts"), images=[""], others="planes", others_weight=0.5)
    given = np.full((3, 5), 0.1, np.float32)
    given[0, 1] = 0.6
    given[2] = -1
    meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
    others = SemanticScores(scores=given, label=[1, 0, -1], meta=meta)
    scores = tested.process({"voxels": voxels([1.5, 3, 4]), "planes": others}).get(SemanticScores, "")
    assert scores.label.tolist() == [1, 2, 3]
    assert scores.scores.sum(axis=1) == pytest.approx(1)
    assert scores.meta["others"] == "SemanticScores_planes__INPUT"
    with pytest.raises(ConfigurationError, match=r"tested.others: expected scores of the 1 voxels .* got 3 in HIP"):
        tested.process({"voxels": voxels([1.5]), "planes": others})


def test_classes_of_another_scheme_keep_their_names(tmp_path: Path) -> None:
    tested = harness(make_archive(tmp_path / "a.ts", class_names=SPINE_NAMES), images=[""])
    scores = tested.process({"voxels": voxels([2])}).get(SemanticScores, "")
    assert (scores.meta["scheme"], scores.label.tolist()) == ("spine", [1])


def test_archives_and_voxels_that_do_not_fit(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.ts")
    with pytest.raises(
        ConfigurationError, match=r"asks for voxels of 0\.3 cm, those of Voxels_voxels_thin_INPUT measure"
    ):
        harness(archive).process({"voxels:thin": voxels([1], pitch=0.5), "voxels:smeared": voxels([])})
    planes = {"dimension": 2, "pixel_size": (1.0, 6.0), "pixel_units": ("wire", "tick")}
    with pytest.raises(ConfigurationError, match="the job needs the dimension 3; the card has 2"):
        harness(make_archive(tmp_path / "b.ts", **planes))
    with pytest.raises(ConfigurationError, match="the job needs the detector liquid_argon; the card has icarus"):
        harness(make_archive(tmp_path / "c.ts", detector="icarus"))
    with pytest.raises(ConfigurationError, match=r"images: .* expects at least one instance"):
        harness(archive, images=[])


def test_the_evaluator_refuses_labels_of_another_scheme() -> None:
    names = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco"}
    scores = SemanticScores(scores=np.eye(5, dtype=np.float32), label=np.arange(5), meta=names)
    tested = ModuleHarness(SegmentationEvaluator, {"planes": ["thin"]})
    truth = TrueLabels(label=np.arange(5), meta={"scheme": "larmlreco"})
    tested.process({"segmentation:thin": scores, "truth:thin": truth})
    assert tested.module.results()["thin"]["five_classes"]["accuracy"]["value"] == 1  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="TrueLabels truth:thin are of the scheme 'spine'; expected larmlreco: HIP"):
        tested.process(
            {"segmentation:thin": scores, "truth:thin": TrueLabels(label=np.arange(5), meta={"scheme": "spine"})}
        )
