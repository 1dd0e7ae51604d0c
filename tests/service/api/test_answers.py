"""Answers too large to lie around, without a server."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from service.api import answers
from service.api.answers import LargeAnswer
from service.api.places import Budget


def sent(body: bytes, seconds: float = 5.0, pause: float = 0.0) -> tuple[list[dict[str, Any]], list[int]]:
    """The messages of an answer to a client that takes `pause` seconds for each, and what was held meanwhile."""
    budget, held = Budget(len(body)), ExitStack()
    held.enter_context(budget.hold())(len(body))
    messages, used = [], []

    async def send(message: Any) -> None:
        await asyncio.sleep(pause)
        messages.append(message)
        used.append(budget.used)

    async def receive() -> Any:
        raise AssertionError

    answer = LargeAnswer(body, "image/png", {"Vary": "Accept"}, held, seconds)
    asyncio.run(answer({"type": "http"}, receive, send))
    used.append(budget.used)
    return messages, used


def test_a_body_leaves_in_pieces_and_is_counted_until_the_last() -> None:
    body = bytes(range(256)) * 3000  # not a whole number of pieces
    (start, *pieces), used = sent(body)
    headers = dict(start["headers"])
    assert (start["status"], headers[b"content-length"]) == (200, b"768000")
    assert (headers[b"content-type"], headers[b"vary"]) == (b"image/png", b"Accept")
    assert b"".join(piece["body"] for piece in pieces) == body
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert used == [len(body)] * (1 + len(pieces)) + [0]


def test_who_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answers, "_SLOWEST", 2**30)
    messages, used = sent(b"x" * 2**20, seconds=0.2, pause=0.15)
    assert messages[-1]["type"] == "http.response.start"
    assert used[-1] == 0
    assert "1048576 bytes was not read in time" in caplog.text
