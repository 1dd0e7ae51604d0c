import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from service.inference.calibration import PairCalibration
from service.inference.hands import Box, Hand
from service.inference.pipeline import Pipeline
from service.models.checkpoint import CARD, Checkpoint
from training.__main__ import main
from training.calibrate import (
    Calibrated,
    calibrate,
    compare,
    print_calibrations,
    score_samples,
    write_calibration,
)
from training.calibration import CalibrationError
from training.datasets import photos as photo_files
from training.datasets.coco import DatasetError
from training.datasets.types import HandLabel, LabelledImage
from training.photo_sets import photo_sets
from training.pipeline_figures import Answer, ask


def hand(x: float, score: float, presence: float = 0.9, handedness: str = "right") -> Hand:
    keypoints = np.zeros((21, 2), np.float32)
    sure = np.full(21, score, np.float32)
    return Hand(Box(x, 0, 100, 100), score, presence, handedness, 0.75, keypoints, sure)


def photo(right: int, wrong: int, score: float, source: str = "", keypoints: bool = False) -> Answer:
    """A photo with `right` true and `wrong` false hands of one score, of which every other keypoint may be known: half
    a hand off for every tenth true hand, and in its place otherwise.
    """
    labels = []
    for i in range(right):
        box, known = np.array([200 * i, 0, 100, 100], np.float32), np.arange(21) % 2 == 0
        places = np.full((21, 2), 50 if i % 10 == 9 else 0, np.float32)
        places[~known] = 1e6
        label = HandLabel(box, keypoints=places, labelled=known) if keypoints else HandLabel(box)
        labels.append(replace(label, handedness="right"))
    hands = tuple(hand(200 * i, score) for i in range(right + wrong))
    return Answer(hands, tuple(labels), 1000, source)


def test_what_is_claimed_and_whether_it_is_so() -> None:
    unsure = Answer((hand(0, 0.8, presence=0.1),), (), 640)
    samples = score_samples([photo(2, 1, 0.6), unsure, photo(0, 5, 0.9, "street")], 0.3, ("str",))
    score = samples["hand score"]
    assert score.scores.tolist() == pytest.approx([0.6, 0.6, 0.6])  # the unsure one would not be served
    assert score.correct.tolist() == [True, True, False]
    assert samples["hand head"].scores.tolist() == pytest.approx([0.9, 0.9, 0.9, 0.1])
    assert samples["hand head"].correct.tolist() == [True, True, False, False]
    assert samples["handedness"].correct.tolist() == [True, True]
    assert samples["handedness"].scores.tolist() == pytest.approx([0.75, 0.75])


def test_a_keypoint_is_right_within_a_tenth_of_the_hand() -> None:
    def near(off: float, presence: float = 0.9) -> list[bool]:
        box, places = np.array([0, 0, 60, 100], np.float32), np.zeros((21, 2), np.float32)
        places[3] = off
        found = Answer((hand(0, 0.8, presence),), (HandLabel(box, keypoints=places),), 640)
        claims = score_samples([found], 0.3)["keypoint score"]
        assert claims.scores.tolist() == pytest.approx([0.8] * len(claims.correct))
        return list(claims.correct)

    assert near(7.0) == [True] * 21
    assert near(7.2) == [True] * 3 + [False] + [True] * 17
    assert near(7.2, presence=0.1) == []  # would not be served


def test_of_keypoints_those_that_are_labelled_count() -> None:
    claims = score_samples([photo(10, 3, 0.6, keypoints=True), photo(2, 0, 0.4)], 0.3)["keypoint score"]
    assert claims.scores.tolist() == pytest.approx([0.6] * 110)
    assert claims.correct.tolist() == [True] * 99 + [False] * 11


def test_a_map_fitted_on_one_set_repairs_another() -> None:
    def photos(count: int) -> list[Answer]:
        """Scores of 0.6 are right in nine of ten cases, of 0.3 in one of ten."""
        return [p for _ in range(count) for p in (photo(9, 1, 0.6), photo(1, 9, 0.3))]

    calibrations = compare(score_samples(photos(5), 0.3), score_samples(photos(40), 0.3))
    score = next(c for c in calibrations if c.name == "hand score")
    assert score.before.ece == pytest.approx(0.25)
    assert score.after is not None
    assert score.after.ece < 0.02
    # Everything said of the side was right: there is nothing to fit.
    side = next(c for c in calibrations if c.name == "handedness")
    assert (side.fitted, side.after) == (None, None)
    assert "0 wrong" in side.why
    text = io.StringIO()
    print_calibrations("photos", calibrations, Console(file=text, width=140))
    assert "0.250" in text.getvalue()
    assert f"{score.fitted.slope:.3f}" in text.getvalue()


def test_a_curve_has_a_row_of_its_own_kind() -> None:
    samples = score_samples([photo(18, 2, score, keypoints=True) for score in (0.2, 0.5, 0.8)] * 20, 0.3)
    calibrations = compare(samples, samples)
    text = io.StringIO()
    print_calibrations("photos", calibrations, Console(file=text, width=140))
    row = next(line for line in text.getvalue().splitlines() if "keypoint score" in line)
    *_, ece, slope, offset, after = (cell.strip() for cell in row.strip("│").split("│"))
    keypoints = calibrations[-1]
    assert (ece, slope, offset) == (f"{keypoints.before.ece:.3f}", "a curve", "")
    assert after == f"{keypoints.after.ece:.3f}" != ece


def test_what_is_written_is_fitted_to_scores_as_the_models_give_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("training.calibrate.calibrate", lambda p, *_: seen.append(p.calibration) or {})
    monkeypatch.setattr("training.calibrate.write_calibration", lambda *_: None)
    for options in ([], ["--write"]):
        main(["--data", str(root), "evaluate", "--calibration", *options, "tests/photos/labels.json"])
    assert seen == [Pipeline.load().calibration, PairCalibration()]


def test_a_pair_is_calibrated_on_the_photos_its_recipe_names(root: Path, tmp_path: Path) -> None:
    folder = root / "tests" / "photos"
    pipeline = Pipeline.load()
    (photos,) = photo_sets([folder / "labels.json"])
    best = [a.scores.max(initial=0) for a in ask(pipeline, photos.photos)]
    least = photos.photos.entries[int(np.argmin(best))].path
    # The photo whose hand is the least sure is said to show none: what is found there is wrong.
    content = json.loads((folder / "labels.json").read_text())
    (left_out,) = (image for image in content["images"] if image["file_name"] == least.name)
    content["images"].remove(left_out)
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != left_out["id"]]
    for image in content["images"]:
        image["file_name"] = str(folder / image["file_name"])
    (tmp_path / "labels.json").write_text(json.dumps(content))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / least.name).write_bytes(least.read_bytes())
    recipe = {"data": {"photos": ["labels.json"], "negatives": ["empty"]}}
    found = calibrate(pipeline, [photos], recipe, tmp_path)["labels.json"]
    score = next(c for c in found if c.name == "hand score")
    assert score.before.count >= 3
    assert score.fitted is not None
    with pytest.raises(ValueError, match="names no COCO keypoint files"):
        calibrate(pipeline, [photos], {"data": {"kind": "egohands"}}, tmp_path)


def test_keypoints_are_calibrated_on_new_scenes_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline.load()
    (photos,) = photo_sets([root / "tests" / "photos" / "labels.json"])

    def scenes(data: dict, root: Path) -> Iterator[LabelledImage]:
        """The photos, as if eleven of their keypoints were elsewhere."""
        for photo in map(photos.photos.__getitem__, range(len(photos.photos))):
            hands = [
                replace(h, keypoints=h.keypoints + 1000 * (np.arange(21) < 11)[:, None]) for h in photo.hands
            ]
            yield replace(photo, hands=tuple(hands))

    def keypoints(share: dict[str, float]) -> Calibrated:
        recipe = {"data": {"photos": ["tests/photos/labels.json"], "share": share}}
        return calibrate(pipeline, [photos], recipe, root)["labels.json"][-1]

    monkeypatch.setattr("training.calibrate._new_scenes", scenes)
    assert "and 0 wrong" in keypoints({"single": 1.0}).why  # the photos say that all are right
    new = keypoints({"single": 0.5, "scene": 0.5})
    assert new.name == "keypoint score"
    assert new.after is not None
    assert new.after.mean_confidence == pytest.approx(10 / 21, abs=0.02)


def test_listed_photos_without_hands_count_without_a_folder_of_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_files, "RECIPES", tmp_path)
    pipeline = Pipeline.load()
    (photos,) = photo_sets([root / "tests" / "photos" / "labels.json"])
    data = {"photos": ["tests/photos/labels.json"], "negatives": [], "hand_free": "free.txt"}
    (tmp_path / "free.txt").write_text("tests/photos/none.jpg\n")
    with pytest.raises(DatasetError, match=r"none\.jpg is missing"):
        calibrate(pipeline, [photos], {"data": data}, root)


def test_the_map_goes_into_the_card_and_is_served(root: Path, tmp_path: Path) -> None:
    weights = root / "service" / "weights"
    pose = shutil.copytree(weights / "pose", tmp_path / "pose")
    detector = Checkpoint.load(weights / "detector")
    photos = [p for _ in range(20) for p in (photo(18, 2, 0.6, keypoints=True), photo(2, 18, 0.3))]
    photos += [photo(50, 450, 0.3, keypoints=True)]
    calibrations = compare(score_samples(photos, 0.3), score_samples(photos, 0.3))
    write_calibration(pose, detector, {"photos": calibrations}, "fit it")
    card = Checkpoint.load(pose, "pose").card
    assert card.score_calibration is not None
    assert card.keypoint_calibration is not None
    assert card.score_calibration.command == card.keypoint_calibration.command == "fit it"
    calibration = Pipeline.load(weights / "detector", pose).calibration
    assert calibration.hand(0.6) == pytest.approx(0.9, abs=0.02)
    assert calibration.hand(0.3) == pytest.approx(0.1, abs=0.02)
    assert calibration.keypoints(np.array([0.3, 0.6])) == pytest.approx([0.9, 17 / 18], abs=0.03)


def test_without_labelled_keypoints_their_score_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    weights = root / "service" / "weights"
    pose = shutil.copytree(weights / "pose", tmp_path / "pose")
    samples = score_samples([p for _ in range(20) for p in (photo(9, 1, 0.6), photo(1, 9, 0.3))], 0.3)
    calibrations = compare(samples, samples)
    assert calibrations[-1].why.startswith("0 right and 0 wrong")
    write_calibration(pose, Checkpoint.load(weights / "detector"), {"photos": calibrations}, "fit it")
    card = Checkpoint.load(pose, "pose").card
    assert (card.score_calibration is None, card.keypoint_calibration) == (False, None)


def test_what_could_not_be_fitted_is_not_written(root: Path, tmp_path: Path) -> None:
    pose = shutil.copytree(root / "service" / "weights" / "pose", tmp_path / "pose")
    before = (pose / CARD).read_bytes()
    detector = Checkpoint.load(root / "service" / "weights" / "detector")
    samples = score_samples([photo(3, 0, 0.6)], 0.3)
    with pytest.raises(CalibrationError, match="0 wrong"):
        write_calibration(pose, detector, {"photos": compare(samples, samples)}, "fit it")
    assert (pose / CARD).read_bytes() == before
