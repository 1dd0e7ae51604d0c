"""How well hands are followed: `python benchmarks/tracking.py`.

Renders clips of one to three hands that rest, drift, wave, cross, are hidden and leave the picture, follows them with
the default pair and prints, for each clip, what went wrong. Nothing is drawn or sent: frames go straight to the
tracker. Every frame is followed twice, with and without smoothing.
"""

import argparse
import multiprocessing
import pickle
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from service.engines.factory import Runtime
from service.inference.cores import available_cores
from service.inference.pipeline import Pipeline
from service.inference.tracking import TrackedFrame, Tracker, TrackingOptions
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.sequence import HandSequence, SequenceFrame
from training.options import add_precision
from training.track_metrics import FAST, Observation, TrackScores, TrueHand, lag, score

COLUMNS = (
    ("seed", 5), ("hands", 6), ("switches", 9), ("renumbered", 11), ("missed", 7), ("extra", 6), ("error", 6),
    ("jitter", 15), ("less", 5), ("glitches", 9), ("lag", 6), ("slow", 5), ("fast", 5), ("hidden", 9),
    ("returned", 9), ("label", 6), ("detector", 9), ("ms", 6),
)  # fmt: skip
LEGEND = """
switches   another id while in the picture, per hand and 300 frames; renumbered: on return to the picture, count
missed     share of frames in which a clear hand was not told; extra: told hands that are none, per frame
error      mean distance of the keypoints from the truth, % of the hand's size
jitter     of still hands, from frame to frame, % of the hand's size: unsmoothed → smoothed, and how much less
glitches   share of a still hand's frames in which its keypoints jump by more than 5 % of its size, smoothed
lag        frames that smoothing makes a moving hand late; slow, fast: below and above 1/30 of its size a frame
hidden     frames until a hand that was hidden is told again, mean (most); returned: one that was out of the picture
label      told hands with the right handedness; detector: share of frames it ran in
ms         processor time per frame, mean"""


@dataclass(frozen=True)
class Outcome:
    """One clip's results; shares are 0..1."""

    seed: int
    scores: TrackScores
    unsmoothed: TrackScores
    lag: float
    lag_slow: float
    lag_fast: float
    handedness: float
    detector: float
    milliseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--hands", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rate", type=float, default=30, help="frames a second (default: 30)")
    parser.add_argument(
        "--backgrounds", type=Path, help="folder of photos without hands (default: made-up ones)"
    )
    parser.add_argument("--moving-camera", action="store_true", help="a camera held in a hand")
    parser.add_argument(
        "--keep",
        type=Path,
        help="keep the rendered clips in this folder and use those there (empty it when the renderer changed)",
    )
    add_precision(parser)
    parser.add_argument("--processes", type=int, default=available_cores())
    options = parser.parse_args()
    tasks = [(seed, hands) for hands in options.hands for seed in options.seeds]
    print("".join(f"{name:>{width}}" for name, width in COLUMNS))
    outcomes = []
    with multiprocessing.get_context("spawn").Pool(min(options.processes, len(tasks))) as crew:
        for outcome in crew.imap(partial(measure, options), tasks):
            outcomes.append(outcome)
            print(row(outcome), flush=True)
    print(summary(outcomes) + "\n" + LEGEND)


def measure(options: argparse.Namespace, task: tuple[int, int]) -> Outcome:
    """Follow the hands of one clip."""
    cv2.setNumThreads(1)
    pipeline = Pipeline.load(runtime=Runtime(precision=options.precision))
    pipeline.warm_up()
    trackers = [Tracker(pipeline, TrackingOptions(smoothing=smoothing)) for smoothing in (True, False)]
    observations: tuple[list[Observation], list[Observation]] = ([], [])
    seconds, ran, right = [], [], []
    for frame in clip(options, *task):
        for tracker, seen in zip(trackers, observations, strict=True):
            started = time.thread_time()
            result = tracker.update(frame.picture.image, frame.timestamp)
            if tracker is trackers[0]:
                seconds.append(time.thread_time() - started)
                ran.append(result.detector_ran)
                right += handedness(frame, result)
            seen.append(observed(frame, result))
    return Outcome(
        seed=task[0],
        scores=score(observations[0]),
        unsmoothed=score(observations[1]),
        lag=lag(*observations),
        lag_slow=lag(*observations, fastest=FAST),
        lag_fast=lag(*observations, slowest=FAST),
        handedness=statistics.mean(right) if right else float("nan"),
        detector=statistics.mean(ran),
        milliseconds=1e3 * statistics.mean(seconds),
    )


def clip(options: argparse.Namespace, seed: int, hands: int) -> Iterator[SequenceFrame]:
    """The frames of one clip, rendered or from the folder where they are kept."""
    folders = [options.backgrounds] if options.backgrounds else []
    backgrounds = Backgrounds(folders, hand_free=folders)
    sequence = HandSequence(
        seed,
        backgrounds,
        hands=hands,
        frames=options.frames,
        fps=options.rate,
        moving_camera=options.moving_camera,
    )
    if options.keep is None:
        yield from sequence
        return
    camera = "moving" if options.moving_camera else "still"
    name = f"{seed}-{hands}-{options.frames}-{options.rate:g}-{camera}-{backgrounds.fingerprint()}.pickle"
    kept = options.keep / name
    if not kept.exists():
        options.keep.mkdir(parents=True, exist_ok=True)
        partial_file = kept.with_suffix(".partial")
        with partial_file.open("wb") as file:
            for frame in sequence:
                pickle.dump(replace(frame, owners=frame.owners[:0]), file)  # not needed here, and large
        partial_file.rename(kept)
    with kept.open("rb") as file:
        for _ in range(options.frames):
            yield pickle.load(file)


def observed(frame: SequenceFrame, result: TrackedFrame) -> Observation:
    """The truth and the tracker's answer, as the metrics want them."""
    truth = {}
    for number, phase, clear, hand in zip(
        frame.ids, frame.phases, frame.clear, frame.picture.hands, strict=True
    ):
        assert hand.keypoints is not None
        truth[number] = TrueHand(hand.keypoints, clear, phase == "still")
    return Observation(truth, {tracked.track_id: tracked.hand.keypoints for tracked in result.hands})


def handedness(frame: SequenceFrame, result: TrackedFrame) -> list[bool]:
    """For each true hand that a told one lies on, whether both are called the same."""
    answers = []
    for label in frame.picture.hands:
        assert label.keypoints is not None
        size = float(np.ptp(label.keypoints, axis=0).max())
        near = [
            (float(np.linalg.norm(tracked.hand.keypoints - label.keypoints, axis=1).mean()) / size, tracked)
            for tracked in result.hands
        ]
        distance, nearest = min(near, key=lambda item: item[0], default=(1.0, None))
        if nearest is not None and distance < 0.25:
            answers.append(nearest.hand.handedness == label.handedness)
    return answers


def row(outcome: Outcome) -> str:
    """One line of the table."""
    smooth, raw = outcome.scores, outcome.unsmoothed
    cells = (
        str(outcome.seed),
        str(smooth.hands),
        f"{smooth.switch_rate:.2f}",
        str(smooth.renumbered),
        f"{smooth.missed:.1%}",
        f"{smooth.extra:.2f}",
        f"{100 * smooth.error:.1f}",
        f"{100 * raw.jitter:.2f} → {100 * smooth.jitter:.2f}",
        f"{1 - smooth.jitter / raw.jitter:.0%}",
        f"{smooth.glitches:.1%}",
        f"{outcome.lag:.2f}",
        f"{outcome.lag_slow:.2f}",
        f"{outcome.lag_fast:.2f}",
        mean_and_most(smooth.recovery),
        mean_and_most(smooth.returned),
        f"{outcome.handedness:.0%}",
        f"{outcome.detector:.0%}",
        f"{outcome.milliseconds:.1f}",
    )
    return "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def mean_and_most(frames: Sequence[int]) -> str:
    return f"{statistics.mean(frames):.1f} ({max(frames)})" if frames else "-"


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures that there are goals for."""
    worst = max(outcome.scores.switch_rate for outcome in outcomes)
    latest = max(outcome.lag for outcome in outcomes)
    less = min(1 - outcome.scores.jitter / outcome.unsmoothed.jitter for outcome in outcomes)
    alone = [outcome.detector for outcome in outcomes if outcome.scores.hands == 1]
    detector = f"; detector in {statistics.mean(alone):.0%} of the frames of one hand" if alone else ""
    return (
        f"\nworst clip: {worst:.2f} switches per hand and 300 frames, lag {latest:.2f} frames, "
        f"jitter down {less:.0%}{detector}"
    )


if __name__ == "__main__":
    main()
