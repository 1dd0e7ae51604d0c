"""How far answers differ between engines and precisions: `python benchmarks/engines.py`.

Photos through the pair on ONNX Runtime in float32 are compared with what else can serve it here: 8-bit integers,
PyTorch on the CPU and, where there is one, on a CUDA device in float32, float16 and bfloat16 (install with `.[gpu]`).
Hands are taken in the order of the answer; photos in which their number differs are told and left out.
"""

import argparse
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engines.base import EngineError
from service.engines.factory import Runtime
from service.inference.hands import Hand
from service.inference.pipeline import Pipeline
from training.datasets.coco import DatasetError, read_rgb

PHOTOS = sorted((Path(__file__).resolve().parent.parent / "tests" / "photos").glob("*.jpg"))
REFERENCE = Runtime(engine="onnx", device="cpu", precision="float32")
OTHERS = (
    Runtime(engine="onnx", device="cpu", precision="int8"),
    Runtime(engine="torch", device="cpu", precision="float32"),
    Runtime(engine="torch", device="cuda", precision="float32"),
    Runtime(engine="torch", device="cuda", precision="float16"),
    Runtime(engine="torch", device="cuda", precision="bfloat16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="*", type=Path, default=PHOTOS, help="default: those of the tests")
    try:
        photos = [read_rgb(path) for path in parser.parse_args().photos]
    except DatasetError as error:
        raise SystemExit(error) from None
    reference = answers(REFERENCE, photos)
    print(
        f"{len(photos)} photos, {sum(map(len, reference))} hands; at most, beside ONNX Runtime in float32\n"
    )
    print(f"{'':<24}{'keypoints, % of the hand':>26}{'boxes, px':>12}{'scores':>10}")
    for runtime in OTHERS:
        name = f"{runtime.engine}, {runtime.device}, {runtime.precision}"
        try:
            others = answers(runtime, photos)
        except (EngineError, ImportError) as error:
            print(f"{name:<24}not here: {error}")
            continue
        same = [pair for pair in zip(reference, others, strict=True) if len(pair[0]) == len(pair[1])]
        each = [difference(a, b) for pair in same for a, b in zip(*pair, strict=True)]
        keypoints, boxes, scores = np.max([(0.0, 0.0, 0.0), *each], 0)
        note = f"; another number of hands in {len(photos) - len(same)}" if len(same) < len(photos) else ""
        print(f"{name:<24}{keypoints:26.2%}{boxes:12.3f}{scores:10.5f}{note}")


def answers(runtime: Runtime, photos: list[NDArray[np.uint8]]) -> list[list[Hand]]:
    """The hands of each photo (H, W, 3) uint8 RGB."""
    pipeline = Pipeline.load(runtime=runtime)
    return [pipeline.hands(photo) for photo in photos]


def difference(first: Hand, second: Hand) -> tuple[float, float, float]:
    """Of keypoints as a share of the box's larger side, of the box in pixels, and of the score; the largest of each."""
    box, other = np.array(astuple(first.box)), np.array(astuple(second.box))
    keypoints = np.abs(first.keypoints - second.keypoints).max() / box[2:].max()
    return float(keypoints), float(np.abs(box - other).max()), abs(first.score - second.score)


if __name__ == "__main__":
    main()
