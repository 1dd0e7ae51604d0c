"""API keys: what they look like, what they may do, and how one is recognised.

A key is `hp_` and 43 characters that stand for 32 bytes of the system's random source. The service knows only the
SHA-256 of each. A slow, salted hash (bcrypt, argon2) makes up for passwords that can be guessed; nobody guesses 256
random bits, so it would add nothing but a way to keep our processors busy with wrong keys. A word somebody thought of
never works as a key: it does not have the form.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Scope = Literal["inference", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_KEY = re.compile(r"hp_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_KEYS = 1000
_RECORD = "name:scope+scope:sha256, as `python -m service create-key NAME` prints it"


class KeysError(ValueError):
    """Keys that cannot be used; the message names the line, never a key or a hash."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. digest: the SHA-256 of its characters."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes

    def record(self) -> str:
        """The line that stands for it in the settings or the keys file."""
        scopes = "+".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name}:{scopes}:{self.digest.hex()}"


class Keyring:
    """The keys of a service."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        """Raises KeysError for a name or key that appears twice, and for more than 1000."""
        if len(keys) > _MAX_KEYS:
            raise KeysError(f"there are {len(keys)} keys, at most {_MAX_KEYS} are read")
        names, digests = set[str](), set[bytes]()
        for key in keys:
            if key.name in names or key.digest in digests:
                what = "name" if key.name in names else "key"
                raise KeysError(f"the {what} of {key.name} appears twice")
            names.add(key.name)
            digests.add(key.digest)
        self.keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def grants(self, scope: Scope) -> bool:
        """Whether any key has this scope."""
        return any(scope in key.scopes for key in self.keys)

    def find(self, presented: str) -> Key | None:
        """The key that was presented, None for an unknown one or none at all ("").

        Every call does the same work: one hash, one comparison with each key in constant time.
        """
        digest = digest_of(presented)
        found: Key | None = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found if _KEY.fullmatch(presented) else None


def digest_of(key: str) -> bytes:
    """The SHA-256 of a key's characters."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def create(name: str, scopes: Iterable[str]) -> tuple[str, Key]:
    """A new key: its characters, to be handed to whom it is for and kept nowhere, and what is kept of it.

    Raises KeysError for a name or scope that cannot be.
    """
    text = "hp_" + secrets.token_urlsafe(32)
    return text, Key(_name(name), parse_scopes(scopes), digest_of(text))


def parse_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    """Raises KeysError for none, and for one that does not exist."""
    wanted = {text.strip() for text in scopes}
    found = frozenset(scope for scope in SCOPES if scope in wanted)
    unknown = sorted(wanted - found)
    if unknown or not found:
        what = f"there is no scope {unknown[0][:40]!r}" if unknown else "a scope is missing"
        raise KeysError(f"{what}; there are {', '.join(SCOPES)}")
    return found


def parse(records: Iterable[str], source: str) -> list[Key]:
    """Keys from their records; empty ones and comments (#) are passed over.

    source: where they are from, for the message. Raises KeysError that says which is wrong.
    """
    keys = []
    for number, record in enumerate(records, 1):
        record = record.strip()
        if not record or record.startswith("#"):
            continue
        try:
            keys.append(_parse(record))
        except KeysError as error:
            raise KeysError(f"{source}, key {number}: {error}") from None
    return keys


def _parse(record: str) -> Key:
    parts = record.split(":")
    if _KEY.search(record):
        raise KeysError(f"that is a key itself, only its hash belongs here: {_RECORD}")
    if len(parts) != 3 or not _HASH.fullmatch(parts[2].lower()):
        raise KeysError(f"a key looks like {_RECORD}")
    name, scopes, digest = parts
    return Key(_name(name), parse_scopes(scopes.split("+")), bytes.fromhex(digest))


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise KeysError("a key's name has 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def read_file(path: Path, *, anyones: bool = False) -> list[Key]:
    """The keys of a file, one record a line.

    anyones: whoever owns it; for adding a key to a file of the service's user, not for serving by it.
    Raises KeysError when it cannot be read, or when somebody else may write to it or anybody may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            _check_permissions(path, found)
            if not anyones:
                _check_owner(path, found)
            return parse(file, str(path))
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeysError(f"{path} is not UTF-8 text") from None


def _check_permissions(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeysError(f"{path} is not a file")
    if os.name != "posix":
        return
    if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        raise KeysError(f"{path} may be read or changed by others (mode {mode:04o}): chmod 600 {path}")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if os.name == "posix" and found.st_uid not in (0, os.geteuid()):
        raise KeysError(f"{path} belongs to user {found.st_uid}, who could change it; not to this service's")


def load(records: str, path: Path | None) -> Keyring:
    """The keys of the settings: `records`, separated by commas, and those of the file.

    Raises KeysError, also for records or a file without any: the service would be open to everybody.
    """
    keys = parse(records.split(","), "HANDPOSE_KEYS")
    if records:
        _refuse_none(keys, "HANDPOSE_KEYS")
    if path is not None:
        found = read_file(path)
        _refuse_none(found, str(path))
        keys += found
    return Keyring(keys)


def _refuse_none(keys: Sequence[Key], source: str) -> None:
    if not keys:
        raise KeysError(f"{source} holds no key, and would leave the service open to everybody")
