"""MediaPipe Hands as a process of its own, since its numpy is older than ours: pictures in, hands out.

Started by `mediapipe_hands.py` with the interpreter of an environment that has MediaPipe; imports nothing of this
project. On standard input, for each picture: one line of JSON with `height` and `width`, then the bytes of an
(height, width, 3) uint8 RGB picture. On standard output, one line of JSON for each: `hands`, best first as MediaPipe
gives them (`keypoints`: 21 × x, y in pixels; `handedness`: of the unmirrored picture; `score`), and `milliseconds`.
"""

import argparse
import json
import os
import sys
import time
from typing import BinaryIO

import mediapipe
import numpy as np

# MediaPipe names hands as if it looked into a mirror.
UNMIRRORED = {"Left": "right", "Right": "left"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-hands", type=int, default=4)
    parser.add_argument("--tracking", action="store_true", help="static_image_mode off")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints must not get between the answers
    with mediapipe.solutions.hands.Hands(
        static_image_mode=not options.tracking,
        max_num_hands=options.max_hands,
        model_complexity=1,
    ) as hands:
        print(json.dumps({"version": mediapipe.__version__}), file=answers, flush=True)
        while line := sys.stdin.buffer.readline():
            shape = json.loads(line)
            image = read_picture(sys.stdin.buffer, shape["height"], shape["width"])
            started = time.perf_counter()
            result = hands.process(image)
            seconds = time.perf_counter() - started
            answer = {"hands": as_records(result, *image.shape[:2]), "milliseconds": 1e3 * seconds}
            print(json.dumps(answer), file=answers, flush=True)


def read_picture(stream: BinaryIO, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB. Raises EOFError when the stream ends within the picture."""
    data = stream.read(height * width * 3)
    if len(data) != height * width * 3:
        raise EOFError(f"{len(data)} bytes of a picture of {height} x {width} pixels")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def as_records(result, height: int, width: int) -> list[dict]:
    """MediaPipe's answer as plain values; its coordinates are shares of the picture's sides."""
    records = []
    for points, sides in zip(result.multi_hand_landmarks or (), result.multi_handedness or (), strict=True):
        side = sides.classification[0]
        records.append(
            {
                "keypoints": [[point.x * width, point.y * height] for point in points.landmark],
                "handedness": UNMIRRORED[side.label],
                "score": side.score,
            }
        )
    return records


if __name__ == "__main__":
    main()
