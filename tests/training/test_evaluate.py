from pathlib import Path

import numpy as np
import pytest

from service.engines.base import Detections, Poses
from service.inference.geometry import CROP_FACTOR
from training.datasets.coco import CocoHands
from training.datasets.egohands import EgoHands
from training.datasets.freihand import FreiHand
from training.evaluate import detect_in, evaluate_detector, evaluate_pose, hand_crops, letterboxed


@pytest.fixture(scope="module")
def photos(root: Path) -> CocoHands:
    return CocoHands(root / "tests" / "photos" / "labels.json")


def off_by(pixels: float, crops: np.ndarray, keypoints: np.ndarray):
    """A pose engine that answers with the truth moved to the right by so many pixels of the crop."""

    def engine(batch: np.ndarray) -> Poses:
        which = [next(i for i, c in enumerate(crops) if (c == crop).all()) for crop in batch]
        moved = keypoints[which] + np.array([pixels, 0], np.float32)
        count = len(batch)
        return Poses(moved, np.ones((count, 21)), np.ones(count), np.ones(count))

    return engine


def test_errors_are_in_pixels_of_the_photo(photos: CocoHands) -> None:
    data = hand_crops(photos, 64)
    sides = np.array([h.box[2:].max() for e in photos.entries for h in e.hands if h.keypoints is not None])
    assert data.sides / data.scales == pytest.approx(sides, rel=1e-5)
    figures = evaluate_pose(off_by(2.0, data.crops, data.keypoints), data)
    share = 2 / 64 * CROP_FACTOR  # of the larger side: a crop is so many times as wide
    assert figures["error"] == pytest.approx(share, rel=1e-4)
    assert figures["epe"] == pytest.approx((sides * share).mean(), rel=1e-4)
    assert figures["pck_0.1"] == 1
    assert figures["seen_as_hand"] == 1
    assert 0 <= figures["handedness"] <= 1


def test_any_data_set_of_that_shape_is_judged(miniature: Path) -> None:
    hands = hand_crops(FreiHand(miniature / "freihand", "evaluation"), 64)
    assert evaluate_pose(off_by(0.0, hands.crops, hands.keypoints), hands)["epe"] == pytest.approx(
        0, abs=1e-4
    )
    with pytest.raises(ValueError, match="no hand of these photos has keypoints"):
        hand_crops(EgoHands(miniature / "egohands", "test"), 64)


def test_a_detector_is_judged_the_same_one_photo_at_a_time(miniature: Path) -> None:
    frames = EgoHands(miniature / "egohands", "test")
    truth = [np.array([h.box for h in entry.hands]) for entry in frames.entries]
    answers = iter([*truth, *truth])

    def exact(images: np.ndarray) -> Detections:
        """The true boxes in a letterboxed frame of 1280 × 720, then one that is far off."""
        boxes = next(answers) * images.shape[2] / 1280
        boxes[:, 1] += (images.shape[1] - images.shape[2] * 720 / 1280) // 2
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        corners = np.concatenate([corners, [[0, 0, 1, 1]]])
        scores = np.append(np.full(len(boxes), 0.9), 0.01)
        return Detections(corners[None].astype(np.float32), scores[None].astype(np.float32))

    found = detect_in(exact, frames, 256)
    assert found.sides == pytest.approx([1280, 1280], abs=2)
    figures = found.figures(0.4)
    assert figures["ap"] == pytest.approx(1)
    assert (figures["recall"], figures["precision"]) == (1, 1)
    assert evaluate_detector(exact, letterboxed(frames, 256)) == pytest.approx(figures)
