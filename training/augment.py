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
