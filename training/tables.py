"""The tables that ``python -m training evaluate`` prints."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import HEAVY_HEAD, MARKDOWN
from rich.console import Console
from rich.table import Table

from service.inference.pipeline import Pipeline
from training.coco_metrics import CocoFigures, size_range
from training.evaluate import (
    THRESHOLD,
    Figures,
    LabelledPhotos,
    detect_in,
    estimate,
    hand_crops,
    pose_errors,
    pose_figures,
)
from training.pipeline_figures import ask, pipeline_figures
from training.pose_metrics import JointFigures, PoseErrors

# The columns of README's tables, and those that a terminal shows besides.
_COLUMNS = {
    "recall": "recall",
    "precision": "precision",
    "ap50": "AP50",
    "pck_0.1": "PCK@0.1",
    "pck_0.2": "PCK@0.2",
    "auc": "AUC",
    "error": "error",
    "handedness": "handedness",
}
_MORE_COLUMNS = {
    "ap": "AP",
    "ap75": "AP75",
    "ar": "AR",
    "auc_30px": "AUC 0–30 px",
    "epe": "EPE px",
    "epe_median": "median px",
}
FIGURE_NAMES: Mapping[str, str] = _COLUMNS | _MORE_COLUMNS
"""What people call a figure, by its key."""
_IN_PIXELS = frozenset({"epe", "epe_median"})
_WIDTH = 140

Part = Literal["detector", "pose", "both"]
ROWS: dict[Part, str] = {"detector": "detector", "pose": "pose, true boxes", "both": "detector + pose"}


@dataclass(frozen=True)
class Judgement:
    """What a pair of checkpoints measures on one set of photos. rows: figures by what was judged, as in `ROWS`.

    coco: of the detector. errors: of the pose network in true boxes. None where that part was not judged.
    """

    title: str
    rows: dict[str, Figures]
    coco: CocoFigures | None
    errors: PoseErrors | None


def judge(
    pipeline: Pipeline,
    photos: LabelledPhotos,
    title: str,
    parts: Sequence[Part] = ("detector", "pose", "both"),
) -> Judgement:
    """Measure `parts` of a pair on labelled photos.

    Raises ValueError if `pose` is among them and no hand has keypoints.
    """
    rows: dict[str, Figures] = {}
    coco = errors = None
    if "detector" in parts:
        found = detect_in(pipeline.detector_engine, photos, pipeline.detector_engine.input_size)
        coco = found.coco
        rows[ROWS["detector"]] = found.figures(THRESHOLD)
    if "pose" in parts:
        crops = hand_crops(photos, pipeline.pose_engine.input_size)
        poses = estimate(pipeline.pose_engine, crops.crops)
        errors = pose_errors(poses, crops)
        rows[ROWS["pose"]] = pose_figures(poses, crops)
    if "both" in parts:
        rows[ROWS["both"]] = pipeline_figures(ask(pipeline, photos))
    hands = sum(len(entry.hands) for entry in photos.entries)
    return Judgement(f"{title}, {len(photos)} photos, {hands} hands", rows, coco, errors)


def print_judgement(
    judgement: Judgement, console: Console, markdown: bool = False, joints: bool = False
) -> None:
    """The main table; in a terminal also the detector's figures by the size of hands; with `joints` every keypoint."""
    _print_rows(judgement.title, judgement.rows, _COLUMNS, console, markdown)
    if not markdown:
        _print_rows("More figures", judgement.rows, _MORE_COLUMNS, console)
    if judgement.coco is not None and not markdown:
        print_sizes(judgement.coco, console)
    if judgement.errors is not None and joints:
        print_joints(judgement.errors, console, markdown)


def _print_rows(
    title: str,
    rows: Mapping[str, Figures],
    columns: Mapping[str, str],
    console: Console,
    markdown: bool = False,
) -> None:
    """A table with those columns that some row has."""
    shown = {key: name for key, name in columns.items() if any(key in figures for figures in rows.values())}
    table = _table(title, "", shown.values(), markdown)
    for name, figures in rows.items():
        table.add_row(name, *(_cell(key, figures) for key in shown))
    console.print(table)


def print_sizes(coco: CocoFigures, console: Console) -> None:
    """COCO's figures by the size of hands."""
    columns = ("hands", "AP", "AP50", "AR")
    table = _table("Detector by size of hand", "side of the box / longer side of the photo", columns, False)
    for name, figures in coco.by_size.items():
        values = (figures.ap, figures.ap50, figures.ar)
        table.add_row(
            f"{name}, {size_range(name)}",
            str(figures.hands),
            *(f"{v:.3f}" if figures.hands else "" for v in values),
        )
    console.print(table)


def print_joints(errors: PoseErrors, console: Console, markdown: bool = False) -> None:
    """One row a keypoint, and one for all."""
    table = _table("Keypoint by keypoint, true boxes", "keypoint", JOINT_COLUMNS.values(), markdown)
    for joint in (*errors.joints(), errors.joint()):
        table.add_row(joint.name, *joint_cells(joint))
    console.print(table)


JOINT_COLUMNS: Mapping[str, str] = {
    "labelled": "hands",
    "pck_01": "PCK@0.1",
    "pck_02": "PCK@0.2",
    "auc": "AUC 0–0.5",
    "auc_30px": "AUC 0–30 px",
    "epe": "EPE px",
    "epe_median": "median px",
    "error": "error",
}
"""What is told of a keypoint: field of `JointFigures`, title of its column."""


def joint_cells(joint: JointFigures) -> list[str]:
    """The cells of a keypoint's row, in the order of `JOINT_COLUMNS`."""
    cells = []
    for field in JOINT_COLUMNS:
        value = getattr(joint, field)
        if field == "labelled":
            cells.append(str(value))
        else:
            cells.append(
                "" if math.isnan(value) else f"{value:.2f}" if field in _IN_PIXELS else f"{value:.3f}"
            )
    return cells


def console() -> Console:
    """Where tables are printed: wide enough for all columns, wherever the output goes."""
    return Console(width=_WIDTH)


def _cell(key: str, figures: Figures) -> str:
    if key not in figures:
        return ""
    return f"{figures[key]:.2f}" if key in _IN_PIXELS else f"{figures[key]:.3f}"


def _table(title: str, first: str, columns: Iterable[str], markdown: bool) -> Table:
    file, _, rest = title.partition(",")
    corner = (f"`{file}`,{rest}" if rest else title) if markdown else first
    table = Table(corner, title=None if markdown else title, box=MARKDOWN if markdown else HEAVY_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    return table
