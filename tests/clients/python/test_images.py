"""Whatever a picture comes as, the service gets the file with the same pixels."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from handpose_client import MissingExtraError
from handpose_client.images import media_type, to_bytes
from numpy.typing import NDArray
from PIL import Image as PillowImage


def pixels(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def assert_alike(data: bytes, picture: NDArray[np.uint8]) -> None:
    assert np.abs(pixels(data).astype(int) - picture).mean() < 2


def test_bytes_pass_as_they_are() -> None:
    data = b"anything"
    assert to_bytes(data) is data
    assert to_bytes(bytearray(data)) == data
    assert to_bytes(memoryview(data)) == data


def test_paths_are_read(tmp_path: Path, jpeg: bytes) -> None:
    path = tmp_path / "hand.jpg"
    path.write_bytes(jpeg)
    assert to_bytes(path) == to_bytes(str(path)) == jpeg


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        to_bytes(tmp_path / "none.jpg")


def test_arrays_are_rgb(picture: NDArray[np.uint8]) -> None:
    assert_alike(to_bytes(picture), picture)


def test_arrays_may_be_views(picture: NDArray[np.uint8]) -> None:
    assert_alike(to_bytes(picture[::-1, ::2]), picture[::-1, ::2])


def test_grey_arrays(picture: NDArray[np.uint8]) -> None:
    assert_alike(to_bytes(picture[:, :, 0]), picture[:, :, :1].repeat(3, axis=2))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
    ids=lambda array: f"{array.shape}-{array.dtype}",
)
def test_arrays_of_another_kind_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8 RGB or \(H, W\) uint8 grey, not \("):
        to_bytes(array)


def test_an_array_without_pixels() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        to_bytes(np.zeros((0, 4, 3), np.uint8))


def test_an_array_too_long_for_a_jpeg() -> None:
    with pytest.raises(ValueError, match="cannot be written as JPEG"):
        to_bytes(np.zeros((1, 70_000), np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_pillow_images(picture: NDArray[np.uint8], mode: str) -> None:
    image = PillowImage.fromarray(picture).convert(mode)
    assert_alike(to_bytes(image), np.asarray(image.convert("RGB")))


def test_a_pillow_image_counts_as_it_is(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    """Its EXIF orientation would turn the picture at the service, and the keypoints with it."""
    image = PillowImage.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    data = to_bytes(PillowImage.open(tmp_path / "turned.jpg"))
    assert b"Exif" not in data
    assert_alike(data, picture)


@pytest.mark.parametrize("value", [None, 7, ["hand.jpg"], object()])
def test_what_is_no_picture_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        to_bytes(value)


def test_an_array_without_opencv(picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="an array"):
        to_bytes(picture)


def test_the_package_needs_neither_numpy_nor_opencv_nor_pillow() -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'cv2', 'PIL'): sys.modules[name] = None\n"
        "import handpose_client, handpose_client.cli\n"
        "assert handpose_client.images.to_bytes(b'x') == b'x'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("suffix", "name"), [(".jpg", "jpeg"), (".png", "png"), (".webp", "webp"), (".bmp", "bmp")]
)
def test_the_type_of_a_file(picture: NDArray[np.uint8], suffix: str, name: str) -> None:
    assert media_type(cv2.imencode(suffix, picture)[1].tobytes()) == f"image/{name}"


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"RIFF\0\0\0\0WAVE", b"hello"])
def test_the_type_of_anything_else_is_left_to_the_service(data: bytes) -> None:
    assert media_type(data) == "application/octet-stream"
