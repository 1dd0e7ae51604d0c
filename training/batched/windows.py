"""Square windows of pictures around hands, in one tensor on the device that trains."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.augment import Image, square_crop_matrix, transform, warp
from training.datasets.types import HandLabel
from training.evaluate import known_keypoints

# Side of a window over the larger side of the hand's box: room for the widest crop, turned a little.
REACH = 2.4
UNKNOWN = -1.0  # instead of 1 or 0 for a right or a left hand


@dataclass(frozen=True, eq=False)
class Windows:
    """N square windows with the same side in pixels, R. All coordinates are shares of that side.

    images: (N, R, R, 3) uint8 RGB. keypoints: (N, 21, 2). labelled: (N, 21) 1 or 0. box: (N, 4) x, y, width, height.
    seen: (N, 4) x0, y0, x1, y1, the part of the window in which there is a picture. hand: (N,) 1 or 0. right: (N,) 1, 0
    or -1 (unknown). depth: (N, 21) relative to the wrist as a share of the box's larger side, NaN where it is unknown.
    All but the images are float32.
    """

    images: Tensor
    keypoints: Tensor
    labelled: Tensor
    box: Tensor
    seen: Tensor
    hand: Tensor
    right: Tensor
    depth: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.images.device

    def __getitem__(self, chosen: Tensor) -> Self:
        """The windows with these numbers (M,)."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All of several. Raises ValueError if there is none."""
        if not parts:
            raise ValueError("no windows to join")
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def to(self, device: torch.device) -> Self:
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


def around(image: Image, hand: HandLabel, size: int, is_hand: bool = True) -> Windows:
    """One window of `size` pixels, `REACH` times as wide as the hand's box, or the box of something else."""
    side = float(max(hand.box[2:].max(), 8.0)) * REACH
    matrix = square_crop_matrix(hand.box[:2] + hand.box[2:] / 2, side, size)
    corners = np.array([[0, 0], [image.shape[1], image.shape[0]]], np.float64)
    seen = np.clip(transform(corners, matrix) / size, 0, 1).reshape(4)
    return _window(warp(image, matrix, size), hand, matrix, seen, is_hand)


def whole(image: Image, hand: HandLabel, is_hand: bool = True) -> Windows:
    """One window that is a whole square picture."""
    return _window(image, hand, np.eye(2, 3), np.array([0, 0, 1, 1.0]), is_hand)


def without_hand(image: Image) -> Windows:
    """One window that is a whole square picture without a hand; its box is the middle, as wide as a hand's would be."""
    side = image.shape[0] / REACH
    low = (image.shape[0] - side) / 2
    box = np.array([low, low, side, side], np.float32)
    return whole(image, HandLabel(box), is_hand=False)


def _window(
    image: Image, hand: HandLabel, matrix: NDArray[np.float64], seen: NDArray[np.float64], is_hand: bool
) -> Windows:
    size = image.shape[0]
    scale = float(matrix[0, 0]) / size  # windows are neither turned nor mirrored
    known = np.zeros(21, bool) if hand.keypoints is None else known_keypoints(hand)
    keypoints = np.zeros((21, 2)) if hand.keypoints is None else transform(hand.keypoints, matrix) / size
    box = np.concatenate([transform(hand.box[:2], matrix) / size, hand.box[2:] * scale])
    depth = np.full(21, np.nan) if hand.depth is None else hand.depth / hand.box[2:].max()
    right = UNKNOWN if hand.handedness is None else float(hand.handedness == "right")
    numbers = (keypoints, known, box, seen, is_hand, right, depth)
    return Windows(
        torch.from_numpy(np.ascontiguousarray(image))[None],
        *(torch.from_numpy(np.asarray(value, np.float32))[None] for value in numbers),
    )


class GrowingWindows:
    """Windows that are added while others are drawn; room for `capacity` of them is taken at once."""

    def __init__(self, first: Windows, capacity: int, device: torch.device) -> None:
        """first: at least one window; they lie on `device` from then on."""
        self._room = Windows(
            *(
                torch.empty((capacity, *value.shape[1:]), dtype=value.dtype, device=device)
                for value in (getattr(first, field.name) for field in fields(first))
            )
        )
        self.device = device
        self._count = 0
        self.add(first)

    def __len__(self) -> int:
        return self._count

    def add(self, more: Windows) -> None:
        """Raises ValueError if there is no room for them."""
        end = self._count + len(more)
        if end > len(self._room):
            raise ValueError(f"{end} windows where there is room for {len(self._room)}")
        for field in fields(more):
            getattr(self._room, field.name)[self._count : end] = getattr(more, field.name)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        self._count = end  # last, so that a thread that draws meanwhile sees whole windows alone

    def __getitem__(self, chosen: Tensor) -> Windows:
        return self._room[chosen]
