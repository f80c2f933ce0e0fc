import numpy as np
import pytest

from larmlreco.products import SemanticScores

META = {"class_names": ["HIP", "MIP", "shower", "delta", "Michel"], "scheme": "larmlreco"}


def test_the_two_class_view_follows_from_the_scores() -> None:
    scores = np.array([[0.1, 0.2, 0.3, 0.25, 0.15], [-1, -1, -1, -1, -1]], np.float32)
    product = SemanticScores(scores=scores, label=[2, -1], meta=META)
    assert product.track == pytest.approx([0.3, -1])
    assert product.shower == pytest.approx([0.7, -1])


def test_the_view_survives_columns_and_is_absent_where_a_scheme_has_none() -> None:
    product = SemanticScores(scores=[[0.5, 0.5]], label=[0], meta={"class_names": ["a", "b"], "scheme": "mine"})
    assert product.track.tolist() == [-1]
    again = SemanticScores.from_columns(product.to_columns(), product.meta)
    assert again.shower.tolist() == [-1]
    five = SemanticScores(scores=np.full((3, 5), 0.2), label=[0, 0, 0], meta=META)
    assert SemanticScores.from_columns(five.to_columns(), META).track == pytest.approx([0.4] * 3)


def test_an_empty_event_keeps_its_class_names() -> None:
    empty = SemanticScores.empty(**META)
    assert empty.scores.shape == (0, 5)
    assert list(empty.to_columns())[:2] == ["scores_HIP", "scores_MIP"]
    assert len(empty.track) == 0
