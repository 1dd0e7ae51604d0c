"""Who is at the other end: clients by their address, and the proxies whose word on it is taken."""

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_UNKNOWN = "unknown"


def parse_proxies(text: str) -> tuple[Network, ...]:
    """Addresses and networks from a comma-separated list. `*` is every address there is.

    Raises ValueError for what is neither, host names included: they can change under us.
    """
    networks: list[Network] = []
    for part in (part.strip() for part in text.split(",")):
        if part == "*":
            networks += [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
        elif part:
            try:
                networks.append(ipaddress.ip_network(part))
            except ValueError:
                raise ValueError(
                    f"a proxy is an address or a network, 10.0.0.2 or 10.0.0.0/24, not {part[:100]}"
                ) from None
    return tuple(networks)


def within(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks; False for what is no address."""
    address = _parse(host)
    return address is not None and any(address in network for network in networks)


def client_of(host: str | None) -> str:
    """The name under which an address is counted.

    host: as the connection or a trusted proxy has it. An IPv6 client has its whole /64 network to choose addresses
    from, so that counts as one. What is no address counts as one, too.
    """
    address = _parse(host or "")
    if address is None:
        return _UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def _parse(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])  # without the zone of a link-local one
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
