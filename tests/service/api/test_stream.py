"""The stream without a socket: an ASGI connection whose client is the test."""

import asyncio
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from fastapi import FastAPI

from service.api.stream_messages import ConfiguredMessage, ErrorMessage, ResultMessage
from service.inference.pipeline import Pipeline
from service.inference.tracking import TrackedFrame, Tracker
from service.settings import Settings
from tests.service.api.asgi_socket import Socket, connected
from tests.service.api.gate import Gate


def test_every_frame_gets_a_result_and_the_hand_keeps_its_id(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            for index, frame in enumerate(frames):
                socket.send(frame)
                message = ResultMessage.model_validate(await socket.read())
                (hand,) = message.hands
                assert (message.frame, message.dropped, hand.track_id) == (index, 0, 1)
                assert (message.image.width, message.image.height) == (320, 240)
                assert hand.box.x == pytest.approx(60 + 4 * index, abs=20)
                assert hand.handedness.label == "right"
                assert message.timing_ms.total >= message.timing_ms.decode + message.timing_ms.pose
                assert message.detector_ran == (index % 6 == 0)
                assert message.detector_ran or message.timing_ms.detect == 0

    play(scenario)


def test_the_query_is_obeyed(play: Callable, draw: Callable, encode: Callable) -> None:
    picture = encode(draw(320, 240, (20, 60, 50, 80, (255, 0, 0)), (200, 60, 50, 80, (255, 0, 255))))

    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            socket.send(picture)
            assert len((await socket.read())["hands"]) == 2
        async with connected(app, "max_hands=1&mirrored=true&smoothing=false") as socket:
            socket.send(picture)
            (hand,) = (await socket.read())["hands"]
            assert hand["handedness"]["label"] == ("left" if hand["box"]["x"] < 100 else "right")
        async with connected(app, "min_score=0.999") as socket:
            socket.send(picture)
            assert (await socket.read())["hands"] == []

    play(scenario)


def test_the_latest_frame_wins(play: Callable, gate: Gate, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app, "max_hands=1") as socket:
            gate.shut()
            socket.send(frames[0])
            await gate.until_entered()
            for frame in frames[1:]:
                socket.send(frame)
            await asyncio.sleep(0.05)
            gate.open()
            first, second = await socket.read(), await socket.read()
            assert (first["frame"], first["dropped"]) == (0, 0)
            assert (second["frame"], second["dropped"]) == (19, 18)
            assert second["hands"][0]["box"]["x"] == pytest.approx(60 + 4 * 19, abs=20)
            socket.send(frames[-1])
            third = await socket.read()
            assert (third["frame"], third["dropped"]) == (20, 18)  # all so far, not since the last message

    play(scenario)


def test_a_dropped_frame_is_not_even_decoded(play: Callable, gate: Gate, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            gate.shut()
            socket.send(frames[0])
            await gate.until_entered()
            socket.send(b"this would be an error")
            socket.send(frames[1])
            await asyncio.sleep(0.05)
            gate.open()
            assert [(await socket.read())["type"] for _ in range(2)] == ["result", "result"]

    play(scenario)


def test_who_does_not_read_gets_no_more_frames_analysed(
    play: Callable, pipeline: Pipeline, frames: list[bytes]
) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            socket.reading.clear()
            for index in range(200):
                socket.send(frames[index % 20])
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            before = list(pipeline.pose_engine.batches)
            for frame in frames:
                socket.send(frame)
            await asyncio.sleep(0.1)
            assert pipeline.pose_engine.batches == before
            assert len(before) <= 2 + 1  # and the warm-up
            socket.reading.set()
            _, last = await socket.read(), await socket.read()
            assert last["frame"] == 219
            assert last["dropped"] == 218  # all but the two

    play(scenario)


def test_a_bad_frame_gets_an_error_and_the_stream_goes_on(play: Callable, frames: list[bytes]) -> None:
    bad = {b"": 422, b"hello": 415, b"\xff\xd8\xff": 422, frames[0][:100]: 422, b"GIF89a": 415}

    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            for index, (data, status) in enumerate(bad.items()):
                socket.send(data)
                message = ErrorMessage.model_validate(await socket.read())
                assert (message.frame, message.status) == (index, status)
            socket.send(frames[0])
            assert ResultMessage.model_validate(await socket.read()).frame == len(bad)

    play(scenario)


def test_configure_changes_options_in_the_middle(play: Callable, draw: Callable, encode: Callable) -> None:
    picture = encode(draw(320, 240, (20, 60, 50, 80, (255, 0, 0)), (200, 60, 50, 80, (255, 0, 255))))

    async def scenario(app: FastAPI) -> None:
        async with connected(app, "min_score=0.4") as socket:
            socket.send(picture)
            before = (await socket.read())["hands"]
            socket.send({"type": "configure", "max_hands": 1, "mirrored": True})
            answer = ConfiguredMessage.model_validate(await socket.read())
            assert (answer.max_hands, answer.min_score, answer.mirrored, answer.smoothing) == (
                1,
                0.4,
                True,
                True,
            )
            socket.send(picture)
            (hand,) = (await socket.read())["hands"]
            (same,) = [h for h in before if h["track_id"] == hand["track_id"]]
            assert {hand["handedness"]["label"], same["handedness"]["label"]} == {"left", "right"}
            socket.send({"type": "configure"})
            assert ConfiguredMessage.model_validate(await socket.read()) == answer

    play(scenario)


def test_a_recording_has_its_own_time(
    play: Callable, frames: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it comes; a camera's is when frames arrive, and the two may follow one another."""
    moments: list[float] = []
    update = Tracker.update

    def noted(tracker: Tracker, image: np.ndarray, timestamp: float) -> TrackedFrame:
        moments.append(timestamp)
        return update(tracker, image, timestamp)

    monkeypatch.setattr(Tracker, "update", noted)

    async def scenario(app: FastAPI) -> None:
        started = time.perf_counter()
        async with connected(app, "frame_rate=12.5") as socket:
            for rate in (12.5, 25, None, 10):
                socket.send({"type": "configure", "frame_rate": rate})
                assert ConfiguredMessage.model_validate(await socket.read()).frame_rate == rate
                for frame in frames[:3]:
                    socket.send(frame)
                    await socket.read()
        steps = np.diff(moments)
        assert steps[:2] == pytest.approx(0.08)
        assert steps[2:5] == pytest.approx(0.04)
        assert (steps[5:8] > 0).all()
        assert moments[8] - moments[5] < time.perf_counter() - started
        assert steps[8:] == pytest.approx(0.1)

    play(scenario)


def test_a_frame_is_analysed_with_the_options_in_force_when_it_came(
    play: Callable, draw: Callable, encode: Callable
) -> None:
    """Also where the job that takes it was queued before, for an older frame."""
    picture = encode(draw(320, 240, (20, 60, 50, 80, (255, 0, 0))))

    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            socket.send(picture)
            (before,) = (await socket.read())["hands"]
            photo = threading.Event()
            other = asyncio.create_task(app.state.service.workers.run(photo.wait))
            await asyncio.sleep(0.05)
            socket.send(picture)
            await asyncio.sleep(0.05)
            socket.send({"type": "configure", "mirrored": True})
            assert (await socket.read())["type"] == "configured"
            socket.send(picture)
            await asyncio.sleep(0.05)
            photo.set()
            await other
            answer = await socket.read()
            assert (answer["frame"], answer["dropped"]) == (2, 1)
            assert answer["hands"][0]["handedness"]["label"] != before["handedness"]["label"]

    play(scenario)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("hello", "JSON"),
        ("[]", "configure"),
        ("null", "configure"),
        ('{"max_hands": 2}', "configure"),
        ('{"type": "subscribe"}', "configure"),
        ('{"type": "configure", "max_hands": 0}', "max_hands"),
        ('{"type": "configure", "max_hands": 17}', "max_hands"),
        (
            '{"type": "configure", "max_hands": "2"}',
            "max_hands must be a whole number from 1 to 16, not the text '2'.",
        ),
        (
            '{"type": "configure", "max_hands": null}',
            "max_hands must be a whole number from 1 to 16, not null.",
        ),
        ('{"type": "configure", "min_score": 1.5}', "min_score"),
        ('{"type": "configure", "mirrored": 1}', "mirrored must be true or false, not 1."),
        ('{"type": "configure", "max_hands": ' + 300 * "[" + 300 * "]" + "}", f"to 16, not {100 * '['}."),
        ('{"type": "configure", "mirrored": [' + 200 * "1," + "1]}", f"true or false, not [{49 * '1,'}1."),
        (
            '{"type": "configure", "frame_rate": 0}',
            "frame_rate must be a number above 0 and at most 1000, not 0.",
        ),
        (
            '{"type": "configure", "colour": "red"}',
            "no parameter colour; there are max_hands, min_score, mirrored, smoothing, frame_rate.",
        ),
        ('{"type": "configure", "pad": "' + 5000 * "x" + '"}', "4096"),
    ],
)
def test_a_wrong_text_message_gets_an_error_and_the_stream_goes_on(
    play: Callable, frames: list[bytes], text: str, word: str
) -> None:
    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            socket.send(text)
            message = ErrorMessage.model_validate(await socket.read())
            assert (message.frame, message.status) == (None, 422)
            assert word in message.detail
            socket.send(frames[0])
            assert (await socket.read())["frame"] == 0  # text messages do not count

    play(scenario)


@pytest.mark.parametrize(
    "query",
    [
        "max_hands=0",
        "min_score=high",
        "mirored=true",
        "smoothing=perhaps",
        "frame_rate=0",
        "max_hands=1&max_hands=2",
    ],
)
def test_a_wrong_query_is_refused_with_words(play: Callable, query: str) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app, query)
        message = ErrorMessage.model_validate(await socket.read())
        assert (message.frame, message.status) == (None, 422)
        assert query.split("=")[0] in message.detail
        code, reason = await socket.closed()
        assert code == 1008
        assert query.split("=")[0] in reason
        assert len(reason.encode()) <= 123

    play(scenario)


def test_what_happened_is_counted(play: Callable, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        metrics = app.state.service.metrics
        async with connected(app) as socket:
            for frame in (*frames[:8], b"bad"):
                socket.send(frame)
                await socket.read()
            text = metrics.text().decode()
            assert "handpose_streams 1.0" in text
            assert 'handpose_stream_frames_total{outcome="answered"} 8.0' in text
            assert 'handpose_stream_frames_total{outcome="failed"} 1.0' in text
            assert "handpose_stream_frames_received_total 9.0" in text
            assert "handpose_stream_hands_sum 8.0" in text
            assert 'handpose_stream_stage_seconds_count{stage="encode"} 8.0' in text
            assert "handpose_stream_detector_runs_total 2.0" in text
            assert 'handpose_stream_stage_seconds_count{stage="pose"} 8.0' in text
            assert 'handpose_stream_stage_seconds_count{stage="detect"} 2.0' in text
        assert "handpose_streams 0.0" in metrics.text().decode()

    play(scenario)


@pytest.mark.parametrize(
    ("origin", "setting", "welcome"),
    [
        (None, "", True),
        ("http://hands.example", "http://hands.example", True),
        ("https://HANDS.example", "https://hands.example", True),
        ("http://hands.example", "", False),
        ("https://evil.example", "", False),
        ("null", "", False),
        ("https://app.example", "https://app.example,http://localhost:3000", True),
        ("http://localhost:3000", "https://app.example, http://localhost:3000/", True),
        ("http://localhost:3001", "https://app.example,http://localhost:3000", False),
        ("https://evil.example", "*", True),
    ],
)
def test_other_pages_may_not_connect_unless_allowed(
    play: Callable, frames: list[bytes], origin: str | None, setting: str, welcome: bool
) -> None:
    async def scenario(app: FastAPI) -> None:
        socket = Socket(app, headers={"origin": origin} if origin else {})
        if welcome:
            socket.send(frames[0])
            assert (await socket.read())["frame"] == 0
            socket.leave()
            await socket.task
        else:
            start = await socket.event()
            assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
            body = await socket.event()
            assert origin is not None
            assert origin in orjson.loads(body["body"])["detail"]

    play(scenario, allowed_origins=setting, rate_limit=100)  # without keys, * needs a rate


def test_the_messages_in_the_documentation_are_messages(root: Path, play: Callable) -> None:
    text = (root / "docs" / "api.md").read_text(encoding="utf-8")
    text = text[text.index("## `WS /v1/stream`") :]
    result, error, configure, configured = (
        orjson.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    )
    for hand in result["hands"]:
        hand["keypoints"] *= 21  # the others are left out
    ResultMessage.model_validate(result, strict=True)
    ErrorMessage.model_validate(error, strict=True)

    async def scenario(app: FastAPI) -> None:
        async with connected(app) as socket:
            socket.send(configure)
            assert await socket.read() == configured
            socket.send(b"\xff\xd8\xff\xc0\0\x11\x08\0\x10\0\x10" + bytes(10) + b"\xff\xda\0\x02")
            assert await socket.read() == error | {"frame": 0}

    play(scenario)
    for name in re.findall(r"`HANDPOSE_(\w+)`", text):
        assert name.lower() in Settings.model_fields
    for code in (1000, 1001, 1008, 1009, 1011, 1013):
        assert f"| {code} |" in text


def test_a_stream_goes_on_with_new_models(play: Callable, pipeline: Pipeline, frames: list[bytes]) -> None:
    async def scenario(app: FastAPI) -> None:
        newer = Pipeline(pipeline.detector_engine, pipeline.pose_engine, models=pipeline.models)
        async with connected(app) as socket:
            socket.send(frames[0])
            assert (await socket.read())["hands"][0]["track_id"] == 1
            app.state.service.use(newer)
            used = []
            newer.on_pose = used.append
            socket.send(frames[1])
            message = await socket.read()
            assert (message["hands"][0]["track_id"], message["detector_ran"]) == (1, False)
            assert used == [1]

    play(scenario)
