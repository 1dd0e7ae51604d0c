"""Gets the public data sets: EgoHands and FreiHAND, by `python -m training fetch <name> --to <folder>`.

What is there already is left alone, what broke off is continued. We know of no checksum that the sources publish, so
the first download records its sha256 in `<archive>.sha256`, and every later run and download is held against that; a
checksum from elsewhere can be demanded with `--sha256`. Unpacking verifies the CRC-32 of every file in the archive.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from training.datasets.sources import SOURCES, Archive, Source
from training.download import (
    DownloadError,
    begun_from,
    download,
    finish,
    record_of,
    record_sha256,
    recorded_sha256,
    sha256,
)
from training.unpack import UnpackError, unpack

_ZIP = b"PK"


class FetchError(ValueError):
    """A data set that was not fetched; the message is for the person who asked for it."""


def fetch(
    name: str,
    to: Path,
    accept_licence: bool = False,
    checksums: Sequence[str] = (),
    urls: Sequence[str] = (),
    console: Console | None = None,
    ask: Callable[[str], str] | None = None,
    attempts: int = 6,
    pause: float = 2.0,
) -> list[Path]:
    """Download and unpack a data set. Returns the folders of its archives, `<to>/<archive's folder>`.

    name: a key of `sources.SOURCES`. to: made if it does not exist; archives are kept there beside their folders.
    accept_licence: the terms are accepted; else they must be by typing yes (to `ask`, which is the terminal's prompt).
    checksums: sha256 that must be met, as `FILE=HEX`, or `HEX` alone for a data set of one archive.
    urls: other addresses, as `FILE=URL`, or `URL` alone for a data set of one archive.
    attempts, pause: see `download`.
    Raises FetchError (unknown name, terms not accepted, wrong arguments, a folder in the way or not writable),
    DownloadError or UnpackError; all are ValueErrors whose message says what to do.
    """
    source = SOURCES.get(name)
    if source is None:
        raise FetchError(f"there is no data set {name!r}; known are {', '.join(SOURCES)}")
    expected = _by_file(source, checksums, "--sha256")
    for file, digest in expected.items():
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise FetchError(f"--sha256 for {file}: {digest!r} is not 64 hexadecimal digits")
    addresses = _by_file(source, urls, "--url")
    console = console or Console()
    with _file_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        missing = [archive for archive in source.archives if _lacks(to / archive.folder, archive)]
        if missing:
            _accept(source, missing, accept_licence, console, ask)
        for archive in source.archives:
            folder = to / archive.folder
            if archive not in missing:
                _say(console, f"{folder} is there already")
                continue
            if folder.exists():
                raise FetchError(
                    f"{folder} is in the way and lacks {_lacks(folder, archive)}; remove it or name another folder"
                )
            candidates = [addresses[archive.file]] if archive.file in addresses else list(archive.urls)
            wanted = expected.get(archive.file, archive.sha256)
            _get(archive, candidates, to / archive.file, wanted, console, attempts, pause)
            try:
                with _bar(console, f"unpacking {archive.file}") as progress:
                    count = unpack(to / archive.file, folder, archive.holds, progress)
            except UnpackError as error:
                if wanted is None:  # then the checksum on record is that of the damaged file itself
                    record_of(to / archive.file).unlink(missing_ok=True)
                raise UnpackError(f"{error}; remove {to / archive.file} to download it again") from None
            _say(console, f"{folder} has {count:,} files; {to / archive.file} may be removed now")
    return [to / archive.folder for archive in source.archives]


def _get(
    archive: Archive,
    addresses: Sequence[str],
    target: Path,
    expected: str | None,
    console: Console,
    attempts: int,
    pause: float,
) -> None:
    """See that the archive is there and is what it should be."""
    recorded = recorded_sha256(target)
    if target.exists():
        with _bar(console, f"checking {archive.file}") as progress:
            found = sha256(target, progress)
        for wanted in (expected, recorded):
            if wanted is not None and found != wanted.lower():
                raise FetchError(f"{target} has sha256 {found}, not {wanted}; remove it to download it again")
        record_sha256(target, found)
        _say(console, f"{target} is there already, sha256 {found}")
        return
    begun = begun_from(target)
    addresses = sorted(addresses, key=lambda url: url != begun)  # where it broke off, before any other
    for number, url in enumerate(addresses, 1):
        _say(console, f"from {url}")
        try:
            with _bar(console, archive.file) as progress:
                download(url, target, progress, _ZIP, attempts, pause)
            break
        except DownloadError as error:
            if (
                number == len(addresses) or begun_from(target) == url
            ):  # another address would begin from nothing
                raise
            _say(console, f"{error}; trying the next address")
    with _bar(console, f"checking {archive.file}") as progress:
        found = finish(target, expected, progress)
    known = expected is not None or recorded is not None
    verdict = "as expected" if known else f"kept in {record_of(target)}; there is none to compare it with"
    _say(console, f"{target}: sha256 {found}, {verdict}")


def _lacks(folder: Path, archive: Archive) -> str:
    return ", ".join(name for name in archive.holds if not (folder / name).exists())


def _accept(
    source: Source,
    archives: Sequence[Archive],
    accepted: bool,
    console: Console,
    ask: Callable[[str], str] | None,
) -> None:
    """Show the terms; raise FetchError unless they are accepted."""
    sizes = ", ".join(f"{archive.file} ({archive.download})" for archive in archives)
    terms = f"{source.name}: {source.licence}"
    for line in (terms, source.notice, source.citation, source.page, f"To download: {sizes}"):
        console.print(line, highlight=False, markup=False)
    if accepted:
        _say(console, "Accepted with --accept-licence.")
        return
    if ask is None:
        if not sys.stdin.isatty():
            raise FetchError("nobody can be asked here: accept these terms with --accept-licence")
        ask = input
    if ask("Type yes to accept these terms and go on: ").strip().lower() != "yes":
        raise FetchError(f"the terms of {source.name} were not accepted; nothing was downloaded")


def _by_file(source: Source, given: Sequence[str], option: str) -> dict[str, str]:
    """Values of an option by archive file name: `FILE=VALUE`, or `VALUE` alone if there is only one archive."""
    files = [archive.file for archive in source.archives]
    values = {}
    for item in given:
        file, _, value = item.partition("=")
        if file not in files and len(files) == 1:
            file, value = files[0], item
        if file not in files:
            raise FetchError(f"{option} {item}: write FILE=VALUE, where FILE is one of {', '.join(files)}")
        values[file] = value
    return values


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _file_errors(to: Path) -> Iterator[None]:
    """Say which file could not be written or read, instead of a traceback."""
    try:
        yield
    except OSError as error:
        raise FetchError(f"{error.filename or to}: {error.strerror or error}") from None


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar in bytes; yields what tells it how far things are."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
