"""What three scores say of one hand, and from scores to probabilities."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.inference.hands import Hand

# How much the detector, the pose model's "is there a hand" and its keypoints say, by logistic regression on training
# photos, rendered scenes and photos without a hand (docs/decisions/0013).
_DETECTION, _PRESENCE, _KEYPOINTS = 0.5, 0.1, 0.4
_EDGE = 1e-4  # no network is surer than this


def combined_score(detection: float, presence: float, keypoints: float) -> float:
    """A hand's score before it is calibrated: the weighted mean of the log-odds of what the detector, the pose model's
    "is there a hand" and its keypoints (the mean of their scores) say; all in [0, 1].
    """
    weighted = ((_DETECTION, detection), (_PRESENCE, presence), (_KEYPOINTS, keypoints))
    return _expit(sum(weight * _logit(min(max(score, _EDGE), 1 - _EDGE)) for weight, score in weighted))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map of [0, 1] onto itself, logistic in the score's log-odds (Platt, "Probabilistic outputs for support
    vector machines", 1999). The default leaves scores as they are.

    slope: above 0, else ValueError. offset: log-odds.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.slope < math.inf and math.isfinite(self.offset)):
            raise ValueError(
                f"a calibration rises: it needs a finite slope above 0 and a finite offset, not {self}"
            )

    def __call__(self, score: float) -> float:
        """The probability that belongs to a score in [0, 1]."""
        return _expit(self.slope * _logit(score) + self.offset)

    def inverse(self, probability: float) -> float:
        """The score that a probability in [0, 1] belongs to."""
        return _expit((_logit(probability) - self.offset) / self.slope)


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """A map of [0, 1] onto itself, linear between points (score, probability) and never falling. The default leaves
    scores as they are.

    Raises ValueError unless both start with 0 and end with 1, scores rise and probabilities do not fall.
    """

    scores: tuple[float, ...] = (0.0, 1.0)
    probabilities: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.probabilities):
            raise ValueError(f"a calibration curve has a probability for each score: {self}")
        ends = {(points[0], points[-1]) for points in (self.scores, self.probabilities) if points}
        if ends != {(0.0, 1.0)}:
            raise ValueError(f"a calibration curve has two ends, (0, 0) and (1, 1): {self}")
        if not (np.diff(self.scores) > 0).all() or not (np.diff(self.probabilities) >= 0).all():
            raise ValueError(f"a calibration curve rises: {self}")

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probabilities that belong to (N,) scores in [0, 1]."""
        return np.asarray(np.interp(scores, self.scores, self.probabilities), np.float64)


@dataclass(frozen=True, slots=True)
class PairCalibration:
    """What makes the scores of a detector and a pose model probabilities.

    hand: that it is a hand. keypoints: that a keypoint lies within a tenth of the hand's size of where it truly is.
    """

    hand: Calibration = Calibration()
    keypoints: CalibrationCurve = CalibrationCurve()

    def apply(self, hand: Hand) -> Hand:
        """The hand with calibrated scores, as callers get it; inside, scores stay as the models give them."""
        keypoint_scores = self.keypoints(hand.keypoint_scores).astype(np.float32)
        return replace(hand, score=self.hand(hand.score), keypoint_scores=keypoint_scores)


def _logit(p: float) -> float:
    if p <= 0:
        return -math.inf
    return math.inf if p >= 1 else math.log(p / (1 - p))


def _expit(x: float) -> float:
    return 0.0 if x < -700 else 1 / (1 + math.exp(-x))  # NaN stays NaN
