import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from service.inference.pipeline import Pipeline
from service.models.keypoints import KEYPOINT_NAMES
from training.datasets.coco import CocoHands
from training.pose_metrics import PoseErrors
from training.tables import JOINT_COLUMNS, Judgement, joint_cells, judge, print_judgement


@pytest.fixture(scope="module")
def judgement(root: Path) -> Judgement:
    return judge(Pipeline.load(), CocoHands(root / "tests" / "photos" / "labels.json"), "labels.json")


def printed(judgement: Judgement, markdown: bool = False, joints: bool = False) -> str:
    text = io.StringIO()
    print_judgement(judgement, Console(file=text, width=140), markdown, joints)
    return text.getvalue()


def test_the_markdown_table_is_readmes(judgement: Judgement) -> None:
    lines = [line for line in printed(judgement, markdown=True).splitlines() if line.startswith("|")]
    assert lines[0].startswith("| `labels.json`, 4 photos, ")
    titles = [cell.strip() for cell in lines[0].split("|")[2:-1]]
    assert titles == ["recall", "precision", "AP50", "PCK@0.1", "PCK@0.2", "AUC", "error", "handedness"]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "detector",
        "pose, true boxes",
        "detector + pose",
    ]
    ap50 = float(lines[2].split("|")[4])
    assert ap50 == pytest.approx(judgement.rows["detector"]["ap50"], abs=0.0006)


def test_a_terminal_shows_more(judgement: Judgement) -> None:
    text = printed(judgement, joints=True)
    for words in ("AP75", "EPE px", "Detector by size of hand", "large, 32% and more", *KEYPOINT_NAMES):
        assert words in text, words
    assert "thumb_tip" not in printed(judgement)


def test_parts_that_are_not_judged_have_no_row(root: Path) -> None:
    photos = CocoHands(root / "tests" / "photos" / "labels.json")
    only = judge(Pipeline.load(), photos, "labels.json", ("detector",))
    assert (list(only.rows), only.errors) == (["detector"], None)
    assert "PCK" not in printed(only)


def test_a_keypoint_without_labels_has_empty_cells() -> None:
    errors = PoseErrors(np.full((1, 21), 2.5), np.array([50.0]), np.ones((1, 21), bool))
    cells = dict(zip(JOINT_COLUMNS, joint_cells(errors.joint(3)), strict=True))
    assert (cells["labelled"], cells["epe"], cells["pck_01"], cells["error"]) == (
        "1",
        "2.50",
        "1.000",
        "0.050",
    )
    errors.labelled[:] = False
    assert set(joint_cells(errors.joint(3))[1:]) == {""}
