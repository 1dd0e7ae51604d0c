"""`python -m service create-key NAME`: make an API key, show it once, and keep its hash."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from service.api import keys

COMMAND = "create-key"


def main(arguments: Sequence[str]) -> int:
    """Run the command. Returns the exit code: 0, or 2 with a word on standard error. Wrong arguments end the process,
    as argparse does.

    The key goes to standard output, its record to the file or to standard error, so that
    `python -m service create-key lab > lab.key` keeps them apart.
    """
    parser = argparse.ArgumentParser(
        f"python -m service {COMMAND}",
        description="Make an API key. It is shown once, on standard output; the service keeps its SHA-256 alone.",
        allow_abbrev=False,
    )
    parser.add_argument("name", help="who it is for: letters, digits, dots, dashes and underscores")
    parser.add_argument(
        "--scopes",
        default="inference",
        help=f"what it may do, separated by commas: {', '.join(keys.SCOPES)} (%(default)s)",
    )
    parser.add_argument(
        "--file",
        type=Path,
        help="the keys file to add it to, made when it is missing; without it the record is printed",
    )
    options = parser.parse_args(arguments)
    try:
        text, key = keys.create(options.name, options.scopes.split(","))
        if options.file is not None:
            add(options.file, key)
    except keys.KeysError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.file}: {error.strerror}")
    print(text)  # noqa: T201
    if options.file is None:
        print(f"for HANDPOSE_KEYS or the keys file: {key.record()}", file=sys.stderr)  # noqa: T201
    return 0


def add(path: Path, key: keys.Key) -> None:
    """Add a key to a file, whoever owns it, made for oneself alone when it is missing. Raises KeysError, OSError."""
    if path.exists():
        keys.Keyring([*keys.read_file(path, anyones=True), key])  # raises for a name that is taken
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        whole = file.read() in (b"", b"\n")
        file.write(("" if whole else "\n").encode() + f"{key.record()}\n".encode())


def _fail(words: str) -> int:
    print(f"handpose: {words}", file=sys.stderr)  # noqa: T201
    return 2
