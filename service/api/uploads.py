"""The images of a request, from a multipart form or a raw body, with every limit held while reading.

The form is parsed as it arrives and kept in memory: its size is bounded by the limits, and nothing is ever
written to disk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.places import NoRoomError
from service.api.problems import Problem

FIELD = "image"
BATCH_FIELD = "images"
_MAX_HEADER_BYTES = 8192  # of one part's headers together
_MAX_NAME = 255  # characters of a file's name that are told back


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """body: most bytes of a request. images: most in a form. image: most bytes of each. seconds: until the body must
    be whole. take: called with the size of each chunk before it is kept (what arrives is counted, not what is declared:
    to declare costs nothing); raises NoRoomError.
    """

    body: int
    image: int
    seconds: float
    take: Callable[[int], None]
    images: int = 1


@dataclass(slots=True)
class Part:
    """An image of a form. name: of the file, where it was sent. oversized: it had more bytes than an image may have,
    and none of them is kept.
    """

    name: str | None
    data: bytearray = field(default_factory=bytearray)
    oversized: bool = False


async def read_image(request: Request, limits: UploadLimits) -> bytes:
    """The bytes of the image in a request, from the field `image` of a form or the body itself.

    Raises Problem: 408 when the body does not come in time; 413 when it is larger than the limit, told from
    Content-Length before a byte is read or while reading; 415 when it is neither a form nor an image; 422 when the
    form is damaged or its fields are not one `image`; 503 when no memory is left for it.
    """
    content_type, boundary = _content_type(request)
    if content_type == b"multipart/form-data":
        (part,) = await _read_form(request, limits, _Form(boundary, FIELD, limits))
        return bytes(part.data)
    if content_type.startswith(b"image/") or content_type == b"application/octet-stream":
        body = bytearray()  # not a list: millions of tiny chunks would take many times their size
        async for chunk in _limited(request, limits):
            body += chunk
        return bytes(body)
    raise Problem(
        415,
        f"Send a multipart form with a field {FIELD} (curl -F {FIELD}=@hand.jpg) or the bytes of the image "
        "with its own Content-Type (image/jpeg, image/png, image/webp, image/bmp), not "
        f"{_told(request)}.",
    )


async def read_images(request: Request, limits: UploadLimits) -> list[Part]:
    """The images in the fields `images` of a form, in their order; at least one.

    Raises Problem as `read_image` does, but 413 also for more images than the limit; a single image that is too large
    is marked so.
    """
    content_type, boundary = _content_type(request)
    if content_type != b"multipart/form-data":
        raise Problem(
            415,
            f"Send a multipart form with a field {BATCH_FIELD} for each picture (curl -F {BATCH_FIELD}=@a.jpg "
            f"-F {BATCH_FIELD}=@b.jpg), not {_told(request)}.",
        )
    return await _read_form(request, limits, _Form(boundary, BATCH_FIELD, limits))


def _content_type(request: Request) -> tuple[bytes, bytes]:
    """The media type and, of a form, its boundary. Raises Problem 415 for a compressed body."""
    coding = ", ".join(request.headers.getlist("content-encoding"))
    if {name.strip().lower() for name in coding.split(",")} - {"", "identity"}:
        raise Problem(
            415,
            f"Send the body as it is: compressed ones (Content-Encoding: {coding[:100]}) are not read.",
            headers={"Accept-Encoding": "identity"},
        )
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    return content_type, options.get(b"boundary", b"")


def _told(request: Request) -> str:
    return request.headers.get("content-type", "")[:100] or "no Content-Type"


async def _read_form(request: Request, limits: UploadLimits, form: "_Form") -> list[Part]:
    async for chunk in _limited(request, limits):
        form.feed(chunk)
    return form.finish()


async def _limited(request: Request, limits: UploadLimits) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.body:
        raise _too_large(limits.body)
    read = 0
    chunks = aiter(request.stream())
    deadline = asyncio.get_running_loop().time() + limits.seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks, None)
        except TimeoutError:
            detail = f"The body was not complete within {limits.seconds:g} seconds."
            raise Problem(408, detail, headers={"Connection": "close"}) from None
        if chunk is None:
            return
        read += len(chunk)
        if read > limits.body:
            raise _too_large(limits.body)
        try:
            limits.take(len(chunk))
        except NoRoomError:
            detail = "Too many requests are being read already."
            raise Problem(503, detail, headers={"Retry-After": "1"}) from None
        yield chunk


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"The request is larger than {max_bytes / 2**20:g} MiB ({max_bytes} bytes).")


class _Form:
    """A multipart form whose parts all have one name. Anything else is refused by name as soon as it is seen."""

    def __init__(self, boundary: bytes, field_name: str, limits: UploadLimits) -> None:
        if not boundary:
            raise Problem(422, "The multipart form has no boundary in its Content-Type.")
        self._field_name = field_name
        self._limits = limits
        self._parts: list[Part] = []
        self._field = self._value = self._disposition = b""
        self._header_bytes = 0
        self._begun = self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_field,
                    "on_header_value": self._on_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._on_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise Problem(422, f"The multipart form is damaged: {error}.") from None

    def feed(self, chunk: bytes) -> None:
        """Parse a chunk. Raises Problem."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            what = f"The multipart form is damaged: {error}."
            if not self._begun:
                what = "The multipart form does not begin with the boundary that its Content-Type names."
            raise Problem(422, what) from None

    def finish(self) -> list[Part]:
        """The images. Raises Problem 422 when the form was cut off or had none."""
        if not self._complete:
            raise Problem(422, "The multipart form is cut off: its closing boundary is missing.")
        if not self._parts:
            raise Problem(422, f"The multipart form has no field {self._field_name}.")
        return self._parts

    def _begin(self) -> None:
        self._begun = True
        self._disposition = b""
        self._header_bytes = 0

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise Problem(422, f"A part of the form has more than {_MAX_HEADER_BYTES} bytes of headers.")

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        wanted, most = self._field_name, self._limits.images
        if name != wanted:
            raise Problem(
                422,
                f"The multipart form has a field {name[:100]!r}; the only one is {wanted}, and parameters go "
                "into the query (?max_hands=2).",
            )
        if len(self._parts) == most:
            if wanted == FIELD:
                raise Problem(422, f"The multipart form has more than one field {FIELD}; send one image.")
            raise Problem(413, f"A batch may have at most {most} pictures; this one has more.")
        file = options.get(b"filename", b"").decode("utf-8", "replace")[:_MAX_NAME]
        self._parts.append(Part(file or None))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if len(part.data) + end - start > self._limits.image:
            part.oversized = True
            part.data.clear()
        if not part.oversized:
            part.data += data[start:end]

    def _end(self) -> None:
        self._complete = True
