"""Which media type an `Accept` header asks for (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence


def negotiate(accept: str, offered: Sequence[str]) -> str | None:
    """The offered type the client likes best; the first one when it does not care; None when it wants none
    of them.

    accept: the header's value, empty when absent. offered: media types, our own preference first. Parts
        that cannot be read are passed over.
    """
    if not accept.strip():
        return offered[0]
    ranges = [_parse(part) for part in accept.split(",")]
    best, best_quality = None, 0.0
    for media_type in offered:
        quality = _quality(media_type, ranges)
        if quality > best_quality:
            best, best_quality = media_type, quality
    return best


def _parse(part: str) -> tuple[str, float]:
    """`image/png;q=0.8` as ("image/png", 0.8)."""
    media_range, *parameters = (field.strip().lower() for field in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers a media type; 0 when none does."""
    kind = media_type.split("/")[0]
    for candidate in (media_type, f"{kind}/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == candidate:
                return quality
    return 0.0
