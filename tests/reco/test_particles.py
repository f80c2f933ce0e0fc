"""Ranges, ways through voxels, and summaries of particles, on analytic tracks."""

from itertools import pairwise

import numpy as np
import pytest

from larmlreco.products import ParticleFlag
from larmlreco.reco.particles import Attachments, ParticleOptions, Summary, attachments, summarise
from larmlreco.reco.particles_path import path_of
from larmlreco.reco.particles_range import energy_of_range, range_of, stopping_power

HIP, MIP, SHOWER, DELTA, MICHEL = range(5)
PITCH = 0.3
BOX = np.array([[0.0, 300], [0, 300], [0, 300]])


@pytest.mark.parametrize(
    ("particle", "kinetic", "published"),
    [("muon", 100, 30.44), ("muon", 1000, 441.5), ("proton", 100, 7.82), ("muon", 10, 0.9833 / 1.396)],
)
def test_ranges_are_those_of_the_tables(particle: str, kinetic: float, published: float) -> None:
    """Groom, Mokhov and Striganov for muons, PSTAR for protons."""
    assert float(range_of(kinetic, particle)) == pytest.approx(published, rel=0.015)


@pytest.mark.parametrize("particle", ["muon", "pion", "proton"])
def test_ranges_are_integrals_of_the_stopping_power(particle: str) -> None:
    fine = np.linspace(20, 300, 200_001)
    expected = np.trapezoid(1 / stopping_power(fine, particle), fine)
    assert float(np.diff(range_of([20, 300], particle))[0]) == pytest.approx(expected, rel=1e-4)
    kinetic = np.array([0.0, 1, 30, 400, 5000])
    assert energy_of_range(range_of(kinetic, particle), particle) == pytest.approx(kinetic, rel=1e-6)


def test_the_least_loss_of_muons_is_that_of_the_tables() -> None:
    """Groom, Mokhov and Striganov: 1.508 MeV cm2/g at 266 MeV."""
    loss = stopping_power(np.geomspace(50, 2000, 500), "muon")
    assert float(loss.min()) == pytest.approx(1.508 * 1.396, rel=0.005)


def test_other_particles_have_no_table() -> None:
    with pytest.raises(ValueError, match=r"no table of ranges for 'kaon'; .*muon, pion, proton"):
        range_of(100, "kaon")


def line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Voxels of a straight line between two places in voxels."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    n = int(np.ceil(np.abs(end - start).max() * 20)) + 1
    found = np.floor(start + np.linspace(0, 1, n)[:, np.newaxis] * (end - start)).astype(np.int64)
    return np.unique(found, axis=0)


@pytest.mark.parametrize("length", [6, 20, 100, 900])
def test_the_length_of_a_straight_track(length: float) -> None:
    random = np.random.default_rng(length)
    found = []
    for _ in range(20):
        direction = random.normal(size=3)
        direction *= length / np.linalg.norm(direction)
        start = random.uniform(0, 1, 3)
        found.append(path_of(line(start, start + direction), np.ones(len(line(start, start + direction)))).length)
    assert float(np.mean(found)) == pytest.approx(length, abs=0.4 + 0.002 * length)
    assert float(np.std(found)) < 0.6 + 0.002 * length


def test_a_bent_track_is_as_long_as_its_parts() -> None:
    corners = [(0, 0, 0), (60, 0, 0), (60, 50, 0), (10, 50, 0)]  # its ends are close to one another
    voxels = np.unique(np.concatenate([line(np.add(a, 0.5), np.add(b, 0.5)) for a, b in pairwise(corners)]), axis=0)
    path = path_of(voxels, np.ones(len(voxels)))
    assert path.length == pytest.approx(160, abs=6)  # corners are cut
    ends = {tuple(path.points[i].astype(int)) for i in (0, -1)}
    assert ends == {(0, 0, 0), (10, 50, 0)}


def test_the_way_does_not_depend_on_the_order_and_bridges_gaps() -> None:
    voxels = line((0.5, 0.5, 0.5), (100, 40, 20))
    voxels = voxels[(voxels[:, 0] < 30) | (voxels[:, 0] > 50)]
    charge = np.random.default_rng(1).uniform(0.5, 1, len(voxels))
    path = path_of(voxels, charge)
    assert path.length == pytest.approx(np.sqrt(99.5**2 + 39.5**2 + 19.5**2), rel=0.01)
    gap = 21 * np.sqrt(99.5**2 + 39.5**2 + 19.5**2) / 99.5
    assert path.parts(np.ones(len(voxels), bool))[0] == pytest.approx(1 - gap / path.length, abs=0.04)
    assert path.charge.sum() == pytest.approx(charge.sum())
    shuffled = np.random.default_rng(0).permutation(len(voxels))
    again = path_of(voxels[shuffled], charge[shuffled])
    assert np.array_equal(again.points, path.points)
    assert np.array_equal(again.piece, path.piece[shuffled])
    back = path.reversed()
    assert back.length == pytest.approx(path.length)
    assert np.array_equal(np.sort(back.along), np.sort(path.along.max() - path.along))
    assert back.charge_density(0, 20) == pytest.approx(path.charge_density(path.length - 20, path.length))


def test_ways_of_few_and_of_very_many_voxels() -> None:
    assert path_of(np.array([[3, 4, 5]]), np.ones(1)).length == 0
    assert path_of(np.array([[3, 4, 5], [3, 4, 6]]), np.ones(2)).length == 1
    block = np.argwhere(np.ones((30, 30, 30), bool))
    assert path_of(block, np.zeros(len(block))).length == pytest.approx(np.sqrt(3) * 29, rel=0.2)
    with pytest.raises(ValueError, match="at least one voxel; got none"):
        path_of(np.zeros((0, 3), int), np.zeros(0))


def stopping_muon(length: float, start: np.ndarray, direction: np.ndarray, particle: str = "muon") -> tuple:
    """Voxels and their energies of a particle that stops after a length (cm)."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    at = np.arange(0, length, 0.01)
    left = energy_of_range(length - at, particle)
    deposit = left - np.append(left[1:], 0)
    index = np.floor((np.asarray(start) + at[:, np.newaxis] * direction) / PITCH).astype(np.int64)
    voxels, row = np.unique(index, axis=0, return_inverse=True)
    return voxels, np.bincount(row.reshape(-1), deposit)


def summary_of(*clusters: tuple, semantic: list[int], **others: object) -> Summary:
    """Of clusters of (voxels, energies)."""
    voxels = np.concatenate([np.zeros((0, 3), int), *(c[0] for c in clusters)])
    charge = np.concatenate([np.zeros(0), *(c[1] for c in clusters)])
    owner = np.repeat(np.arange(len(clusters)), [len(c[0]) for c in clusters])
    return summarise((voxels + 0.5) * PITCH, PITCH, charge, owner, np.array(semantic, int), **others)  # type: ignore


@pytest.mark.parametrize("sign", [1, -1])
def test_a_stopping_muon(sign: int) -> None:
    start, direction = np.array([150.0, 150, 150]), np.array([0.6, 0.64, 0.48]) * sign
    found = summary_of(stopping_muon(60, start, direction), semantic=[MIP], volume=BOX)
    kinetic = float(energy_of_range(60, "muon"))
    assert found.length[0] == pytest.approx(60, abs=0.7)
    assert found.start[0] == pytest.approx(start, abs=0.5)
    assert found.end[0] == pytest.approx(start + 60 * direction, abs=0.5)
    assert found.direction[0] == pytest.approx(direction, abs=0.03)
    assert found.energy[0] == found.energy_range[0, 0] == pytest.approx(kinetic, rel=0.015)
    assert found.energy_charge[0] == pytest.approx(kinetic, rel=1e-6)
    assert found.dedx_start[0] == pytest.approx(float(stopping_power(kinetic - 4, "muon")), rel=0.1)
    assert found.dedx_end[0] > 1.8 * found.dedx_start[0]
    assert found.start_score[0] > 0.8
    assert found.border[0] == pytest.approx(150 - 60 * 0.64 if sign < 0 else 300 - 150 - 60 * 0.64, abs=0.5)
    assert found.measured[0] == 1
    flags = ParticleFlag.CONTAINED | ParticleFlag.START_BY_DEDX | ParticleFlag.ENERGY_BY_RANGE
    assert found.flags[0] == flags
    assert (found.parent[0], found.michel[0], found.vertex[0]) == (-1, -1, -1)


def test_a_proton_is_measured_as_a_proton() -> None:
    found = summary_of(
        stopping_muon(10, np.full(3, 100.0), np.array([1.0, 2, 2]), "proton"), semantic=[HIP], volume=BOX
    )
    assert found.energy[0] == found.energy_range[0, 2] == pytest.approx(float(energy_of_range(10, "proton")), rel=0.04)


def test_a_michel_electron_tells_the_end_against_the_energy_loss() -> None:
    voxels, energy = stopping_muon(40, np.full(3, 100.0), np.array([0, 0, 1.0]))
    electron = line(voxels[0] + [0, 1, 0], voxels[0] + [0, 30, 0])
    parts = ((voxels, energy), (electron, np.full(len(electron), 0.5)))
    place = (voxels[:1] + 0.5) * PITCH
    met = Attachments(np.array([-1, 0]), np.array([0]), place)
    found = summary_of(*parts, semantic=[MIP, MICHEL], michels=met)
    assert found.end[0] == pytest.approx(place[0], abs=0.2)
    assert found.start[1] == pytest.approx((electron[0] + 0.5) * PITCH, abs=0.01)
    assert found.parent.tolist() == [-1, 0]
    assert found.michel.tolist() == [-1, 0]
    assert found.flags[0] & ParticleFlag.START_BY_MICHEL
    assert not found.flags[0] & ParticleFlag.START_BY_DEDX  # it says the opposite
    assert found.flags[1] == ParticleFlag.START_BY_PARENT
    assert np.isnan(found.border).all()


def test_michel_electrons_in_terms_of_clusters() -> None:
    position = np.column_stack([np.arange(10.0), np.zeros(10), np.zeros(10)])
    cluster = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, -1])
    electron = np.array([-1, -1, -1, 0, 0, 0, -1, 0, -1, 0])
    met = attachments(position, cluster, np.array([MIP, MICHEL, SHOWER]), electron, [[3.4, 0, 0], [np.nan] * 3])
    assert met.of_cluster.tolist() == [-1, 0, -1]  # half of the third is not more than half
    assert met.muon.tolist() == [0, -1]
    none = attachments(position, cluster, np.array([SHOWER] * 3), np.full(10, -1), [[3.4, 0, 0]])
    assert none.of_cluster.tolist() == [-1] * 3
    assert none.muon.tolist() == [-1]


def test_a_delta_belongs_to_its_track_and_begins_there() -> None:
    track = line((10.5, 50.5, 50.5), (200, 50.5, 50.5))
    delta = line((100.5, 52.5, 50.5), (110, 70, 50.5))
    far = line((100.5, 80.5, 50.5), (110, 90, 50.5))
    parts = [(v, np.full(len(v), 0.6)) for v in (track, delta, far)]
    found = summary_of(*parts, semantic=[MIP, DELTA, DELTA])
    assert found.parent.tolist() == [-1, 0, -1]
    assert found.start[1] == pytest.approx((delta[0] + 0.5) * PITCH, abs=0.3)


def test_the_start_of_a_delta_is_the_end_nearer_to_its_track() -> None:
    track = line((10.5, 50.5, 50.5), (200, 50.5, 50.5))
    delta = line((100.5, 54.5, 50.5), (108, 52.5, 50.5))  # nearest to the track in its last voxel, 2 voxels away
    found = summary_of(*[(v, np.full(len(v), 0.6)) for v in (track, delta)], semantic=[MIP, DELTA])
    assert found.start[1] == pytest.approx((delta[-1] + 0.5) * PITCH, abs=0.01)
    assert found.start_score[1] == pytest.approx(1 / (1 + np.exp(-6 * (4 - 2) / (4 + 2))))
    beside = line((100.5, 52.5, 50.5), (108, 52.5, 50.5))  # both ends are equally near: nothing is known
    found = summary_of(*[(v, np.full(len(v), 0.6)) for v in (track, beside)], semantic=[MIP, DELTA])
    assert found.start_score[1] == pytest.approx(0.5)
    assert not found.flags[1] & ParticleFlag.START_BY_PARENT


def test_particles_of_a_vertex_begin_at_it() -> None:
    vertex = np.array([300.5, 300.5, 300.5])
    ways = [(60, 0, 0), (0, -80, 10), (-20, 30, 40)]
    parts = [(v, np.full(len(v), 0.6)) for v in (line(vertex + np.sign(w) * 2, vertex + w) for w in ways)]
    lonely = line((500.5, 500.5, 500.5), (540, 500, 500))
    found = summary_of(*parts, (lonely, np.ones(len(lonely))), semantic=[MIP, HIP, MIP, MIP], volume=BOX)
    assert np.abs(found.start[:3] - vertex * PITCH).max() < 1.5
    assert found.vertex.tolist() == [0, 0, 0, -1]
    assert all(found.flags[:3] & ParticleFlag.START_BY_VERTEX)
    assert (found.start_score[:3] > 0.9).all()


def test_what_comes_from_outside_comes_from_above() -> None:
    track = line((500.5, 1.5, 400.5), (520, 998, 420))
    both = [(track, np.full(len(track), 0.6))]
    found = summary_of(*both, semantic=[MIP], volume=BOX)
    assert found.start[0, 1] > 290
    flags = ParticleFlag(int(found.flags[0]))
    assert flags == ParticleFlag.THROUGH | ParticleFlag.START_BY_DESCENT
    assert found.energy[0] == found.energy_charge[0]  # it does not stop
    kept = summary_of(*both, semantic=[MIP], volume=BOX, options=ParticleOptions(descending=False))
    assert kept.start_score[0] < 0.55
    out = summary_of((track - [600, 0, 0], both[0][1]), semantic=[MIP], volume=BOX)
    assert out.border[0] == pytest.approx((500 + 0.5 - 600) * PITCH, abs=0.01)
    assert out.flags[0] & ParticleFlag.OUTSIDE


def test_a_shower_begins_where_it_is_narrow() -> None:
    random = np.random.default_rng(4)
    along = random.uniform(0, 100, 1500)
    across = random.normal(size=(1500, 2)) * (0.08 * along)[:, np.newaxis]
    voxels = np.unique(np.floor(np.column_stack([150 - along, 150 + across[:, 0], 150 + across[:, 1]])), axis=0)
    found = summary_of((voxels.astype(int), np.ones(len(voxels))), semantic=[SHOWER])
    assert found.start[0, 0] > 40
    assert found.direction[0] @ [-1, 0, 0] > 0.97
    assert found.flags[0] & ParticleFlag.START_BY_WIDTH
    assert np.isnan(found.energy_range[0]).all()


def test_what_was_filled_in_is_not_measured() -> None:
    track = line((10.5, 50.5, 50.5), (109, 50.5, 50.5))
    filled = (track[:, 0] >= 40) & (track[:, 0] < 60)
    found = summary_of((track, np.ones(len(track))), semantic=[MIP], infilled=filled)
    assert found.infilled[0] == pytest.approx(0.2, abs=0.03)
    assert found.measured[0] == pytest.approx(0.8, abs=0.06)


def test_calibrations_are_those_of_the_class() -> None:
    track = line((10.5, 50.5, 50.5), (109, 50.5, 50.5))
    options = ParticleOptions(energy_scale=(1, 2.0, 3.0, 1, 1))
    both = [(track, np.ones(len(track))), (track + 100, np.ones(len(track)))]
    found = summary_of(*both, semantic=[MIP, SHOWER], options=options)
    assert found.energy_charge.tolist() == [2.0 * len(track), 3.0 * len(track)]
    assert found.dedx_start == pytest.approx([2.0 / PITCH, 3.0 / PITCH], rel=0.1)


def test_events_of_nothing_and_of_little() -> None:
    assert len(summary_of(semantic=[]).length) == 0
    one = summary_of((np.array([[5, 5, 5]]), np.array([0.7])), semantic=[MIP], volume=BOX)
    assert one.length[0] == 0
    assert one.energy_charge[0] == 0.7
    assert one.direction[0].tolist() == [0, 0, 0]
    hollow = summarise(np.zeros((1, 3)), PITCH, np.ones(1), np.array([1]), np.array([MIP, SHOWER]))
    assert np.isnan(hollow.length[0])
    assert np.isnan(hollow.start[0]).all()
    loose = summarise(np.zeros((2, 3)), PITCH, np.ones(2), np.array([-1, -1]), np.array([], int))
    assert len(loose.length) == 0
    many = np.arange(3000)
    scattered = np.column_stack([many * 7 % 1000, many * 11 % 997, many * 13 % 991])
    found = summarise(scattered * PITCH, PITCH, np.ones(3000), many, np.full(3000, SHOWER))
    assert (found.length == 0).all()


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="the charge of voxel 1 is not finite"):
        summarise(np.zeros((2, 3)), PITCH, np.array([1, np.nan]), np.zeros(2, int), np.array([MIP]))
    with pytest.raises(ValueError, match="the place of voxel 0 is not finite"):
        summarise(np.full((1, 3), np.inf), PITCH, np.ones(1), np.zeros(1, int), np.array([MIP]))
    with pytest.raises(ValueError, match="a voxel is of cluster 3; there are 1 clusters"):
        summarise(np.zeros((1, 3)), PITCH, np.ones(1), np.array([3]), np.array([MIP]))
