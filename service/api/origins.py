"""Which web pages may open a stream.

Browsers let any page open a WebSocket to any server and send its own address along as `Origin`; refusing is
the server's part (RFC 6455, section 10.2). Programs send no `Origin` and are not concerned.

A page may also come from a name that its owner points at this machine once it was loaded (DNS rebinding): its origin is
then the very host that it asks. Such a name cannot be told from one of ours, but an address and `localhost` can.
"""

import ipaddress
from urllib.parse import urlsplit

ANY = "*"
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def parse_origins(text: str) -> frozenset[str]:
    """Origins from a comma-separated list, as browsers write them: without the scheme's usual port. `*` stands for all.

    Raises ValueError for one that is not `scheme://host` or `scheme://host:port`, patterns included.
    """
    origins = frozenset(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
    return frozenset(origin if origin == ANY else _parse(origin) for origin in origins)


def _parse(origin: str) -> str:
    parts = urlsplit(origin)
    if (
        origin != f"{parts.scheme}://{parts.netloc}"
        or not parts.scheme
        or not parts.hostname
        or "@" in origin
    ):
        raise ValueError(f"an origin looks like https://example.org or http://localhost:3000, not {origin}")
    if "*" in origin:
        raise ValueError(f"each origin is written out, or a single * allows all; not {origin}")
    return origin.removesuffix(_USUAL_PORTS.get(parts.scheme, ""))


def allowed(origin: str | None, host: str, origins: frozenset[str], *, unnamed: bool = False) -> bool:
    """Whether a page may connect.

    origin: the header, None when absent. host: the `Host` header of the same request; its own pages may.
    unnamed: the service is known by its address and as `localhost` alone: pages under other names are not its own.
    """
    if origin is None or ANY in origins:
        return True
    origin, host = origin.lower(), host.lower()
    if origin in origins:
        return True
    own = host != "" and origin.partition("://")[2] == host
    return own and not (unnamed and _is_name(host))


def _is_name(host: str) -> bool:
    """Whether a `Host` is a name that somebody could have registered."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name != "localhost"
    return False
