"""Whole scenes for the detector: no hand to four hands, from 12 pixels to most of the picture."""

from dataclasses import replace

import numpy as np

from training.datasets.synthetic.backgrounds import Backgrounds, table
from training.datasets.synthetic.compose import label, paint
from training.datasets.synthetic.crops import generator
from training.datasets.synthetic.degrade import degrade
from training.datasets.synthetic.layouts import Scene, clipped, crowd, draw_layout, table_top
from training.datasets.types import HandLabel, LabelledImage

SCENE_STREAM = 2  # keeps the random numbers of crops and scenes apart
MOST_TRIES = 4
LEAST_SEEN = 0.2  # of a hand's keypoints; a scene with a more hidden hand is set again
UNSEEN_FREE_SHARE = 0.45  # how often the background is one that is known to be free of hands


def render_scene(seed: int, size: int, backgrounds: Backgrounds) -> LabelledImage:
    """Render a square scene with 0 to 4 hands, each labelled in full.

    The larger side of a hand's box is 12 to 400 pixels (less in a smaller scene). Boxes are clipped to the picture;
    keypoints may lie outside of it, and are not visible then. The image is (size, size, 3) uint8 RGB. `complete` is
    False when the photo behind may show hands of its own, or a hand is too hidden to be labelled.
    Equal arguments give equal bytes.
    """
    for attempt in range(MOST_TRIES):
        rng = generator(SCENE_STREAM, seed, attempt)
        layout = draw_layout(rng)
        scene = Scene(size, [], [], [])
        layout(rng, scene)
        on_table = layout is table_top
        free_only = on_table or rng.random() < UNSEEN_FREE_SHARE
        background, hand_free = backgrounds.draw(rng, size, free_only)
        if on_table:
            background = table(rng, size, background)
        picture = background.astype(np.float32) / np.float32(255)
        labels: list[HandLabel] = []
        if scene.parts:
            typical = max(scene.scales, default=0.2 * size)
            picture, geometry, fragments = paint(
                rng, background, scene.parts, typical, 0.8 if on_table else 0.3
            )
            labels = [
                label(*each, geometry, fragments) for each in zip(scene.hands, scene.scales, strict=True)
            ]
        clear = [hand for hand in labels if hand.visible is not None and hand.visible.mean() >= LEAST_SEEN]
        if len(clear) == len(labels):
            break
    hands = tuple(replace(hand, box=clipped(hand.box, size)) for hand in clear)
    complete = hand_free and len(clear) == len(labels)
    image = degrade(rng, picture, 0.3 if layout is crowd else 0.5)
    return LabelledImage(image, hands, complete, source="synthetic", group="synthetic")
