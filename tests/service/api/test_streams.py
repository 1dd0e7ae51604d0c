import asyncio

import pytest
from prometheus_client import CollectorRegistry

from service.api.streams import Streams, TooManyStreamsError


def test_a_place_is_given_back_however_the_stream_ends() -> None:
    streams = Streams(1, 1, CollectorRegistry())
    with pytest.raises(KeyError), streams.admit():
        raise KeyError("anything")
    with streams.admit():
        assert streams.open == 1
        with pytest.raises(TooManyStreamsError, match="1 streams"), streams.admit():
            pass
    assert streams.open == 0


def test_no_place_at_all_refuses_everyone() -> None:
    with pytest.raises(TooManyStreamsError), Streams(0, 1, CollectorRegistry()).admit():
        pass


def test_closing_waits_for_those_who_say_goodbye() -> None:
    async def scenario() -> None:
        streams, said = Streams(2, 1, CollectorRegistry()), []

        async def stream() -> None:
            with streams.admit():
                await streams.closing.wait()
                await asyncio.sleep(0.05)
                said.append("goodbye")

        tasks = [asyncio.create_task(stream()) for _ in range(2)]
        await asyncio.sleep(0.01)
        await streams.close()
        assert said == ["goodbye"] * 2
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.streams._CLOSE_SECONDS", 0.05)

    async def scenario() -> None:
        streams = Streams(1, 1, CollectorRegistry())
        with streams.admit():
            await asyncio.wait_for(streams.close(), 2)

    asyncio.run(scenario())
