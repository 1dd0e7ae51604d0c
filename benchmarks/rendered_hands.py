"""What the pose network knows of rendered hands it was not trained on, whose truth is exact: hidden keypoints,
handedness and depth as well.

    python benchmarks/rendered_hands.py [--count 600] [--pose service/weights/pose]

Held out are the random numbers (every pose, look, light and place differs) and the background photos; not the meshes
that bodies are blended of. Crops are of true boxes. Needs the data folder's photos (docs/training.md).
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines.factory import Runtime, load_pair
from service.inference.geometry import Crop, Pyramid
from service.inference.hands import Box
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE
from training.datasets.synthetic.backgrounds import Backgrounds, held_out
from training.datasets.synthetic.crops import render_crop
from training.metrics import pck
from training.options import add_precision
from training.paths import data_root

SEED = 10**9  # far from those of training pools
SIZE = 224
_BATCH = 16


def main() -> None:
    """Render, ask, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--pose", type=Path, default=DEFAULT_POSE, help="checkpoint folder")
    add_precision(parser)
    parser.add_argument("--data", type=Path, help="data folder")
    options = parser.parse_args()
    folder = data_root(options.data) / "backgrounds"
    backgrounds = Backgrounds([folder], exclude=lambda path: not held_out(path))
    pair = load_pair(DEFAULT_DETECTOR, options.pose, Runtime(precision=options.precision))
    engine = pair.pose
    found: dict[str, list[NDArray[np.floating]]] = {name: [] for name in ("error", "score", "right", "depth")}
    visible, is_right, reach = [], [], []
    for start in range(0, options.count, _BATCH):
        hands, crops, cut = [], [], []
        for index in range(start, min(start + _BATCH, options.count)):
            picture = render_crop(SEED + index, SIZE, backgrounds)
            hands.append(picture.hands[0])
            crops.append(Crop.around(Box(*(float(v) for v in picture.hands[0].box)), engine.input_size))
            cut.append(crops[-1].cut(Pyramid(picture.image)))
        poses = engine(np.stack(cut))
        for i, (hand, crop) in enumerate(zip(hands, crops, strict=True)):
            assert hand.keypoints is not None
            assert hand.visible is not None
            assert hand.depth is not None
            side = hand.box[2:].max()
            off = np.linalg.norm(crop.to_picture(poses.keypoints[i]) - hand.keypoints, axis=1)
            found["error"].append(off / side)
            found["score"].append(pair.calibration.keypoints(poses.scores[i]))
            found["right"].append(poses.right[i])
            visible.append(hand.visible)
            is_right.append(hand.handedness == "right")
            reach.append(np.abs(hand.depth) / side)
            if poses.depth is not None:
                found["depth"].append(np.abs(poses.depth[i] * crop.side / crop.size - hand.depth) / side)
    error, score, seen = np.array(found["error"]), np.array(found["score"]), np.array(visible)
    print(f"{len(error)} rendered hands, {1 - seen.mean():.0%} of the keypoints hidden")
    for name, those in (("all", np.ones_like(seen)), ("visible", seen), ("hidden", ~seen)):
        near, far = pck(error[those], 0.1), pck(error[those], 0.2)
        print(
            f"{name:8} PCK@0.1 {near:.3f}  PCK@0.2 {far:.3f}  mean keypoint score {score[those].mean():.3f}"
        )
    print(f"handedness {((np.array(found['right']) > 0.5) == np.array(is_right)).mean():.3f}")
    if found["depth"]:
        print(f"depth: mean error {np.mean(found['depth']):.3f} of the hand's size; ", end="")
        print(f"saying 0 everywhere: {np.mean(reach):.3f}")


if __name__ == "__main__":
    main()
