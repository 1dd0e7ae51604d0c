"""Are scores probabilities? Reliability, expected calibration error, and monotone maps that make them so."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from service.inference.calibration import Calibration, CalibrationCurve

BINS = 15
KNOTS = 20
_DIGITS = 6  # of a curve's points
_EDGE = 1e-6  # scores of exactly 0 and 1 have no logit


class CalibrationError(ValueError):
    """Scores that no rising map can calibrate; the message says why."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores sorted into bins of equal width over [0, 1].

    counts: (B,) how many scores a bin has. confidence: (B,) their mean. accuracy: (B,) the share of them that was
    right. The last two are NaN for an empty bin.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean of |accuracy - confidence| over all scores (Guo et al., "On Calibration
        of Modern Neural Networks", 2017). NaN without any score.
        """
        return self._mean(np.abs(self.accuracy - self.confidence))

    @property
    def count(self) -> int:
        """How many scores there are."""
        return int(self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        """The mean of all scores; NaN without any."""
        return self._mean(self.confidence)

    @property
    def mean_accuracy(self) -> float:
        """The share of all that was right; NaN without any."""
        return self._mean(self.accuracy)

    def _mean(self, of_bins: NDArray[np.float64]) -> float:
        """Over all scores."""
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        return float(np.average(of_bins[filled], weights=self.counts[filled]))


def reliability(scores: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """scores: (N,) in [0, 1]. correct: (N,) whether what was scored was right.

    Raises ValueError for scores outside [0, 1] or arrays of different lengths.
    """
    scores, correct = _checked(scores, correct)
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(index, scores, bins) / counts
        accuracy = np.bincount(index, correct, bins) / counts
    return Reliability(counts, confidence, accuracy)


class Platt(Calibration):
    """The service's map, for many scores at once. Rising, so it changes no order and no average precision; with offset
    0 it is temperature scaling, temperature 1 / slope.
    """

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:  # type: ignore[override]
        """scores: (N,) in [0, 1]. Returns (N,) probabilities in [0, 1]."""
        return np.array([Calibration.__call__(self, float(score)) for score in scores], np.float64)


def fit_platt(scores: NDArray[np.floating], correct: NDArray[np.bool_], offset: bool = True) -> Platt:
    """The slope and offset of the highest likelihood, with Platt's smoothed targets.

    scores: (N,) in [0, 1]; correct: (N,). offset: False fits the slope alone, which leaves a score of 0.5 as it is: for
    a choice between two. Raises CalibrationError where all or none is correct (nothing to fit), or where higher scores
    are not right more often.
    """
    scores, correct = _checked(scores, correct)
    positive, negative = _check_both(correct)
    target = np.where(correct, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = _logits(scores)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = parameters[0] * x + parameters[1]
        slack = (expit(z) - target) / len(x)
        gradient = np.array([(slack * x).sum(), slack.sum() if offset else 0.0])
        return float((np.logaddexp(0, z) - target * z).mean()), gradient

    slope, shift = (float(v) for v in minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x)
    if not slope > 0:
        raise CalibrationError(
            f"higher scores are not right more often: the slope that fits best is {slope:.3g}"
        )
    return Platt(slope, shift)


def fit_curve(scores: NDArray[np.floating], correct: NDArray[np.bool_]) -> CalibrationCurve:
    """How often scores are right, in at most `KNOTS` groups of as many scores each, made to rise by isotonic
    regression.

    scores: (N,) in [0, 1]; correct: (N,). Raises CalibrationError where all or none is correct: nothing to fit.
    """
    scores, correct = _checked(scores, correct)
    _check_both(correct)
    edges = np.quantile(scores, np.linspace(0, 1, KNOTS + 1)[1:-1])
    _, group = np.unique(np.searchsorted(edges, scores), return_inverse=True)  # equal scores are in one group
    counts = np.bincount(group)
    means = np.bincount(group, scores) / counts
    rates = isotonic_regression(np.bincount(group, correct) / counts, weights=counts).x
    means, rates = means.round(_DIGITS), rates.round(_DIGITS)
    inside = (means > 0) & (means < 1) & (np.diff(means, prepend=-1) > 0)
    return CalibrationCurve((0.0, *means[inside].tolist(), 1.0), (0.0, *rates[inside].tolist(), 1.0))


def _check_both(correct: NDArray[np.bool_]) -> tuple[int, int]:
    """How many are right and how many wrong. Raises CalibrationError where there are none of either."""
    positive, negative = int(correct.sum()), int((~correct).sum())
    if not positive or not negative:
        raise CalibrationError(
            f"{positive} right and {negative} wrong: there is nothing to fit a calibration to"
        )
    return positive, negative


def _logits(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(scores.astype(np.float64), _EDGE, 1 - _EDGE)), np.float64)


def _checked(
    scores: NDArray[np.floating], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    given, right = np.asarray(scores, np.float64), np.asarray(correct, bool)
    if given.shape != right.shape or given.ndim != 1:
        raise ValueError(f"scores are {given.shape}, what was right is {right.shape}: expected (N,) both")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("scores must be between 0 and 1")
    return given, right
