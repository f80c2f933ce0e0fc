import numpy as np
import pytest

from larmlreco.reco.semantic import best_class, combined_scores, scores_of_hits, weighted_scores


def test_a_hit_has_the_charge_weighted_mean_of_its_pixels() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
    charge = np.array([10, 30, 5], np.float32)
    hit_scores, labels = scores_of_hits(scores, charge, np.array([0, 0, 2]), 4)
    assert hit_scores[0] == pytest.approx([(9 + 6) / 40, (1 + 24) / 40])
    assert labels.tolist() == [1, -1, 0, -1]
    assert (hit_scores[[1, 3]] == -1).all()


def test_one_loop_over_hits_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(5), 60).astype(np.float32)
    charge = rng.uniform(1, 50, 60).astype(np.float32)
    hit, pixel = rng.integers(0, 20, 100), rng.integers(0, 60, 100)
    got, labels = scores_of_hits(scores[pixel], charge[pixel], hit, 20)
    for h in range(20):
        mine = pixel[hit == h]
        if len(mine):
            expected = (charge[mine, None] * scores[mine]).sum(0) / charge[mine].sum()
            assert got[h] == pytest.approx(expected, rel=1e-5)
            assert labels[h] == expected.argmax()
        else:
            assert labels[h] == -1


def test_no_hits_no_pixels_no_charge() -> None:
    none = np.zeros(0, np.int64)
    scores, labels = scores_of_hits(np.zeros((0, 5), np.float32), np.zeros(0, np.float32), none, 0)
    assert scores.shape == (0, 5)
    assert labels.shape == (0,)
    scores, labels = scores_of_hits(np.ones((1, 2), np.float32), np.zeros(1, np.float32), np.array([0]), 1)
    assert labels.tolist() == [-1]


def test_ties_go_to_the_lower_class() -> None:
    assert best_class(np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)).tolist() == [0, 1]


def test_two_classifiers_are_one() -> None:
    scores = np.array([[0.6, 0.4], [0.9, 0.1], [0.5, 0.5], [1.0, 0.0]], np.float32)
    others = np.array([[0.2, 0.8], [-1, -1], [0.5, 0.5], [0.0, 1.0]], np.float32)
    found = combined_scores(scores, others, 0.5)
    first = np.sqrt([0.6 * 0.2, 0.4 * 0.8])
    assert found[0] == pytest.approx(first / first.sum(), rel=1e-5)
    assert found[1:].tolist() == [pytest.approx([0.9, 0.1]), [0.5, 0.5], [0.5, 0.5]]
    assert combined_scores(scores, others, 0.0) == pytest.approx(scores, abs=1e-5)
    assert combined_scores(scores, others, 1.0)[0] == pytest.approx(others[0], abs=1e-5)
    assert combined_scores(scores[:0], others[:0], 0.5).shape == (0, 2)


def test_factors_move_the_working_point() -> None:
    scores = np.array([[0.6, 0.4], [0.9, 0.1], [0.0, 0.0]], np.float32)
    found = weighted_scores(scores, [1.0, 2.0])
    assert found[0] == pytest.approx([0.6 / 1.4, 0.8 / 1.4])
    assert found[1] == pytest.approx([0.9 / 1.1, 0.2 / 1.1])
    assert found[2].tolist() == [0, 0]
    assert best_class(found).tolist() == [1, 0, 0]
    assert weighted_scores(scores, []) is scores
    assert weighted_scores(scores[:0], [1.0, 2.0]).shape == (0, 2)
