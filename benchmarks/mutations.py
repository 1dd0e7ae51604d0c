"""Image files that break decoders: real ones of every common format, changed byte by byte.

What changes is drawn at random, more often than not where formats keep their sizes and offsets. Check sums and lengths
are often made right again afterwards; otherwise decoders would refuse most files before they read further.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

_HEAD = 64  # bytes in which most formats say how large the picture is
_MOST_BYTES = 1 << 20
_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)

Mutation = Callable[[bytearray, random.Random], bytearray]


def real_files() -> dict[str, bytes]:
    """Small pictures as files, by name: 24 kinds of JPEG, PNG, WebP, BMP, GIF and TIFF."""
    y, x = np.mgrid[:48, :64]
    colour = np.stack([x * 4, y * 5, (x ^ y) * 4], axis=2).astype(np.uint8)
    picture = Image.fromarray(colour)
    see_through = picture.copy()
    see_through.putalpha(Image.fromarray((x * 4).astype(np.uint8)))
    frames = [picture.rotate(angle) for angle in (30, 60)]
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray((x * 1000).astype(np.uint16))
    wanted: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("jpeg", picture, {}),
        ("jpeg progressive", picture, {"progressive": True}),
        ("jpeg turned", picture, {"exif": turned}),
        ("jpeg grey", picture.convert("L"), {}),
        ("jpeg cmyk", picture.convert("CMYK"), {}),
        ("jpeg restarts", picture, {"restart_marker_rows": 1}),
        ("png", picture, {}),
        ("png alpha", see_through, {}),
        ("png palette", picture.convert("P"), {"transparency": 3}),
        ("png bits", picture.convert("1"), {}),
        ("png deep", deep, {}),
        ("png animated", picture, {"save_all": True, "append_images": frames}),
        ("webp", picture, {}),
        ("webp lossless", picture, {"lossless": True}),
        ("webp alpha", see_through, {"exif": turned}),
        ("webp animated", picture, {"save_all": True, "append_images": frames}),
        ("bmp", picture, {}),
        ("bmp palette", picture.convert("P"), {}),
        ("bmp bits", picture.convert("1"), {}),
        ("gif", picture, {}),
        ("gif animated", picture, {"save_all": True, "append_images": frames}),
        ("tiff", picture, {}),
        ("tiff lzw", picture, {"compression": "tiff_lzw"}),
        ("tiff deflate", picture, {"compression": "tiff_deflate"}),
    ]
    files = {}
    for name, image, options in wanted:
        buffer = io.BytesIO()
        image.save(buffer, name.split()[0].upper(), **options)
        files[name] = buffer.getvalue()
    return files


class Mutator:
    """Makes broken files, the same ones from the same seed."""

    def __init__(self, seed: int, files: dict[str, bytes] | None = None) -> None:
        self._dice = random.Random(seed)
        self._files = list((files or real_files()).values())

    def __iter__(self) -> "Mutator":
        return self

    def __next__(self) -> bytes:
        """The next one: a real file with one to four changes."""
        dice = self._dice
        data = bytearray(dice.choice(self._files))
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
            change = dice.choice(_MUTATIONS)
            data = self._splice(data) if change is None else change(data, dice)
        if dice.random() < 0.6:
            data = repair(data)
        return bytes(data[:_MOST_BYTES])

    def _splice(self, data: bytearray) -> bytearray:
        other = self._dice.choice(self._files)
        return data[: _place(data, self._dice)] + other[_place(other, self._dice) :]


def repair(data: bytearray) -> bytearray:
    """Make a PNG's check sums and a WebP's length right."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        at = 8
        while at + 12 <= len(data):
            (length,) = struct.unpack_from(">I", data, at)
            if at + 12 + length > len(data):
                break
            struct.pack_into(">I", data, at + 8 + length, zlib.crc32(data[at + 4 : at + 8 + length]))
            at += 12 + length
    elif data.startswith(b"RIFF") and len(data) >= 12:
        struct.pack_into("<I", data, 4, len(data) - 8)
    return data


def _place(data: bytes | bytearray, dice: random.Random) -> int:
    """Somewhere in the file, as often as not near its beginning."""
    end = len(data)
    return dice.randrange(min(_HEAD, end) if end and dice.random() < 0.5 else max(end, 1))


def _flip(data: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 1, 2, 8))):
        if data:
            data[_place(data, dice)] ^= 1 << dice.randrange(8)
    return data


def _number(data: bytearray, dice: random.Random) -> bytearray:
    """A number of one, two or four bytes, in either order, becomes one at the edge of its range."""
    kind = dice.choice(("B", "<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    at = _place(data, dice)
    if at + size <= len(data):
        struct.pack_into(kind, data, at, dice.choice(_NUMBERS) & (1 << 8 * size) - 1)
    return data


def _noise(data: bytearray, dice: random.Random) -> bytearray:
    at = _place(data, dice)
    size = min(dice.choice((1, 4, 32)), len(data) - at)
    data[at : at + size] = dice.randbytes(size)
    return data


def _insert(data: bytearray, dice: random.Random) -> bytearray:
    at = _place(data, dice)
    data[at:at] = dice.choice((b"\0", b"\xff", dice.randbytes(1))) * dice.choice((1, 2, 16, 1000))
    return data


def _delete(data: bytearray, dice: random.Random) -> bytearray:
    at = _place(data, dice)
    del data[at : at + dice.choice((1, 2, 16, 200))]
    return data


def _repeat(data: bytearray, dice: random.Random) -> bytearray:
    at = _place(data, dice)
    piece = data[at : at + dice.choice((4, 32, 300))]
    data[at:at] = piece * dice.choice((1, 2, 20))
    return data


def _cut(data: bytearray, dice: random.Random) -> bytearray:
    return data[: _place(data, dice)]


# None: the first part of one file and the last of another. Numbers and bits come up more often than the rest.
_MUTATIONS: tuple[Mutation | None, ...] = (
    _flip, _flip, _flip, _number, _number, _number, _noise, _insert, _delete, _repeat, _cut, None,
)  # fmt: skip
