"""The detector's further looks at a picture, at other sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.engines.base import Detections, EngineError
from service.inference.pipeline import Pipeline, Thresholds

RED = (255, 0, 0)
NOTHING_ELSE, CLOSER, CLOSEST, FARTHER = [128], [128, 192], [128, 256], [128, 64]
EVERY_SIZE = [128, 192, 256, 64]


class Watched:
    """A detector that takes other sizes, and remembers which it was given."""

    input_size, flexible = 128, True

    def __init__(self, found: Any, share: float = 1.0, doubtful: int | None = None) -> None:
        """found: the detector that is asked. share: of its scores, which make it less sure of all. doubtful: the number
        of a hand, from the top, that it is unsure of.
        """
        self.found, self.share, self.doubtful = found, share, doubtful
        self.hint = 1.0  # share of that one's score
        found.largest = 256
        self.sizes: list[int] = []

    def __call__(self, images: np.ndarray) -> Detections:
        self.sizes.append(max(images.shape[1:3]))
        detections = self.found(images)
        scores = detections.scores * np.float32(self.share)
        if self.doubtful is not None:
            scores[:, self.doubtful] *= np.float32(0.4 * self.hint)
        return Detections(detections.boxes, scores)


@pytest.mark.parametrize(
    ("hands", "doubtful", "looks"),
    [
        ([(200, 120, 100, 100), (400, 300, 80, 80)], None, NOTHING_ELSE),
        ([(200, 120, 100, 100), (400, 300, 80, 80)], 1, CLOSER),
        ([(200, 120, 250, 200), (480, 300, 80, 80)], 1, NOTHING_ELSE),  # one is near
        ([(200, 120, 60, 60)], None, EVERY_SIZE),
        ([(200, 120, 60, 60), (400, 300, 80, 80)], None, NOTHING_ELSE),  # one is small, but not tiny
        ([(200, 120, 60, 60), (400, 300, 80, 80)], 0, CLOSER),
        ([(200, 120, 60, 60), (400, 300, 80, 80)], 1, EVERY_SIZE),  # the tiny one may be something else
        ([], None, EVERY_SIZE),
    ],
)
def test_other_sizes_where_they_may_show_more(
    draw: Callable,
    pipeline: Pipeline,
    hands: list[tuple[int, int, int, int]],
    doubtful: int | None,
    looks: list[int],
) -> None:
    detector = Watched(pipeline.detector_engine, doubtful=doubtful)
    image = draw(640, 480, *((*hand, RED) for hand in hands))
    detections = Pipeline(detector, pipeline.pose_engine).detect(image)
    assert detector.sizes == looks
    assert sorted(d.box.x for d in detections) == pytest.approx(sorted(h[0] for h in hands), abs=6)


def test_no_other_size_for_more_hands_than_are_wanted(draw: Callable, pipeline: Pipeline) -> None:
    image = draw(640, 480, (200, 120, 100, 100, RED), (400, 300, 80, 80, RED))
    for wanted, looks in ((1, NOTHING_ELSE), (2, CLOSER)):
        detector = Watched(pipeline.detector_engine, doubtful=1)
        hands = Pipeline(detector, pipeline.pose_engine).hands(image, max_hands=wanted, min_score=0.1)
        assert (detector.sizes, len(hands)) == (looks, wanted)


def test_a_hint_is_worth_a_look_and_no_detection(draw: Callable, pipeline: Pipeline) -> None:
    image = draw(640, 480, (200, 120, 100, 100, RED), (400, 300, 80, 80, RED))
    for share, looks in ((0.45, CLOSER), (0.4, NOTHING_ELSE)):  # of 0.89 · 0.4
        detector = Watched(pipeline.detector_engine, doubtful=1)
        detector.hint = share
        found = Pipeline(detector, pipeline.pose_engine).detect(image)
        assert (detector.sizes, len(found)) == (looks, 1)


@pytest.mark.parametrize(
    ("side", "looks"), [(70, EVERY_SIZE), (85, CLOSER), (185, CLOSER), (200, NOTHING_ELSE)]
)
def test_where_a_hand_is_tiny_or_small(
    draw: Callable, pipeline: Pipeline, side: int, looks: list[int]
) -> None:
    """Beside something in doubt; 0.12 and 0.3 of 640 pixels are 77 and 192, five to one of the detector's."""
    detector = Watched(pipeline.detector_engine, doubtful=1)
    image = draw(640, 480, (100, 20, side, 60, RED), (400, 300, 80, 80, RED))
    Pipeline(detector, pipeline.pose_engine).detect(image)
    assert detector.sizes == looks


@pytest.mark.parametrize(("share", "looks"), [(0.51, NOTHING_ELSE), (0.49, EVERY_SIZE)])  # of a score of 0.9
def test_from_where_on_a_detection_is_sure(
    draw: Callable, pipeline: Pipeline, share: float, looks: list[int]
) -> None:
    detector = Watched(pipeline.detector_engine, share)
    Pipeline(detector, pipeline.pose_engine).detect(draw(640, 480, (200, 120, 250, 200, RED)))
    assert detector.sizes == looks


def test_what_is_below_the_threshold_is_not_sure(draw: Callable, pipeline: Pipeline) -> None:
    for turn, looks in ((None, EVERY_SIZE), (1, CLOSEST)):
        detector = Watched(pipeline.detector_engine, share=0.6)
        strict = Pipeline(detector, pipeline.pose_engine, thresholds=Thresholds(detection=0.6))
        assert strict.detect(draw(640, 480, (200, 120, 250, 200, RED)), turn) == []
        assert detector.sizes == looks


def test_what_is_no_hint_is_no_doubt(draw: Callable, pipeline: Pipeline) -> None:
    detector = Watched(pipeline.detector_engine, doubtful=1)
    detector.hint = 0.2  # of 0.89 · 0.4
    low = Pipeline(detector, pipeline.pose_engine, thresholds=Thresholds(detection=0.05))
    found = low.detect(draw(640, 480, (200, 120, 100, 100, RED), (400, 300, 80, 80, RED)))
    assert (detector.sizes, len(found)) == (NOTHING_ELSE, 2)


def test_streams_take_a_hint(draw: Callable, pipeline: Pipeline) -> None:
    detector = Watched(pipeline.detector_engine, doubtful=1)
    detector.hint = 0.45
    image = draw(640, 480, (200, 120, 100, 100, RED), (400, 300, 80, 80, RED))
    Pipeline(detector, pipeline.pose_engine).detect(image, turn=0)
    assert detector.sizes == CLOSER


def test_a_doubtful_detection_is_looked_for_at_every_size_and_told_once(
    draw: Callable, pipeline: Pipeline
) -> None:
    detector = Watched(pipeline.detector_engine, share=0.4)
    found = Pipeline(detector, pipeline.pose_engine).detect(draw(640, 480, (200, 120, 300, 200, RED)))
    assert detector.sizes == EVERY_SIZE
    assert len(found) == 1


def test_from_farther_away_only_large_hands_count(draw: Callable, pipeline: Pipeline) -> None:
    class Dreaming(Watched):
        def __call__(self, images: np.ndarray) -> Detections:
            self.sizes.append(max(images.shape[1:3]))
            side = 40  # 400 pixels of the picture, from farther away
            boxes = np.array([[[0, 0, 20, 20], [10, 0, 10 + side, side]]], np.float32)
            return Detections(boxes, np.array([[0.3, 0.3]], np.float32) * (self.sizes[-1] == 64))

    detector = Dreaming(pipeline.detector_engine)
    (found,) = Pipeline(detector, pipeline.pose_engine).detect(draw(640, 480))
    assert found.box.side == pytest.approx(40 * 640 / 64)


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize(
    ("width", "hands", "doubtful", "looks"),
    [
        (640, [], None, [CLOSER, CLOSEST, FARTHER]),
        (640, [(200, 20, 60, 60)], None, [CLOSER, CLOSEST, FARTHER, NOTHING_ELSE]),
        (640, [(200, 20, 100, 100)], None, [NOTHING_ELSE]),
        (640, [(200, 20, 100, 100), (400, 25, 60, 60)], 1, [CLOSER, NOTHING_ELSE]),
        (640, [(200, 20, 250, 100)], None, [NOTHING_ELSE]),
        (250, [], None, [CLOSER, FARTHER]),
        (180, [], None, [FARTHER]),
    ],
)
def test_streams_take_the_other_sizes_in_turn(
    draw: Callable,
    pipeline: Pipeline,
    width: int,
    hands: list[tuple[int, int, int, int]],
    doubtful: int | None,
    looks: list[list[int]],
    turn: int,
) -> None:
    detector = Watched(pipeline.detector_engine, doubtful=doubtful)
    image = draw(width, 140, *((*hand, RED) for hand in hands))
    Pipeline(detector, pipeline.pose_engine).detect(image, turn)
    assert detector.sizes == looks[turn % len(looks)]


@pytest.mark.parametrize(("size", "turn"), [(192, 0), (256, 1), (64, 2)])
def test_what_one_size_alone_shows_is_found(draw: Callable, pipeline: Pipeline, size: int, turn: int) -> None:
    class Seldom(Watched):
        def __call__(self, images: np.ndarray) -> Detections:
            self.sizes.append(max(images.shape[1:3]))
            boxes = np.array([[[0, 0, size / 2, size / 2]]], np.float32)  # half the picture wide
            return Detections(boxes, np.array([[0.3]], np.float32) * (self.sizes[-1] == size))

    pipeline = Pipeline(Seldom(pipeline.detector_engine), pipeline.pose_engine)
    for found in (pipeline.detect(draw(640, 480)), pipeline.detect(draw(640, 480), turn)):
        assert [(d.box.x, d.box.width) for d in found] == [(0, 320)]
    assert pipeline.detect(draw(640, 480), turn + 1) == []


@pytest.mark.parametrize(("width", "looks"), [(180, FARTHER), (250, [128, 192, 64]), (256, EVERY_SIZE)])
def test_pictures_are_not_made_larger_for_a_look(
    draw: Callable, pipeline: Pipeline, width: int, looks: list[int]
) -> None:
    """There is nothing more to be seen in them."""
    detector = Watched(pipeline.detector_engine)
    image = draw(width, 120, (20, 20, 20, 20, RED), (90, 60, 20, 20, RED))
    assert len(Pipeline(detector, pipeline.pose_engine).detect(image)) == 2
    assert detector.sizes == looks


def test_warm_up_runs_the_detector_at_every_size(pipeline: Pipeline) -> None:
    detector = Watched(pipeline.detector_engine)
    Pipeline(detector, pipeline.pose_engine).warm_up()
    assert sorted(detector.sizes) == sorted(EVERY_SIZE)


@pytest.mark.parametrize("size", EVERY_SIZE)
def test_warm_up_notices_answers_that_are_no_numbers_at_any_size(pipeline: Pipeline, size: int) -> None:
    class Damaged(Watched):
        def __call__(self, images: np.ndarray) -> Detections:
            found = super().__call__(images)
            return Detections(found.boxes, found.scores + (np.nan if self.sizes[-1] == size else 0))

    with pytest.raises(EngineError, match="no numbers"):
        Pipeline(Damaged(pipeline.detector_engine), pipeline.pose_engine).warm_up()
