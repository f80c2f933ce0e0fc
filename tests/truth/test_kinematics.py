import math

import numpy as np
import pytest

from larmlreco.products import TrueParticles, TrueSteps
from larmlreco.truth.kinematics import decay_angles, energies, opening_angle, primary_directions


def particles(*rows: dict[str, int]) -> TrueParticles:
    n = len(rows)
    return TrueParticles(
        id=[r["id"] for r in rows], pdg=[11] * n, parent=[r.get("parent", 0) for r in rows], process=[0] * n,
        kinetic_energy=[10.0 * r["id"] for r in rows], x=[0] * n, y=[0] * n, z=[0] * n, t=[0] * n,
        semantic=[2] * n, instance=[r.get("instance", r["id"]) for r in rows],
        cosmic=[r.get("cosmic", 0) for r in rows],
        meta={"processes": ["primary"]},
    )  # fmt: skip


def steps(points: list[tuple[float, float, float]], particle: list[int]) -> TrueSteps:
    x, y, z = np.array(points, dtype=np.float32).reshape(-1, 3).T
    n = len(x)
    return TrueSteps(x=x, y=y, z=z, t=[0] * n, de=[1] * n, dx=[0.3] * n, particle=particle)


def test_angle_between_two_primaries() -> None:
    points = [(0, 0, k / 10) for k in range(1, 20)] + [(0, k / 10, 0) for k in range(1, 20)]
    true = steps(points, [1] * 19 + [2] * 19)
    assert opening_angle(true, particles({"id": 1}, {"id": 2})) == pytest.approx(90)


def test_a_photon_points_to_where_it_converts_and_what_comes_later_does_not_turn_it() -> None:
    points = [(0, 0, 20.0), (0, 0.1, 22.0), (0, 30.0, 40.0)]
    direction = primary_directions(
        steps(points, [2, 2, 2]), particles({"id": 1}, {"id": 2, "parent": 1, "instance": 1})
    )
    assert direction.shape == (1, 3)
    assert direction[0, 2] > 0.999


def test_cosmic_muons_and_single_primaries_make_no_angle() -> None:
    true = steps([(0, 0, 1), (0, 1, 0)], [1, 2])
    assert math.isnan(opening_angle(true, particles({"id": 1}, {"id": 2, "cosmic": 1})))
    assert math.isnan(opening_angle(steps([], []), particles({"id": 1}, {"id": 2})))
    assert math.isnan(opening_angle(steps([], []), TrueParticles.empty(processes=[])))


def test_energies_of_particles_by_id() -> None:
    found = energies(np.array([2, -1, 1, 7], np.int32), particles({"id": 1}, {"id": 2}))
    assert found[[0, 2]].tolist() == [20, 10]
    assert np.isnan(found[[1, 3]]).all()
    assert energies(np.zeros(0, np.int32), particles({"id": 1})).shape == (0,)


def test_angle_of_a_decay_is_that_of_the_ends_that_meet() -> None:
    along = np.arange(1, 200) * 0.1
    muon = np.column_stack([-along, np.where(along > 3, along, 0), 0 * along])
    angle = np.radians(130)
    electron = np.outer(along, [np.cos(angle), 0, np.sin(angle)])
    place, whose = np.concatenate([electron, muon]), np.repeat([5, 2], len(along))
    true = particles({"id": 2}, {"id": 5, "parent": 2}, {"id": 6, "parent": 5}, {"id": 7, "parent": 9})
    found = decay_angles(place, whose, np.array([5, 6, 7, 8]), true)
    assert found[0] == pytest.approx(130)
    assert np.isnan(found[1:]).all()
    assert decay_angles(place[:0], whose[:0], np.array([], dtype=np.int64), true).shape == (0,)
