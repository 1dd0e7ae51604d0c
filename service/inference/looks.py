"""Further looks: at a picture in which the detector is not sure of a hand, and at a hand whose pose is doubtful."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.engines.base import closer_size, closest_size, farther_size
from service.inference.hands import Detection, Hand, side_of

HINT = 0.15  # the score from which on a detection may be a hand that shows better at another size
SURE = 0.45  # and from which on it is taken for one
_TINY, _SMALL, _LARGE = 0.12, 0.3, 0.4  # hands, in shares of the picture's longer side
# Keypoints of two looks are one place if they lie less than this share of the box's side apart.
_AGREED = 0.15


def every_size(usual: int) -> tuple[int, int, int, int]:
    """Longer sides of what the detector is given: the usual one, and those of further looks, in their order."""
    return usual, closer_size(usual), closest_size(usual), farther_size(usual)


def sizes_worth_a_look(
    found: Sequence[Detection], longer: int, usual: int, wanted: int | None = None, sure_from: float = SURE
) -> list[int]:
    """Other sizes at which the detector may find more than it has found: larger ones where it is sure of no hand or of
    tiny ones only, the first of them also where it is sure of small ones but not of something else, and of fewer than
    are wanted, but none larger than the picture; a smaller one, for a hand that fills the picture, where it is sure of
    none, or of tiny ones, which may be something else.

    found: with what is scored `HINT` or more. longer: the longer side of the picture. usual: the detector's input size.
    wanted: how many hands are asked for, at most; None: all. sure_from: the score from which on it is sure.
    """
    sure = [d for d in found if d.score >= sure_from]
    largest = max((d.box.side for d in sure), default=0.0)
    doubt = any(HINT <= d.score < sure_from for d in found) and (wanted is None or len(sure) < wanted)
    _, closer, closest, farther = every_size(usual)
    sizes = []
    if largest < (_SMALL if doubt else _TINY) * longer and closer <= longer:
        sizes.append(closer)
    if largest < _TINY * longer:
        if closest <= longer:
            sizes.append(closest)
        sizes.append(farther)
    return sizes


def size_in_turn(
    found: Sequence[Detection], longer: int, usual: int, turn: int, sure_from: float = SURE
) -> int | None:
    """The one of `sizes_worth_a_look` that a frame of a stream gets: another one for the next number; None for one
    number in each round where there is a sure hand already.
    """
    sizes: list[int | None] = [*sizes_worth_a_look(found, longer, usual, sure_from=sure_from)]
    if any(d.score >= sure_from for d in found):
        sizes.append(None)
    return sizes[turn % len(sizes)]


def large(found: Sequence[Detection], longer: int) -> list[Detection]:
    """What a look from farther away is for; small things look like hands from there."""
    return [d for d in found if d.box.side >= _LARGE * longer]


def merge_looks(looks: Sequence[Hand]) -> Hand:
    """Several looks at one hand, of one detection, as one.

    Looks agree on a keypoint when they see it in nearly the same place. Those that agree are averaged, weighted by
    their scores, and of several such groups the one with the highest sum of scores counts: shared among all looks, that
    sum is the keypoint's score. Everything else is the mean over all looks.
    """
    side = looks[0].box.side
    points = np.stack([hand.keypoints for hand in looks]).astype(np.float64)  # (L, 21, 2)
    scores = np.maximum([hand.keypoint_scores for hand in looks], 1e-9)  # (L, 21)
    apart = np.linalg.norm(points[:, None] - points[None], axis=3)  # (L, L, 21)
    weights = (apart < _AGREED * side) * scores[None]  # of every look in the group around every look
    group = weights.sum(axis=1).argmax(axis=0)  # (21,)
    chosen = weights[group, :, np.arange(group.size)]  # (21, L)
    total = chosen.sum(axis=1)
    keypoints = np.einsum("kl,lkc->kc", chosen, points) / total[:, None]
    handedness, handedness_score = side_of(float(np.mean([hand.right for hand in looks])))
    return replace(
        looks[0],
        score=float(np.mean([hand.score for hand in looks])),
        presence=float(np.mean([hand.presence for hand in looks])),
        keypoints=keypoints.astype(np.float32),
        keypoint_scores=np.minimum(total / len(looks), 1.0).astype(np.float32),
        handedness=handedness,
        handedness_score=handedness_score,
        depth=_mean_depth(looks),
    )


def _mean_depth(looks: Sequence[Hand]) -> NDArray[np.float32] | None:
    depths = [hand.depth for hand in looks if hand.depth is not None]
    return np.mean(depths, axis=0, dtype=np.float32) if depths else None
