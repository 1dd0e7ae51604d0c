from collections.abc import Callable

import numpy as np
import pytest

from service.engines.base import Detections, Poses
from service.inference.calibration import Calibration, CalibrationCurve, PairCalibration, combined_score
from service.inference.hands import Box, Detection
from service.inference.pipeline import Pipeline, Thresholds

RED, MAGENTA, ORANGE = (255, 0, 0), (255, 0, 255), (255, 150, 0)


def test_a_hand_is_found_where_it_is(pipeline: Pipeline, draw: Callable) -> None:
    (hand,) = pipeline.hands(draw(640, 480, (200, 120, 100, 160, RED)))
    # One pixel of the detector is five here, and half of what hands reach beyond their wrist 11 more, beyond the tip of
    # the little finger 4.
    assert hand.box.corners[:2] == pytest.approx((200 - 11, 120 - 11), abs=5)
    assert hand.box.corners[2:] == pytest.approx((300 + 4, 280 + 4), abs=5)
    assert hand.keypoints[0] == pytest.approx([200, 120], abs=3)
    assert hand.keypoints[20] == pytest.approx([300, 280], abs=3)
    assert (hand.handedness, hand.handedness_score) == ("right", pytest.approx(0.95))
    assert hand.score == pytest.approx(combined_score(0.9, 0.99, 0.8), abs=1e-4)


def test_all_crops_of_a_picture_go_in_one_batch(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (20, 20, 60, 60, RED), (300, 50, 60, 90, MAGENTA), (100, 300, 80, 60, RED))
    hands = pipeline.hands(image)
    assert pipeline.pose_engine.batches == [3]
    assert pipeline.detector_engine.batches == [1]
    assert sorted(hand.handedness for hand in hands) == ["left", "right", "right"]
    assert [hand.score for hand in hands] == sorted((hand.score for hand in hands), reverse=True)


def test_no_hand_means_no_pose_inference(pipeline: Pipeline, draw: Callable) -> None:
    assert pipeline.hands(draw(320, 240)) == []
    assert pipeline.pose_engine.batches == []


def test_max_hands_keeps_the_best(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (20, 20, 60, 60, RED), (300, 50, 60, 90, RED), (100, 300, 80, 60, RED))
    everything = pipeline.hands(image)
    (best,) = pipeline.hands(image, max_hands=1)
    assert best.box == everything[0].box
    assert pipeline.pose_engine.batches[-1] == 1


def test_crops_without_a_hand_give_way_to_the_next_candidate(pipeline: Pipeline, draw: Callable) -> None:
    """The detector is surest of the orange one; the pose model sees no hand in it."""
    image = draw(640, 480, (20, 20, 90, 90, ORANGE), (300, 250, 60, 90, RED))
    (hand,) = pipeline.hands(image, max_hands=1)
    assert hand.box.x == pytest.approx(294, abs=5)  # half of what a hand reaches beyond its wrist
    assert pipeline.pose_engine.batches == [1, 1]


def test_min_score_holds_for_the_final_score(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (200, 120, 100, 160, RED))
    assert len(pipeline.hands(image, min_score=0.89)) == 1
    assert pipeline.hands(image, min_score=0.895) == []


def test_mirrored_swaps_handedness_only(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (200, 120, 100, 160, RED))
    (plain,), (mirrored,) = pipeline.hands(image), pipeline.hands(image, mirrored=True)
    assert (plain.handedness, mirrored.handedness) == ("right", "left")
    assert np.array_equal(plain.keypoints, mirrored.keypoints)
    assert plain.box == mirrored.box


class Tiny:
    """Sees a diagonal hand in the middle: it takes up so many pixels of the first crops' 96, and 60 of later ones'."""

    input_size = 96

    def __init__(self, pixels: float, *presences: float) -> None:
        self.pixels, self.presences = pixels, presences
        self.batches: list[int] = []

    def __call__(self, crops: np.ndarray) -> Poses:
        n, again = len(crops), bool(self.batches)
        self.batches.append(n)
        half = (60 if again else self.pixels) / 2
        diagonal = np.linspace([48 - half] * 2, [48 + half] * 2, 21)
        keypoints = np.tile(diagonal, (n, 1, 1)).astype(np.float32)
        scores = np.full((n, 21), 0.9, np.float32)
        return Poses(
            keypoints, scores, np.full(n, self.presences[again], np.float32), np.full(n, 0.9, np.float32)
        )


LOOSE = [Detection(Box(20, 120, 160, 160), 0.9), Detection(Box(300, 120, 160, 160), 0.8)]
SEEN = 1.4 * 160 / 96  # picture's pixels for one of the first crops'
CLOSER = SEEN * 20 * 1.185 * 1.4 / 96  # and of a crop around a hand of 20, by 14 % and 4.5 % beyond its ends


@pytest.mark.parametrize(
    ("engine", "looks", "extent"),
    [
        (Tiny(20, 0.9, 0.9), [2, 2], 60 * CLOSER),
        (Tiny(60, 0.9, 0.9), [2], 60 * SEEN),  # fills its box
        (Tiny(20, 0.05, 0.9), [2], 20 * SEEN),  # hardly a hand
        (Tiny(20, 0.9, 0.8), [2, 2], 20 * SEEN),  # less like a hand from near by
    ],
)
def test_hands_in_boxes_far_too_large_are_looked_at_closer(
    pipeline: Pipeline, draw: Callable, engine: Tiny, looks: list[int], extent: float
) -> None:
    pipeline.pose_engine = engine
    hands = pipeline.pose(draw(640, 480), LOOSE)
    assert engine.batches == looks
    assert len(hands) == 2
    for hand in hands:
        assert np.ptp(hand.keypoints, axis=0) == pytest.approx(extent, rel=1e-3)


class Twice:
    """Answers with one keypoint score at first and with another for the look that follows."""

    input_size = 96

    def __init__(self, scores: tuple[float, float], presence: float = 0.9, right: float = 0.95) -> None:
        self.scores, self.presence, self.right = scores, presence, right
        self.batches: list[int] = []

    def __call__(self, crops: np.ndarray) -> Poses:
        n = len(crops)
        second = bool(self.batches)
        self.batches.append(n)
        up = np.linspace([48, 80], [48, 16], 21)  # in any crop: from the middle of its lower part upwards
        keypoints = np.tile(up, (n, 1, 1)).astype(np.float32)
        return Poses(
            keypoints,
            np.full((n, 21), self.scores[second], np.float32),
            np.full(n, self.presence, np.float32),
            np.full(n, self.right, np.float32),
        )


@pytest.mark.parametrize(
    ("engine", "looks", "kept"),
    [
        (Twice((0.4, 0.6)), [1, 1], 0.5),
        (Twice((0.4, 0.2)), [1, 1], 0.3),
        (Twice((0.8, 0.9)), [1], 0.8),  # sure at once
        (Twice((0.8, 0.9), right=0.89), [1, 1], 0.85),  # but of the side
        (Twice((0.8, 0.9), right=0.11), [1, 1], 0.85),
        (Twice((0.8, 0.9), right=0.05), [1], 0.8),
        (Twice((0.4, 0.6), presence=0.05), [1], None),  # hardly a hand
        (Twice((0.4, 0.6), presence=0.05, right=0.5), [1], None),
    ],
)
def test_doubtful_hands_are_looked_at_again(
    pipeline: Pipeline, draw: Callable, engine: Twice, looks: list[int], kept: float | None
) -> None:
    pipeline.pose_engine = engine
    hands = pipeline.hands(draw(640, 480, (200, 120, 100, 160, RED)), min_score=0.1)
    assert engine.batches == looks
    assert [hand.keypoint_scores[0] for hand in hands] == ([] if kept is None else [pytest.approx(kept)])
    if len(looks) > 1:
        assert hands[0].handedness_score == pytest.approx(0.5)  # one of the looks was mirrored


def test_the_second_look_is_upright_and_mirrored(pipeline: Pipeline, draw: Callable) -> None:
    """A hand that points to the right: in the first crop so, in the second one upwards, from its wrist below."""

    class Lying(Twice):
        def __call__(self, crops: np.ndarray) -> Poses:
            poses = super().__call__(crops)
            self.crops = [*getattr(self, "crops", []), crops[0]]
            if len(self.batches) == 1:
                poses.keypoints[:] = np.linspace([16, 40], [80, 40], 21)
            return poses

    image = draw(640, 480, (200, 120, 160, 100, RED))
    image[120:140, 200:360, 1] = 90  # the hand's upper side is another red
    pipeline.pose_engine = engine = Lying((0.4, 0.6))
    pipeline.hands(image, min_score=0.1)
    first, second = engine.crops

    def edge(crop: np.ndarray) -> np.ndarray:
        """From the hand's middle to that of its upper side: rows, columns."""
        red = crop[:, :, 0] > 200
        return np.argwhere(red & (crop[:, :, 1] > 60)).mean(axis=0) - np.argwhere(red).mean(axis=0)

    assert edge(first)[0] < -5
    assert abs(edge(first)[1]) < 2
    # Turned until the fingers point upwards it is on the left, and in the mirror on the right.
    assert edge(second)[1] > 5
    assert abs(edge(second)[0]) < 2


def test_hands_scored_too_low_take_no_place(pipeline: Pipeline, draw: Callable) -> None:
    class Unsure(Twice):
        def __call__(self, crops: np.ndarray) -> Poses:
            poses = pipeline_pose(crops)
            self.batches.append(len(crops))
            poses.scores[:] = 0.95
            if len(self.batches) == 1:
                poses.scores[:], poses.hand[:] = 0.61, 0.31
            return poses

    pipeline_pose = pipeline.pose_engine
    pipeline.thresholds = Thresholds(doubtful=0, doubtful_side=0)
    pipeline.pose_engine = engine = Unsure((0.9, 0.9))
    image = draw(640, 480, (20, 20, 90, 90, RED), (300, 250, 60, 90, RED), (500, 20, 60, 90, RED))
    hands = pipeline.hands(image, max_hands=1, min_score=0.85)
    assert engine.batches == [1, 1]
    assert len(hands) == 1


def test_only_the_doubtful_hands_are_looked_at_again(pipeline: Pipeline, draw: Callable) -> None:
    class Mixed(Twice):
        def __call__(self, crops: np.ndarray) -> Poses:
            poses = super().__call__(crops)
            if len(crops) == 2:
                poses.scores[1] = 0.9
            return poses

    pipeline.pose_engine = Mixed((0.4, 0.6))
    hands = pipeline.hands(draw(640, 480, (20, 20, 90, 90, RED), (300, 250, 60, 90, RED)), min_score=0.1)
    assert pipeline.pose_engine.batches == [2, 1]
    assert [float(hand.keypoint_scores[0]) for hand in hands] == pytest.approx([0.9, 0.5])


def test_two_poses_on_one_hand_become_one(pipeline: Pipeline, draw: Callable) -> None:
    """A red hand joined to an orange wrist by nothing: two boxes, and both crops centre on the red one."""

    class Stubborn:
        input_size = 96

        def __call__(self, crops: np.ndarray) -> Poses:
            n = len(crops)
            keypoints = np.zeros((n, 21, 2), np.float32)
            for i, crop in enumerate(crops):
                ys, xs = np.nonzero((crop[:, :, 0] > 128) & (crop[:, :, 1] < 100))
                keypoints[i] = np.linspace((xs.min(), ys.min()), (xs.max(), ys.max()), 21)
            ones = np.ones(n, np.float32)
            return Poses(keypoints, np.full((n, 21), 0.8, np.float32), ones, ones)

    image = draw(640, 480, (200, 120, 100, 60, RED), (200, 190, 100, 60, ORANGE))
    assert len(pipeline.detect(image)) == 2
    twice = Pipeline(pipeline.detector_engine, Stubborn(), thresholds=Thresholds(duplicate=0.0))
    assert len(twice.hands(image)) == 2
    once = Pipeline(pipeline.detector_engine, Stubborn())
    (hand,) = once.hands(image)
    assert hand.box.y == pytest.approx(113, abs=5)


def test_neighbouring_hands_are_not_merged(pipeline: Pipeline, draw: Callable) -> None:
    assert len(pipeline.hands(draw(640, 480, (200, 120, 60, 160, RED), (270, 120, 60, 160, RED)))) == 2


def test_pose_answers_for_every_box_in_order(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (200, 120, 100, 160, RED))
    empty = Detection(Box(500, 400, 50, 50), 0.7)
    real = Detection(Box(190, 110, 120, 180), 0.6)
    hands = pipeline.pose(image, [empty, real])
    assert [hand.presence for hand in hands] == pytest.approx([0, 0.99])
    assert hands[1].keypoints[20] == pytest.approx([300, 280], abs=3)
    assert hands[1].box == real.box
    assert pipeline.pose(image, []) == []


def test_scores_are_calibrated_and_min_score_is_a_probability(pipeline: Pipeline, draw: Callable) -> None:
    image = draw(640, 480, (200, 120, 100, 160, RED))
    calibration = PairCalibration(Calibration(2.0, -1.0), CalibrationCurve((0, 0.9, 1), (0, 0.5, 1)))
    calibrated = Pipeline(pipeline.detector_engine, pipeline.pose_engine, calibration=calibration)
    (plain,) = pipeline.hands(image)
    (hand,) = calibrated.hands(image)
    assert hand.score == pytest.approx(calibration.hand(plain.score))
    assert hand.keypoint_scores == pytest.approx(calibration.keypoints(plain.keypoint_scores))
    assert hand.keypoint_scores != pytest.approx(plain.keypoint_scores, abs=0.01)
    assert hand.score != pytest.approx(plain.score, abs=0.01)
    assert len(calibrated.hands(image, min_score=hand.score - 0.001)) == 1
    assert calibrated.hands(image, min_score=hand.score + 0.001) == []


def test_two_hands_tell_their_sides_together_by_all_that_the_picture_shows(
    pipeline: Pipeline, draw: Callable
) -> None:
    """Each is seen to be right at 0.95."""
    calibration = PairCalibration(Calibration(3.0, -1.0))
    calibrated = Pipeline(pipeline.detector_engine, pipeline.pose_engine, calibration=calibration)
    two = draw(640, 480, (20, 120, 100, 160, RED), (220, 120, 100, 160, RED))
    three = draw(640, 480, *((x, 120, 100, 160, RED) for x in (20, 220, 420)))
    first, second = calibrated.hands(two)
    expected = 0.5 + second.score * (0.95 * 0.2 + 0.05 * 0.8 - 0.5)
    assert first.right == pytest.approx(0.95 * expected / (0.95 * expected + 0.05 * (1 - expected)), abs=1e-4)
    assert [h.right for h in calibrated.hands(two, mirrored=True)] == pytest.approx(
        [1 - first.right, 1 - second.right]
    )
    assert [h.right for h in calibrated.hands(two, max_hands=2)] == [first.right, second.right]
    every = calibrated.hands(three)
    assert [h.right for h in every] == pytest.approx([0.95] * 3)
    # Two are asked for, or sure enough: the third is there all the same.
    assert [h.right for h in calibrated.hands(three, max_hands=2)] == pytest.approx([0.95] * 2)
    between = (every[1].score + every[2].score) / 2
    assert [h.right for h in calibrated.hands(three, min_score=between)] == pytest.approx([0.95] * 2)
    assert [h.right for h in calibrated.hands(two, max_hands=1)] == pytest.approx([0.95])


def test_depth_is_in_pixels_of_the_picture(pipeline: Pipeline, draw: Callable) -> None:
    for width in (30, 100, 300):
        (hand,) = pipeline.hands(draw(640, 480, (200, 120, width, 160, RED)))
        assert hand.depth is not None
        assert hand.depth == pytest.approx(hand.keypoints[:, 0] - hand.keypoints[0, 0], abs=1e-3)
        assert hand.depth[20] == pytest.approx(width, rel=0.1)


def test_a_model_without_depth_gives_none(pipeline: Pipeline, draw: Callable) -> None:
    class Flat:
        input_size = pipeline.pose_engine.input_size

        def __call__(self, crops: np.ndarray) -> Poses:
            poses = pipeline.pose_engine(crops)
            return Poses(poses.keypoints, poses.scores, poses.hand, poses.right)

    (hand,) = Pipeline(pipeline.detector_engine, Flat()).hands(draw(640, 480, (200, 120, 100, 160, RED)))
    assert hand.depth is None


def test_boxes_are_clipped_to_the_picture(draw: Callable, pipeline: Pipeline) -> None:
    class Wide:
        input_size = 128
        flexible = False

        def __call__(self, images: np.ndarray) -> Detections:
            boxes = np.array([[[-50, -50, 300, 300], [200, 200, 220, 220]]], np.float32)
            return Detections(boxes, np.array([[0.9, 0.8]], np.float32))

    detections = Pipeline(Wide(), pipeline.pose_engine).detect(draw(640, 480))
    assert [d.box for d in detections] == [Box(0, 0, 640, 480)]  # the second one lies outside and is gone


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (5, 7)])
def test_any_size_of_picture_works(pipeline: Pipeline, size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), RED, np.uint8)
    for hand in pipeline.hands(image):
        assert hand.box.corners[2] <= size[0]
        assert hand.box.corners[3] <= size[1]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        "hand.jpg",
    ],
)
def test_what_is_no_rgb_picture_is_refused(pipeline: Pipeline, image: np.ndarray) -> None:
    for call in (pipeline.hands, pipeline.detect, lambda i: pipeline.pose(i, [])):
        with pytest.raises(ValueError, match="image"):
            call(image)


def test_options_out_of_bounds_are_refused(pipeline: Pipeline, draw: Callable) -> None:
    with pytest.raises(ValueError, match="max_hands"):
        pipeline.hands(draw(10, 10), max_hands=0)
    for score in (-0.1, 2, float("nan")):
        with pytest.raises(ValueError, match="min_score must be between 0 and 1"):
            pipeline.hands(draw(10, 10), min_score=score)


def test_thresholds_check_themselves() -> None:
    with pytest.raises(ValueError, match="presence"):
        Thresholds(presence=1.5)


def test_run_tells_how_long_each_step_took(pipeline: Pipeline, draw: Callable) -> None:
    result = pipeline.run(draw(640, 480, (200, 120, 100, 160, RED)))
    assert result.detect_ms > 0
    assert result.pose_ms > 0


@pytest.mark.parametrize("task", ["detector", "pose"])
def test_failures_in_a_row_are_counted_for_each_engine(pipeline: Pipeline, draw: Callable, task: str) -> None:
    """The detector may go on while the pose model always fails."""
    picture, name = draw(640, 480, (200, 120, 100, 160, RED)), f"{task}_engine"
    engine = getattr(pipeline, name)

    def broken(_: object) -> None:
        raise RuntimeError("the device is gone")

    broken.input_size, broken.flexible = engine.input_size, False
    setattr(pipeline, name, broken)
    for count in (1, 2, 3):
        with pytest.raises(RuntimeError, match="gone"):
            pipeline.hands(picture)
        assert pipeline.failures == count
    setattr(pipeline, name, engine)
    pipeline.hands(picture)
    assert pipeline.failures == 0


def test_warm_up_runs_both_engines(pipeline: Pipeline) -> None:
    pipeline.warm_up()
    assert (pipeline.detector_engine.batches, pipeline.pose_engine.batches) == ([1], [1])
