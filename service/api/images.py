"""Bytes to pixels: limits first, then the type by its content, then decoding.

Read: JPEG (grey, colour, CMYK; baseline and progressive), PNG (all depths and palettes), WebP, BMP. The
answer is always upright: all eight EXIF orientations are applied. Of an animation the first frame counts.
Sixteen bits become eight. Transparent pixels are laid over white, as a viewer shows them. A file that is
cut off is refused even where a decoder would make up the missing part: keypoints on made-up pixels help
nobody.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.api.headers import Header, HeaderError, bare, describe, read_header, sniff
from service.api.problems import Problem
from service.inference.geometry import Image
from service.inference.hands import Box, Hand

# A broken file is the sender's problem and told in the answer, not on our standard error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_STRIP_PIXELS = 2**18
# OpenCV's code of the flip that is left of an EXIF orientation, for 5 to 8 after their transposition: 1 swaps left and
# right, 0 top and bottom, -1 both.
_FLIPS = {1: None, 2: 1, 3: -1, 4: 0, 5: None, 6: 1, 7: -1, 8: 0}
_JPEG_SIDE = 65_500  # what libjpeg writes
_LARGE = 10_000_000  # pixels
_PATIENCE = 20.0  # seconds for a large picture to wait for another: a thread that waits is no stuck one
_one_large = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """pixels: at most this many in a picture. decode_side: a JPEG is decoded at a half, quarter or eighth
    of its size as long as the longer side keeps this many pixels; 0 decodes every picture whole.
    """

    pixels: int = 50_000_000
    decode_side: int = 1280


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """image: (H, W, 3) uint8 RGB, upright. width, height: of the whole upright picture, which is `factor`
    times as large as `image` (rounded up to whole pixels). left, top: pixels of the whole picture that are missing of
    the image's first column and row, where those are what was rounded up: in a file that is turned.
    """

    image: Image
    width: int
    height: int
    factor: int
    left: int = 0
    top: int = 0

    def whole(self, hand: Hand) -> Hand:
        """A hand of `image` in pixels of the whole picture, its box inside of that."""
        if self.factor == 1:
            return hand
        hand = hand.scaled(self.factor)
        margin = np.array([self.left, self.top], np.float32)
        corners = np.reshape(hand.box.corners, (2, 2)) - margin
        # One pixel is left of a box that lies beyond the edge.
        low = np.clip(corners[0], 0, [self.width - 1, self.height - 1])
        high = np.clip(corners[1], low + 1, [self.width, self.height])
        return replace(hand, box=Box.from_corners(*low, *high), keypoints=hand.keypoints - margin)


@contextmanager
def alone(pixels: int) -> Iterator[None]:
    """Large pictures are decoded, drawn and encoded one at a time, whatever the number of threads: for a moment that
    takes several times the memory of their pixels. Raises Problem 503 where its turn does not come for long.
    """
    if pixels <= _LARGE:
        yield
        return
    if not _one_large.acquire(timeout=_PATIENCE):
        raise Problem(503, "Too many large pictures are being decoded already.", headers={"Retry-After": "5"})
    try:
        yield
    finally:
        _one_large.release()


def decode(data: bytes, limits: Limits, *, whole: bool = False) -> Decoded:
    """Decode an image file. whole: never at a reduced size.

    Raises Problem: 422 for no bytes, 415 for a type that is not read, 413 for too many pixels (told from
    the header), 422 for a file that is damaged or cut off, 503 where too many large ones are decoded.
    """
    if not data:
        raise Problem(422, "The image is empty: 0 bytes were sent.")
    if sniff(data) is None:
        raise Problem(415, f"JPEG, PNG, WebP and BMP are read; this is {describe(data)}.")
    try:
        header = read_header(data)
    except HeaderError as error:
        raise Problem(422, f"The image cannot be decoded: {error}.") from None
    pixels = header.width * header.height
    if pixels > limits.pixels:
        raise Problem(
            413,
            f"The picture has {header.width} × {header.height} = {pixels / 1e6:.1f} million pixels; "
            f"at most {limits.pixels / 1e6:g} million are accepted.",
        )
    factor = 1 if whole else reduction(header, limits.decode_side)
    with alone(pixels if header.progressive else pixels // factor**2):
        image = _upright(_pixels(data, header, factor), header.orientation)
    swapped = header.orientation >= 5
    width, height = (header.height, header.width) if swapped else (header.width, header.height)
    if image.shape[:2] != (-(-height // factor), -(-width // factor)):
        raise Problem(422, "The image cannot be decoded: its pixels do not fit the size its header declares.")
    flip = _FLIPS[header.orientation]
    left = -width % factor if flip in (1, -1) else 0
    top = -height % factor if flip in (0, -1) else 0
    return Decoded(image, width, height, factor, left, top)


def reduction(header: Header, decode_side: int) -> int:
    """1, 2, 4 or 8: the largest reduction that leaves `decode_side` pixels on the longer side. Only JPEG
    gains by it.
    """
    if header.format != "jpeg" or not decode_side:
        return 1
    return max((f for f in (2, 4, 8) if max(header.width, header.height) >= f * decode_side), default=1)


def _pixels(data: bytes, header: Header, factor: int) -> Image:
    """(H, W, 3) uint8 RGB as stored, not yet turned upright."""
    if header.format == "png":
        data = bare(data)
    if header.alpha:
        flags = cv2.IMREAD_UNCHANGED
    else:
        # Reduced decoding can be combined with no other flag for the colour order, so that comes after.
        flags = _REDUCED.get(factor, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise Problem(422, f"The image cannot be decoded: the {header.format.upper()} is damaged.")
    if header.alpha:
        return _over_white(image, header.hidden_grey)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _over_white(image: NDArray[Any], hidden_grey: int | None) -> Image:
    """image: (H, W), (H, W, 3) or (H, W, 4), grey, BGR or BGRA, 8 or 16 bits. hidden_grey: a grey that is transparent,
    which OpenCV does not tell. Returns (H, W, 3) uint8 RGB.
    """
    flat = np.empty((*image.shape[:2], 3), np.uint8)
    strip = max(1, _STRIP_PIXELS // image.shape[1])
    for top in range(
        0, image.shape[0], strip
    ):  # in pieces: whole, the steps between would take twice its memory
        rows = image[top : top + strip]
        flat[top : top + strip] = _strip_over_white(rows)
        if hidden_grey is not None and rows.ndim == 2:
            flat[top : top + strip][rows == hidden_grey] = 255
    return flat


def _strip_over_white(image: NDArray[Any]) -> Image:
    """Some rows of it, alike."""
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    if image.shape[2] == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    colour = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    alpha = image[:, :, 3:]
    return np.asarray(255 - (255 - colour.astype(np.uint16)) * alpha // 255, np.uint8)


def _upright(image: Image, orientation: int) -> Image:
    """Apply an EXIF orientation. The result owns its memory in order, as OpenCV wants it."""
    if orientation == 1:
        return image
    if orientation >= 5:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = _FLIPS[orientation]
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)


def encode(image: Image, media_type: str) -> bytes:
    """image: (H, W, 3) uint8 RGB. media_type: image/png or image/jpeg.

    Raises Problem 422 for a picture that is too wide or too tall to be a JPEG.
    """
    height, width = image.shape[:2]
    if media_type == "image/jpeg" and max(height, width) > _JPEG_SIDE:
        raise Problem(
            422,
            f"A JPEG has at most {_JPEG_SIDE} pixels a side and this picture is {width} × {height}: ask for image/png.",
        )
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if media_type == "image/png":
        written, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    else:
        written, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not written:
        raise RuntimeError(f"OpenCV does not write {width} × {height} pixels as {media_type}")
    return bytes(encoded)
