"""The small programs in the images: the health check, the training script, and the smoke test's load."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def server(status_of: Callable[[str], int]) -> Iterator[int]:
    """An HTTP server that answers each path with a status; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status_of(self.path))
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"why")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("broken", "said"),
    [(None, "ready"), ("/healthz", "/healthz: 503 why"), ("/readyz", "/readyz: 503 why")],
)
def test_health_check_wants_a_service_that_is_alive_and_ready(
    root: Path, broken: str | None, said: str
) -> None:
    with server(lambda path: 503 if path == broken else 200) as port:
        done = subprocess.run(
            [sys.executable, root / "docker" / "healthcheck.py"],
            env=os.environ | {"HANDPOSE_PORT": str(port)}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.stdout.strip() == said
    assert done.returncode == (0 if broken is None else 1)


def test_health_check_takes_an_empty_variable_for_none(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, root / "docker" / "healthcheck.py"],
        env=os.environ | {"HANDPOSE_PORT": ""}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout
    assert done.stderr == ""


def test_health_check_fails_where_nothing_listens(root: Path) -> None:
    with server(lambda _: 200) as port:
        pass
    assert "/healthz" in load(root / "docker" / "healthcheck.py").check(port)


@pytest.fixture
def fake_python(tmp_path: Path) -> dict[str, str]:
    """An environment whose `python` writes down its arguments; `train` ends like training does when WAIT is set."""
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\necho "$*" >> "$LOG"\n'
        'case "$* $WAIT" in *" train "*wait) trap "exit 1" TERM; echo started; while :; do sleep 0.05; done ;; esac\n'
    )
    script.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "WAIT": ""}


def test_training_script_trains_and_exports_both_networks_and_calibrates_them(
    root: Path, fake_python: dict[str, str]
) -> None:
    subprocess.run(["sh", root / "docker" / "train.sh"], env=fake_python, check=True, timeout=60)
    lines = Path(fake_python["LOG"]).read_text().splitlines()
    assert lines == [
        *(
            line
            for task in ("pose", "detector")
            for line in (
                f"-m training train training/recipes/default-{task}.toml --resume",
                f"-m training export runs/default-{task}/best.pt --to /checkpoints/{task}",
            )
        ),
        "-m training evaluate --detector /checkpoints/detector --pose /checkpoints/pose --calibration --write",
    ]
    for task in ("pose", "detector"):
        assert (root / "training" / "recipes" / f"default-{task}.toml").is_file()


def test_training_script_passes_arguments_on(root: Path, fake_python: dict[str, str]) -> None:
    subprocess.run(
        ["sh", root / "docker" / "train.sh", "fetch", "--help"], env=fake_python, check=True, timeout=60
    )
    assert Path(fake_python["LOG"]).read_text() == "-m training fetch --help\n"


def test_training_script_told_to_stop_waits_for_the_save_and_exports_nothing(
    root: Path, fake_python: dict[str, str]
) -> None:
    process = subprocess.Popen(
        ["sh", root / "docker" / "train.sh"],
        env=fake_python | {"WAIT": "wait"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    assert "export" not in Path(fake_python["LOG"]).read_text()


def test_the_smoke_test_tries_the_files_as_they_come(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///here")
    for name in (
        "HANDPOSE_KEYS",
        "SERVICE_MEMORY",
        "EXTRA",
        "OTEL_SERVICE_NAME",
        "COMPOSE_FILE",
        "HANDS_DATA",
    ):
        monkeypatch.setenv(name, "the operator's")
    smoke = load(root / "docker" / "smoke_project.py").Smoke(["docker", "compose"], "base")
    assert smoke._environment["DOCKER_HOST"] == "unix:///here"
    assert "the operator's" not in smoke._environment.values()
    assert Path(smoke._compose[smoke._compose.index("--file") + 1]) == root / "docker-compose.yml"
    settings = Path(smoke._compose[smoke._compose.index("--env-file") + 1]).read_text()
    assert all(line.startswith("#") for line in settings.splitlines())


def test_load_knows_what_was_in_flight(root: Path) -> None:
    smoke_load = load(root / "docker" / "smoke_load.py")
    sent = [smoke_load.Sent(at, answered, 200) for at, answered in ((1, 2), (2, 4), (2.9, 9), (3.1, 4))]
    assert smoke_load.in_flight(sent, 3) == sent[1:3]


def test_load_counts_answers_and_ends_uploads_on_command(root: Path) -> None:
    smoke_load = load(root / "docker" / "smoke_load.py")
    with server(lambda _: 200) as port:
        running = smoke_load.Load(port, b"photo", clients=2, uploads=2)
        running.start()
        assert running.uploads == []
        running.finish_uploads()
        running.join()
    assert [one.status for one in running.uploads] == [200, 200]
    assert len(running.sent) >= 10
    assert {one.status for one in running.sent} == {200}
