"""What a task refuses in a recipe: fields that say something which would come to nothing."""

import logging
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Protocol

from training.datasets.coco import CocoHands
from training.recipe import DataSection, Recipe, RecipeError

log = logging.getLogger(__name__)


class HasPaths(Protocol):
    """Photos, told by their paths."""

    @property
    def paths(self) -> Sequence[Path]: ...


def check_loss(recipe: Recipe, *parts: str) -> None:
    """Raises RecipeError unless the recipe gives exactly these parts of the loss a weight."""
    given = recipe.loss.weight
    if set(given) != set(parts):
        raise RecipeError(
            f"loss.weight of {recipe.architecture} must be of {', '.join(parts)}, not {', '.join(given)}"
        )


def check_share(recipe: Recipe, *kinds: str) -> None:
    """Raises RecipeError if the recipe gives a share to samples that are none of these kinds."""
    assert isinstance(recipe.data, DataSection)
    if unknown := [kind for kind in recipe.data.share if kind not in kinds]:
        raise RecipeError(
            f"data.share: a {recipe.task} network has no samples {', '.join(unknown)}, but {', '.join(kinds)}"
        )


def check_found(recipe: Recipe, what: str, found: Sized, *kinds: str) -> None:
    """Raises RecipeError if samples of one of these kinds have a share, and nothing was found to make them of."""
    assert isinstance(recipe.data, DataSection)
    for kind in kinds:
        if recipe.data.share.get(kind) and not len(found):
            raise RecipeError(
                f"data.share: samples {kind} are made of {what}, and the recipe's data have none"
            )


def check_apart(recipe: Recipe, data: Path, *trained_on: HasPaths | None) -> None:
    """Raises RecipeError if a photo is trained on that the network is judged on."""
    assert isinstance(recipe.data, DataSection)
    paths = {path for source in trained_on if source for path in source.paths}
    for name in recipe.data.validation:
        if both := [entry.path for entry in CocoHands(data / name).entries if entry.path in paths]:
            raise RecipeError(
                f"data.validation: {len(both)} photos of {name} would be trained on too, as {both[0]}"
            )


def check_unread(recipe: Recipe, *fields: str) -> None:
    """Raises RecipeError if one of these fields, which the task does not read, is not at its default.

    fields: with their section, as "loss.boxes".
    """
    for field in fields:
        section, _, name = field.rpartition(".")
        holder = getattr(recipe, section) if section else recipe
        if getattr(holder, name) != type(holder).model_fields[name].default:
            raise RecipeError(
                f"{field}: training a {recipe.task} network {recipe.architecture} has no use for it"
            )


def warn_of_unknown_sources(section: DataSection, photos: CocoHands) -> None:
    """Log which sources the recipe names that no photo has; fewer photos are no error."""
    sources = {entry.source for entry in photos.entries}
    for field in ("source_weight", "incomplete_sources"):
        unknown = [n for n in getattr(section, field) if not any(s.startswith(n) for s in sources)]
        if unknown:
            log.warning("data.%s: no photo is of %s", field, ", ".join(map(repr, unknown)))
