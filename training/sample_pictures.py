"""Pictures of what a network answers, beside what is true: heatmaps, skeletons, boxes."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.inference.drawing import FINGER_COLOURS
from service.inference.geometry import Pyramid, letterbox
from service.models.keypoints import FINGERS
from service.models.pose import STRIDE
from service.models.unet import SIGMA, HandUNet
from training.datasets.photos import evenly_spaced
from training.evaluate import THRESHOLD, Crops, Found, LabelledPhotos
from training.losses import gaussian_heatmaps
from training.metrics import greedy_match
from training.pose import TARGET_SIGMA
from training.pose_metrics import PoseErrors
from training.preview import contact_sheet, pixel

Image = NDArray[np.uint8]

TILE = 240  # pixels
_GAP = 4
# RGB, told apart with any kind of colour blindness; a dash pattern and a letter say the same.
_TRUE, _HIT, _MISS, _FALSE = (255, 255, 255), (86, 180, 233), (240, 228, 66), (230, 110, 0)


def spread_by_error(errors: PoseErrors, count: int) -> list[int]:
    """Hands from the best to the worst mean error, evenly spaced: (count,) indices, fewer where there are fewer."""
    hands = np.flatnonzero(errors.labelled.any(axis=1))
    shares = np.where(errors.labelled, errors.normalised, np.nan)[hands]
    order = hands[np.argsort(np.nanmean(shares, axis=1), kind="stable")]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def heatmap_sheet(network: nn.Module, data: Crops, chosen: Sequence[int]) -> Image:
    """One column a hand: the crop, the target heatmaps and the predicted ones over it, (H, W, 3) uint8 RGB.

    The brightest of the 21 maps is shown at each place, as a share of a target's peak.
    """
    crops = data.crops[list(chosen)]
    targets, predicted = _heatmaps(network, crops, data.keypoints[list(chosen)])
    rows = [
        [_enlarged(crop) for crop in crops],
        [_glow(crop, maps) for crop, maps in zip(crops, targets, strict=True)],
        [_glow(crop, maps) for crop, maps in zip(crops, predicted, strict=True)],
    ]
    return contact_sheet([_framed(tile) for row in rows for tile in row], len(chosen))


def skeleton_sheet(
    data: Crops, predicted: NDArray[np.float32], chosen: Sequence[int], per_row: int = 4
) -> Image:
    """Pairs of crops: the true skeleton on the left and the predicted one on the right, (H, W, 3) uint8 RGB.

    predicted: (N, 21, 2) pixels of the crops.
    """
    tiles = []
    for index in chosen:
        scale = TILE / data.crops.shape[1]
        crop, labelled = _enlarged(data.crops[index]), data.labelled[index]
        true = draw_skeleton(crop, data.keypoints[index] * scale, labelled)
        ours = draw_skeleton(crop, predicted[index] * scale, np.ones(21, bool))
        tiles.append(_framed(np.concatenate([true, ours], axis=1)))
    return contact_sheet(tiles, per_row)


def draw_skeleton(image: Image, keypoints: NDArray[np.floating], known: NDArray[np.bool_]) -> Image:
    """A copy of (H, W, 3) uint8 RGB with 21 keypoints (21, 2) and the bones between those that are known (21,)."""
    canvas = np.ascontiguousarray(image.copy())
    points = [pixel(*keypoint) for keypoint in keypoints]
    for colour, width in ((None, 4), (FINGER_COLOURS, 2)):  # a dark edge first: lines show on any skin
        for number, finger in enumerate(FINGERS):
            shade = (20, 20, 20) if colour is None else colour[number]
            for a, b in pairwise(finger):
                if known[a] and known[b]:
                    cv2.line(canvas, points[a], points[b], shade, width, cv2.LINE_AA)
    for index, point in enumerate(points):
        if known[index]:
            cv2.circle(canvas, point, 3, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(canvas, point, 3, (20, 20, 20), 1, cv2.LINE_AA)
    return canvas


def spread_photos(found: Found, count: int) -> tuple[list[int], list[int]]:
    """Photos evenly spaced over all of them, and over those with a missed hand or a false box."""
    everything = range(len(found.boxes))
    failed = [index for index in everything if not all(_judged(found, index))]
    return evenly_spaced(everything, count), evenly_spaced(failed, count)


def box_sheet(photos: LabelledPhotos, found: Found, chosen: Sequence[int], per_row: int = 4) -> Image:
    """Photos with boxes, (H, W, 3) uint8 RGB: true ones thin and white, found ones with their score, blue where right
    and orange where not, missed ones yellow. A box is right when it overlaps a free true box by IoU 0.5 or more.
    """
    side = round(1.25 * TILE)
    tiles = []
    for index in chosen:
        fitted, placing = letterbox(Pyramid(photos[index].image), side, multiple=side)
        scale = np.array([placing.scale_x, placing.scale_y])
        offset = np.array([placing.left, placing.top])
        canvas = np.ascontiguousarray(fitted)
        boxes, scores, matches = _sure(found, index)
        for i, box in enumerate(found.truth[index]):
            missed = i not in matches
            _draw_box(
                canvas, box, scale, offset, _MISS if missed else _TRUE, 2 if missed else 1, "missed" * missed
            )
        for box, score, match in zip(boxes, scores, matches, strict=True):
            text = f"{score:.2f}" if match >= 0 else f"false {score:.2f}"
            _draw_box(canvas, box, scale, offset, _HIT if match >= 0 else _FALSE, 2, text)
        tiles.append(_framed(canvas))
    return contact_sheet(tiles, per_row)


def _heatmaps(
    network: nn.Module, crops: Image, keypoints: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and predicted heatmaps (N, 21, h, w) as shares of a target's peak."""
    with torch.inference_mode():
        output = network(torch.from_numpy(crops))
        if isinstance(network, HandUNet):
            logits, cell, sigma = output, 1, SIGMA
            predicted = torch.sigmoid(logits)
        else:
            logits, cell, sigma = output[0], STRIDE, TARGET_SIGMA
            # The target is a distribution over the cells: a Gaussian over its sum, which is about 2 π sigma².
            predicted = torch.softmax(logits.flatten(2), 2).view_as(logits) * (2 * np.pi * sigma**2)
        targets = gaussian_heatmaps(torch.from_numpy(keypoints) / cell, logits.shape[-1], sigma)
    return targets.numpy(), predicted.clamp(0, 1).numpy()


def _glow(crop: Image, maps: NDArray[np.float32]) -> Image:
    """The brightest of the maps (21, h, w) over a greyed crop, at `TILE` pixels."""
    brightest = cv2.resize(maps.max(axis=0), (TILE, TILE), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((brightest * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = cv2.cvtColor(cv2.cvtColor(_enlarged(crop), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    share = brightest[..., None]
    return np.asarray(0.55 * grey * (1 - share) + colours * share, np.uint8)


def _enlarged(crop: Image) -> Image:
    return np.asarray(cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _framed(tile: Image) -> Image:
    gap = _GAP // 2
    return np.asarray(
        cv2.copyMakeBorder(tile, gap, gap, gap, gap, cv2.BORDER_CONSTANT, value=(128,) * 3), np.uint8
    )


def _sure(found: Found, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """A photo's boxes that recall and precision count, their scores, and which true box each one is, or -1."""
    sure = found.scores[index] >= THRESHOLD
    boxes = found.boxes[index][sure]
    return boxes, found.scores[index][sure], greedy_match(boxes, found.truth[index])


def _judged(found: Found, index: int) -> list[bool]:
    """Whether each drawn box of a photo is right, and whether each hand was found."""
    _, _, matches = _sure(found, index)
    return [match >= 0 for match in matches] + [i in matches for i in range(len(found.truth[index]))]


def _draw_box(
    canvas: Image,
    box: NDArray[np.floating],
    scale: NDArray[np.floating],
    offset: NDArray[np.floating],
    colour: tuple[int, int, int],
    width: int,
    text: str = "",
) -> None:
    low = np.round(box[:2] * scale + offset).astype(int)
    high = np.round((box[:2] + box[2:]) * scale + offset).astype(int)
    corners = (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))
    cv2.rectangle(canvas, *corners, (20, 20, 20), width + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, *corners, colour, width, cv2.LINE_AA)
    if text:
        (wide, high_), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
        x = int(np.clip(low[0], 0, canvas.shape[1] - wide - 4))
        y = int(np.clip(low[1] - 3, high_ + 3, canvas.shape[0] - 3))
        cv2.rectangle(canvas, (x, y - high_ - 3), (x + wide + 4, y + 3), colour, -1)
        cv2.putText(canvas, text, (x + 2, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
