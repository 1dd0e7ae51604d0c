"""Who may open a stream: keys, rates, origins, limits for each client."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from tests.service.api.asgi_socket import Socket, connected

OUR_PAGE = {"origin": "http://hands.example"}
Play = Callable[..., None]


async def works(socket: Socket, photo: bytes) -> bool:
    """A frame is answered."""
    socket.send(photo)
    return (await socket.read())["type"] == "result"


async def subprotocol(socket: Socket, photo: bytes) -> str | None:
    """What the service chose, of a stream that works."""
    assert await works(socket, photo)
    assert socket.accepted is not None
    return socket.accepted.get("subprotocol")


def test_a_key_comes_in_the_header_or_as_a_subprotocol(play: Play, keys: Any, photo: bytes) -> None:
    header = {"authorization": f"Bearer {keys.text}"}

    async def scenario(app: FastAPI) -> None:
        async with connected(app, **header) as socket:
            assert await subprotocol(socket, photo) is None
        async with connected(app, subprotocols=["handpose", f"handpose.key.{keys.text}"]) as socket:
            assert await subprotocol(socket, photo) == "handpose", "the key is never said back"
        async with connected(app, subprotocols=["other"], **header) as socket:
            assert await subprotocol(socket, photo) is None

    play(scenario, **keys.settings)


@pytest.mark.parametrize(
    ("key", "subprotocols", "status"),
    [
        (None, [], 401),
        ("hp_wrong", [], 401),
        (None, ["handpose"], 401),
        (None, ["handpose", "handpose.key."], 401),
        (None, ["handpose", "handpose.key.hp_wrong"], 401),
        ("admin", [], 403),
    ],
)
def test_programs_are_answered_over_http(
    play: Play, keys: Any, key: str | None, subprotocols: list[str], status: int
) -> None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    if key == "admin":
        headers = {"authorization": keys.admin["Authorization"]}

    async def scenario(app: FastAPI) -> None:
        async with connected(app, subprotocols=subprotocols, **headers) as socket:
            told, told_headers, problem = await socket.refused()
            assert (told, problem["status"]) == (status, status)
            assert told_headers["www-authenticate"].startswith("Bearer")

    play(scenario, **keys.settings)


def test_our_pages_are_told_in_the_stream_because_browsers_hide_the_answer(play: Play, keys: Any) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app, subprotocols=["handpose", "handpose.key.hp_wrong"], **OUR_PAGE) as socket:
            error = await socket.read()
            assert (error["type"], error["frame"], error["status"]) == ("error", None, 401)
            assert (await socket.closed())[0] == 1008
            assert socket.accepted is not None
            assert socket.accepted["subprotocol"] == "handpose"
        counted = app.state.service.metrics.text().decode()
        assert 'handpose_rejected_total{reason="unauthorized"} 1.0' in counted

    play(scenario, **keys.settings)


def test_foreign_pages_get_no_stream_even_with_a_key(play: Play, keys: Any) -> None:
    foreign = {"origin": "https://evil.example", "authorization": f"Bearer {keys.text}"}

    async def scenario(app: FastAPI) -> None:
        async with connected(app, **foreign) as socket:
            assert (await socket.refused())[0] == 403

    play(scenario, **keys.settings)


def test_a_key_in_the_address_is_none(play: Play, keys: Any) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app, f"key={keys.text}") as socket:
            assert (await socket.refused())[0] == 401

    play(scenario, **keys.settings)


def test_opening_costs_as_much_as_a_picture(play: Play, photo: bytes) -> None:
    async def scenario(app: FastAPI) -> None:
        for _ in range(2):
            async with connected(app) as socket:
                for _ in range(3):
                    assert await works(socket, photo), "frames are not counted"
        async with connected(app) as socket:
            status, headers, _ = await socket.refused()
            assert status == 429
            assert int(headers["retry-after"]) > 900
        async with connected(app, **OUR_PAGE) as socket:
            assert (await socket.read())["status"] == 429
            assert (await socket.closed())[0] == 1013

    play(scenario, rate_limit=0.001, rate_burst=2, max_batch_images=2, allowed_origins="http://hands.example")


def test_each_client_has_its_own_streams(play: Play, keys: Any, photo: bytes) -> None:
    lab, other = ({"authorization": found["Authorization"]} for found in (keys.lab, keys.other))

    async def scenario(app: FastAPI) -> None:
        async with connected(app, **lab) as first:
            assert await works(first, photo)
            async with connected(app, **lab) as second:
                assert (await second.read())["status"] == 429
                assert (await second.closed())[0] == 1013
            async with connected(app, **other) as third:
                assert await works(third, photo)
        async with connected(app, **lab) as again:
            assert await works(again, photo)

    play(scenario, max_streams_per_client=1, **keys.settings)


def test_a_limit_on_hands(play: Play, photo: bytes) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app, "max_hands=3") as socket:
            assert (await socket.read())["status"] == 422
            assert (await socket.closed())[0] == 1008
        async with connected(app) as socket:
            assert await works(socket, photo)
            socket.send({"type": "configure", "max_hands": 3})
            assert "at most 2" in (await socket.read())["detail"]
            socket.send({"type": "configure", "smoothing": False})
            assert (await socket.read())["max_hands"] == 2

    play(scenario, max_hands=2)
