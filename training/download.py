"""Downloads one large file over HTTP: resumed where it broke off, never half a file under its own name.

While it runs, `<name>.part` holds what has come and `<name>.part.json` what the server said about the file it is a part
of. A part is continued with `Range` and `If-Range`, and only if address, entity tag (or date) and size are still the
same; if not, or if the server knows no ranges, it begins again. When all bytes are there, `<name>.sha256` keeps their
checksum in the format of `sha256sum` and the part takes its name.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

CHUNK = 1 << 18
SPARE = 64 << 20  # bytes that stay free on the disk
HTTP_SCHEMES = ("http://", "https://")
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

# Told the bytes there are now and the bytes there will be (None if the server does not say).
Progress = Callable[[int, int | None], None]


class DownloadError(ValueError):
    """A file that could not be had; the message names the address or file and says what to do."""


class _BrokenOffError(Exception):
    """The connection broke; trying again may help."""


@dataclass(frozen=True)
class _Remote:
    """Which file a part is a part of."""

    url: str
    etag: str | None
    modified: str | None
    size: int | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong entity tag, else a date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


def download(
    url: str,
    target: Path,
    progress: Progress = lambda done, total: None,
    magic: bytes = b"",
    attempts: int = 6,
    pause: float = 2.0,
    timeout: float = 60.0,
) -> None:
    """Bring the bytes of `url` to `<target>.part`, continuing what is there; `finish` gives it its name.

    magic: what the file must begin with, so that a web page in its place is refused at once. attempts: how often in a
    row the connection may fail without a byte more than ever before. pause: seconds before the second attempt, doubled
    each time. Raises DownloadError if it cannot be had: refused by the server, too little disk, the attempts used up.
    What has come stays for the next run, until another file's bytes have to take its place.
    """
    if not url.startswith(HTTP_SCHEMES):
        raise DownloadError(f"{url} is no http or https address")
    part = part_of(target)
    failures, most = 0, _size(part)
    while True:
        try:
            _continue(url, target, progress, magic, timeout)
            return
        except _BrokenOffError as error:
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= attempts:
                raise DownloadError(
                    f"{url}: {error}; {attempts} attempts failed. {_size(part):,} bytes are kept in {part}: run the "
                    "same command again to go on"
                ) from None
            time.sleep(min(60.0, pause * 2 ** (failures - 1)))


def finish(target: Path, expected: str | None = None, progress: Progress = lambda done, total: None) -> str:
    """Check the part of `target`, record its sha256 beside it and give it its name. Returns the sha256.

    expected: the sha256 it must have. A checksum that an earlier download recorded must be met too.
    Raises DownloadError if it differs: the part is removed then, as continuing it would not mend it.
    """
    part = part_of(target)
    found = sha256(part, progress)
    recorded = recorded_sha256(target)
    for wanted, whose in ((expected, "was asked for"), (recorded, f"is recorded in {record_of(target)}")):
        if wanted is not None and found != wanted.lower():
            part.unlink()
            _state_of(target).unlink(missing_ok=True)
            raise DownloadError(
                f"{target.name} has sha256 {found}, but {wanted} {whose}; the download was removed"
            )
    record_sha256(target, found)
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)
    _state_of(target).unlink(missing_ok=True)
    return found


def part_of(target: Path) -> Path:
    """Where the bytes of an unfinished download are."""
    return target.with_name(target.name + ".part")


def record_of(target: Path) -> Path:
    """Where the sha256 of a finished download is kept."""
    return target.with_name(target.name + ".sha256")


def begun_from(target: Path) -> str | None:
    """The address that an unfinished download came from, if there is one."""
    known = _load(target)
    return known.url if known is not None and part_of(target).exists() else None


def recorded_sha256(target: Path) -> str | None:
    """What an earlier download recorded, if there was one. Raises DownloadError if the record is no checksum."""
    record = record_of(target)
    if not record.exists():
        return None
    words = record.read_text().split()
    if not words or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise DownloadError(f"{record} holds no sha256; remove it")
    return words[0]


def record_sha256(target: Path, digest: str) -> None:
    """Keep the checksum of a finished download, as `sha256sum --check` reads it."""
    record_of(target).write_text(f"{digest}  {target.name}\n")


def sha256(file: Path, progress: Progress = lambda done, total: None) -> str:
    """The checksum of a file, in small letters."""
    digest = hashlib.sha256()
    done, total = 0, file.stat().st_size
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
    return digest.hexdigest()


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise DownloadError unless the disk of `folder` has room for `needed` bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise DownloadError(f"{what} needs {needed / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} GB are free")


def _continue(url: str, target: Path, progress: Progress, magic: bytes, timeout: float) -> None:
    """One request: append what is missing, or begin again. Raises _BrokenOffError where another attempt may help."""
    part, known = part_of(target), _load(target)
    if known is not None and known.url != url:
        known = None
    start = _size(part) if known is not None else 0
    if known is not None and start and start == known.size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "handpose", "Accept-Encoding": "identity"})
    if known is not None and start:
        request.add_header("Range", f"bytes={start}-")
        if known.validator:
            request.add_header("If-Range", known.validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            _receive(response, url, target, known, start, progress, magic)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part is longer than the file: it is a part of another one
                part.unlink(missing_ok=True)
                raise _BrokenOffError("the file on the server is shorter than the part of it") from None
            if error.code in _TRY_AGAIN:
                raise _BrokenOffError(f"the server answers {error.code} {error.reason}") from None
            raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (
        OSError,
        http.client.HTTPException,
    ) as error:  # writing raises DownloadError, so this is the network
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: {reason}") from None
        raise _BrokenOffError(f"the connection failed ({reason})") from None


def _receive(
    response: http.client.HTTPResponse,
    url: str,
    target: Path,
    known: _Remote | None,
    start: int,
    progress: Progress,
    magic: bytes,
) -> None:
    """Write the body of an answer to the part, after what is there or in its place."""
    part = part_of(target)
    etag, modified = response.headers["ETag"], response.headers["Last-Modified"]
    if response.status == 206:
        first, total = _range(response, url)
        if known is None or first != start or not _same(known, _Remote(url, etag, modified, total)):
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the file on the server has changed")
    else:
        start = 0
        length = response.headers["Content-Length"]
        total = int(length) if length else None
    chunk = response.read(CHUNK)
    if not chunk and total != start:
        raise _BrokenOffError("the connection broke before anything came")
    if not start and not chunk.startswith(magic):
        kind = response.headers["Content-Type"] or "something else"
        raise DownloadError(f"{url} answers with {kind}, not with the file")
    require_space(part.parent, max(0, (total or 0) - start), f"the rest of {target.name}")
    done = start
    with _open(part, "ab" if start else "wb") as stream:
        if not start:
            _save(target, _Remote(url, etag, modified, total))
        while chunk:
            _write(stream, chunk, part)
            done += len(chunk)
            progress(done, total)
            chunk = response.read(CHUNK)
    if total is not None and done != total:
        raise _BrokenOffError(f"the connection broke after {done:,} of {total:,} bytes")
    if total is None:
        _save(target, _Remote(url, etag, modified, done))


def _range(response: http.client.HTTPResponse, url: str) -> tuple[int, int | None]:
    """Where a partial answer begins, and the size of the whole file."""
    match = _CONTENT_RANGE.match(response.headers["Content-Range"] or "")
    if match is None:
        raise DownloadError(f"{url}: the server answers 206 without a range that can be understood")
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _same(known: _Remote, remote: _Remote) -> bool:
    """Whether a partial answer is of the file that the part is of, as far as the server tells."""
    pairs = ((known.etag, remote.etag), (known.modified, remote.modified), (known.size, remote.size))
    return all(old is None or new is None or old == new for old, new in pairs)


def _open(part: Path, mode: str) -> IO[bytes]:
    try:
        return part.open(mode)
    except OSError as error:
        raise DownloadError(f"cannot write {part}: {error.strerror}") from None


def _write(stream: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        stream.write(chunk)
        stream.flush()
    except OSError as error:
        raise DownloadError(f"cannot write {part}: {error.strerror}") from None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_of(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _save(target: Path, remote: _Remote) -> None:
    _state_of(target).write_text(json.dumps(asdict(remote)))


def _load(target: Path) -> _Remote | None:
    """What is known of the file that the part is of; None if nothing is, and the part is of no use."""
    try:
        return _Remote(**json.loads(_state_of(target).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
