"""What the largest picture that is let in costs: `python benchmarks/costly_pictures.py`.

Files made to be small and dear: 49 megapixels of one colour, just within the default limit, in every format that is
read. Each is decoded as a request would, in a process of its own (`decoder.py`); told are its processor time and how
much memory it took at its peak beside what the process had. Linux only.
"""

import io
import struct
import zlib

from decoder import Decoder
from PIL import Image

SIDE = 7000
_PNG = b"\x89PNG\r\n\x1a\n"


def main() -> None:
    print(f"{'picture':<28}{'bytes':>10}{'outcome':>9}{'seconds':>9}{'MB':>6}")
    for name, data in pictures().items():
        with Decoder() as decoder:
            decoder.decode(_saved("PNG", 16))
            decoder.forget_peak()
            before = decoder.memory()
            outcome = decoder.decode(data)
            print(
                f"{name:<28}{len(data):>10,}{outcome:>9}{decoder.seconds:9.1f}{decoder.peak() - before:6.0f}"
            )


def pictures() -> dict[str, bytes]:
    """The files by name."""
    webp = _saved("WEBP", SIDE, lossless=True, method=0)
    return {
        "PNG, 8 bits": _png(8, 2),
        "PNG, 16 bits, transparent": _png(16, 6),
        "PNG, animated": _saved(
            "PNG", SIDE, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE), 1)]
        ),
        "JPEG": _saved("JPEG", SIDE, quality=10),
        "JPEG, progressive": _saved("JPEG", SIDE, quality=10, progressive=True),
        "JPEG, 90 scans more": _more_scans(_saved("JPEG", SIDE, "L", quality=10, progressive=True), 90),
        "WebP, lossless": webp,
        "WebP": _saved("WEBP", SIDE, method=0),
        "WebP, animated": _animated(webp[12:], 20),
        "BMP, run lengths": _bmp(),
    }


def _saved(kind: str, side: int, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, kind, **options)
    return buffer.getvalue()


def _png(depth: int, colour: int) -> bytes:
    """Zeros. colour: 2 for RGB, 6 for RGBA."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = bytes(1 + SIDE * depth // 8 * (4 if colour == 6 else 3))
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    head = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
    return _PNG + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _more_scans(jpeg: bytes, count: int) -> bytes:
    """The last scan again and again."""
    scan = jpeg[jpeg.rfind(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * count + jpeg[-2:]


def _animated(frame: bytes, count: int) -> bytes:
    """frame: the chunk of a WebP picture."""
    size = (SIDE - 1).to_bytes(3, "little") * 2
    one = b"ANMF" + struct.pack("<I", 16 + len(frame)) + bytes(6) + size + bytes(4) + frame
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + size
    body = b"WEBP" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + one * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bmp() -> bytes:
    """Nothing but the mark of its end."""
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + head + bytes(1024) + b"\0\1"


if __name__ == "__main__":
    main()
