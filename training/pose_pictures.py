"""The pictures that the default pose network learns from."""

from pathlib import Path

import numpy as np

from training.checks import check_apart, check_found
from training.datasets.photos import FalseHands, OwnLabels, evenly_spaced, photos_without_hands
from training.datasets.synthetic import Backgrounds, RenderedPool
from training.datasets.synthetic.backgrounds import held_out
from training.datasets.types import HandLabel, LabelledImages
from training.photo_sets import photos_to_learn
from training.recipe import DataSection, Recipe


class PosePictures:
    """What a recipe's `data` names, by what it is good for.

    photos: all of them. posed, posed_weights: numbers of those with keypoints, and how often each is wanted. boxed:
    numbers of photo and hand of those that have a box alone. complete: numbers of photos labelled in full. negatives:
    photos without hands. false_hands: what was taken for a hand. own: photos with keypoints of our own. rendered: the
    pool of rendered hands.

    Raises RecipeError where there is nothing for one of the recipe's shares, or a photo is in two places.
    """

    def __init__(self, recipe: Recipe, data: Path, cache: Path) -> None:
        assert isinstance(recipe.data, DataSection)
        section, limit = recipe.data, recipe.limit
        self.share, self.seed, self.limit = section.share, recipe.seed, limit
        photos = photos_to_learn(section, data)
        posed = [i for i, entry in enumerate(photos.entries) if any(has_pose(h) for h in entry.hands)]
        keep = evenly_spaced(posed, limit)
        self.photos, self.posed = photos, np.array(keep)
        weights = photos.weights(section.source_power, section.source_weight)
        self.posed_weights = weights[keep] / weights[keep].sum()
        # Hands that only people saw: they had a box drawn, and the teacher found no keypoints.
        boxed = [
            (i, k)
            for i, entry in enumerate(photos.entries)
            for k, h in enumerate(entry.hands)
            if not has_pose(h)
        ]
        self.boxed = evenly_spaced(boxed, limit)
        complete = [i for i, entry in enumerate(photos.entries) if entry.complete]
        self.complete = evenly_spaced(complete, limit)
        self.negatives = photos_without_hands(data, section.negatives, section.hand_free, limit)
        self.false_hands = FalseHands(data, section.false_hands, limit) if section.false_hands else None
        own = OwnLabels(data, section.own_labels, limit) if section.own_labels else None
        self.own: LabelledImages = own or ()
        check_found(recipe, "photos with keypoints", self.posed, "photo")
        check_found(recipe, "labels of own_labels", self.own, "own")
        check_found(recipe, "hands that have a box alone", self.boxed, "boxed")
        check_found(recipe, "negatives and hand_free photos", self.negatives, "photo", "own", "empty")
        check_apart(recipe, data, photos, self.negatives, own, self.false_hands)
        self.rendered: LabelledImages = ()
        if section.share.get("rendered"):
            folders = [data / name for name in (*section.backgrounds, *section.negatives)]
            behind = Backgrounds(folders, exclude=held_out)
            self.rendered = RenderedPool.within(
                cache,
                "crop",
                section.rendered,
                section.rendered_size,
                section.rendered_seed,
                behind,
            )


def has_pose(hand: HandLabel) -> bool:
    """Whether a hand has keypoints."""
    return hand.keypoints is not None
