"""How well boxes fit hands that were rendered, whose boxes are exact.

    python benchmarks/boxes.py [--count 40] [--detector service/weights/detector ...] [--answered]

Pictures of each slice of `benchmarks/accuracy.py`, with other random numbers than there and background photos that are
held out. Boxes are the detector's own, before keypoints have a say, or with --answered those that a single picture is
answered with. Each hand counts with the one that fits it best. Needs the data folder's photos (docs/training.md).
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines.factory import Runtime
from service.inference.geometry import overlaps
from service.inference.pipeline import DEFAULT_DETECTOR, Pipeline
from training.datasets.synthetic.backgrounds import Backgrounds, held_out
from training.datasets.synthetic.slice_layouts import SLICES
from training.datasets.synthetic.slices import render_slice
from training.datasets.types import LabelledImage
from training.options import add_precision
from training.paths import data_root

FIRST = 10**6  # far from the pictures of benchmarks/accuracy.py


def main() -> None:
    """Render, ask, print a table for each detector."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=40, help="pictures of each slice")
    parser.add_argument("--detector", type=Path, nargs="+", default=[DEFAULT_DETECTOR], help="checkpoints")
    parser.add_argument("--answered", action="store_true", help="boxes that the pair answers with")
    add_precision(parser)
    parser.add_argument("--data", type=Path, help="data folder")
    options = parser.parse_args()
    backgrounds = Backgrounds(
        [data_root(options.data) / "backgrounds"], exclude=lambda path: not held_out(path)
    )
    runtime = Runtime(precision=options.precision)
    pipelines = [Pipeline.load(folder, runtime=runtime) for folder in options.detector]
    print(f"{'slice':12} hands  IoU > 0.5, IoU > 0.75, mean IoU of those above 0.5; for each detector")
    for name in SLICES:
        pictures = [render_slice(name, FIRST + number, backgrounds) for number in range(options.count)]
        fits = [
            np.concatenate([_best_fits(pipeline, p, options.answered) for p in pictures])
            for pipeline in pipelines
        ]
        print(f"{name:12} {len(fits[0]):5}", *map(_told, fits), sep="  ")


def _best_fits(pipeline: Pipeline, picture: LabelledImage, answered: bool) -> NDArray[np.float32]:
    """(M,) for each hand the highest IoU with a box that is told."""
    look = partial(pipeline.hands, max_hands=8) if answered else pipeline.detect
    boxes = np.array([found.box.corners for found in look(picture.image)], np.float32)
    fits = []
    for hand in picture.hands:
        corners = np.concatenate([hand.box[:2], hand.box[:2] + hand.box[2:]])
        fits.append(overlaps(corners, boxes.reshape(-1, 4))[0].max(initial=0.0))
    return np.array(fits, np.float32)


def _told(fits: NDArray[np.float32]) -> str:
    found = fits[fits > 0.5]
    return f"{(fits > 0.5).mean():.3f} {(fits > 0.75).mean():.3f} {found.mean() if found.size else 0:.3f}"


if __name__ == "__main__":
    main()
