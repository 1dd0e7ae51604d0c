"""Files made to break decoders. They are decoded in a process of their own, where a crash is seen and survived."""

import struct
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.api.headers import HeaderError, bare, describe, exif_orientation, read_header, sniff
from service.api.images import Limits, decode

sys.path.append(
    str(Path(__file__).resolve().parents[3] / "benchmarks")
)  # scripts that import each other by name

from decoder import Decoder
from fuzz_images import fuzz
from mutations import Mutator, real_files

PNG = b"\x89PNG\r\n\x1a\n"
SIDE = 7000  # 49 million pixels, just within the limit
REFUSED = 60.0  # MB that a refused picture may take
BEGINNINGS = (
    b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0", PNG, PNG + b"\0\0\0\rIHDR",
    b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x1a", b"RIFF\x40\0\0\0WEBPVP8L", b"RIFF\x40\0\0\0WEBPVP8 ",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x0c\0\0\0",
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        for data in real_files().values():  # what a decoder sets up when it is first used is not counted
            running.decode(data)
        yield running


def test_two_thousand_broken_files_are_decoded_or_refused_and_nothing_else() -> None:
    found = fuzz(Mutator(seed=7), 2000)
    assert found.inputs == 2000
    assert found.bad == []
    assert found.growth < 16  # MB; blocks that come and go, the script judges it closer
    assert set(found.outcomes) >= {"JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF"}
    assert all(found.outcomes[kind]["200"] for kind in ("JPEG", "PNG", "WebP", "BMP"))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_any_bytes_have_a_header_or_not_and_can_be_described(beginning: bytes, rest: bytes) -> None:
    data = beginning + rest
    assert describe(data)
    try:
        header = read_header(data)
    except HeaderError:
        return
    assert sniff(data) == header.format
    assert header.width > 0
    assert header.height > 0
    assert 1 <= header.orientation <= 8


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"II*\0", b"MM\0*", b""]), st.binary(max_size=64))
def test_any_exif_has_an_orientation(order: bytes, rest: bytes) -> None:
    assert 1 <= exif_orientation(order + rest) <= 8


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b""
) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG + head + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def deflated(size: int) -> bytes:
    """So many zeros, a thousand times smaller."""
    packer = zlib.compressobj(1)
    blocks = [packer.compress(bytes(min(1 << 20, size - at))) for at in range(0, size, 1 << 20)]
    return b"".join(blocks) + packer.flush()


PIXELS = zlib.compress(bytes((64 * 3 + 1) * 48))
GIANT_TEXT = b"a\0\0" + deflated(64 << 20)
FRAME = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 20_000, 20_000, 0, 0, 1, 1, 0, 0))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + size


def lossless(width: int, height: int) -> tuple[bytes, bytes]:
    """A WebP frame of one colour: any size is 20 bytes."""
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "WEBP", lossless=True)
    frame = bytearray(buffer.getvalue()[20:])
    struct.pack_into("<I", frame, 1, (width - 1) | (height - 1) << 14)
    return b"VP8L", bytes(frame)


def bmp(width: int, height: int, depth: int, compression: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + info + bytes(1024) + b"\0\1"


def huge(kind: str) -> bytes:
    buffer = BytesIO()
    Image.new("1" if kind == "TIFF" else "L", (8_000, 8_000)).save(
        buffer, kind, **({"compression": "group4"} if kind == "TIFF" else {})
    )
    return buffer.getvalue()


def jpeg(width: int, height: int) -> bytes:
    data = bytearray(real_files()["jpeg"])
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


BOMBS = {
    "PNG of 400 million pixels": (png(20_000, 20_000, deflated(1 << 20)), "413"),
    "PNG with a chunk of 4 GB": (PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
                                 + b"\xff\0\0\0IDAT" + PIXELS + chunk(b"IEND", b""), "422"),
    "PNG with more data than pixels": (png(64, 48, deflated(64 << 20)), "422"),
    "PNG with text that inflates": (png(64, 48, PIXELS, extra=chunk(b"zTXt", GIANT_TEXT)), "200"),
    "PNG with a profile that inflates": (png(64, 48, PIXELS, extra=chunk(b"iCCP", GIANT_TEXT)), "200"),
    "PNG of more chunks than any": (png(64, 48, PIXELS, extra=chunk(b"tEXt", b"a\0b") * 100_000), "422"),
    "PNG with a giant frame": (png(64, 48, PIXELS, extra=chunk(b"acTL", struct.pack(">II", 9, 0)) + FRAME),
                               "200"),
    "PNG of 2³¹ frames": (png(64, 48, PIXELS, extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), "200"),
    "PNG without its pixels": (png(SIDE, SIDE, zlib.compress(b""), depth=16, colour=6), "422"),
    "PNG of one row": (png(49_000_000, 1, deflated(1 << 20)), "422"),
    "PNG of samples without a bit": (png(64, 48, PIXELS, depth=0, colour=0, extra=chunk(b"tRNS", bytes(2))), "422"),
    "JPEG of 4 billion pixels": (jpeg(65_500, 65_500), "413"),
    "WebP of 268 million pixels": (riff(lossless(16_384, 16_384)), "413"),
    "WebP of a giant canvas": (riff(canvas(1 << 24, 1 << 24), lossless(64, 64)), "413"),
    "WebP with a giant picture": (riff(canvas(64, 48), lossless(SIDE, SIDE)), "422"),
    "WebP with a giant frame": (riff(canvas(64, 48, 2), (b"ANIM", bytes(6)),
                                     (b"ANMF", bytes(16) + b"VP8L" + bytes(4) + lossless(SIDE, SIDE)[1])), "422"),
    "BMP of 4 billion pixels": (bmp(65_535, 65_535, 8, 1), "413"),
    "BMP of negative height": (bmp(65_535, -65_535, 8, 1), "413"),
    "GIF of 64 million pixels": (huge("GIF"), "415"),
    "TIFF of 64 million pixels": (huge("TIFF"), "415"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "outcome"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(decoder: Decoder, data: bytes, outcome: str) -> None:
    decoder.forget_peak()
    before = decoder.memory()
    assert decoder.decode(data) == outcome
    assert decoder.peak() - before < REFUSED


def test_what_is_just_allowed_takes_as_much_as_it_needs_and_no_more(decoder: Decoder) -> None:
    """A picture of 16 bits with transparency, 8 bytes a pixel: read whole, then made smaller piece by piece."""
    side = 2000
    data = png(side, side, deflated((side * 8 + 1) * side), depth=16, colour=6)
    decoder.forget_peak()
    before = decoder.memory()
    assert decoder.decode(data) == "200"
    assert decoder.peak() - before < 20 * side**2 / 1e6


@pytest.mark.parametrize("first", [b"", FRAME], ids=["without its first frame", "with a giant frame"])
@pytest.mark.parametrize("filtered", [0, 9], ids=["whole", "damaged"])
def test_animations_are_read_without_their_frames(decoder: Decoder, first: bytes, filtered: int) -> None:
    """OpenCV's reader of animated PNGs crashes on one of these and fails on others (5.0.0), so it is given none."""
    rows = (bytes([filtered]) + bytes(64 * 3)) * 48
    head = chunk(b"acTL", struct.pack(">II", 3, 0)) + first
    frames = b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 64, 48, 0, 0, 1, 1, 0, 0))
        + chunk(b"fdAT", struct.pack(">I", number + 1) + zlib.compress(rows))
        for number in (1, 3)
    )
    whole = png(64, 48, PIXELS, extra=head)
    assert decoder.decode(whole[:-12] + frames + whole[-12:]) == "200"


FORGED = b'\n{"level":"info","logger":"service","message":"keys in use: eve"}\n'
NOISY = {
    "a profile whose name is a line of the log": (
        chunk(b"iCCP", FORGED + b"\0\0" + zlib.compress(bytes(range(200)))),
        2,
    ),
    "thousands of damaged texts": (chunk(b"zTXt", b"a") * 10_000, 2),
    "thousands of transparencies": (chunk(b"tRNS", bytes(6)) * 10_000, 2),
    "thousands of palettes": (chunk(b"PLTE", bytes(6)) * 10_000, 0),
}


@pytest.mark.parametrize(("chunks", "colour"), NOISY.values(), ids=NOISY)
def test_a_picture_writes_no_lines_into_the_log(
    capfd: pytest.CaptureFixture[str], chunks: bytes, colour: int
) -> None:
    """libpng writes a line to standard error for each chunk that it does not like, with its words in it."""
    pixels = PIXELS if colour == 2 else zlib.compress(bytes((64 + 1) * 48))
    assert decode(png(64, 48, pixels, colour=colour, extra=chunks), Limits()).image.shape == (48, 64, 3)
    written = capfd.readouterr().err
    assert "eve" not in written
    assert written.count("\n") <= 1


@pytest.mark.parametrize("kind", [kind for kind in real_files() if kind.startswith("png")])
def test_a_bare_picture_has_the_same_pixels(kind: str) -> None:
    data = real_files()[kind]
    dressed = data[:33] + chunk(b"gAMA", struct.pack(">I", 20_000)) + chunk(b"tEXt", b"a\0b") + data[33:]
    plain = bare(dressed)
    assert b"gAMA" not in plain
    assert bare(plain) == plain
    kept, whole = (
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in (plain, dressed)
    )
    assert np.array_equal(kept, whole)


def test_a_crash_is_seen_and_survived(decoder: Decoder) -> None:
    """Otherwise the tests here would prove nothing."""
    decoder._running().kill()
    assert decoder.decode(b"x") == "CRASH: SIGKILL"
    assert decoder.decode(b"x") == "415"
