"""Settings that are each allowed, and unsafe or senseless together: refused at the start, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.api import keys
from service.api.addresses import parse_proxies
from service.api.origins import ANY, parse_origins

if TYPE_CHECKING:
    from service.settings import Settings

_MIN_PREFIX = {4: 8, 6: 16}  # a larger network than these is no set of proxies


class UnsafeError(ValueError):
    """These settings do not go together; the message names them, says why, and what would do."""


def check(settings: Settings) -> None:
    """Raises UnsafeError."""
    found = keyring(settings)
    _origins(settings, found)
    _proxies(settings)
    _sizes(settings)
    _rates(settings)


def warnings(settings: Settings) -> list[str]:
    """What is allowed and worth a second look, as sentences for the log."""
    found = []
    local = settings.local()
    keyed = bool(settings.keys.get_secret_value()) or settings.keys_file is not None
    if not local and not keyed and not settings.rate_limit:
        found.append(
            f"whoever reaches {settings.host} may use this service without a key and as fast as it can; "
            "HANDPOSE_KEYS_FILE and HANDPOSE_RATE_LIMIT change that"
        )
    if not local and keyed and not settings.trusted_proxies:
        found.append(
            "keys cross the network as they are: put a proxy with TLS in front, and name it in HANDPOSE_TRUSTED_PROXIES"
        )
    return found


def keyring(settings: Settings) -> keys.Keyring:
    """The keys as the settings and the keys file have them now. Raises UnsafeError when they do not do."""
    try:
        found = keys.load(settings.keys.get_secret_value(), settings.keys_file)
    except keys.KeysError as error:
        raise UnsafeError(f"HANDPOSE_KEYS and HANDPOSE_KEYS_FILE: {error}") from None
    _scopes(settings, found)
    return found


def _scopes(settings: Settings, found: keys.Keyring) -> None:
    keyless = settings.keyless()
    if "admin" in keyless:
        raise UnsafeError(
            "HANDPOSE_KEYLESS_SCOPES has admin: anybody could reload the models; that always needs a key"
        )
    if keyless and not found:
        raise UnsafeError("HANDPOSE_KEYLESS_SCOPES is set, but no scope needs a key: there are no keys")
    if found and not found.grants("inference") and "inference" not in keyless:
        raise UnsafeError(
            "no key has the scope inference, so nobody could send a picture: make one, or list inference in "
            "HANDPOSE_KEYLESS_SCOPES"
        )


def _origins(settings: Settings, found: keys.Keyring) -> None:
    needs_key = bool(found) and "inference" not in settings.keyless()
    if ANY in parse_origins(settings.allowed_origins) and not needs_key and not settings.rate_limit:
        raise UnsafeError(
            "HANDPOSE_ALLOWED_ORIGINS=* without keys or HANDPOSE_RATE_LIMIT: every web page could make its visitors' "
            "browsers, also those inside your network, work this service to capacity; name the pages, or set either"
        )


def _proxies(settings: Settings) -> None:
    wide = [
        str(network)
        for network in parse_proxies(settings.trusted_proxies)
        if network.prefixlen < _MIN_PREFIX[network.version]
    ]
    if wide and (
        settings.rate_limit or settings.max_connections_per_address or settings.max_streams_per_client
    ):
        raise UnsafeError(
            f"HANDPOSE_TRUSTED_PROXIES has {wide[0]}, so every client could invent its address (X-Forwarded-For) and "
            "escape the limits for each address; name the proxies, or take those limits away"
        )


def _sizes(settings: Settings) -> None:
    for name in ("max_bytes", "max_batch_bytes"):
        size = getattr(settings, name)
        if size > settings.upload_memory:
            raise UnsafeError(
                f"HANDPOSE_{name.upper()} is {size}, more than the {settings.upload_memory} bytes of "
                "HANDPOSE_UPLOAD_MEMORY: a request of that size could never be taken in"
            )


def _rates(settings: Settings) -> None:
    if not settings.rate_limit:
        if settings.rate_burst:
            raise UnsafeError(
                "HANDPOSE_RATE_BURST is set and HANDPOSE_RATE_LIMIT is not: nothing would be limited"
            )
    elif settings.burst() < settings.max_batch_images:
        raise UnsafeError(
            f"HANDPOSE_RATE_BURST is {settings.burst()}, less than the {settings.max_batch_images} pictures of "
            "HANDPOSE_MAX_BATCH_IMAGES: a whole batch could never be let in"
        )
