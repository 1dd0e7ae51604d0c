"""Pictures as the bytes of an image file, which is what the service reads."""

import os
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from handpose_client.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8] | PillowImage"
)
"""A path, the bytes of an image file (JPEG, PNG, WebP, BMP), an (H, W, 3) uint8 RGB or (H, W) uint8 grey
array, or a Pillow image."""

JPEG_QUALITY = 95  # of arrays and Pillow images: a quarter of a PNG's bytes, and a ninth of its time

_PILLOW_PNG_MODES = ("1", "LA", "P", "RGBA", "I", "I;16")  # depths and transparency that JPEG has not
_SIGNATURES = (  # offset, bytes, media type
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
)


def to_bytes(image: ImageInput) -> bytes:
    """The bytes of an image file.

    Paths are read and bytes pass as they are. Arrays and Pillow images become JPEG: encode them yourself
    where every bit counts. A Pillow image counts as it is: its EXIF orientation is not applied.

    Raises OSError for a file that cannot be read, TypeError for what is no picture, ValueError for an array
    of another shape or type, MissingExtraError for an array without OpenCV.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if _is_a("numpy", "ndarray", image):
        return _encode_array(image)
    if _is_a("PIL.Image", "Image", image):
        return _encode_pillow(image)
    raise TypeError(
        "a picture is a path, the bytes of an image file, an (H, W, 3) uint8 RGB array or a Pillow image, "
        f"not {type(image).__name__}"
    )


def media_type(data: bytes) -> str:
    """The type of an image file, by its first bytes; `application/octet-stream` for what is none: the
    service then says what it is.
    """
    for offset, signature, name in _SIGNATURES:
        if data.startswith(signature, offset):
            return name
    return "application/octet-stream"


def _is_a(module: str, name: str, value: object) -> bool:
    """isinstance without importing: where the module was never imported, nothing is of its types."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _encode_array(array: Any) -> bytes:
    colour = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != "uint8" or not (colour or array.ndim == 2):
        raise ValueError(
            f"an array must be (H, W, 3) uint8 RGB or (H, W) uint8 grey, not {array.shape} {array.dtype}"
        )
    if not array.size:
        raise ValueError("the array has no pixels")
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("an array (a Pillow image does without)") from error
    pixels = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if colour else array
    try:
        done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    except cv2.error:  # some releases raise, others answer False
        done = False
    if not done:
        raise ValueError(
            f"an array of {array.shape} cannot be written as JPEG: a side may have 65,500 pixels"
        )
    return encoded.tobytes()


def _encode_pillow(image: Any) -> bytes:
    buffer = BytesIO()
    if image.mode in _PILLOW_PNG_MODES:
        image.save(buffer, "PNG", compress_level=1, exif=b"")
    else:
        picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=b"")
    return buffer.getvalue()
