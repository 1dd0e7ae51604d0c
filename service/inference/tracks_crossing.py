"""Two hands cross: one hides the other for a moment, and the track that goes on may go on with the wrong one.

While they lie on each other nothing can tell, and the crop of either shows whichever hand is in front. What tells is
where both were and how they moved before, and which is left and right: when the second hand comes out again, both are
given out anew.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from service.inference.hands import Hand
from service.inference.tracks import Sighting, Track, same_side

_NEAR = 1.5  # hand sizes: a hand that is lost so near to another one may be behind it
_CLEARER = 0.5  # hand sizes by which the other way round must fit better
_OTHER_SIDE = 2.0  # hand sizes that it counts for if the track of a left hand would get a right one
_SECONDS = 0.6  # longer than this after the loss, how they moved says nothing any more


def rivals(lost: Track, followed: Iterable[Track]) -> dict[int, Sighting]:
    """The tracks, by id, that may have taken over the hand of the one that was lost just now, as they were before."""
    return {
        track.id: track.trusted
        for track in followed
        if track is not lost and _gap(track.trusted, lost.trusted.hand, lost.trusted.timestamp) < _NEAR
    }


def uncross(
    pairs: Mapping[Track, int], tracks: Iterable[Track], hands: Sequence[Hand], timestamp: float
) -> dict[Track, int]:
    """`pairs` with those tracks exchanged that took each other's hand in a crossing.

    pairs: track to index of a hand. tracks: all of them, those without a hand as well.
    """
    result, by_id = dict(pairs), {track.id: track for track in pairs}
    for lost in tracks:
        if not lost.lost or timestamp - lost.lost_at > _SECONDS:
            continue
        for number, before in lost.rivals.items():
            rival = by_id.get(number)
            free = [i for i in range(len(hands)) if i not in result.values() or result.get(lost) == i]
            if rival is None or rival.lost or not free:
                continue
            taken = hands[result[rival]]
            index = min(free, key=lambda i: _gap(before, hands[i], timestamp))
            other = hands[index]
            stay = _gap(lost.trusted, other, timestamp) + _gap(before, taken, timestamp)
            stay += _OTHER_SIDE * (2 - same_side(lost, other) - same_side(rival, taken))
            exchanged = _gap(lost.trusted, taken, timestamp) + _gap(before, other, timestamp)
            exchanged += _OTHER_SIDE * (2 - same_side(lost, taken) - same_side(rival, other))
            if exchanged < stay - _CLEARER:
                result[lost], result[rival] = result[rival], index
                rival.fall_back(before)
                break
    return result


def _gap(sighting: Sighting, hand: Hand, timestamp: float) -> float:
    """From where the hand should be to where this one is, in hand sizes."""
    difference = (hand.keypoints - sighting.predict(timestamp)).mean(axis=0)
    return float(np.linalg.norm(difference)) / sighting.size
