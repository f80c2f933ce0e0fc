"""Michel electrons: the published procedure, and what it lacks where data are imperfect."""

import itertools
import time

import numpy as np
import pytest
from oracles.michel_finding import MICHEL, MIP, SHOWER, Toy, assemble, plain_michels, random_toy, track

from larmlreco.labels import Semantic
from larmlreco.products import MichelFlag
from larmlreco.reco.dead import DeadBoxes
from larmlreco.reco.michel import FoundMichels, Surroundings, find_michels
from larmlreco.reco.michel_options import MichelOptions, min_samples

HIP, DELTA = 0, 3
X, Y, Z = np.eye(3)
END = np.array([100.0, 50, 50])


OPEN = Surroundings()


def find(toy: Toy, surroundings: Surroundings = OPEN, **options: object) -> FoundMichels:
    return find_michels(
        toy.voxels, toy.label, np.ones(len(toy.voxels)), MichelOptions(**options), surroundings=surroundings
    )


def flags(found: FoundMichels) -> list[MichelFlag]:
    return [MichelFlag(f) for f in found.flags.tolist()]


def electrons(found: FoundMichels) -> list[list[int]]:
    return sorted(np.flatnonzero(found.electron == k).tolist() for k in range(len(found.flags)))


def decay(length: float = 60, wide: bool = False, electron: float = 25) -> list[tuple[np.ndarray, int, int]]:
    """A muon along x that ends at (100, 50, 50), and its electron along y."""
    return [(track(END - X * length, X, length, wide), MIP, -1), (track(END, Y, electron, wide), MICHEL, 0)]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_published_procedure_is_that_of_loops_over_pairs(seed: int, wide: bool) -> None:
    toy = random_toy(np.random.default_rng(seed), wide)
    found = find(toy, published=True, thickness="smeared" if wide else "thin")
    samples = (5, 10) if wide else (3, 4)
    assert found.min_samples == samples
    assert electrons(found) == plain_michels(toy.voxels, toy.label, *samples)
    assert all(f == MichelFlag.EDGE for f in flags(found))


@pytest.mark.parametrize("wide", [False, True])
def test_decays_in_random_events_are_found_with_either_thickness(wide: bool) -> None:
    true = matched = candidates = 0
    for seed in range(20):
        toy = random_toy(np.random.default_rng(100 + seed), wide)
        found = find(toy)
        assert found.min_samples == ((5, 10) if wide else (3, 4))
        true += len(set(toy.michel[toy.michel >= 0].tolist()))
        candidates += len(found.flags)
        matched += sum(bool((toy.michel[rows] >= 0).mean() > 0.9) for rows in electrons(found))
    assert matched >= 0.95 * true
    assert matched >= 0.97 * candidates


def test_thickness_is_measured_on_tracks_in_any_direction() -> None:
    for direction in (X, X + Y, X + Y + Z, X + 0.4 * Y - 0.3 * Z):
        for wide, expected in ((False, (3, 4)), (True, (5, 10))):
            voxels = track(np.full(3, 50.0), direction, 80, wide)
            assert min_samples(voxels, np.full(len(voxels), MIP), 2.8) == expected
            assert min_samples(voxels, np.full(len(voxels), SHOWER), 2.8) == expected
    assert min_samples(np.zeros((0, 3), int), np.zeros(0, int), 2.8) == (5, 10)
    assert min_samples(np.zeros((0, 3), int), np.zeros(0, int), 2.8, "thin") == (3, 4)


def test_a_decay_has_attachment_directions_and_voxels() -> None:
    toy = assemble(decay())
    found = find(toy)
    assert flags(found) == [MichelFlag.EDGE]
    assert toy.voxels[found.attachment[0]].tolist() == [99, 50, 50]
    assert found.gap.tolist() == [0]
    assert found.muon_direction[0] == pytest.approx(X, abs=0.02)
    assert found.electron_direction[0] == pytest.approx(Y, abs=0.15)
    assert np.array_equal(found.electron == 0, toy.michel == 0)
    assert np.array_equal(found.muon == 0, toy.label == MIP)
    assert found.score.tolist() == [1.0]


def test_michel_voxels_in_the_middle_of_a_muon_are_none() -> None:
    middle = assemble([(track(np.array([40.0, 50, 50]), X, 120, False), MIP, -1), decay()[1]])
    assert len(find(middle).flags) == 0
    assert len(find(middle, published=True).flags) == 0


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_gap_at_the_end_of_the_muon_is_bridged(missing: int) -> None:
    toy = assemble(decay())
    toy = toy.without(
        (toy.voxels[:, 1] > 50) & (toy.voxels[:, 1] <= 50 + missing) | (toy.michel == 0) & (toy.voxels[:, 1] <= 50)
    )
    assert len(find(toy, published=True).flags) == 0
    found = find(toy)
    assert flags(found) == [MichelFlag.EDGE | MichelFlag.GAP]
    assert found.gap.tolist() == [missing]
    assert found.score.tolist() == [1 / (1 + missing)]
    assert len(find(toy, max_gap=missing - 1).flags) == 0


def test_an_electron_in_pieces_is_put_together() -> None:
    toy = assemble(decay())
    toy = toy.without((toy.voxels[:, 1] > 60) & (toy.voxels[:, 1] <= 63))
    found = find(toy)
    assert flags(found) == [MichelFlag.EDGE | MichelFlag.JOINED]
    assert np.array_equal(found.electron == 0, toy.michel == 0)
    apart = toy.without((toy.voxels[:, 1] > 60) & (toy.voxels[:, 1] <= 65))
    assert (find(apart).electron == 0).sum() < (apart.michel == 0).sum()


@pytest.mark.parametrize("missing", [1, 3])
def test_a_piece_across_a_gap_is_a_photon_of_a_large_electron_and_part_of_a_small_one(missing: int) -> None:
    toy = assemble(decay())
    toy = toy.without((toy.voxels[:, 1] > 60) & (toy.voxels[:, 1] <= 60 + missing))
    near = (toy.michel == 0) & (toy.voxels[:, 1] <= 60)
    cone = {"photon_angle": 30.0, "photon_length": 100.0}
    for join_size in (0, int(near.sum()) + 1):
        found = find(toy, join_size=join_size, **cone)
        assert np.array_equal(found.electron == 0, toy.michel == 0)
        assert not (found.photons >= 0).any()
    found = find(toy, join_size=int(near.sum()), **cone)
    assert np.array_equal(found.electron == 0, near)
    assert np.array_equal(found.photons == 0, (toy.michel == 0) & ~near)
    dead = Surroundings(dead=DeadBoxes(np.array([[0, 61, 0]]), np.array([[200, 60 + missing, 200]])))
    assert np.array_equal(find(toy, dead, join_size=1).electron == 0, toy.michel == 0)


def test_dead_wires_between_muon_and_electron_do_not_count_as_missing() -> None:
    dead = DeadBoxes(np.array([[0, 51, 0]]), np.array([[200, 60, 200]]))
    toy = assemble(decay(electron=40))
    toy = toy.without((toy.voxels[:, 1] >= 51) & (toy.voxels[:, 1] <= 60) | (toy.michel == 0) & (toy.voxels[:, 1] < 51))
    assert len(find(toy).flags) == 0
    found = find(toy, Surroundings(dead=dead))
    assert flags(found) == [MichelFlag.EDGE | MichelFlag.GAP | MichelFlag.NEAR_DEAD]
    assert found.gap.tolist() == [0]


def test_an_electron_goes_on_behind_dead_wires() -> None:
    dead = DeadBoxes(np.array([[0, 55, 0], [0, 65, 0]]), np.array([[200, 59, 200], [200, 69, 200]]))
    toy = assemble(decay(electron=30))
    toy = toy.without(((toy.voxels[:, 1] - 55) % 10 < 5) & (toy.voxels[:, 1] >= 55) & (toy.voxels[:, 1] < 70))
    assert not np.array_equal(find(toy).electron == 0, toy.michel == 0)
    found = find(toy, Surroundings(dead=dead))
    assert np.array_equal(found.electron == 0, toy.michel == 0)
    assert MichelFlag.JOINED in flags(found)[0]


@pytest.mark.parametrize("other", [DELTA, HIP])
def test_other_classes_at_the_end_of_the_muon_are_bridged(other: int) -> None:
    toy = assemble(decay())
    toy.label[(toy.voxels[:, 0] >= 95) & (toy.label == MIP)] = other
    assert len(find(toy, published=True).flags) == 0
    assert len(find(toy, bridge=0).flags) == 0
    found = find(toy)
    assert flags(found) == [MichelFlag.EDGE | MichelFlag.BRIDGED]
    assert toy.voxels[found.attachment[0]].tolist() == [94, 50, 50]


@pytest.mark.parametrize("where", [99, 95, 90])
def test_a_muon_that_crosses_near_the_end_is_recognised(where: int) -> None:
    crossing = track(np.array([where, 50.0, 0]), Z, 100, False)
    toy = assemble([*decay(), (crossing, MIP, -1)])
    assert len(find(toy, published=True).flags) == 0
    assert len(find(toy, crossings=False).flags) == 0
    found = find(toy)
    assert flags(found) == [MichelFlag.CROSSING]
    assert found.muon_direction[0] == pytest.approx(X, abs=0.1)
    assert found.score.tolist() == [0.5]


def test_muons_that_only_cross_have_no_end() -> None:
    toy = assemble(
        [
            (track(np.array([40.0, 50, 50]), X, 120, False), MIP, -1),
            (track(np.array([100.0, 50, 0]), Z, 100, False), MIP, -1),
            decay()[1],
        ]
    )
    assert len(find(toy).flags) == 0


def test_a_muon_that_passes_by_does_not_hide_the_end() -> None:
    passing = track(np.array([60.0, 40, 44]), X + 0.05 * Y, 100, False)
    joined = track(np.array([62.0, 50, 50]), -Y - 0.6 * Z, 11, False)
    toy = assemble([*decay(), (passing, MIP, -1), (joined, MIP, -1)])
    assert flags(find(toy)) == [MichelFlag.EDGE]


def test_a_short_muon_is_flagged() -> None:
    toy = assemble(decay(length=10))
    assert len(find(toy, published=True).flags) == 0
    assert flags(find(toy)) == [MichelFlag.SHORT_MUON]
    assert len(find(toy, short_muons=False).flags) == 0


def test_a_michel_without_a_muon_is_kept_on_request() -> None:
    toy = assemble([decay()[1]])
    assert len(find(toy).flags) == 0
    found = find(toy, keep_unattached=True)
    assert flags(found) == [MichelFlag.NO_MUON]
    assert (found.attachment.tolist(), found.gap.tolist(), found.muon_of.tolist()) == ([-1], [-1], [-1])
    assert not found.electron_direction.any()
    assert not found.muon_direction.any()


def test_two_pieces_at_one_end_are_one_electron() -> None:
    toy = assemble([*decay(), (track(END - 3 * X + Z, Z, 12, False), MICHEL, 0)])
    found = find(toy)
    assert len(found.flags) == 1
    assert np.array_equal(found.electron == 0, toy.michel == 0)


def test_border_is_flagged() -> None:
    toy = assemble(decay())
    inside = Surroundings(low=np.zeros(3, int), high=np.full(3, 200))
    assert flags(find(toy, inside)) == [MichelFlag.EDGE]
    for low, high in (([0, 0, 48], [200] * 3), ([0] * 3, [200, 76, 200])):
        near = find(toy, Surroundings(low=np.array(low), high=np.array(high)))
        assert flags(near) == [MichelFlag.EDGE | MichelFlag.NEAR_BORDER]


def test_photons_are_collected_in_the_cone() -> None:
    def blob(*at: float) -> np.ndarray:
        return track(np.array(at, float), X, 4, False)

    parts = [
        *decay(),
        (blob(100, 150, 60), SHOWER, -1),
        (blob(100, 150, 250), SHOWER, -1),
        (blob(100, 10, 50), SHOWER, -1),
        (track(np.array([100.0, 160, 50]), X, 60, False), SHOWER, -1),
    ]
    toy = assemble(parts)
    assert not (find(toy).photons >= 0).any()
    found = find(toy, photon_angle=30.0, photon_length=267.0)
    # The first lies in the cone; the others beside it, behind it, or with more energy than is left to the electron.
    assert np.array_equal(found.photons == 0, (toy.voxels[:, 1] == 150) & (toy.voxels[:, 2] == 60))
    assert not (find(toy, photon_angle=30.0, photon_length=90.0).photons >= 0).any()


def test_electron_and_photons_have_no_more_energy_than_a_muon_at_rest_gives() -> None:
    toy = assemble([*decay(), *((track(END + Y * (40 + 10 * i), X, 5, False), SHOWER, -1) for i in range(4))])
    size = int((toy.label == MICHEL).sum())
    for scale, pieces in ((1.0, 4), ((53.0 - 0.01) / (size + 15), 3), (53.0 / size, 0), (1e-3, 4)):
        found = find(toy, photon_angle=30.0, photon_length=200.0, energy_scale=scale)
        assert int((found.photons == 0).sum()) == 5 * pieces


def test_the_network_scores_the_electron() -> None:
    toy = assemble(decay())
    found = find_michels(toy.voxels, toy.label, np.ones(len(toy.label)), scores=np.full((len(toy.label), 5), 0.75))
    assert found.score.tolist() == [0.75]
    for least, kept in ((0.75, 1), (0.76, 0)):
        rated = np.full((len(toy.label), 5), 0.75)
        options = MichelOptions(min_score=least)
        found = find_michels(toy.voxels, toy.label, np.ones(len(toy.label)), options, scores=rated)
        assert len(found.flags) == kept


def test_voxels_of_little_score_leave_an_electron_that_is_found() -> None:
    toy = assemble(decay())
    michel = np.flatnonzero(toy.label == MICHEL)
    scores = np.full((len(toy.label), 5), 0.1)
    scores[michel, MICHEL] = 0.9
    scores[michel[::4], MICHEL] = 0.5
    options = MichelOptions(min_score=0.7, voxel_score=0.6)
    found = find_michels(toy.voxels, toy.label, np.ones(len(toy.label)), options, scores=scores)
    assert np.flatnonzero(found.electron == 0).tolist() == sorted(set(michel) - set(michel[::4]))
    assert found.score.tolist() == pytest.approx([0.9])
    for options in (MichelOptions(voxel_score=0.95), MichelOptions(voxel_score=0.6, min_voxels=len(michel) - 1)):
        whole = find_michels(toy.voxels, toy.label, np.ones(len(toy.label)), options, scores=scores)
        assert np.flatnonzero(whole.electron == 0).tolist() == michel.tolist()


def test_a_vote_gives_connected_voxels_one_class_and_slow_muons_may_look_like_protons() -> None:
    toy = assemble(decay())
    michel, muon = toy.label == MICHEL, toy.label == int(Semantic.MIP)
    scores = np.zeros((len(toy.label), 5))
    scores[michel, MICHEL], scores[michel, Semantic.SHOWER] = 0.7, 0.3
    label = toy.label.copy()
    label[np.flatnonzero(michel)[::3]] = Semantic.SHOWER
    options = MichelOptions(vote=True, min_score=0.5)
    found = find_michels(toy.voxels, label, np.ones(len(label)), options, scores=scores)
    assert np.array_equal(found.electron == 0, label == MICHEL)
    shower = find_michels(toy.voxels, label, np.ones(len(label)), options, scores=scores[:, [0, 1, 4, 3, 2]])
    assert len(shower.flags) == 0
    label[muon] = Semantic.HIP
    for taken in (False, True):
        options = MichelOptions(vote=True, hip_muons=taken)
        assert len(find_michels(toy.voxels, label, np.ones(len(label)), options, scores=scores).flags) == int(taken)


def test_candidates_with_small_muons_or_much_energy_are_dropped() -> None:
    toy = assemble(decay())
    n, muon = int((toy.label == MICHEL).sum()), int((toy.label == int(Semantic.MIP)).sum())
    score = 1 - np.exp(-muon / 50.0)
    for options, kept in (
        (MichelOptions(muon_size=50.0, min_score=score - 1e-6), 1),
        (MichelOptions(muon_size=50.0, min_score=score + 1e-6), 0),
        (MichelOptions(max_energy=2.0 * n, energy_scale=2.0), 1),
        (MichelOptions(max_energy=2.0 * n - 0.1, energy_scale=2.0), 0),
    ):
        assert len(find_michels(toy.voxels, toy.label, np.ones(len(toy.label)), options).flags) == kept


def test_two_runs_and_shuffled_voxels_give_the_same_electrons() -> None:
    toy = random_toy(np.random.default_rng(7), False)
    order = np.random.default_rng(0).permutation(len(toy.voxels))
    shuffled = Toy(toy.voxels[order], toy.label[order], toy.michel[order])
    first, second, third = find(toy), find(toy), find(shuffled)
    assert np.array_equal(first.electron, second.electron)
    assert sorted(sorted(order[rows].tolist()) for rows in electrons(third)) == electrons(first)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("semantic", [-1, MIP, MICHEL, SHOWER])
def test_events_of_no_and_one_voxel(n: int, semantic: int) -> None:
    found = find_michels(np.zeros((n, 3), int), np.full(n, semantic), np.ones(n))
    assert len(found.flags) == len(found.gap) == len(found.attachment) == 0
    assert found.muon_direction.shape == found.electron_direction.shape == (0, 3)
    assert len(found.electron) == len(found.muon) == len(found.photons) == n


def test_bad_events_take_bounded_time() -> None:
    random = np.random.default_rng(1)
    n = 20_000
    same = find_michels(np.full((n, 3), 7), random.integers(0, 5, n), np.ones(n), MichelOptions(keep_unattached=True))
    assert len(same.flags) <= 1
    # Hundreds of tiny electrons, all along one muon.
    muon = track(np.zeros(3), X, 1500, False)
    tiny = (muon[::3][:, np.newaxis] + np.array([[0, 1, 0], [0, 2, 0], [0, 3, 0]])).reshape(-1, 3)
    voxels = np.concatenate([muon, tiny])
    start = time.process_time()
    found = find_michels(voxels, np.repeat([MIP, MICHEL], [len(muon), len(tiny)]), np.ones(len(voxels)))
    spread = np.unique(random.integers(0, 400, (n, 3)) * 4, axis=0)
    find_michels(spread, random.integers(0, 5, len(spread)), np.ones(len(spread)))
    # Dense blocks that touch, and a dead region far from both, or between them.
    block = np.array(list(itertools.product(range(14), repeat=3)))
    both = np.concatenate([block, block + np.array([0, 0, 14])])
    kinds = np.repeat([MIP, MICHEL], len(block))
    for low in (100, 6):
        dead = DeadBoxes(np.full((1, 3), low), np.full((1, 3), low + 1))
        options = MichelOptions(thickness="smeared")
        dense = find_michels(both, kinds, np.ones(len(both)), options, surroundings=Surroundings(dead=dead))
        assert len(dense.flags) == 1
    assert time.process_time() - start < 60
    assert len(found.electron) == len(voxels)


def test_a_charge_that_is_not_finite_is_named() -> None:
    toy = assemble(decay())
    charge = np.ones(len(toy.voxels))
    charge[3] = np.inf
    with pytest.raises(ValueError, match="the charge of voxel 3 is not finite: inf"):
        find_michels(toy.voxels, toy.label, charge)
