"""Which web pages may open a stream.

Browsers let any page open a WebSocket to any server and send its own address along as `Origin`; refusing is
the server's part (RFC 6455, section 10.2). Programs send no `Origin` and are not concerned.
"""

from urllib.parse import urlsplit

ANY = "*"


def parse_origins(text: str) -> frozenset[str]:
    """Origins from a comma-separated list; `*` stands for all.

    Raises ValueError for one that is not `scheme://host` or `scheme://host:port`.
    """
    origins = frozenset(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins - {ANY}:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.netloc or parts.path or parts.query:
            raise ValueError(
                f"an origin looks like https://example.org or http://localhost:3000, not {origin}"
            )
    return origins


def allowed(origin: str | None, host: str, origins: frozenset[str]) -> bool:
    """Whether a page may connect.

    origin: the header, None when absent. host: the `Host` header of the same request; its own pages may always.
    """
    if origin is None or ANY in origins:
        return True
    origin = origin.lower()
    return origin in origins or (host != "" and urlsplit(origin).netloc == host.lower())
