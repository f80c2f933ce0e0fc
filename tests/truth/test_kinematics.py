import math

import numpy as np
import pytest

from larmlreco.products import TrueParticles, TrueSteps
from larmlreco.truth.kinematics import energies, opening_angle, primary_directions


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
