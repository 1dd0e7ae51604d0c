"""The command line with photos: what it prints, writes and returns."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from handpose_client import __version__
from starlette.responses import JSONResponse, Response

from tests.clients.python.conftest import Run


@pytest.fixture
def answers(service: Any, documents: SimpleNamespace) -> None:
    """The service finds a hand in every photo, and draws."""

    def answer(seen: Any) -> Response:
        if seen.headers["accept"] != "application/json":
            return Response(b"drawn as " + seen.headers["accept"].encode(), media_type=seen.headers["accept"])
        response: Response = documents.found(seen, documents.hand())
        return response

    service.answer = answer


@pytest.mark.usefixtures("answers")
def test_a_photo_in_words(run: Run, photo: Path) -> None:
    code, out, err = run(photo)
    assert (code, err) == (0, "")
    assert (
        out
        == f"{photo}: 160 × 120, 1 hand, 10.5 ms\n  score 0.98  right  97%  box 10,20 40 × 50  index_tip 26,28\n"
    )


def test_no_hands(run: Run, photo: Path) -> None:
    assert run(photo) == (0, f"{photo}: 160 × 120, no hands, 10.5 ms\n", "")


@pytest.mark.usefixtures("answers")
def test_photos_as_json(run: Run, photo: Path, documents: SimpleNamespace) -> None:
    code, out, err = run("--json", photo, photo)
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"file": str(photo), **documents.pose(documents.hand())}
    ] * 2


def test_options_reach_the_service(run: Run, service: Any, photo: Path) -> None:
    run(photo, "--max-hands", "2", "--min-score", "0.25", "--mirrored", "--api-key", "secret")
    assert service.seen[0].query == {"max_hands": "2", "min_score": "0.25", "mirrored": "true"}
    assert service.seen[0].headers["authorization"] == "Bearer secret"


def test_the_key_from_the_environment(
    run: Run, service: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAND_POSE_API_KEY", "secret")
    run(photo)
    assert service.seen[0].headers["authorization"] == "Bearer secret"


def test_standard_input(run: Run, service: Any, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(jpeg)))
    assert run("-")[0] == 0
    assert jpeg in service.seen[0].body


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(
    ("name", "kind"), [("out.png", "png"), ("OUT.JPG", "jpeg"), ("new/out.jpeg", "jpeg")]
)
def test_a_drawing(run: Run, photo: Path, tmp_path: Path, name: str, kind: str) -> None:
    assert run(photo, "--draw", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_text() == f"drawn as image/{kind}"


@pytest.mark.usefixtures("answers")
def test_many_drawings_go_into_a_folder(run: Run, photo: Path, tmp_path: Path, jpeg: bytes) -> None:
    other = tmp_path / "other.webp"
    other.write_bytes(jpeg)
    assert run(photo, other, "--draw", tmp_path / "drawn")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["hand.png", "other.png"]


@pytest.mark.parametrize("out", ["hand.png", "."])
def test_a_drawing_never_takes_the_place_of_a_photo(
    run: Run, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hand.png").write_bytes(b"the only one")
    code, _, err = run(tmp_path / "hand.png", "--draw", out)
    assert code == 2
    assert "the photo hand.png would be overwritten" in err
    assert Path("hand.png").read_bytes() == b"the only one"
    assert not service.seen


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a.jpg", "b.jpg", "--draw", "out.png"], "2 photos need a folder"),
        (["a.jpg", "--draw", "out.gif"], "a drawing is .png, .jpg, .jpeg, not out.gif"),
        (["a/x.jpg", "b/x.jpg", "--draw", "drawn"], "two photos would be drawn to drawn/x.png"),
        ([], "photo"),
        (["a.jpg", "--max-hands", "17"], "'17' is not a number from 1 to 16"),
        (["a.jpg", "--max-hands", "1.5"], "'1.5' is not a number from 1 to 16"),
        (["a.jpg", "--min-score", "nan"], "'nan' is not a number from 0 to 1"),
        (["a.jpg", "--json=yes"], "--json"),
        (["a.jpg", "--url", "localhost:8000"], "did you mean http://localhost:8000?"),
        (["stream"], "source"),
        (["stream", "0", "--reconnect", "-1"], "'-1' is not a number"),
    ],
)
def test_wrong_arguments(run: Run, service: Any, words: list[str], complaint: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert not service.seen


@pytest.mark.parametrize("words", [["--help"], ["stream", "--help"]])
def test_help(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    for part in ("usage: hand-pose", "--url", "exit codes", "HAND_POSE_URL"):
        assert part in out


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"hand-pose {__version__}\n", "")


@pytest.mark.usefixtures("answers")
def test_a_photo_that_is_not_there_does_not_stop_the_others(run: Run, photo: Path) -> None:
    code, out, err = run("none.jpg", photo.parent, photo)
    assert code == 1
    assert out.startswith(f"{photo}: ")
    assert (
        err == f"hand-pose: none.jpg: No such file or directory\nhand-pose: {photo.parent}: Is a directory\n"
    )


@pytest.mark.parametrize("status", [413, 415, 422])
def test_a_photo_that_is_refused_does_not_stop_the_others(
    run: Run, service: Any, photo: Path, documents: SimpleNamespace, status: int
) -> None:
    error = {"type": "about:blank", "title": "Some Title", "status": status, "detail": "Not this."}
    service.answer = lambda _: JSONResponse(documents.batch({"error": error}, documents.pose()))
    code, out, err = run(photo, photo)
    assert code == 1
    assert out.count("\n") == 1
    assert err == f"hand-pose: {photo}: {status} Some Title: Not this.\n"


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_service_that_does_not_serve_stops_at_once(
    run: Run, service: Any, photo: Path, documents: SimpleNamespace, status: int
) -> None:
    service.answer = lambda _: documents.problem(status, "Go away.")
    assert run(photo, photo, "--retry", "0") == (3, "", f"hand-pose: {status} Some Title: Go away.\n")
    assert len(service.seen) == 1


def test_a_busy_service_does_not_stop_the_photos(
    run: Run, service: Any, photo: Path, documents: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handpose_client.outages._FIRST_PAUSE", 0.001)
    service.answer = lambda seen: (
        documents.problem(429, "Slower.", Retry_After="0")
        if len(service.seen) == 2
        else documents.found(seen)
    )
    code, out, err = run(*[photo] * 9)
    assert (code, out.count("no hands"), err) == (0, 9, "")
    assert len(service.seen) == 3


def test_many_photos_go_in_batches(
    run: Run, service: Any, tmp_path: Path, documents: SimpleNamespace
) -> None:
    """In their order, each under its own name and with its own time, whatever becomes of the others."""

    def answer(seen: Any) -> Response:
        photos = re.findall(rb"photo (\d+)", seen.body)
        timing_ms = {"decode": 1.5, "queue": 100.0, "detect": 5.0, "pose": 4.0, "total": 110.5}
        error = {"type": "about:blank", "title": "Nope", "status": 422, "detail": "Damaged."}
        results = [
            documents.pose(documents.hand(float(x))) | {"timing_ms": timing_ms}
            if x != b"2"
            else {"error": error}
            for x in photos
        ]
        return JSONResponse(documents.batch(*results))

    service.answer = answer
    photos = [tmp_path / f"{x}.jpg" for x in range(11)]
    for x in (0, *range(2, 11)):
        photos[x].write_text(f"photo {x}")
    code, out, err = run(*photos)
    assert code == 1
    heads, hands = out.splitlines()[::2], out.splitlines()[1::2]
    assert heads == [f"{tmp_path}/{x}.jpg: 160 × 120, 1 hand, 10.5 ms" for x in (0, *range(3, 11))]
    assert [re.findall(r"box (\d+),", hand) for hand in hands] == [[str(x)] for x in (0, *range(3, 11))]
    assert err.splitlines() == [
        f"hand-pose: {tmp_path}/1.jpg: No such file or directory",
        f"hand-pose: {tmp_path}/2.jpg: 422 Nope: Damaged.",
    ]
    assert len(service.seen) == 2


def test_a_service_that_is_not_there(run: Run, unused_url: str, photo: Path, clip: Path) -> None:
    complaint = f"hand-pose: cannot connect to {unused_url}: Connection refused\n"
    assert run(photo, "--url", unused_url) == (3, "", complaint)
    code, _, err = run("stream", clip, "--url", unused_url)
    assert code == 3
    assert complaint in err


def test_waiting_for_the_service(run: Run, service: Any, photo: Path, unused_url: str) -> None:
    assert run(photo, "--wait", "5")[0] == 0
    assert [seen.path for seen in service.seen] == ["/readyz", "/v1/pose/batch"]
    code, _, err = run(photo, "--wait", "0.2", "--url", unused_url)
    assert code == 3
    assert "not ready within 0.2 s" in err


@pytest.mark.usefixtures("answers")
def test_a_drawing_that_cannot_be_written(run: Run, photo: Path) -> None:
    code, _, err = run(photo, "--draw", photo / "below" / "a-file.png")
    assert code == 1
    assert err.startswith(f"hand-pose: {photo}")


@pytest.mark.usefixtures("answers")
def test_it_is_installed_and_runs_as_a_module(service: Any, photo: Path) -> None:
    environment = os.environ | {"HAND_POSE_URL": service.url, "PYTHONIOENCODING": "utf-8"}
    script = Path(sys.executable).with_name("hand-pose")
    for command in ([str(script)], [sys.executable, "-m", "handpose_client"]):
        done = subprocess.run(
            [*command, str(photo)],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
        )
        assert "1 hand" in done.stdout


@pytest.mark.usefixtures("answers")
def test_a_reader_that_has_enough(service: Any, photo: Path) -> None:
    """`hand-pose … | head -1` ends without a word on a broken pipe."""
    environment = os.environ | {"HAND_POSE_URL": service.url, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "handpose_client", *[str(photo)] * 3]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_the_terminal_cannot_show(
    service: Any, jpeg: bytes, tmp_path: Path, encoding: str
) -> None:
    """As a shell hands them over, in any bytes."""
    name = os.fsencode(tmp_path) + b"/h\xff.jpg"
    Path(os.fsdecode(name)).write_bytes(jpeg)
    environment = os.environ | {"HAND_POSE_URL": service.url, "PYTHONIOENCODING": encoding}

    def call(*words: bytes) -> tuple[int, bytes, bytes]:
        command = [os.fsencode(sys.executable), b"-m", b"handpose_client", *words]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    code, out, err = call(name, b"--draw", os.fsencode(tmp_path) + b"/drawn")
    assert (code, err) == (0, b"")
    assert b"/h\\udcff.jpg: 160 " in out
    for words in ([name + b"x"], [b"stream", name]):
        code, out, err = call(*words)
        assert (code, out) == (1, b"")
        assert b"/h\\udcff.jpg" in err
        assert b"Traceback" not in err
