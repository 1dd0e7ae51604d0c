"""Left or right, told of two hands together."""

import math
from collections.abc import Sequence
from dataclasses import replace

from service.inference.hands import Hand, side_of

# How often the only two hands in a picture are a left and a right one. Two hands of one person always are; those of two
# people every other time.
_OPPOSITE = 0.8
# Centres that lie less than this share of the mean side apart: hands that touch, perhaps of two who shake hands.
_APART = 1.0
_LIKELY = 0.5  # the score from which on something is more likely a hand than not


def told_together(hands: Sequence[Hand]) -> list[Hand]:
    """The same hands. Where two are likely ones, no more, and apart from each other, what is seen of the one counts for
    the side of the other: by Bayes' rule, as far as that one is a hand at all.

    hands: with calibrated scores.
    """
    told, likely = list(hands), [i for i, hand in enumerate(hands) if hand.score >= _LIKELY]
    if len(likely) == 2 and _apart(*(hands[i] for i in likely)):
        first, second = likely
        told[first], told[second] = _beside(hands[first], hands[second]), _beside(hands[second], hands[first])
    return told


def _beside(hand: Hand, other: Hand) -> Hand:
    opposite = other.right * (1 - _OPPOSITE) + (1 - other.right) * _OPPOSITE
    expected = 0.5 + other.score * (
        opposite - 0.5
    )  # that this one is right, by all that is seen of the other
    right = hand.right * expected
    handedness, handedness_score = side_of(right / (right + (1 - hand.right) * (1 - expected)))
    return replace(hand, handedness=handedness, handedness_score=handedness_score)


def _apart(first: Hand, second: Hand) -> bool:
    a, b = first.box, second.box
    across, down = a.x + a.width / 2 - b.x - b.width / 2, a.y + a.height / 2 - b.y - b.height / 2
    return math.hypot(across, down) >= _APART * (a.side + b.side) / 2
