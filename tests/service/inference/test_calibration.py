import math

import pytest

from service.inference.calibration import Calibration


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
