"""Random changes to pictures: what a camera, a network link or a different room would have done to them.

Coordinates are continuous: a picture of width W spans [0, W] and its first pixel's centre is at 0.5.
"""

import math
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]

# How the crops of the default pose network are drawn, whether one by one or a batch at a time.
# Side of a crop over the larger side of the hand's box; serving uses `CROP_FACTOR` of `service.inference.geometry`.
CROP_FACTORS = (1.12, 1.65)
CROP_SHIFT = 0.06  # spread of a crop's middle around the box's, in sides of the box
ANY_TURN = 0.2  # share of the crops that are turned by any angle, the others by little
CUT_OFF = 0.12  # share of the hands that the picture's edge cuts off
LOST = (0.2, 0.67)  # share of their boxes that is lost
REPLICATED = 0.3  # share of the others whose border's pixels go on outside of the picture, rather than black
OCCLUDED = 0.2  # share of the photos' hands with a piece of another picture in front
STRETCH, SHEAR = 0.08, 0.06  # spreads
NOISE = 25  # the most, in grey values
COMPRESSED = 0.2  # share of the pictures that look like JPEGs of low quality


def square_crop_matrix(
    centre: NDArray[np.floating], side: float, size: int, angle: float = 0.0, mirror: bool = False
) -> Matrix:
    """(2, 3) affine matrix that takes the square of `side` pixels around `centre` to a size × size picture.

    angle: radians by which the content turns clockwise on screen. mirror: flip left and right after turning.
    """
    scale = size / side
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    if mirror:
        matrix[0] *= -1
    matrix[:, 2] = size / 2 - matrix[:, :2] @ np.asarray(centre, np.float64)
    return matrix


def stretched(matrix: Matrix, size: int, rng: np.random.Generator) -> Matrix:
    """`matrix` and then a slight stretch and shear about the middle of the picture of `size` pixels it leads to, as of
    pixels that are not square or a hand seen from a little to the side.
    """
    x, y = np.exp(rng.normal(0, STRETCH, 2))
    middle = np.array([size / 2, size / 2])
    change = np.array([[x, rng.normal(0, SHEAR)], [rng.normal(0, SHEAR), y]])
    return np.column_stack([change @ matrix[:, :2], change @ (matrix[:, 2] - middle) + middle])


def occlude(image: Image, other: Image, rng: np.random.Generator) -> Image:
    """Something in front: a piece of another picture, an ellipse or a rod, somewhere near the middle.

    image, other: (S, S, 3) uint8, of the same size. Returns a new picture.
    """
    size = image.shape[0]
    centre = rng.normal(size / 2, size / 6, 2)
    turn = rng.uniform(0, math.pi)
    mask = np.zeros((size, size), np.float32)
    if rng.random() < 0.5:
        axes = rng.uniform(0.06, 0.2, 2) * size
        cv2.ellipse(mask, (tuple(centre), tuple(2 * axes), math.degrees(turn)), 1.0, -1)
    else:
        reach = np.array([math.cos(turn), math.sin(turn)]) * size * rng.uniform(0.15, 0.8)
        ends = [tuple(int(v) for v in centre + sign * reach) for sign in (-1, 1)]
        cv2.line(mask, ends[0], ends[1], 1.0, max(1, int(size * rng.uniform(0.02, 0.12))))
    cover = cv2.GaussianBlur(mask, (0, 0), 0.7)[..., None]
    return cast(Image, np.round(image * (1 - cover) + other * cover).astype(np.uint8))


def transform(points: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """Apply a (2, 3) affine matrix to points (..., 2)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def prepare_warp(image: Image, matrix: Matrix) -> tuple[Image, Matrix]:
    """What `cv2.warpAffine` takes to apply `matrix`: the picture, shrunk first where `matrix` shrinks much, so that
    nothing aliases, and the matrix to go with it, which counts from pixel centres as OpenCV does.
    """
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    matrix = matrix.copy()
    if scale < 0.6:
        height, width = image.shape[:2]
        small = (max(1, round(width * scale * 1.15)), max(1, round(height * scale * 1.15)))
        image = cast(Image, cv2.resize(image, small, interpolation=cv2.INTER_AREA))
        matrix[:, :2] *= np.array([width / small[0], height / small[1]])
    matrix[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
    return image, matrix


def warp(image: Image, matrix: Matrix, size: int, replicate: bool = False) -> Image:
    """Affine crop to (size, size, 3) without aliasing.

    replicate: repeat the border's pixels outside the picture instead of black.
    """
    image, matrix = prepare_warp(image, matrix)
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    return cast(Image, cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border))


def cut_off(
    image: Image, box: NDArray[np.float32], rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
    """What is left when the edge of the picture runs through a box, from any side: a fifth to two thirds of it is lost.

    image: (H, W, 3) uint8. box: (4,) x, y, width, height in its pixels.
    Returns the part of the image, the part of the box in the part's pixels, and the part's corner (2,) in the image.
    """
    height, width = image.shape[:2]
    axis, far = int(rng.integers(2)), bool(rng.random() < 0.5)
    lost = rng.uniform(*LOST)
    low, high = np.zeros(2), np.array([width, height], float)
    edge = box[axis] + box[2 + axis] * (1 - lost if far else lost)
    edge = float(np.clip(round(float(edge)), 1, high[axis] - 1))
    if far:
        high[axis] = edge
    else:
        low[axis] = edge
    x0, y0, x1, y1 = (int(v) for v in (*low, *high))
    start, end = np.maximum(box[:2], low), np.minimum(box[:2] + box[2:], high)
    left = np.concatenate([start - low, np.maximum(end - start, 1)]).astype(np.float32)
    return image[y0:y1, x0:x1], left, low.astype(np.float32)


def photometric(image: Image, rng: np.random.Generator) -> Image:
    """Light, colour, contrast, blur, motion, low resolution, noise and JPEG, each with some probability.

    image: (H, W, 3) uint8 RGB. Returns a new picture of the same shape.
    """
    height, width = image.shape[:2]
    if rng.random() < 0.2:
        factor = rng.uniform(0.3, 0.8)
        reduced = max(1, round(width * factor)), max(1, round(height * factor))
        small = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)
        image = cast(Image, cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    if rng.random() < 0.12:
        image = cast(Image, cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.4)))
    if rng.random() < 0.08:
        image = cast(Image, cv2.filter2D(image, -1, _motion_kernel(rng)))
    image = _tone(image, rng)
    chance = rng.random()
    if chance < 0.08:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    elif chance < 0.35:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        image = np.clip(grey + (image - grey) * rng.uniform(0.3, 1.5), 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(2, NOISE)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < COMPRESSED:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 80))]
        image = cast(
            Image, cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        )  # both ways in the same channel order
    return image


def _motion_kernel(rng: np.random.Generator) -> NDArray[np.float32]:
    length = 2 * int(rng.integers(1, 5)) + 1  # odd: an even one would move the picture
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0
    middle = length // 2
    turned = cv2.warpAffine(
        kernel, cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 180), 1.0), (length, length)
    )
    return cast(NDArray[np.float32], turned / (turned.sum() + 1e-6))


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma and white balance as one table a channel."""
    x = np.arange(256) / 255.0
    gamma = math.exp(rng.normal(0, 0.28))
    gain = math.exp(rng.uniform(-0.6, 0.35))
    tables = [
        np.clip(
            x ** (gamma * math.exp(rng.normal(0, 0.06))) * gain * rng.uniform(0.88, 1.12)
            + rng.uniform(-0.06, 0.06),
            0.0,
            1.0,
        )
        for _ in range(3)
    ]
    table = (np.stack(tables, axis=1) * 255).astype(np.uint8)[None]  # (1, 256, 3)
    return cast(Image, cv2.LUT(image, table))
