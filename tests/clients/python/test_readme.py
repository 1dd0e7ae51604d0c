"""The examples of the client's README run and print what it says."""

import io
import itertools
import json
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import handpose_client
import numpy as np
import pytest
from handpose_client.cli import main
from handpose_client.video import VideoFile, VideoWriter
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

README = Path(__file__).resolve().parents[3] / "clients" / "python" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
CONSOLE = [
    (command, output)
    for block in re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


@pytest.fixture(autouse=True)
def _folder(
    service: Any, documents: SimpleNamespace, jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with the photo and the video of the examples, and a service that finds a hand everywhere."""
    monkeypatch.chdir(tmp_path)
    Path("hand.jpg").write_bytes(jpeg)
    with VideoWriter("video.mp4", fps=10) as writer:
        for _ in range(3):
            writer.write(np.full((120, 160, 3), 90, np.uint8))

    def answer(seen: Any) -> Response:
        if not seen.path.startswith("/v1/pose"):
            return JSONResponse({"status": "ready"})
        if seen.body == b"no image":
            return documents.problem(415, "JPEG, PNG, WebP and BMP are read.")
        if seen.headers["accept"] != "application/json":
            return Response(b"a drawing", media_type=seen.headers["accept"])
        response: Response = documents.found(seen, documents.hand())
        return response

    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in itertools.count():
            await websocket.receive_bytes()
            result = {"type": "result", "frame": number, **documents.pose(documents.hand(track_id=1))}
            await websocket.send_text(json.dumps(result))

    service.answer, service.follow = answer, follow
    monkeypatch.setenv("HAND_POSE_URL", service.url)


def run(example: str, url: str) -> str:
    """What an example prints, with its service elsewhere."""
    program = example.replace("HandPose()", f'HandPose("{url}")').replace("http://localhost:8000", url)
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 7
    assert len(CONSOLE) == 3


@pytest.mark.parametrize(
    ("index", "printed"),
    [
        (0, "right hand, 0.98: index finger at 26, 28\n"),
        (1, ""),
        (2, "hand.jpg 1\nhand.jpg 1\n"),
        (3, "1 hands\n1 hands\n"),
        (4, "0 [1]\n1 [1]\n2 [1]\n"),
        (5, "1 1\n" + "".join(f"{i} 1\n" for i in range(10))),
        (6, "415 Some Title - JPEG, PNG, WebP and BMP are read.\n"),
    ],
)
def test_an_example(service: Any, index: int, printed: str) -> None:
    assert run(EXAMPLES[index], service.url) == printed
    if index == 1:
        assert Path("drawn.png").read_bytes() == b"a drawing"
    if index == 4:
        with VideoFile("drawn.mp4") as drawn:
            assert len(list(drawn)) == 3


@pytest.mark.parametrize(("command", "output"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_a_command(command: str, output: str) -> None:
    name, *words = shlex.split(command)
    assert name == "hand-pose"
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert main(words) == 0
    assert out.getvalue() == output
    if "--draw" in words:
        assert Path(words[words.index("--draw") + 1]).stat().st_size > 0


def test_it_names_every_exception() -> None:
    errors = {name for name in handpose_client.__all__ if name.endswith("Error")}
    named = set(re.findall(r"`(\w+Error)`", README.read_text(encoding="utf-8"))) - {"OSError"}
    assert named == errors
