"""Crops: every candidate is answered once, where it is most central; the merge of a local answer has no seams."""

import numpy as np
import pytest

from larmlreco.reco.candidates import Candidates
from larmlreco.reco.crops import OVERLAP, CropSettings, crops, score_in_crops


def candidates(n: int, seed: int = 1) -> Candidates:
    random = np.random.default_rng(seed)
    three = np.zeros((n, 3), dtype=np.int64)
    row, y, z = random.integers(0, 1008, n), random.uniform(-100, 100, n), random.uniform(0, 1000, n)
    return Candidates(three, three, three, row, y, z, np.zeros(n), np.zeros(0, np.int64))


@pytest.mark.parametrize(("rows", "wires"), [(512, 832), (100, 0), (0, 300), (0, 0), (2000, 5000), (7, 832)])
def test_every_candidate_is_answered_once_and_lies_well_inside(rows: int, wires: int) -> None:
    found = candidates(2000)
    settings = CropSettings(rows, wires)
    all_answered = []
    for members, answered in crops(found, settings):
        assert np.isin(answered, members).all()
        all_answered.append(answered)
        for values, size in ((found.row, rows), (found.z, wires * 0.3)):
            inside = values[members]
            if not size or np.ptp(values) <= size:
                continue
            assert np.ptp(inside) <= size + 1e-9
            # A quarter of the crop is shared, so nothing is answered nearer to an inner border than an eighth of it.
            low, high = inside.min(), inside.max()
            inner = answered[
                (values[answered] > values.min() + size / 2) & (values[answered] < values.max() - size / 2)
            ]
            if len(members) > 200 and len(inner):  # else the outermost members do not show where the crop ends
                assert values[inner].min() >= low + OVERLAP / 2 * size - 0.1 * size - 1
                assert values[inner].max() <= high - OVERLAP / 2 * size + 0.1 * size + 1
    assert np.array_equal(np.sort(np.concatenate(all_answered)), np.arange(2000))


def test_the_most_central_crop_answers() -> None:
    found = candidates(3000, 2)
    settings = CropSettings(rows=300)
    boxes = list(crops(found, settings))
    middles = np.array([(found.row[m].min() + found.row[m].max()) / 2 for m, _ in boxes])
    for number, (_, answered) in enumerate(boxes):
        off = np.abs(found.row[answered, np.newaxis] - middles)
        assert (off[:, number] <= off.min(axis=1) + 2).all()


def test_a_local_answer_has_no_seams() -> None:
    """An answer that depends on what lies within 20 rows is the same in crops as at once."""
    found = candidates(1500, 3)
    coords = np.column_stack([np.zeros(1500, np.int64), found.row, np.rint(found.y), np.rint(found.z)]).astype(np.int64)
    features = np.random.default_rng(4).normal(size=(1500, 2)).astype(np.float32)

    def score(place: np.ndarray, values: np.ndarray) -> np.ndarray:
        near = np.abs(place[:, np.newaxis, 1] - place[np.newaxis, :, 1]) <= 20
        return (near @ values[:, 0]).astype(np.float32)

    whole = score(coords, features)
    assert np.array_equal(score_in_crops(score, coords, features, found, CropSettings()), whole)
    in_crops = score_in_crops(score, coords, features, found, CropSettings(rows=256))
    assert in_crops == pytest.approx(whole, abs=1e-4)


def test_nothing_and_nonsense() -> None:
    none = candidates(0)
    assert list(crops(none, CropSettings(512, 832))) == []
    empty = np.zeros((0, 4), np.int64)
    assert len(score_in_crops(lambda c, f: f[:, 0], empty, np.zeros((0, 1), np.float32), none, CropSettings(5))) == 0
    with pytest.raises(ValueError, match="sizes of 0 or more"):
        CropSettings(rows=-1)
