import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageOps

from service.api import images
from service.api.headers import Header
from service.api.images import Limits, decode, reduction
from service.api.images import encode as encode_picture
from service.api.problems import Problem
from service.inference.hands import Box, Hand

LIMITS = Limits()
RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


@pytest.fixture
def flag(draw: Callable) -> np.ndarray:
    """No two of its corners look alike, so that no turn or flip leaves it as it is."""
    return draw(96, 64, (0, 0, 48, 32, RED), (48, 0, 48, 32, GREEN), (0, 32, 48, 32, BLUE))


def close(a: np.ndarray, b: np.ndarray, tolerance: int = 6) -> bool:
    """Equal but for what lossy coding does, measured away from edges."""
    return a.shape == b.shape and bool(np.median(abs(a.astype(int) - b.astype(int))) <= tolerance)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_pixels_come_out_as_rgb(flag: np.ndarray, encode: Callable, kind: str) -> None:
    decoded = decode(encode(flag, kind), LIMITS)
    assert close(decoded.image, flag)
    assert decoded.image.dtype == np.uint8
    assert (decoded.width, decoded.height, decoded.factor) == (96, 64, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_becomes_upright(
    flag: np.ndarray, encode: Callable, kind: str, orientation: int
) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encode(flag, kind, exif=exif.tobytes())
    decoded = decode(data, LIMITS)
    upright = np.asarray(ImageOps.exif_transpose(PillowImage.open(BytesIO(data))).convert("RGB"))
    assert close(decoded.image, upright)
    assert (decoded.width, decoded.height) == (upright.shape[1], upright.shape[0])
    assert decoded.image.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_transparent_picture(flag: np.ndarray, encode: Callable, orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encode(np.dstack([flag, np.full((64, 96), 255, np.uint8)]), "PNG", exif=exif.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(PillowImage.open(BytesIO(data))).convert("RGB"))
    assert close(decode(data, LIMITS).image, upright, 0)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("BMP", "L"), ("BMP", "P")],
)
def test_other_colour_modes(flag: np.ndarray, encode: Callable, kind: str, mode: str) -> None:
    data = encode(flag, kind, mode)
    expected = np.asarray(PillowImage.open(BytesIO(data)).convert("RGB"))
    assert close(decode(data, LIMITS).image, expected)


def test_sixteen_bits_become_eight(flag: np.ndarray) -> None:
    deep = cv2.imencode(".png", flag[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert close(decode(deep, LIMITS).image, flag, 0)
    grey = cv2.imencode(".png", flag[:, :, 0].astype(np.uint16) * 257)[1].tobytes()
    assert close(decode(grey, LIMITS).image, np.repeat(flag[:, :, :1], 3, axis=2), 0)


@pytest.mark.parametrize("deep", [False, True])
def test_transparency_lies_over_white(deep: bool) -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    image[:2] = (0, 0, 255, 255)  # BGRA: opaque red
    image[2] = (0, 0, 255, 51)  # a fifth
    image[3] = (9, 9, 9, 0)  # nothing
    data = cv2.imencode(".png", image.astype(np.uint16) * 257 if deep else image)[1].tobytes()
    decoded = decode(data, LIMITS).image
    assert decoded[0, 0].tolist() == [255, 0, 0]
    assert decoded[2, 0].tolist() == [255, 204, 204]
    assert decoded[3, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("depth", "hidden", "seen"), [(1, 0, 255), (2, 2, 0), (4, 9, 0), (8, 7, 0), (16, 500, 0)]
)
def test_a_grey_that_is_transparent_is_white(depth: int, hidden: int, seen: int) -> None:
    """A picture of two rows: one of the hidden grey, one of another."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    other = 1 if depth == 1 else 0
    rows = [
        b"\0" + np.packbits([int(bit) for bit in format(grey, f"0{depth}b") * 16]).tobytes()
        for grey in (hidden, other)
    ]
    parts = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 2, depth, 0, 0, 0, 0)),
        chunk(b"tRNS", struct.pack(">H", hidden)),
        chunk(b"IDAT", zlib.compress(b"".join(rows))),
        chunk(b"IEND", b""),
    )
    image = decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts), LIMITS).image
    assert image[0].tolist() == [[255] * 3] * 16
    assert image[1].tolist() == [[seen] * 3] * 16


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("alpha", [False, True])
def test_the_first_frame_of_an_animation_counts(
    flag: np.ndarray, encode: Callable, kind: str, alpha: bool
) -> None:
    mode = "RGBA" if alpha else "RGB"
    second = PillowImage.fromarray(255 - flag).convert(mode)
    data = encode(flag, kind, mode, save_all=True, append_images=[second], duration=100, lossless=True)
    assert PillowImage.open(BytesIO(data)).n_frames == 2
    assert close(decode(data, LIMITS).image, flag, 2)


@pytest.mark.parametrize(
    ("side", "factor"), [(1000, 1), (2559, 1), (2560, 2), (5119, 2), (5120, 4), (10240, 8), (40000, 8)]
)
def test_reduction_keeps_the_side_that_is_asked_for(side: int, factor: int) -> None:
    assert reduction(Header("jpeg", 10, side), 1280) == factor
    assert reduction(Header("png", 10, side), 1280) == 1
    assert reduction(Header("jpeg", 10, side), 0) == 1


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("decode_side", "factor"), [(120, 2), (60, 4), (30, 8)])
def test_a_large_jpeg_is_decoded_smaller(
    encode: Callable, draw: Callable, orientation: int, decode_side: int, factor: int
) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encode(draw(245, 131, (0, 0, 80, 80, RED)), "JPEG", exif=exif.tobytes())
    decoded = decode(data, Limits(decode_side=decode_side))
    width, height = (245, 131) if orientation == 1 else (131, 245)
    assert (decoded.width, decoded.height, decoded.factor) == (width, height, factor)
    assert decoded.image.shape[:2] == (-(-height // factor), -(-width // factor))
    assert decode(data, Limits(decode_side=decode_side), whole=True).image.shape[:2] == (height, width)


def centre(image: np.ndarray) -> np.ndarray:
    """x, y of what is red, in pixels."""
    y, x = np.nonzero((image[..., 0] > 180) & (image[..., 1] < 90))
    return np.array([x.mean() + 0.5, y.mean() + 0.5])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_coordinates_are_those_of_the_whole_picture_however_it_is_turned(
    encode: Callable, draw: Callable, orientation: int
) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encode(draw(1289, 1033, (320, 640, 320, 160, RED)), "JPEG", exif=exif.tobytes(), quality=95)
    small, large = decode(data, Limits(decode_side=160)), decode(data, LIMITS, whole=True)
    assert small.factor == 8
    keypoints = np.tile(centre(small.image), (21, 1)).astype(np.float32)
    height, width = small.image.shape[:2]
    told = small.whole(Hand(Box(0, 0, width, height), 1, 1, "left", 1, keypoints, np.ones(21, np.float32)))
    assert abs(told.keypoints[0] - centre(large.image)).max() < 1
    assert told.box == Box(0, 0, large.width, large.height), "the box lies inside the picture"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"this is text named hand.jpg", 415, "text"),
        (b"GIF89a\1\0\1\0", 415, "GIF"),
        (b"\xff\xd8\xff", 422, "cut off"),
        (b"\x89PNG\r\n\x1a\n", 422, "cut off"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, status: int, words: str) -> None:
    with pytest.raises(Problem, match=words) as caught:
        decode(data, LIMITS)
    assert caught.value.status == status


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(encode: Callable, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    data = encode(noise, kind)
    with pytest.raises(Problem, match=r"cut off|damaged") as caught:
        decode(data[: int(share * len(data))], LIMITS)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("kind", "options", "side", "most"),
    [
        ("PNG", {}, 3200, 1),
        ("PNG", {}, 3000, 2),
        ("JPEG", {}, 3200, 2),  # decoded at half its size
        ("JPEG", {"progressive": True}, 3200, 1),
    ],
)
def test_large_pictures_are_decoded_one_at_a_time(
    encode: Callable, monkeypatch: pytest.MonkeyPatch, kind: str, options: dict, side: int, most: int
) -> None:
    data = encode(np.zeros((side, side, 3), np.uint8), kind, **options)
    running, seen, lock, decoder = 0, [], threading.Lock(), cv2.imdecode

    def watched(*arguments: Any) -> Any:
        nonlocal running
        with lock:
            running += 1
            seen.append(running)
        time.sleep(0.1)
        try:
            return decoder(*arguments)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(cv2, "imdecode", watched)
    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(lambda _: decode(data, LIMITS), range(2)))) == 2
    assert max(seen) == most


def test_a_large_picture_does_not_wait_for_ever(encode: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_PATIENCE", 0.05)
    data = encode(np.zeros((3200, 3200, 3), np.uint8), "PNG")
    with images.alone(3200 * 3200), ThreadPoolExecutor(1) as thread:
        error = thread.submit(decode, data, LIMITS).exception()
    assert isinstance(error, Problem)
    assert (error.status, error.headers) == (503, {"Retry-After": "5"})
    assert decode(data, LIMITS).width == 3200


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damage_inside_is_refused(encode: Callable, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    data = bytearray(encode(noise, kind, lossless=True))
    data[60:4000] = bytes(3940)
    with pytest.raises(Problem, match="damaged"):
        decode(bytes(data), LIMITS)
    assert "OpenCV" not in capfd.readouterr().err


def test_too_many_pixels_are_told_from_the_header(encode: Callable, draw: Callable) -> None:
    with pytest.raises(Problem, match="100 × 50") as caught:
        decode(encode(draw(100, 50)), Limits(pixels=4999))
    assert caught.value.status == 413
    assert decode(encode(draw(100, 50)), Limits(pixels=5000)).width == 100


def test_a_lying_header_is_refused(encode: Callable, draw: Callable) -> None:
    """An extended WebP whose canvas is declared smaller than the frame in it."""
    data = bytearray(encode(np.dstack([draw(64, 64)] * 1), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    assert data[12:16] == b"VP8X"
    data[24:27] = (9).to_bytes(3, "little")
    with pytest.raises(Problem, match=r"damaged|do not fit"):
        decode(bytes(data), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_files_are_decoded_or_refused_and_nothing_else(
    encode: Callable, draw: Callable, kind: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(draw(40, 30, (5, 5, 20, 20, RED)), kind))
    for position, value in changes:
        data[position % len(data)] = value
    status, fits = 200, True
    try:
        decoded = decode(bytes(data), Limits(pixels=100_000))
        fits = decoded.image.shape == (decoded.height, decoded.width, 3)
    except Problem as problem:
        status = problem.status
    assert status in (200, 413, 415, 422)
    assert fits


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_what_is_encoded_can_be_decoded(flag: np.ndarray, media_type: str) -> None:
    data = encode_picture(flag, media_type)
    assert PillowImage.open(BytesIO(data)).get_format_mimetype() == media_type
    assert close(decode(data, LIMITS).image, flag)


@pytest.mark.parametrize("shape", [(3, 65_501, 3), (65_501, 3, 3)])
def test_a_picture_too_large_for_a_jpeg_is_refused_and_a_png_is_written(shape: tuple[int, ...]) -> None:
    picture = np.zeros(shape, np.uint8)
    with pytest.raises(Problem, match="at most 65500 pixels a side") as refusal:
        encode_picture(picture, "image/jpeg")
    assert refusal.value.status == 422
    assert len(encode_picture(picture, "image/png")) > 0
    assert len(encode_picture(picture[:65_500, :65_500], "image/jpeg")) > 0
