"""What the first bytes of an image file say, read before anything is decoded.

Only what is needed to refuse early and to decode right: size, orientation, transparency, and whether the
file is all there. Sources: ITU-T T.81 annex B (JPEG), W3C PNG third edition, RFC 9649 (WebP), Microsoft's
BITMAPINFOHEADER, and TIFF 6.0 with EXIF 2.3 for the orientation.
"""

import re
import struct
from dataclasses import dataclass
from typing import Literal

Format = Literal["jpeg", "png", "webp", "bmp"]


class HeaderError(ValueError):
    """The file begins like an image and is not one, or not all of it is there; the message says what is
    wrong.
    """


@dataclass(frozen=True, slots=True)
class Header:
    """width, height: pixels as stored, before `orientation` (EXIF, 1–8) is applied. alpha: some may be
    transparent. hidden_grey: the one grey of a PNG that is transparent, as stored but for depths below 8 bits, which
    are spread over 8. progressive: a JPEG whose scans refine one another, which a decoder holds whole.
    """

    format: Format
    width: int
    height: int
    orientation: int = 1
    alpha: bool = False
    hidden_grey: int | None = None
    progressive: bool = False


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTHS = (1, 2, 4, 8, 16)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by its type of colour
# A progressive JPEG has about ten scans, and each costs the decoder a walk over all pixels. Many are an attack on it.
_MAX_SCANS = 100
_MAX_SCANS_OF_LARGE = 20  # of a picture whose pixels times scans are more than _MAX_SCANNED
_MAX_SCANNED = 200_000_000
_MAX_SEGMENTS = 20_000  # of a JPEG; profiles and depth maps of phones are some hundreds
# What ends the pixels of a scan: 0xFF, but before 0x00, a restart marker, or another 0xFF that only fills.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MAX_CHUNKS = 100_000  # a PNG of 50 megapixels that does not compress has 25,000 of the usual 8 KiB


def sniff(data: bytes) -> Format | None:
    """Which of the formats we read these bytes begin like, whatever the file was called."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(_PNG):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    # BM alone would match text: a bitmap also has two reserved zero words and a known header size.
    if data.startswith(b"BM") and data[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return "bmp"
    return None


def read_header(data: bytes) -> Header:
    """Read the header of a file that `sniff` knows.

    Raises HeaderError when it is malformed, declares no pixels, or the file is cut off.
    """
    try:
        match sniff(data):
            case "jpeg":
                header = _jpeg(data)
            case "png":
                header = _png(data)
            case "webp":
                header = _webp(data)
            case "bmp":
                header = _bmp(data)
            case None:
                raise HeaderError("not an image of a known type")
    except (struct.error, IndexError):
        raise HeaderError("the file is cut off in its header") from None
    if header.width < 1 or header.height < 1:
        raise HeaderError(f"the picture has no pixels: {header.width} × {header.height}")
    return header


def _jpeg(data: bytes) -> Header:
    width = height = 0
    orientation, progressive = 1, False
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise HeaderError("the JPEG's segments are damaged")
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker == 0xD9:
            raise HeaderError("the JPEG ends before its first scan")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # stand alone, without a length
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if length < 2:
            raise HeaderError("the JPEG's segments are damaged")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and not width:  # start of frame
            height, width = struct.unpack_from(">HH", data, at + 3)
            progressive = marker & 3 == 2
        elif marker == 0xE1 and data[at + 2 : at + 8] == b"Exif\0\0" and orientation == 1:
            orientation = exif_orientation(data[at + 8 : at + length])
        elif marker == 0xDA:  # start of scan
            break
        at += length
    else:
        raise HeaderError(f"the JPEG has more than {_MAX_SEGMENTS} segments")
    if not width:
        raise HeaderError("the JPEG has no frame header")
    scans = _scans(data, at)
    most = _MAX_SCANS if width * height * scans <= _MAX_SCANNED else _MAX_SCANS_OF_LARGE
    if scans > most:
        raise HeaderError(f"the JPEG has more than {most} scans")
    return Header("jpeg", width, height, orientation, progressive=progressive)


def _scans(data: bytes, at: int) -> int:
    """How many scans a JPEG has up to its end, which what cameras append behind it is not.

    at: behind the marker of the first. Segments between scans are stepped over, whatever they hold.
    """
    scans = 1
    for _ in range(_MAX_SEGMENTS):
        (length,) = struct.unpack_from(">H", data, at)
        found = _MARKER.search(data, at + length)
        while found and found[0][1] == 0x01:  # stands alone, without a length
            found = _MARKER.search(data, found.end())
        if found is None:
            raise HeaderError("the JPEG is cut off: it has no end marker")
        at = found.end()
        if found[0][1] == 0xD9:
            return scans
        scans += found[0][1] == 0xDA
    raise HeaderError(f"the JPEG has more than {_MAX_SEGMENTS} segments")


def _png(data: bytes) -> Header:
    if len(data) < 33:
        raise HeaderError("the PNG is cut off in its header")
    if data[12:16] != b"IHDR":
        raise HeaderError("the PNG does not begin with its header")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if depth not in _PNG_DEPTHS:
        raise HeaderError(f"the PNG has {depth} bits for a sample")
    alpha, orientation, hidden_grey = colour in (4, 6), 1, None
    # Deflated pixels are hardly larger than pixels. What is, would be inflated a thousandfold and thrown away.
    room = 2 * height * (1 + width * depth * _PNG_CHANNELS.get(colour, 1) // 8) + 2**16
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            raise HeaderError("the PNG is cut off: it has no end chunk")
        length, kind = struct.unpack_from(">I4s", data, at)
        # Also of the chunks behind the header: the decoder would allocate what they declare, up to 4 GB each.
        if at + 12 + length > len(data):
            raise HeaderError(f"the PNG is cut off: a chunk of {length} bytes ends behind the file")
        if kind == b"IEND":
            return Header("png", width, height, orientation, alpha, hidden_grey)
        if kind == b"IDAT" and (room := room - length) < 0:
            raise HeaderError("the PNG has more data than pixels")
        if kind == b"tRNS":
            alpha = True
            if colour == 0 and hidden_grey is None:  # the first counts
                (grey,) = struct.unpack_from(">H", data, at + 8)
                hidden_grey = grey * 255 // (2**depth - 1) if depth < 8 else grey
        elif kind == b"eXIf":
            orientation = exif_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    raise HeaderError(f"the PNG has more than {_MAX_CHUNKS} chunks")


def bare(png: bytes) -> bytes:
    """A PNG that `read_header` has read, with nothing but what its pixels are made of.

    Of all else libpng writes warnings to standard error, one for each chunk and with words from the file: lines without
    end in our log, or such as look like our own. Text and profiles would be inflated for nothing. OpenCV's reader of
    animated ones (of 5.0.0) takes memory for all frames, and some damaged ones crash it.
    """
    parts, seen, at = [_PNG], set[bytes](), len(_PNG)
    while at + 12 <= len(png) and b"IEND" not in seen:
        length, kind = struct.unpack_from(">I4s", png, at)
        critical = not kind[0] & 0x20  # PNG, section 5.4
        if kind == b"IDAT" or (kind not in seen and (critical or kind == b"tRNS")):
            parts.append(png[at : at + 12 + length])
        seen.add(kind)
        at += 12 + length
    return b"".join(parts)


def _webp(data: bytes) -> Header:
    (declared,) = struct.unpack_from("<I", data, 4)
    if declared + 8 > len(data):
        raise HeaderError(f"the WebP is cut off: {declared + 8} bytes declared, {len(data)} sent")
    kind = data[12:16]
    if kind == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise HeaderError("the WebP's frame is damaged")
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        if data[20] != 0x2F:
            raise HeaderError("the WebP's frame is damaged")
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, alpha=bool(bits >> 28 & 1))
    if kind == b"VP8X":
        flags = data[20]
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        orientation = _webp_orientation(data) if flags & 0x08 else 1
        return Header("webp", width, height, orientation, alpha=bool(flags & 0x10))
    raise HeaderError("the WebP has no picture in it")


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in range(10_000):  # chunks: every frame of an animation is one, and EXIF comes behind them
        if at + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return exif_orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + (length & 1)
    return 1


def _bmp(data: bytes) -> Header:
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative: stored from the top down
    if width < 0:
        raise HeaderError("the BMP has a negative width")
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3, 6) and offset + row * height > len(data):  # the others are compressed
        raise HeaderError(f"the BMP is cut off: {offset + row * height} bytes needed, {len(data)} sent")
    return Header("bmp", width, height)


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1–8, in an EXIF block without its "Exif" prefix; 1 when there is none that makes
    sense.

    EXIF in the wild is often damaged while the picture is fine, so damage is not an error.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == 0x0112:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftyp", "MP4 or QuickTime video"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop document"),
    (0, b"\0\0\1\0", "Windows icon"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\3\4", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM video"),
)


def describe(data: bytes) -> str:
    """What these bytes seem to be, for a message to the person who sent them."""
    for offset, signature, name in _SIGNATURES:
        if data.startswith(signature, offset):
            return name
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    lowered = head.lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if lowered.startswith((b"<svg", b"<?xml")):
        return "SVG or XML"
    if head.startswith(b"data:"):
        return "a data URL; send the bytes it encodes"
    try:
        # A cut through the middle of a character must not make text binary.
        text = data[:512].decode("utf-8", errors="strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        return "data of an unknown type"
    printable = all(c.isprintable() or c in "\t\r\n" for c in text)
    return "text" if text and printable else "data of an unknown type"
