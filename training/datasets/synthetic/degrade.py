"""What a camera does to a picture: blur, low resolution, low light, noise, colour, compression. Positions stay."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Generator = np.random.Generator
Picture = NDArray[np.float32]  # (S, S, 3), RGB in 0..1, display encoded

GREY = np.array([0.299, 0.587, 0.114], np.float32)


def motion_blur(picture: Picture, length: float, angle: float) -> Picture:
    """Blur along a line of `length` pixels at `angle` degrees, centred, so that labels hold."""
    side = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = (side - 1) / 2
    dx, dy = (length / 2 * part for part in (math.cos(math.radians(angle)), math.sin(math.radians(angle))))
    steps = np.linspace(-1, 1, 4 * side)
    for step in steps:  # splat the line with bilinear weights
        x, y = middle + step * dx, middle + step * dy
        left, top = min(int(x), side - 2), min(int(y), side - 2)
        fx, fy = x - left, y - top
        kernel[top : top + 2, left : left + 2] += [
            [(1 - fx) * (1 - fy), fx * (1 - fy)],
            [(1 - fx) * fy, fx * fy],
        ]
    blurred = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def lower_resolution(picture: Picture, side: int) -> Picture:
    """Reduce to `side` pixels and enlarge again."""
    size = picture.shape[0]
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _exposure(rng: Generator, picture: Picture) -> float:
    """The gain of a camera that aims at a middle grey, and misses."""
    aim = rng.uniform(0.28, 0.55)
    return float(np.clip((aim / (picture.mean() + 1e-3)) ** rng.uniform(0.3, 0.8), 0.6, 2.5))


def degrade(rng: Generator, picture: Picture, strength: float = 1.0) -> NDArray[np.uint8]:
    """A photograph of the picture, (S, S, 3) uint8 RGB. `strength` scales blur and loss of resolution; most pictures
    get little, a few a lot."""
    size = picture.shape[0]
    unit = size / 160 * strength
    if rng.random() < 0.3:
        blur = rng.uniform(0.3, 1.6) * max(unit, 0.4)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.float32)
    if rng.random() < 0.12:
        picture = motion_blur(picture, rng.uniform(2, 13) * unit, rng.uniform(0, 180))
    if rng.random() < 0.14:
        picture = lower_resolution(picture, int(max(24, size / (1 + rng.uniform(0.2, 3) * strength))))
    picture = picture * np.float32(_exposure(rng, picture))
    noise = rng.uniform(0.003, 0.04) if rng.random() < 0.55 else 0.0
    if rng.random() < 0.09:  # low light: dark, noisy, flat colours
        dark = rng.uniform(0.25, 0.6)
        noise = max(noise, rng.uniform(0.01, 0.06))
        grey: Picture = (picture @ GREY)[..., None]
        picture = grey + (picture - grey) * rng.uniform(0.4, 1)
        picture = picture * dark
    if rng.random() < 0.35:  # white balance
        picture = picture * np.exp(rng.normal(0, 0.09, 3)).astype(np.float32)
    if rng.random() < 0.07:
        picture = np.repeat((picture @ GREY)[..., None], 3, axis=2)
    if rng.random() < 0.5:
        middle = picture.mean()
        picture = (picture - middle) * rng.uniform(0.65, 1.3) + middle + rng.normal(0, 0.04)
    picture = np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    if noise > 0:
        grains = rng.standard_normal((size, size, 3), dtype=np.float32)
        if rng.random() < 0.3:
            grains = cv2.GaussianBlur(grains, (0, 0), 0.7) * np.float32(2)
        picture = picture + grains * np.float32(noise) * np.sqrt(picture + np.float32(0.1))
    encoded = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(30, 96))
        _, jpeg = cv2.imencode(".jpg", encoded, [cv2.IMWRITE_JPEG_QUALITY, quality])
        encoded = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
    return encoded
