import math

import numpy as np
import pytest

from service.inference.calibration import Calibration, CalibrationCurve, PairCalibration, combined_score


def test_a_hand_is_as_sure_as_three_scores_that_agree() -> None:
    for score in (0.01, 0.3, 0.5, 0.8, 0.999):
        assert combined_score(score, score, score) == pytest.approx(score)


def test_each_of_the_three_scores_counts_and_the_presence_least() -> None:
    half = combined_score(0.5, 0.5, 0.5)
    detection, presence, keypoints = (
        combined_score(0.9, 0.5, 0.5),
        combined_score(0.5, 0.9, 0.5),
        combined_score(0.5, 0.5, 0.9),
    )
    assert half < presence < keypoints < detection < 0.9


def test_nothing_is_certain() -> None:
    assert 0.999 < combined_score(1, 1, 1) < 1
    assert 0 < combined_score(0, 0, 0) < 0.001
    assert combined_score(0.2, 1, 0.2) < 0.5  # a network as sure as its numbers go does not decide alone


def test_no_number_stays_none() -> None:
    """A broken network must not look like one that sees no hand."""
    assert math.isnan(combined_score(0.9, math.nan, 0.9))
    assert math.isnan(Calibration(2.0, 1.0)(math.nan))


def test_by_default_scores_stay() -> None:
    for score in (0.0, 1e-9, 0.3, 0.5, 1 - 1e-9, 1.0):
        assert Calibration()(score) == pytest.approx(score, abs=1e-12)
        assert Calibration().inverse(score) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("score", [0.0, 1e-6, 0.1, 0.5, 0.9, 1.0])
def test_there_and_back(score: float) -> None:
    calibration = Calibration(6.0, -1.0)
    assert calibration.inverse(calibration(score)) == pytest.approx(score)
    assert 0 <= calibration(score) <= 1


def test_it_rises_and_keeps_the_ends() -> None:
    values = [Calibration(6.0, -1.0)(i / 100) for i in range(101)]
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert Calibration(2.0, 1.0)(0.5) == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize(("slope", "offset"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_a_map_that_does_not_rise_is_refused(slope: float, offset: float) -> None:
    with pytest.raises(ValueError, match="a calibration rises"):
        Calibration(slope, offset)


def test_a_curve_is_linear_between_its_points() -> None:
    curve = CalibrationCurve((0.0, 0.4, 0.8, 1.0), (0.0, 0.5, 0.5, 1.0))
    assert curve(np.array([0, 0.2, 0.4, 0.6, 0.8, 0.9, 1])) == pytest.approx(
        [0, 0.25, 0.5, 0.5, 0.5, 0.75, 1]
    )
    assert math.isnan(curve(np.array([math.nan]))[0])
    scores = np.linspace(0, 1, 11)
    assert PairCalibration().keypoints(scores) == pytest.approx(scores)


@pytest.mark.parametrize(
    ("scores", "probabilities", "why"),
    [
        ((0.0, 0.5, 1.0), (0.0, 1.0), "a probability for each"),
        ((), (), "two ends"),
        ((0.0, 0.9), (0.0, 1.0), "two ends"),
        ((0.0, 1.0), (0.1, 1.0), "two ends"),
        ((0.0, 0.5, 0.5, 1.0), (0.0, 0.2, 0.3, 1.0), "rises"),
        ((0.0, 0.4, 0.5, 1.0), (0.0, 0.3, 0.2, 1.0), "rises"),
        ((0.0, math.nan, 1.0), (0.0, 0.2, 1.0), "rises"),
    ],
)
def test_a_curve_that_does_not_rise_from_end_to_end_is_refused(
    scores: tuple[float, ...], probabilities: tuple[float, ...], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        CalibrationCurve(scores, probabilities)
