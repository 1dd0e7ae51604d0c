"""Which labelled photos a network learns from, which a checkpoint is judged on, and what can be judged there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from training.checks import warn_of_unknown_sources
from training.datasets.coco import CocoHands
from training.datasets.egohands import EgoHands
from training.datasets.freihand import FreiHand
from training.datasets.photos import evenly_spaced, training_photos
from training.evaluate import LabelledPhotos
from training.recipe import VALIDATION, DataSection
from training.tables import Part

_Photos = TypeVar("_Photos", CocoHands, FreiHand, EgoHands)


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Labelled photos, their name, and the parts of a pair that are judged on them."""

    name: str
    photos: LabelledPhotos
    parts: tuple[Part, ...]


def photos_to_learn(section: DataSection, data: Path) -> CocoHands:
    """The photos of a recipe, with what it knows to be wrong with them. data: the data folder.

    Sources that it names and no photo has are logged. Raises DatasetError as `training_photos` does.
    """
    photos = training_photos(
        data, section.photos, section.found_hands, section.wrong_labels, section.incomplete_sources
    )
    warn_of_unknown_sources(section, photos)
    return photos


def photo_sets(
    files: Sequence[Path] = (),
    freihand: Path | None = None,
    egohands: Path | None = None,
    limit: int | None = None,
) -> list[PhotoSet]:
    """COCO keypoint files; FreiHAND's evaluation set, for the pose network; EgoHands' test videos, for the detector.

    freihand, egohands: folders of the released data sets. limit: at most so many photos of each, evenly spaced.
    Raises DatasetError for a file or folder that cannot be read.
    """
    sets: list[PhotoSet] = []
    for file in files:
        photos = thin_out(CocoHands.judged(file), limit)
        posed = any(hand.keypoints is not None for entry in photos.entries for hand in entry.hands)
        parts: tuple[Part, ...] = ("detector", "pose", "both") if posed else ("detector", "both")
        sets.append(PhotoSet(file.name, photos, parts))
    if freihand is not None:
        sets.append(
            PhotoSet("FreiHAND evaluation", thin_out(FreiHand(freihand, "evaluation"), limit), ("pose",))
        )
    if egohands is not None:
        sets.append(PhotoSet("EgoHands test", thin_out(EgoHands(egohands, "test"), limit), ("detector",)))
    return sets


def own_photo_sets(recipe: Mapping[str, Any], root: Path, limit: int | None = None) -> list[PhotoSet]:
    """The photos that a run of this recipe is judged on: those of the data it was trained on, never trained on.

    recipe: as it is stored with weights. root: the data folder. Raises as `photo_sets` does.
    """
    data = recipe.get("data", {})
    if data.get("kind") == "freihand":
        return photo_sets(freihand=root / data["root"], limit=limit)
    if data.get("kind") == "egohands":
        return photo_sets(egohands=root / data["root"], limit=limit)
    return photo_sets([root / data.get("validation", VALIDATION)[0]], limit=limit)


def thin_out(photos: _Photos, limit: int | None) -> _Photos:
    """Keep at most `limit` photos, evenly spaced over all of them; all of them for None. Returns `photos` itself."""
    photos.entries = evenly_spaced(photos.entries, limit)
    return photos
