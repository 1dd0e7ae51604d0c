import numpy as np
import pytest
from accuracy_figures import Figures, FoundHand, box_around, judge

from training.datasets.types import HandLabel, LabelledImage

POINTS = np.stack([np.linspace(100, 200, 21), np.linspace(50, 90, 21)], axis=1).astype(np.float32)
BOX = np.array([100, 50, 100, 40], np.float32)
IMAGE = np.zeros((300, 400, 3), np.uint8)


def true_hand(shift: float = 0.0, **fields: object) -> HandLabel:
    moved = np.array([0, shift], np.float32)
    box = BOX + np.array([0, shift, 0, 0], np.float32)
    return HandLabel(box, POINTS + moved, handedness="left", **fields)  # type: ignore[arg-type]


def told_hand(offset: float = 0.0, shift: float = 0.0, side: str = "left") -> FoundHand:
    """A hand told `shift` pixels below the first one, its keypoints `offset` pixels off to the right."""
    label = true_hand(shift)
    assert label.keypoints is not None
    return FoundHand(label.box, label.keypoints + np.array([offset, 0], np.float32), side)


def test_errors_are_shares_of_the_larger_side_of_the_box() -> None:
    outcome = judge(LabelledImage(IMAGE, (true_hand(),)), [told_hand(offset=7)])
    assert outcome.errors[0] == pytest.approx(np.full(21, 0.07), abs=1e-6)
    assert (outcome.hits, outcome.found, outcome.sides) == (1, 1, (True,))


def test_a_missed_hand_fails_all_its_labelled_keypoints() -> None:
    labelled = np.arange(21) < 12
    outcome = judge(
        LabelledImage(IMAGE, (true_hand(labelled=labelled), true_hand(120))), [told_hand(shift=120)]
    )
    assert outcome.errors[0].shape == (12,)
    assert np.isinf(outcome.errors[0]).all()
    assert (outcome.errors[1] == 0).all()


def test_each_true_hand_is_found_once() -> None:
    outcome = judge(LabelledImage(IMAGE, (true_hand(),)), [told_hand(), told_hand(1)])
    assert (outcome.told, outcome.hits, outcome.found) == (2, 1, 1)


def test_a_box_that_fits_badly_is_found_but_no_hit() -> None:
    outcome = judge(LabelledImage(IMAGE, (true_hand(),)), [told_hand(shift=20)])
    assert (outcome.hits, outcome.found) == (0, 1)


def test_figures_of_two_pictures() -> None:
    figures = Figures()
    figures.add(judge(LabelledImage(IMAGE, (true_hand(),)), [told_hand(15, side="right")]))
    figures.add(judge(LabelledImage(IMAGE, (true_hand(),)), []))
    assert figures.values() == {
        "recall": 0.5,
        "precision": 1.0,
        "found": 0.5,
        "PCK@0.1": 0.0,
        "PCK@0.2": 0.5,
        "handedness": 0.0,
    }


def test_pictures_without_hands_have_false_ones_alone() -> None:
    figures = Figures()
    for told in ([], [told_hand()], [], [told_hand(), told_hand(shift=120)]):
        figures.add(judge(LabelledImage(IMAGE, ()), told))
    assert figures.values() == {"false per 100": 75.0}


def test_padding_is_a_share_of_the_larger_side_and_stays_in_the_picture() -> None:
    assert box_around(POINTS, 0.1, 400, 300) == pytest.approx([90, 40, 120, 60])
    assert box_around(POINTS, 0.6, 400, 300) == pytest.approx([40, 0, 220, 150])
