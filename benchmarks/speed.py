"""How fast the default pair is, with MediaPipe Hands 0.10.21 beside it in the same run: `python benchmarks/speed.py`.

A VGA photo of one hand that sways through the picture. Four systems take turns frame by frame, so that whatever else
the machine does slows all of them down: ours and MediaPipe's (model complexity 1) on single pictures, and both while
they follow the hand. Ours on ONNX Runtime with one thread, in the precision that it is served in here. Milliseconds
from the decoded picture to the hands; medians. All look for one hand: MediaPipe runs its detector on every frame in
which it follows fewer hands than it may. With a folder of photos (`--photo ../shared/data/hands/images/val`) single
pictures alone are timed, each photo once and as it is: some hands are doubtful or tiny, and ours looks at them again.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from mediapipe_hands import MediaPipe, environment
from numpy.typing import NDArray
from request import PHOTO, pictures, vga_jpeg
from stream import moving

from service.engines.factory import Runtime
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE, Pipeline
from service.inference.tracking import Tracker, TrackingOptions
from training.options import add_precision

RUNS = Path(__file__).resolve().parent.parent / "runs"
FPS = 30.0
WARM_UP = 20  # frames
GOALS = {"single pictures": 0.80, "following": 0.40}  # of MediaPipe's time for a single picture
Measure = Callable[
    [NDArray[np.uint8], int], tuple[float, int]
]  # picture, frame number to milliseconds, hands


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument(
        "--photo",
        type=Path,
        default=PHOTO,
        help="a photo of one hand, which is fitted to 640 × 480, or a folder",
    )
    parser.add_argument("--detector", type=Path, default=DEFAULT_DETECTOR, help="checkpoint folder")
    parser.add_argument("--pose", type=Path, default=DEFAULT_POSE, help="checkpoint folder")
    add_precision(parser, "auto")
    parser.add_argument("--mediapipe-python", type=Path, help="an interpreter that has mediapipe 0.10.21")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    python = options.mediapipe_python or environment(RUNS / "mediapipe")
    photos = options.photo.is_dir()
    bodies = pictures(options.photo)[0] if photos else moving(vga_jpeg(options.photo))
    frames = [decoded(body) for body in bodies]
    pipeline = Pipeline.load(options.detector, options.pose, runtime=Runtime(precision=options.precision))
    print(f"ours in {pipeline.models[0].precision} ({pipeline.models[0].reason})")
    with ExitStack() as stack:
        theirs = [
            stack.enter_context(MediaPipe(python, max_hands=1, tracking=tracking))
            for tracking in (False, True)
        ]
        systems = {
            ("ours", "single pictures"): single(pipeline),
            ("MediaPipe", "single pictures"): beside(theirs[0]),
        }
        if not photos:
            systems |= {
                ("ours", "following"): following(pipeline),
                ("MediaPipe", "following"): beside(theirs[1]),
            }
        milliseconds, found = measure(systems, frames, len(frames) if photos else options.frames)
    report(milliseconds, found)


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def single(pipeline: Pipeline) -> Measure:
    """Detector and pose network on every frame."""

    def run(image: NDArray[np.uint8], frame: int) -> tuple[float, int]:
        started = time.perf_counter()
        hands = pipeline.hands(image, max_hands=1)
        return 1e3 * (time.perf_counter() - started), len(hands)

    return run


def following(pipeline: Pipeline) -> Measure:
    """A stream's tracker; the median frame is one in which the detector did not run."""
    tracker = Tracker(pipeline, TrackingOptions(max_hands=1))

    def run(image: NDArray[np.uint8], frame: int) -> tuple[float, int]:
        started = time.perf_counter()
        result = tracker.update(image, frame / FPS)
        return 1e3 * (time.perf_counter() - started), len(result.hands)

    return run


def beside(mediapipe: MediaPipe) -> Measure:
    """MediaPipe, timed in its own process: copying the picture there does not count."""

    def run(image: NDArray[np.uint8], frame: int) -> tuple[float, int]:
        hands = mediapipe(image)
        return mediapipe.milliseconds, len(hands)

    return run


def measure(
    systems: dict[tuple[str, str], Measure], frames: list[NDArray[np.uint8]], count: int
) -> tuple[dict[tuple[str, str], list[float]], dict[tuple[str, str], list[int]]]:
    """Milliseconds and numbers of hands of each system for each frame."""
    milliseconds: dict[tuple[str, str], list[float]] = {key: [] for key in systems}
    found: dict[tuple[str, str], list[int]] = {key: [] for key in systems}
    for number in range(WARM_UP + count):
        for key, run in systems.items():
            spent, hands = run(frames[(number - WARM_UP) % len(frames)], number)
            if number >= WARM_UP:
                milliseconds[key].append(spent)
                found[key].append(hands)
    return milliseconds, found


def report(milliseconds: dict[tuple[str, str], list[float]], found: dict[tuple[str, str], list[int]]) -> None:
    """Print medians, 90th percentiles and ratios."""
    print(f"{'':<28}{'p50 ms':>8}{'p90 ms':>8}{'mean ms':>9}{'hands':>8}")
    for (who, what), spent in milliseconds.items():
        p50, p90 = np.percentile(spent, (50, 90))
        hands = np.mean(found[who, what])
        print(f"{who + ', ' + what:<28}{p50:>8.1f}{p90:>8.1f}{np.mean(spent):>9.1f}{hands:>8.2f}")
    reference = milliseconds["MediaPipe", "single pictures"]
    print("\nmedians over MediaPipe's for single pictures")
    for what, goal in GOALS.items():
        if ("ours", what) not in milliseconds:
            continue
        ours, theirs = (
            np.median(milliseconds[who, what]) / np.median(reference) for who in ("ours", "MediaPipe")
        )
        print(f"{what}: ours {ours:.2f}, MediaPipe {theirs:.2f}; goal for ours {goal:.2f}")


if __name__ == "__main__":
    main()
