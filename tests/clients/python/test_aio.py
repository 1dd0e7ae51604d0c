"""What only the asynchronous client does, and that both offer the same."""

import asyncio
import inspect
import threading
from typing import Any

import numpy as np
import pytest
from handpose_client import AsyncHandPose, HandPose
from numpy.typing import NDArray


def public(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def test_both_clients_offer_the_same() -> None:
    ordinary, asynchronous = public(HandPose), public(AsyncHandPose)
    assert set(ordinary) - {"close"} == set(asynchronous) - {"aclose"}
    for name in set(ordinary) & set(asynchronous):
        mine, twins = (
            {p.name: (p.kind, p.default) for p in inspect.signature(member).parameters.values()}
            for member in (ordinary[name], asynchronous[name])
        )
        assert mine == twins, name


@pytest.mark.parametrize("name", [name for name in public(HandPose) if name != "close"])
def test_every_method_is_documented(name: str) -> None:
    assert getattr(HandPose, name).__doc__
    assert getattr(AsyncHandPose, name).__doc__


def test_many_requests_at_once(service: Any, jpeg: bytes) -> None:
    async def run() -> None:
        async with AsyncHandPose(service.url) as client:
            results = await asyncio.gather(*(client.pose(jpeg, max_hands=1 + i % 16) for i in range(20)))
            assert len(results) == 20

    asyncio.run(run())
    assert len({seen.query["max_hands"] for seen in service.seen}) == 16


def test_pictures_are_encoded_off_the_event_loop(
    service: Any, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def watch(image: Any) -> bytes:
        threads.append(threading.get_ident())
        return b"encoded"

    monkeypatch.setattr("handpose_client.aio.to_bytes", watch)

    async def run() -> None:
        async with AsyncHandPose(service.url) as client:
            await client.pose(picture)

    asyncio.run(run())
    assert threads
    assert threading.get_ident() not in threads
