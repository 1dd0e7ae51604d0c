"""What every data set yields: an image and the hands that are labelled in it."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Handedness = Literal["left", "right"]


@dataclass(frozen=True, eq=False)
class HandLabel:
    """One labelled hand. Coordinates are pixels of the upright image, origin at its top-left corner.

    box: (4,) float32, x, y, width, height; tight around the hand, wrist included, forearm not.
    keypoints: (21, 2) float32, or None for a hand that has a box alone.
    labelled: (21,) bool, False where the source gives no position for that keypoint.
    visible: (21,) bool, False where the keypoint is hidden (by the hand itself or anything else); None if unknown.
    depth: (21,) float32 in image pixels, relative to the wrist, positive away from the camera; None if unknown.
    handedness: the anatomical hand as seen in an unmirrored picture; None if unknown.
    loose_box: True where the box is known to be larger than tight.
    """

    box: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None
    labelled: NDArray[np.bool_] | None = None
    visible: NDArray[np.bool_] | None = None
    depth: NDArray[np.float32] | None = None
    handedness: Handedness | None = None
    loose_box: bool = False

    def __post_init__(self) -> None:
        if self.box.shape != (4,):
            raise ValueError(f"box has shape {self.box.shape}, expected (4,)")
        for name, shape in (
            ("keypoints", (21, 2)),
            ("labelled", (21,)),
            ("visible", (21,)),
            ("depth", (21,)),
        ):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, expected {shape}")


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its hands.

    image: (height, width, 3) uint8 RGB.
    complete: True if every hand in the image is labelled; False forbids to use the rest of it as "no hand".
    """

    image: NDArray[np.uint8]
    hands: tuple[HandLabel, ...]
    complete: bool = True
    source: str = ""
    group: str = ""


class LabelledImages(Protocol):
    """Images and their hands by number, read or rendered when asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> LabelledImage: ...
