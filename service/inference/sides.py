"""Left or right of two hands together."""

import math
from collections.abc import Sequence
from dataclasses import replace

from service.inference.hands import Hand

_LIKELY = 0.5  # the score from which on something is more likely a hand than not
# How often the only two hands in a picture are a left and a right one. Two hands of one person always are; those of two
# people every other time.
_OPPOSITE = 0.8
# Centres that lie less than this share of the mean side apart: hands that touch, perhaps of two who shake hands.
_APART = 1.0


def settle_sides(hands: Sequence[Hand]) -> list[Hand]:
    """The same hands. Where two are likely ones, no more, and apart from each other, what is seen of the one counts for
    the side of the other: by Bayes' rule, as far as that one is a hand at all.

    hands: all that a picture shows, with calibrated scores.
    """
    settled, likely = list(hands), [i for i, hand in enumerate(hands) if hand.score >= _LIKELY]
    if len(likely) == 2 and _apart(*(hands[i] for i in likely)):
        first, second = likely
        settled[first], settled[second] = (
            _beside(hands[first], hands[second]),
            _beside(hands[second], hands[first]),
        )
    return settled


def _beside(hand: Hand, other: Hand) -> Hand:
    other_alike = other.right if hand.handedness == "right" else 1 - other.right
    alike = other_alike * (1 - _OPPOSITE) + (1 - other_alike) * _OPPOSITE
    # The probability of this one's label by all that is seen of the other; 0.5 if that one is no hand.
    expected = 0.5 + other.score * (alike - 0.5)
    seen = hand.handedness_score
    score = seen * expected / (seen * expected + (1 - seen) * (1 - expected))
    settled = replace(hand, handedness_score=max(score, 1 - score))
    return settled if score >= 0.5 else settled.mirrored()


def _apart(first: Hand, second: Hand) -> bool:
    a, b = first.box, second.box
    return math.dist(a.centre, b.centre) >= _APART * (a.side + b.side) / 2
