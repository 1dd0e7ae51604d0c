"""How fast the training pictures are rendered, on one core: ``python benchmarks/rendering.py``."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from training.datasets.synthetic import Backgrounds, render_crop, render_scene
from training.datasets.types import LabelledImage

Render = Callable[[int, int, Backgrounds], LabelledImage]


def per_second(render: Render, size: int, count: int, backgrounds: Backgrounds) -> float:
    """Pictures per second of processor time, the compilation of the kernels and the first few left out."""
    for seed in range(20):
        render(seed, size, backgrounds)
    start = time.process_time()
    for seed in range(1000, 1000 + count):
        render(seed, size, backgrounds)
    return count / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure how fast training pictures are rendered on one core."
    )
    parser.add_argument(
        "--backgrounds", type=Path, nargs="*", default=[], help="folders of background photos"
    )
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    backgrounds = Backgrounds(options.backgrounds)
    print(f"{'picture':<12}{'side (px)':>10}{'per second':>12}")
    for name, render, sizes in (
        ("crop", render_crop, (128, 160, 192, 224)),
        ("scene", render_scene, (320, 416)),
    ):
        for size in sizes:
            print(f"{name:<12}{size:>10}{per_second(render, size, options.count, backgrounds):>12.1f}")


if __name__ == "__main__":
    main()
