import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibration import KNOTS, CalibrationError, Platt, fit_curve, fit_platt, reliability


def test_expected_calibration_error_of_a_case_worked_by_hand() -> None:
    scores = np.array([0.95, 0.95, 0.95, 0.95, 0.25, 0.25])
    correct = np.array([True, True, True, False, False, False])
    result = reliability(scores, correct, bins=10)
    # |0.75 - 0.95| for four of six, |0 - 0.25| for two.
    assert result.ece == pytest.approx((4 * 0.2 + 2 * 0.25) / 6)
    assert result.counts.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0, 4]
    assert (result.count, result.mean_confidence, result.mean_accuracy) == pytest.approx((6, 4.3 / 6, 0.5))


def test_scores_of_zero_and_one_have_a_bin_and_nothing_has_no_error() -> None:
    result = reliability(np.array([0.0, 1.0]), np.array([False, True]))
    assert result.ece == 0
    assert (result.counts[0], result.counts[-1]) == (1, 1)
    empty = reliability(np.array([]), np.array([], bool))
    assert np.isnan([empty.ece, empty.mean_confidence, empty.mean_accuracy]).all()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(ValueError, match="expected"):
        reliability(np.array([0.2, 0.3]), np.array([True]))


def test_the_fit_finds_the_distortion_of_calibrated_scores() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.02, 0.98, 20_000)
    correct = rng.random(20_000) < probability
    distorted = Platt(0.4, 0.7)(probability)
    assert reliability(distorted, correct).ece > 0.1
    fitted = fit_platt(distorted, correct)
    # The map that undoes it: slope 1 / 0.4 and offset -0.7 / 0.4.
    assert (fitted.slope, fitted.offset) == pytest.approx((2.5, -1.75), rel=0.06)
    assert reliability(fitted(distorted), correct).ece < 0.02


def test_without_an_offset_a_half_stays_a_half() -> None:
    rng = np.random.default_rng(1)
    probability = rng.uniform(0.5, 0.99, 5_000)
    fitted = fit_platt(Platt(3.0, 0.0)(probability), rng.random(5_000) < probability, offset=False)
    assert fitted.offset == 0
    assert fitted.slope == pytest.approx(1 / 3, rel=0.1)
    assert fitted(np.array([0.5]))[0] == pytest.approx(0.5)


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_map_keeps_the_order_and_can_be_undone(slope: float, offset: float, a: float, b: float) -> None:
    platt = Platt(slope, offset)
    low, high = platt(np.array(sorted([a, b])))
    assert 0 < low <= high <= 1
    if 0.001 < (p := float(platt(np.array([a]))[0])) < 0.999:
        assert platt.inverse(p) == pytest.approx(a, abs=1e-6)


def test_a_curve_finds_any_rising_distortion() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(0, 1, 20_000)
    correct = rng.random(20_000) < probability
    distorted = 0.7 * probability**2  # no network is sure: no score is above 0.7
    assert reliability(distorted, correct).ece > 0.2
    curve = fit_curve(distorted, correct)
    assert reliability(curve(distorted), correct).ece < 0.02
    assert curve(np.array([0.0, 0.7 * 0.25, 0.7 * 0.81])) == pytest.approx([0, 0.5, 0.9], abs=0.03)
    assert len(curve.scores) == KNOTS + 2


def test_a_curve_never_falls_and_few_scores_are_enough() -> None:
    rng = np.random.default_rng(0)
    chance = fit_curve(rng.uniform(0, 1, 200), rng.random(200) < 0.5)  # scores that say nothing
    assert chance.probabilities[1] == pytest.approx(0.5, abs=0.2)
    assert fit_curve(np.array([0.0, 1.0, 0.5]), np.array([False, True, True])).scores == (0.0, 0.5, 1.0)
    close = fit_curve(0.3 + 1e-9 * np.arange(200), np.arange(200) % 3 == 0)  # equal in a card
    assert close.scores == (0.0, 0.3, 1.0)
    same = fit_curve(np.full(50, 0.5), np.arange(50) < 20)  # groups of one mean
    assert same.scores == (0.0, 0.5, 1.0)
    assert same.probabilities[1] == pytest.approx(0.4)


def test_nothing_to_fit_is_said() -> None:
    with pytest.raises(CalibrationError, match="3 right and 0 wrong"):
        fit_platt(np.array([0.2, 0.5, 0.9]), np.ones(3, bool))
    with pytest.raises(CalibrationError, match="0 right and 2 wrong"):
        fit_curve(np.array([0.2, 0.5]), np.zeros(2, bool))
    with pytest.raises(CalibrationError, match="higher scores are not right more often"):
        fit_platt(np.array([0.1, 0.2, 0.8, 0.9] * 20), np.array([True, True, False, False] * 20))
    with pytest.raises(ValueError, match="slope above 0"):
        Platt(0.0, 1.0)
