"""A service with keys and limits on a real socket, and the Python client at its door."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from handpose_client import HandPose, UnauthorizedError
from handpose_client.cli import main

from service.api.keys import create
from service.create_key import add


@pytest.fixture
def photo(shipped_photos: list[Any]) -> Path:
    return shipped_photos[0].path


@pytest.fixture
def keyed(start_server: Callable[..., Any], tmp_path: Path) -> tuple[Any, str]:
    """A server that knows one key, and the key."""
    text, key = create("lab", ["inference"])
    add(tmp_path / "keys", key)
    flags = ["--keys-file", str(tmp_path / "keys"), "--access-log", "--log-level", "debug"]
    return start_server(*flags, "--rate-limit", "0.001", "--rate-burst", "20"), text


def test_a_key_opens_everything_and_is_never_written_down(
    keyed: tuple[Any, str], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, key = keyed
    with HandPose(server.url, api_key=key) as client:
        client.wait_until_ready(30)
        alone = client.pose(photo)
        assert client.models().pose.task == "pose"
        first, second = client.pose_many([photo, b"no picture"])
        assert first.hands == alone.hands
        assert second.error is not None
        assert second.error.status == 415
        (frame,) = client.stream([photo])
        assert len(frame.hands) == len(alone.hands)
    assert main(["--url", server.url, "--api-key", key, "--json", str(photo)]) == 0
    assert json.loads(capsys.readouterr().out)["hands"]

    for wrong in (None, "hp_" + "x" * 43):
        with HandPose(server.url, api_key=wrong) as client:
            for attempt in (
                lambda: client.pose(photo),
                lambda: list(client.pose_many([photo])),
                lambda: list(client.stream([photo])),
            ):
                with pytest.raises(UnauthorizedError, match="key"):
                    attempt()
    assert main(["--url", server.url, str(photo)]) == 3
    assert "No key was sent" in capsys.readouterr().err

    server.stop()
    log = "".join(server.log)
    assert "/v1/stream" in log
    assert key not in log
    assert "x" * 43 not in log


def test_nobody_is_who_they_say_they_are(keyed: tuple[Any, str], photo: Path) -> None:
    """uvicorn itself would believe every program on this machine."""
    server, _ = keyed
    statuses = [
        httpx.post(
            f"{server.url}/v1/pose",
            files={"image": photo.read_bytes()},
            headers={"X-Forwarded-For": f"192.0.2.{i}"},
        ).status_code
        for i in range(22)
    ]
    assert statuses == [401] * 20 + [429] * 2


def test_a_connection_too_many(start_server: Callable[..., Any]) -> None:
    server = start_server("--max-connections", "1", "--receive-seconds", "0.5")
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as silent:
        refused = httpx.get(f"{server.url}/healthz")
        assert refused.status_code == 503
        assert refused.json()["detail"] == "1 connections are open already."
        assert silent.recv(1000).startswith(b"HTTP/1.1 408 "), "who says nothing makes room for others"
    assert httpx.get(f"{server.url}/healthz").status_code == 200
