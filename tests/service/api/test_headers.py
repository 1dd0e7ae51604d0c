import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage

from service.api.headers import HeaderError, describe, exif_orientation, read_header, sniff

PICTURE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)


def exif(orientation: int) -> bytes:
    data = PillowImage.Exif()
    data[0x0112] = orientation
    return data.tobytes()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"mode": "CMYK"}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": exif(6)}),
        ("BMP", {}),
        ("BMP", {"mode": "P"}),
    ],
)
def test_size_and_type_are_read(encode: Callable, kind: str, options: dict) -> None:
    data = encode(PICTURE, kind, **options)
    header = read_header(data)
    assert (header.format, header.width, header.height, header.alpha) == (kind.lower(), 53, 37, False)
    assert sniff(data) == kind.lower()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read(encode: Callable, kind: str, orientation: int) -> None:
    assert read_header(encode(PICTURE, kind, exif=exif(orientation))).orientation == orientation


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {"transparency": 0}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGBA", {"lossless": True}),
    ],
)
def test_transparency_is_seen(encode: Callable, kind: str, mode: str, options: dict) -> None:
    image = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 7, np.uint8)]) if mode == "RGBA" else PICTURE
    assert read_header(encode(image, kind, mode, **options)).alpha


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_cut_is_refused(encode: Callable, kind: str) -> None:
    """No prefix of a file passes, and none raises anything but HeaderError."""
    data = encode(PICTURE, kind)
    for length in [*range(1, 200), *range(200, len(data) - 1, 97), len(data) - 1]:
        if sniff(data[:length]) is not None:
            with pytest.raises(HeaderError):
                read_header(data[:length])


def test_a_thumbnail_does_not_hide_that_the_end_is_missing(encode: Callable) -> None:
    thumbnail = encode(PICTURE[:8, :8], "JPEG")
    whole = encode(PICTURE, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    assert read_header(with_thumbnail).width == 53
    with pytest.raises(HeaderError, match="cut off"):
        read_header(with_thumbnail[:-20])


def test_bytes_behind_the_end_do_not_matter(encode: Callable) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        assert read_header(encode(PICTURE, kind) + b"appended by a phone").width == 53


def test_a_small_png_may_declare_a_huge_size() -> None:
    assert read_header(huge_png(20_000, 20_000)).width == 20_000


def huge_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0)])
def test_no_pixels_are_refused(width: int, height: int) -> None:
    with pytest.raises(HeaderError, match="no pixels"):
        read_header(huge_png(width, height))


def test_a_jpeg_of_very_many_scans_is_refused(encode: Callable) -> None:
    data = encode(PICTURE, "JPEG", progressive=True)
    scans = b"\xff\xda\x00\x02" * 200
    with pytest.raises(HeaderError, match="scans"):
        read_header(data[:-2] + scans + data[-2:])


@pytest.mark.parametrize("marker", [b"\xff\xfe", b"\xff\xef"])
def test_an_end_inside_of_a_comment_hides_no_scans(encode: Callable, marker: bytes) -> None:
    data = encode(PICTURE, "JPEG")
    hidden = marker + b"\x00\x06\xff\xd9AB" + b"\xff\xda\x00\x02" * 200
    with pytest.raises(HeaderError, match="scans"):
        read_header(data[:-2] + hidden + data[-2:])
    with pytest.raises(HeaderError, match="no end marker"):
        read_header(data[:-2] + marker + b"\x00\x06\xff\xd9AB")
    assert read_header(data[:-2] + marker + b"\x00\x06\xff\xd9AB" + data[-2:]).width == 53


def test_a_jpeg_of_very_many_segments_is_refused(encode: Callable) -> None:
    data = encode(PICTURE, "JPEG")
    many = b"\xff\xfe\x00\x02" * 30_000
    for at in (2, len(data) - 2):
        with pytest.raises(HeaderError, match="segments"):
            read_header(data[:at] + many + data[at:])


def test_a_large_jpeg_may_have_fewer_scans_than_a_small_one(encode: Callable) -> None:
    data = encode(PICTURE, "JPEG", progressive=True)
    scans = b"\xff\xda\x00\x02" * 40
    small = data[:-2] + scans + data[-2:]
    assert read_header(small).width == PICTURE.shape[1]
    frame = small.index(b"\xff\xc2")
    large = small[: frame + 5] + struct.pack(">HH", 3000, 4000) + small[frame + 9 :]
    with pytest.raises(HeaderError, match="more than 20 scans"):
        read_header(large)


def test_jpegs_with_broken_segments_are_refused() -> None:
    for body in (b"\x00\x00", b"\xff\xe0\x00\x01", b"\xff\xd9", b"\xff\xda\x00\x02\x00\xff\xd9"):
        with pytest.raises(HeaderError):
            read_header(b"\xff\xd8" + (body if body.startswith(b"\xff") else b"\xff\xe0\x00\x04ab" + body))


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_in_both_byte_orders(order: str) -> None:
    prefix = b"II*\0" if order == "<" else b"MM\0*"
    other = struct.pack(order + "HHII", 0x010F, 2, 4, 0)
    orientation = struct.pack(order + "HHIHH", 0x0112, 3, 1, 8, 0)
    tiff = prefix + struct.pack(order + "IH", 8, 2) + other + orientation
    assert exif_orientation(tiff) == 8


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\x05\0",
        b"XX*\0\x08\0\0\0\x01\0" + bytes(12),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 4, 1, 6, 0),
    ],
)
def test_damaged_exif_means_upright(tiff: bytes) -> None:
    assert exif_orientation(tiff) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a....", "GIF"),
        (b"II*\0....", "TIFF"),
        (b"MM\0*....", "TIFF"),
        (b"\0\0\0\x18ftypheic....", "HEIC"),
        (b"\0\0\0\x18ftypavif....", "AVIF"),
        (b"\0\0\0\x18ftypisom....", "MP4"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4....", "ZIP"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\xef\xbb\xbf<svg xmlns=", "SVG"),
        (b"data:image/png;base64,iVBOR", "data URL"),
        (b"hello, I am no picture\n", "text"),
        ("für die Hände".encode() * 100, "text"),
        (b"BM is how this text begins", "text"),
        (bytes(range(128, 250)), "unknown"),
        (b"\0\0\0\0", "unknown"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, words: str) -> None:
    assert sniff(data) is None
    assert words in describe(data)
