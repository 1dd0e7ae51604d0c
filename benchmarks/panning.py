"""How well the hands of real photos are followed: `python benchmarks/panning.py`.

Each photo is seen through a window of 0.6 of its width and height that wanders over it and back, as through a camera
that pans: hands leave and come back at every side. Photos are those in which every hand has keypoints and takes at most
0.4 of the longer side. Truth is the teacher's keypoints, so hands that nobody labelled count as told where there is
none. Nothing is sent: frames go straight to the tracker. Needs the data folder's photos (docs/training.md).
"""

import argparse
import math
import multiprocessing
import random
import statistics
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.engines.factory import Runtime
from service.engines.loaded import ServedPrecision
from service.inference.cores import available_cores
from service.inference.geometry import Image, inside
from service.inference.pipeline import Pipeline
from service.inference.tracking import Tracker
from training.augment import transform
from training.datasets.coco import CocoHands
from training.options import add_precision
from training.paths import data_root
from training.pose_pictures import has_pose
from training.track_metrics import Observation, TrackScores, TrueHand, score

_WINDOW = 0.6  # of the photo's width and height
_WIDTH = 480  # of a frame, in pixels
_PACE = 2.5, 3.4  # radians a second, to the side and up and down
_NOISE = 4  # a frame's noise goes up to this much of 255


def main() -> None:
    """Follow, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", default="hands/val.json", help="in the data folder")
    parser.add_argument("--count", type=int, default=120, help="photos, drawn by chance (default: 120)")
    parser.add_argument("--rate", type=float, default=30, help="frames a second (default: 30)")
    parser.add_argument("--seconds", type=float, default=8, help="for each photo (default: 8)")
    add_precision(parser)
    parser.add_argument("--data", type=Path, help="data folder")
    options = parser.parse_args()
    photos = CocoHands.judged(data_root(options.data) / options.photos)
    usable = [index for index in range(len(photos)) if all_small_and_posed(photos, index)]
    random.Random(5).shuffle(usable)
    follow = partial(measure, photos, options.rate, options.seconds, options.precision)
    with multiprocessing.get_context("spawn").Pool(available_cores()) as crew:
        measured = crew.map(follow, usable[: options.count], chunksize=4)
    clips = [clip for clip in measured if clip is not None]
    missed = [clip.missed for clip in clips if math.isfinite(clip.missed)]
    frames = sum(clip.frames for clip in clips)
    hands = sum(clip.hands for clip in clips)
    print(
        f"{len(clips)} photos, {hands} hands, {frames} frames at {options.rate:g} a second\n"
        f"another number on return to the picture: {sum(clip.renumbered for clip in clips)}\n"
        f"another number while in the picture:     {sum(clip.switches for clip in clips)}\n"
        f"not told, of a photo's clear hands:      {statistics.mean(missed):.2%}\n"
        f"told where no hand is labelled:          {sum(c.extra * c.frames for c in clips) / frames:.3f} a frame"
    )


def all_small_and_posed(photos: CocoHands, index: int) -> bool:
    """Whether every hand of a photo has keypoints, and room to leave the window."""
    entry = photos.entries[index]
    longer = max(entry.size or photos[index].image.shape[:2])
    return bool(entry.hands) and all(
        has_pose(hand) and float(hand.box[2:].max()) <= 0.4 * longer for hand in entry.hands
    )


def measure(
    photos: CocoHands, rate: float, seconds: float, precision: ServedPrecision, index: int
) -> TrackScores | None:
    """Follow the hands of one photo; None if the window meets none."""
    cv2.setNumThreads(1)
    photo, tracker = photos[index], Tracker(pipeline(precision))
    keypoints = [hand.keypoints for hand in photo.hands if hand.keypoints is not None]
    observations = []
    for timestamp, frame, matrix in pan(photo.image, rate, seconds, index):
        truth = {}
        for number, points in enumerate(keypoints):
            there = transform(points, matrix).astype(np.float32)
            clear = float(inside(there, frame.shape[1], frame.shape[0]).mean())
            if clear > 0:
                truth[number] = TrueHand(there, clear)
        told = tracker.update(frame, timestamp).hands
        observations.append(Observation(truth, {hand.track_id: hand.hand.keypoints for hand in told}))
    return score(observations) if any(seen.truth for seen in observations) else None


@cache
def pipeline(precision: ServedPrecision) -> Pipeline:
    """The default pair, once for each process."""
    return Pipeline.load(runtime=Runtime(precision=precision))


def pan(
    photo: Image, rate: float, seconds: float, seed: int
) -> Iterator[tuple[float, Image, NDArray[np.float32]]]:
    """Timestamps, frames, and the (2, 3) matrices from the photo's pixels to those of the frame."""
    height, width = photo.shape[:2]
    scale = _WIDTH / (_WINDOW * width)
    size = (_WIDTH, round(_WINDOW * height * scale))
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * math.pi, 2)
    for number in range(round(seconds * rate)):
        timestamp = number / rate
        wander = (1 + np.sin(np.array(_PACE) * timestamp + phase)) / 2
        corner = (1 - _WINDOW) * np.array([width, height]) * wander
        matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]], np.float32)
        frame = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR).astype(np.int16)
        frame += rng.integers(-_NOISE, _NOISE, frame.shape, np.int16, endpoint=True)
        yield timestamp, np.clip(frame, 0, 255).astype(np.uint8), matrix


if __name__ == "__main__":
    main()
