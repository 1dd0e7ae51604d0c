"""How right the default pair is, with MediaPipe Hands 0.10.21 beside it: `python benchmarks/accuracy.py --slices`.

Both see the same pictures and tell at most `--max-hands` hands; ours with a score of at least `--min-score` from ONNX
Runtime, MediaPipe in static image mode with model complexity 1 and its own thresholds, in a process and an environment
of its own, which is made on the first run.

recall, precision   of boxes at IoU 0.5. MediaPipe has none: the box of its keypoints, with the margin that suits it
                    best
found               share of hands that a told one lies on (IoU 0.2)
PCK@0.1, PCK@0.2    share of keypoints that are off by less than this share of the larger side of the hand's box; those
                    of a hand that was not found are wrong
handedness          share of found hands with the right label; MediaPipe's is unmirrored
false per 100       told hands for each hundred photos without any

The keypoints of `val` are MediaPipe's own opinion: only ours can be compared with them.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from accuracy_figures import Figures, FoundHand, Judged, box_around, judge
from accuracy_sets import PictureSet, damaged_sets, empty_sets, photo_sets, slice_sets
from accuracy_sheet import Example, write_sheet
from mediapipe_hands import MediaPipe, environment
from numpy.typing import NDArray
from rich.box import HEAVY_HEAD, MARKDOWN
from rich.console import Console
from rich.table import Table

from service.engines.factory import Runtime
from service.inference.cores import available_cores
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE, Pipeline, Thresholds
from training.datasets.synthetic.slice_layouts import SLICES
from training.options import add_precision
from training.paths import data_root

RUNS = Path(__file__).resolve().parent.parent / "runs"
COLUMNS = ("recall", "precision", "found", "PCK@0.1", "PCK@0.2", "handedness")
System = Callable[[NDArray[np.uint8], float], list[FoundHand]]


def main() -> None:
    options = arguments()
    cv2.setNumThreads(1)
    data = data_root(options.data)
    sets = chosen(data, options)
    python = options.mediapipe_python or environment(options.runs / "mediapipe")
    thresholds = Thresholds(doubtful=0.0, doubtful_side=0.0) if options.one_look else Thresholds()
    pipeline = Pipeline.load(options.detector, options.pose, thresholds, Runtime(precision=options.precision))
    cache = None if options.fresh else options.runs / "mediapipe-answers"
    examples: dict[str, list[Example]] = {}
    rows: list[tuple[PictureSet, Figures, Figures]] = []
    with MediaPipe(python, options.max_hands, cache=cache) as mediapipe:
        systems = (ours(pipeline, options.max_hands, options.min_score), theirs(mediapipe))
        for pictures in sets:
            figures, found = measure(pictures, systems, keep=options.sheet is not None)
            rows.append((pictures, *figures))
            examples[pictures.title] = found
    print_tables(rows, options.markdown)
    if options.sheet is not None:
        write_sheet(options.sheet, examples)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", action="store_true", help="rendered hold-outs too")
    parser.add_argument(
        "--damaged", action="store_true", help="photos of bad cameras and links, and from far away, too"
    )
    parser.add_argument("--only", nargs="+", metavar="SET", help="these sets alone, by name")
    parser.add_argument("--count", type=int, default=120, help="pictures of each slice (default 120)")
    parser.add_argument("--detector", type=Path, default=DEFAULT_DETECTOR, help="checkpoint folder")
    parser.add_argument("--pose", type=Path, default=DEFAULT_POSE, help="checkpoint folder")
    add_precision(parser)
    parser.add_argument("--one-look", action="store_true", help="no second look at doubtful hands")
    parser.add_argument("--max-hands", type=int, default=4)
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where slices and MediaPipe are kept")
    parser.add_argument("--mediapipe-python", type=Path, help="an interpreter that has mediapipe 0.10.21")
    parser.add_argument("--fresh", action="store_true", help="ask MediaPipe again, without kept answers")
    parser.add_argument("--processes", type=int, default=available_cores(), help="that render")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet, JPEG or PNG")
    return parser.parse_args()


def chosen(data: Path, options: argparse.Namespace) -> list[PictureSet]:
    """The sets that were asked for. Exits when one is unknown."""
    photos, damaged = photo_sets(data) + empty_sets(data), damaged_sets(data)
    names = options.only or [
        *(each.name for each in photos),
        *(each.name for each in damaged if options.damaged),
        *(name for name in SLICES if options.slices),
    ]
    known = [*(each.name for each in photos + damaged), *SLICES]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no set {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = [name for name in SLICES if name in names]
    slices = slice_sets(data, options.runs / "slices", options.count, wanted, options.processes)
    return [each for each in (*photos, *damaged, *slices) if each.name in names]


def ours(pipeline: Pipeline, max_hands: int, min_score: float) -> System:
    """The service's own answer, as the harness takes it."""

    def tell(image: NDArray[np.uint8], padding: float) -> list[FoundHand]:
        return [
            FoundHand(
                np.array([hand.box.x, hand.box.y, hand.box.width, hand.box.height], np.float32),
                hand.keypoints,
                hand.handedness,
            )
            for hand in pipeline.hands(image, max_hands=max_hands, min_score=min_score)
        ]

    return tell


def theirs(mediapipe: MediaPipe) -> System:
    """MediaPipe's answer, with boxes around its keypoints."""

    def tell(image: NDArray[np.uint8], padding: float) -> list[FoundHand]:
        height, width = image.shape[:2]
        return [
            FoundHand(box_around(hand.keypoints, padding, width, height), hand.keypoints, hand.handedness)
            for hand in mediapipe(image)
        ]

    return tell


def measure(
    pictures: PictureSet, systems: tuple[System, System], keep: bool = False
) -> tuple[tuple[Figures, Figures], list[Example]]:
    """Figures of both systems on a set; with `keep`, every picture with both answers."""
    figures = (Figures(), Figures())
    examples = []
    for picture in pictures.pictures:
        told = [system(picture.image, pictures.padding) for system in systems]
        outcomes: list[Judged] = [judge(picture, hands) for hands in told]
        for sums, outcome in zip(figures, outcomes, strict=True):
            sums.add(outcome)
        if keep:
            examples.append(Example(picture, told[0], told[1], outcomes[0], outcomes[1]))
    return figures, examples


def print_tables(rows: Sequence[tuple[PictureSet, Figures, Figures]], markdown: bool) -> None:
    """Every set with hands in one table, those without in another; each cell ours / MediaPipe's."""
    style = MARKDOWN if markdown else HEAVY_HEAD
    table = Table("ours / MediaPipe", box=style)
    for title in ("pictures", "hands", *COLUMNS):
        table.add_column(title, justify="right", no_wrap=True)
    empty = Table("ours / MediaPipe", "pictures", "false hands per 100 pictures", box=style)
    for pictures, mine, other in rows:
        if not mine.hands:
            cells = [f"{figures.values()['false per 100']:.1f}" for figures in (mine, other)]
            empty.add_row(pictures.title, str(mine.pictures), " / ".join(cells))
            continue
        cells = [cell(name, pictures, mine.values(), other.values()) for name in COLUMNS]
        table.add_row(pictures.title, str(mine.pictures), str(mine.hands), *cells)
    console = Console(width=170)
    for each in (table, empty):
        if each.row_count:
            console.print(each)


def cell(name: str, pictures: PictureSet, mine: dict[str, float], other: dict[str, float]) -> str:
    """Ours / MediaPipe's; empty where the set does not tell."""
    about_boxes = name in ("recall", "precision")
    if name not in mine or (about_boxes and not pictures.boxes):
        return ""
    if not (about_boxes or name == "found" or pictures.keypoints):
        return ""
    if pictures.teacher:
        return f"{mine[name]:.3f} / —"
    return f"{mine[name]:.3f} / {other[name]:.3f}" if name in other else f"{mine[name]:.3f} / —"


if __name__ == "__main__":
    main()
