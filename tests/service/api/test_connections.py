"""Who may have how many connections."""

from typing import Any

import pytest

from service.api.connections import Connections
from service.api.problems import Problem


def test_who_is_turned_away_may_stay_for_a_moment_unless_there_are_too_many() -> None:
    connections = Connections(limit=1)
    transports = [Transport(("192.0.2.1", port)) for port in range(101)]
    assert [connections.turn_away(t) for t in transports].count(True) == 100  # type: ignore[arg-type]
    connections.release(transports[0])  # type: ignore[arg-type]
    assert connections.turn_away(transports[-1])  # type: ignore[arg-type]
    assert len(connections) == 0


class Transport:
    """As much of one as is looked at."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def get_extra_info(self, name: str) -> Any:
        return {"peername": self._peer}[name]


def test_places_are_counted_once_and_given_back_once() -> None:
    connections = Connections(limit=3, per_address=2)
    first, second, third = (Transport(("192.0.2.1", port)) for port in (1, 2, 3))
    local = Transport("")  # a Unix socket has no address
    for transport in (first, first, second):
        connections.admit(transport)  # type: ignore[arg-type]
    assert len(connections) == 2
    with pytest.raises(Problem) as caught:
        connections.admit(third)  # type: ignore[arg-type]
    assert caught.value.status == 429
    connections.release(third)  # type: ignore[arg-type]
    assert len(connections) == 2
    connections.admit(local)  # type: ignore[arg-type]
    with pytest.raises(Problem) as caught:
        connections.admit(Transport(("192.0.2.2", 1)))  # type: ignore[arg-type]
    assert caught.value.status == 503
    for transport in (first, first, second, local):
        connections.release(transport)  # type: ignore[arg-type]
    assert len(connections) == 0
