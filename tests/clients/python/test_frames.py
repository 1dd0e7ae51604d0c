"""Frames are asked for one at a time, in a thread where they may block."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handpose_client.frames import frames_of
from numpy.typing import NDArray


async def drain(frames: Any) -> list[Any]:
    source = frames_of(frames)
    found = []
    try:
        while (item := await source.next()) is not None:
            found.append(item)
    finally:
        source.close()
    return found


async def asynchronous(frames: list[Any]) -> AsyncIterator[Any]:
    for frame in frames:
        yield frame


@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
def test_frames_come_as_given_and_as_files(
    wrap: Any, picture: NDArray[np.uint8], jpeg: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "frame.jpg"
    path.write_bytes(jpeg)
    found = asyncio.run(drain(wrap([jpeg, path, picture])))
    assert [item for item, _ in found][:2] == [jpeg, path]
    assert found[2][0] is picture
    assert found[0][1] == found[1][1] == jpeg
    assert found[2][1].startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    "frame", ["video.mp4", b"jpeg", bytearray(b"jpeg"), memoryview(b"jpeg"), Path("video.mp4")]
)
def test_one_picture_is_no_stream(frame: Any) -> None:
    with pytest.raises(TypeError, match="an iterable of pictures, not one"):
        frames_of(frame)


def test_what_cannot_be_iterated() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        frames_of(7)  # type: ignore[type-var]


@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
def test_a_frame_that_cannot_be_sent_is_told(wrap: Any) -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(drain(wrap([Path("/nowhere/frame.jpg")])))


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_what_the_source_raises_is_told(error: type[BaseException]) -> None:
    def source() -> Iterator[bytes]:
        yield b"first"
        raise error("in the source")

    async def run() -> None:
        frames = frames_of(source())
        assert await frames.next() == (b"first", b"first")
        with pytest.raises(error, match="in the source"):
            await frames.next()
        frames.close()

    asyncio.run(run())


def test_one_thread_iterates_and_ends() -> None:
    threads: list[threading.Thread] = []

    def source() -> Iterator[bytes]:
        for _ in range(3):
            threads.append(threading.current_thread())
            yield b"frame"

    asyncio.run(drain(source()))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_nothing_is_asked_for_before_it_is_wanted() -> None:
    asked: list[int] = []

    def source() -> Iterator[bytes]:
        for i in range(3):
            asked.append(i)
            yield b"frame"

    async def run() -> None:
        frames = frames_of(source())
        assert asked == []
        await frames.next()
        assert asked == [0]
        frames.close()

    asyncio.run(run())


def test_a_source_that_blocks_keeps_nobody_from_leaving() -> None:
    release = threading.Event()

    def source() -> Iterator[bytes]:
        release.wait(30)
        yield b"late"

    async def run() -> None:
        frames = frames_of(source())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await frames.next()
        frames.close()

    asyncio.run(run())  # the loop is closed while the source still blocks
    (thread,) = [t for t in threading.enumerate() if t.name == "handpose-frames"]
    release.set()
    thread.join(5)
    assert not thread.is_alive()
