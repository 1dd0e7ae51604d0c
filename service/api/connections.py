"""How many connections there may be, and who holds them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from service.api.addresses import Network, client_of, within
from service.api.places import NoPlaceError, Places
from service.api.problems import Problem

_MAX_TURNED_AWAY = 100  # at once; further ones are cut off


@dataclass(slots=True)
class Connections:
    """The open connections of a server.

    limit: how many there may be. per_address: from one address, 0 for any number; `exempt` networks have no such
    limit (proxies stand for many clients). head_seconds: until the head of a request must be whole. on_refusal: hears
    the reason, one of `service.api.metrics`, for each that no application is asked about. draining: whether each is to
    end with its next answer, so that its client connects elsewhere.
    """

    limit: int
    per_address: int = 0
    exempt: tuple[Network, ...] = ()
    head_seconds: float = 60.0
    on_refusal: Callable[[str], None] = lambda _: None
    draining: Callable[[], bool] = lambda: False
    _open: dict[asyncio.BaseTransport, str] = field(default_factory=dict)
    _turned_away: set[asyncio.BaseTransport] = field(default_factory=set)
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.per_address)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection until `release`; one that is counted already stays so. Raises Problem 503 or 429."""
        if transport in self._open:
            return
        if len(self._open) >= self.limit:
            raise Problem(503, f"{self.limit} connections are open already.", headers={"Retry-After": "1"})
        peer = transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        holder = "" if within(host, self.exempt) else client_of(host)
        if holder:
            try:
                self._places.take(holder)
            except NoPlaceError:
                detail = f"{holder} has {self.per_address} connections open already."
                raise Problem(429, detail, headers={"Retry-After": "1"}) from None
        self._open[transport] = holder

    def exempts(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one that was admitted is a proxy's."""
        return self._open.get(transport) == ""

    def turn_away(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one that was not admitted may stay for as long as it takes to tell it so."""
        if len(self._turned_away) >= _MAX_TURNED_AWAY:
            return False
        self._turned_away.add(transport)
        return True

    def release(self, transport: asyncio.BaseTransport) -> None:
        """It is closed."""
        self._turned_away.discard(transport)
        if holder := self._open.pop(transport, ""):
            self._places.give_back(holder)
