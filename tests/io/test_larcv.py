"""LArCV2 images and particles."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from larmlreco.errors import InputError
from larmlreco.io import open_file
from larmlreco.io.larcv import LArCVReader, _kinetic_energy, _semantic
from larmlreco.labels import Semantic
from larmlreco.masses import ATOMIC_MASS_UNIT
from larmlreco.products import Pixels, ProductKey, TrueParticles, Voxels

PARTICLES = ProductKey("TrueParticles", "mctruth", "", "LArCV")
PLANES = [ProductKey("Pixels", "data", f"plane{i}", "LArCV") for i in range(3)]


@pytest.fixture(params=["electron", "proton"])
def sample(request: pytest.FixtureRequest, shared_path: Callable[[str], Path]) -> Path:
    return shared_path(f"samples/larcv2_{request.param}_10evt.root")


def test_keys_and_ids(sample: Path) -> None:
    reader = open_file(sample)
    assert isinstance(reader, LArCVReader)
    assert set(reader.keys()) == {PARTICLES, *PLANES}
    assert reader.keys("run") == []
    assert list(reader.event_ids) == [(1, 0, i) for i in range(1, 11)]
    assert list(reader.subrun_ids) == [(1, 0)]
    assert list(reader.run_ids) == [(1,)]
    assert reader.undecodable() == {}
    assert all(b.entries == 10 and b.bytes > 1000 for b in reader.branches())


def test_pixels_are_those_of_the_image(sample: Path) -> None:
    reader = open_file(sample)
    leaf = "image2d_data_branch/_image_v/_image_v._img"
    images = uproot.open(sample)["image2d_data_tree"][leaf].array(library="np")
    for entry in (0, 9, 4):
        for i, key in enumerate(PLANES):
            pixels = reader.read(entry, key)
            assert isinstance(pixels, Pixels)
            flat = np.array(images[entry][i], dtype=np.float32)
            assert len(pixels) == np.count_nonzero(flat)
            assert pixels.adc.tolist() == flat[pixels.column * 256 + pixels.row].tolist()
            assert (np.lexsort((pixels.row, pixels.column)) == np.arange(len(pixels))).all()
            assert set(pixels.plane) == {i}
            assert (pixels.meta["n_columns"], pixels.meta["n_rows"]) == (256, 256)


def test_particles_start_on_their_pixels(sample: Path) -> None:
    """The images are projections on (x, y), (y, z) and (z, x): only the right order of storage puts the start there."""
    reader = open_file(sample)
    for entry in range(reader.n_events):
        particles = reader.read(entry, PARTICLES)
        assert isinstance(particles, TrueParticles)
        assert len(particles) == 1
        start = [particles.x[0], particles.y[0], particles.z[0]]
        for i, key in enumerate(PLANES):
            pixels = reader.read(entry, key)
            assert isinstance(pixels, Pixels)
            (column, row), pitch = pixels.meta["origin"], pixels.meta["pitch"]
            column = (start[i] - column) / pitch[0]
            row = (start[(i + 1) % 3] - row) / pitch[1]
            assert np.hypot(pixels.column + 0.5 - column, pixels.row + 0.5 - row).min() < 1


def test_particles(sample: Path) -> None:
    particles = open_file(sample).read(0, PARTICLES)
    assert isinstance(particles, TrueParticles)
    electron = "electron" in sample.name
    assert particles.pdg.tolist() == [11 if electron else 2212]
    assert particles.semantic.tolist() == [Semantic.SHOWER if electron else Semantic.HIP]
    assert particles.id.tolist() == particles.instance.tolist() == [1]
    assert particles.parent.tolist() == [0]
    assert particles.meta["processes"] == ["primary"]
    assert particles.t.tolist() == [0]
    tree = uproot.open(sample)["particle_mctruth_tree"]
    prefix = "particle_mctruth_branch/larcv::ParticleSet/_part_v/_part_v."
    total = tree[prefix + "_energy_init"].array()[0, 0] * 1000  # GeV in these files
    mass = 0.511 if electron else 938.272
    assert particles.kinetic_energy[0] == pytest.approx(total - mass, rel=1e-4)
    assert particles.t0[0] == pytest.approx(tree[prefix + "_vtx._t"].array()[0, 0] * 1e-3)


def test_kinetic_energy_and_class_by_pdg_code() -> None:
    pdg = np.array([22, -13, 1000020040, 12345])
    kinetic = _kinetic_energy(pdg, np.array([[3.0, 0, 4.0], [0, 0, 0], [1000.0, 0, 0], [1.0, 0, 0]]))
    alpha = 4 * ATOMIC_MASS_UNIT
    assert kinetic[:3] == pytest.approx([5.0, 0.0, np.sqrt(1e6 + alpha**2) - alpha])
    assert np.isnan(kinetic[3])
    assert [_semantic(code) for code in (-211, 321, 1000010020, 2112)] == [
        Semantic.MIP,
        Semantic.MIP,
        Semantic.HIP,
        Semantic.NO_LABEL,
    ]


def test_unknown_key_and_foreign_file(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_file(sample).read(0, ProductKey("Hits", "gaushit", "", "Reco1"))
    valid = ", ".join(key.branch for key in open_file(sample).keys())  # noqa: SIM118
    assert str(caught.value) == f"input {sample} has no event product Hits_gaushit__Reco1; valid: {valid}"
    with uproot.recreate(tmp_path / "x.root") as file:
        file["tree"] = {"a": np.arange(3)}
    with pytest.raises(InputError, match=r"x\.root holds none of image2d_\*_tree, particle_\*_tree, sparse3d_\*_tree"):
        LArCVReader(tmp_path / "x.root")


def test_other_trees_are_listed_as_not_readable(sample: Path, tmp_path: Path) -> None:
    """A tree of another kind beside a readable one is named with its reason, trees of unequal length are refused."""
    path = tmp_path / "x.root"
    path.write_bytes(sample.read_bytes())
    with uproot.update(path) as file:
        file.mktree("cluster3d_pcluster_tree", {"a": np.int32})
        file["cluster3d_pcluster_tree"].extend({"a": np.arange(10, dtype=np.int32)})
    assert open_file(path).undecodable() == {
        "cluster3d_pcluster_branch": "only image2d, particle, sparse3d are read from LArCV2 files"
    }
    with uproot.update(path) as file:
        file.mktree("particle_other_tree", {"a": np.int32})
        file["particle_other_tree"].extend({"a": np.arange(3, dtype=np.int32)})
    with pytest.raises(InputError) as caught:
        open_file(path)
    assert "its trees have different numbers of events: " in str(caught.value)
    assert "particle_other_branch 3" in str(caught.value)


DATA = Path(__file__).with_name("data") / "larcv_sparse3d.root"
VOXELS, CLASSES = (ProductKey("Voxels", name, "", "LArCV") for name in ("data", "fivetypes"))


def test_sparse_tensors_are_voxels() -> None:
    """The file and its content: tests/oracles/larcv_files/write.py."""
    reader = open_file(DATA)
    assert set(reader.keys()) == {VOXELS, CLASSES}
    assert list(reader.event_ids) == [(1, 2, 10), (1, 2, 11), (1, 2, 12)]
    voxels, classes = reader.read(0, VOXELS), reader.read(0, CLASSES)
    assert isinstance(voxels, Voxels)
    assert isinstance(classes, Voxels)
    index = np.stack([voxels.x, voxels.y, voxels.z], axis=1).tolist()
    assert index == [[0, 0, 0], [1, 2, 0], [1, 2, 3], [5, 4, 3]]
    assert voxels.energy.tolist() == [1.5, 0.5, 2.0, 0.25]
    assert classes.energy.tolist() == [0, 1, 2, 4]
    assert voxels.pitch.tolist() == pytest.approx([0.3])
    assert voxels.meta["shape"] == [6, 5, 4]
    assert voxels.origin.tolist() == [pytest.approx([-1, 2, 3])]
    empty = reader.read(1, VOXELS)
    assert empty is not None
    assert len(empty) == 0
    reader.close()
