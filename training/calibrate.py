"""How well a pair's scores are calibrated on photos it never saw, and the maps that training photos and new rendered
scenes suggest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from service.inference.calibration import CalibrationCurve
from service.inference.hands import Hand
from service.inference.pipeline import Pipeline
from service.models.checkpoint import Checkpoint, change_card
from training.calibration import CalibrationError, Platt, Reliability, fit_curve, fit_platt, reliability
from training.datasets.photos import photos_without_hands, training_photos
from training.datasets.synthetic import Backgrounds, render_scene
from training.datasets.synthetic.pool import item_seed
from training.datasets.types import HandLabel, LabelledImage
from training.evaluate import known_keypoints
from training.photo_sets import PhotoSet, thin_out
from training.pipeline_figures import Answer, ask, ask_one

# Photos that calibrations are fitted on, and scenes rendered for them: enough for two numbers, and for a curve.
FIT_PHOTOS, FIT_SCENES = 2500, 800
_SCENES_SEED = 9_001  # of no recipe
HAND_SCORE, KEYPOINT_SCORE = "hand score", "keypoint score"
_NEAR = 0.1  # of the larger side of a hand's tight box: how far off a keypoint may be that is right
_CHOICE = "handedness"  # between two: 0.5 must stay 0.5


@dataclass(frozen=True, eq=False)
class Scored:
    """One kind of score: (N,) values in [0, 1], and (N,) whether what each claims is so."""

    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """One kind of score on photos never trained on: as it is, and through the map fitted elsewhere.

    fitted, after: None where nothing could be fitted, and why.
    """

    name: str
    before: Reliability
    fitted: Platt | CalibrationCurve | None
    after: Reliability | None
    why: str = ""


def score_samples(
    answers: Sequence[Answer], presence: float, incomplete: Sequence[str] = ()
) -> dict[str, Scored]:
    """What the pair claims, score by score, and whether it is so.

    A hand is one when it overlaps a labelled hand by IoU 0.5 or more that no better-scored hand has. `hand score`: of
    hands that would be served, with at least `presence`; `hand head`: the pose network's probability that a crop shows
    a hand, of everything the detector proposes; `handedness`: the probability of the label, where truth is known;
    `keypoint score`: of served hands that are one, and that the keypoint is within a tenth of the hand's size of its
    label.
    incomplete: sources (or how their names start) with unlabelled hands; left out.
    """
    kept = [a for a in answers if not (incomplete and a.source.startswith(tuple(incomplete)))]
    found = [
        (hand, a.labels[match] if match >= 0 else None)
        for a in kept
        for hand, match in zip(a.hands, a.matches, strict=True)
    ]
    served = [(hand, label) for hand, label in found if hand.presence >= presence]
    sided = [
        (hand.handedness_score, hand.handedness == label.handedness)
        for hand, label in found
        if label is not None and label.handedness is not None
    ]
    placed = [claim for hand, label in served if label is not None for claim in _keypoint_claims(hand, label)]
    return {
        HAND_SCORE: _scored([(hand.score, label is not None) for hand, label in served]),
        "hand head": _scored([(hand.presence, label is not None) for hand, label in found]),
        _CHOICE: _scored(sided),
        KEYPOINT_SCORE: _scored(placed),
    }


def _keypoint_claims(hand: Hand, label: HandLabel) -> list[tuple[float, bool]]:
    """The score of each labelled keypoint, and whether it is near enough."""
    if label.keypoints is None:
        return []
    off = np.linalg.norm(hand.keypoints - label.keypoints, axis=1) / label.box[2:].max()  # (21,)
    known = known_keypoints(label)
    return list(zip(hand.keypoint_scores[known].tolist(), (off[known] <= _NEAR).tolist(), strict=True))


def compare(measured: Mapping[str, Scored], fitted: Mapping[str, Scored]) -> list[Calibrated]:
    """Reliability of each score on `measured`, before and after the map fitted on `fitted`."""
    calibrations = []
    for name, sample in measured.items():
        before = reliability(sample.scores, sample.correct)
        try:
            calibration = _fit(name, fitted[name])
        except CalibrationError as error:
            calibrations.append(Calibrated(name, before, None, None, str(error)))
            continue
        after = reliability(calibration(sample.scores), sample.correct)
        calibrations.append(Calibrated(name, before, calibration, after))
    return calibrations


def _fit(name: str, claims: Scored) -> Platt | CalibrationCurve:
    if name == KEYPOINT_SCORE:
        return fit_curve(claims.scores, claims.correct)
    return fit_platt(claims.scores, claims.correct, offset=name != _CHOICE)


def calibrate(
    pipeline: Pipeline, sets: Sequence[PhotoSet], recipe: Mapping[str, Any], root: Path
) -> dict[str, list[Calibrated]]:
    """The calibration of a pair on each set of photos, by its name.

    recipe: of the detector, as its card has it; `data.photos`, `data.negatives` and `data.hand_free` say which photos
    of the data folder `root` the maps are fitted on, at most `FIT_PHOTOS` with hands. A detector knows these by heart,
    so where it learnt from rendered scenes as well, `FIT_SCENES` that it never saw are rendered, and those that are
    labelled in full count too; keypoints are fitted on those alone. Where the pair is calibrated already, the maps come
    on top of that. Raises ValueError if the recipe names no photos.
    """
    data = recipe.get("data", {})
    if not data.get("photos"):
        raise ValueError(
            "the detector's recipe names no COCO keypoint files that a calibration could be fitted on"
        )
    incomplete = tuple(data.get("incomplete_sources", ()))
    # Everything that the detector proposes, so that the hand head is judged on what it turns away too.
    thresholds = replace(pipeline.thresholds, presence=0.0)
    everything = Pipeline(
        pipeline.detector_engine,
        pipeline.pose_engine,
        thresholds=thresholds,
        calibration=pipeline.calibration,
    )
    presence = pipeline.thresholds.presence
    found_hands, wrong_labels = data.get("found_hands", ""), data.get("wrong_labels", "")
    learnt = training_photos(root, data["photos"], found_hands, wrong_labels, incomplete)
    learnt.entries = [entry for entry in learnt.entries if entry.complete]
    answers = ask(everything, thin_out(learnt, FIT_PHOTOS))
    negatives = photos_without_hands(root, data.get("negatives", ()), data.get("hand_free", ""))
    answers += [ask_one(everything, negatives[i], (), "negatives") for i in range(len(negatives))]
    unseen = []
    if data.get("share", {}).get("scene"):
        unseen = [ask_one(everything, s.image, s.hands, s.source) for s in _new_scenes(data, root)]
    fitted = score_samples(answers + unseen, presence)
    if unseen:  # keypoints of photos are known by heart, with the mistakes of their labels
        fitted[KEYPOINT_SCORE] = score_samples(unseen, presence)[KEYPOINT_SCORE]
    return {
        photos.name: compare(score_samples(ask(everything, photos.photos), presence, incomplete), fitted)
        for photos in sets
    }


def _new_scenes(data: Mapping[str, Any], root: Path) -> Iterator[LabelledImage]:
    """Scenes like those of a recipe's pool, and none of them; only such as are labelled in full."""
    backgrounds = Backgrounds.of_training(root, data["backgrounds"], data["negatives"])
    for number in range(FIT_SCENES):
        scene = render_scene(item_seed(_SCENES_SEED, number), data["rendered_size"], backgrounds)
        if scene.complete:
            yield scene


def write_calibration(
    pose: Path, detector: Checkpoint, calibrations: Mapping[str, Sequence[Calibrated]], command: str
) -> None:
    """Store the maps of the hand score, for use with this detector, and of the keypoint score in a pose checkpoint's
    card; without the second where no keypoints were labelled.

    calibrations: as `calibrate` returns them for a pair that is not calibrated yet. Raises CalibrationError where
    no map of the hand score could be fitted, and CheckpointError for a folder whose files are not those of its card.
    """
    fitted = {calibrated.name: calibrated for calibrated in next(iter(calibrations.values()))}
    hand, keypoints = fitted[HAND_SCORE].fitted, fitted[KEYPOINT_SCORE].fitted
    if not isinstance(hand, Platt):
        raise CalibrationError(fitted[HAND_SCORE].why)
    fields: dict[str, Any] = {
        "score_calibration": {
            "detector": detector.identity,
            "slope": round(hand.slope, 4),
            "offset": round(hand.offset, 4),
            "command": command,
        },
        "keypoint_calibration": None,
    }
    if isinstance(keypoints, CalibrationCurve):
        fields["keypoint_calibration"] = {
            "scores": keypoints.scores,
            "probabilities": keypoints.probabilities,
            "command": command,
        }
    change_card(Checkpoint.load(pose, "pose"), **fields)


def print_calibrations(title: str, calibrations: Sequence[Calibrated], console: Console) -> None:
    """One row a kind of score."""
    table = Table("score", title=f"Calibration on {title}")
    for column in ("claims", "mean score", "correct", "ECE", "fitted slope", "offset", "ECE after"):
        table.add_column(column, justify="right")
    for c in calibrations:
        row = [
            c.name,
            str(c.before.count),
            f"{c.before.mean_confidence:.3f}",
            f"{c.before.mean_accuracy:.3f}",
        ]
        row.append(f"{c.before.ece:.3f}")
        if isinstance(c.fitted, Platt):
            row += [f"{c.fitted.slope:.3f}", f"{c.fitted.offset:+.3f}"]
        elif c.fitted is not None:
            row += ["a curve", ""]
        if c.after is not None:
            row.append(f"{c.after.ece:.3f}")
        table.add_row(*row)
    console.print(table)
    for c in calibrations:
        if c.why:
            console.print(f"{c.name}: not fitted, {c.why}")


def _scored(pairs: Sequence[tuple[float, bool]]) -> Scored:
    return Scored(np.array([s for s, _ in pairs], np.float64), np.array([c for _, c in pairs], bool))
