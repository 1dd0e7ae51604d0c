"""A server from its start to its end, at work all the while."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# Clients that always ask are a load that lasts; on one core some of them would rightly be turned away.
PATIENT = ("--standing-queue", "32")


class Load:
    """Clients that ask one photo after the other until told to stop. answers: of those that got one."""

    def __init__(self, url: str, image: bytes, clients: int = 3) -> None:
        self.answers: list[httpx.Response] = []
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._url, self._image = url, image
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.is_set():
                try:
                    self.answers.append(client.post("/v1/pose", files={"image": self._image}))
                except httpx.TransportError as error:
                    self.failures.append(error)
                    return

    def wait_for(self, answers: int) -> None:
        """Until so many more have come."""
        wanted, deadline = len(self.answers) + answers, time.monotonic() + 60
        while len(self.answers) < wanted and not self.failures:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def versions(self) -> list[str]:
        """Of the pose model, in the order of the answers."""
        return [answer.json()["models"]["pose"].split()[-1] for answer in self.answers]

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def image(shipped_photos: list) -> bytes:
    return shipped_photos[0].path.read_bytes()


@pytest.fixture
def load(image: bytes) -> Iterator[Callable[[str], Load]]:
    """Puts a server under load: `load(server.url)`."""
    begun: list[Load] = []

    def begin(url: str) -> Load:
        begun.append(Load(url, image))
        return begun[-1]

    yield begin
    for one in begun:
        one.stop()


@pytest.fixture
def checkpoint(root: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the pose model that ships, as version "old"."""
    folder = Path(shutil.copytree(root / "service" / "weights" / "pose", tmp_path / "pose"))
    set_version(folder, "old")
    return folder


def set_version(checkpoint: Path, version: str) -> None:
    card: dict[str, Any] = json.loads((checkpoint / "card.json").read_text())
    (checkpoint / "card.json").write_text(json.dumps(card | {"version": version}))


def exit_code(running: Any) -> int:
    """Of a server that was told to end in another way than by `stop`."""
    code = running.process.wait(30)
    running.close()
    return code


def wait_for_line(running: Any, text: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        for line in list(running.log):
            if text in line:
                return line
        assert time.monotonic() < deadline, running.log
        time.sleep(0.01)


def test_told_to_stop_under_load_it_answers_what_it_took_and_ends_with_0(
    start_server: Callable, load: Callable, image: bytes
) -> None:
    running = start_server(*PATIENT)
    asking = load(running.url)
    asking.wait_for(5)
    with connect(running.url.replace("http", "ws") + "/v1/stream") as stream:
        stream.send(image)
        assert json.loads(stream.recv(60))["type"] == "result"
        assert running.stop() == 0
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(10)
    asking.stop()
    assert closed.value.rcvd.code == 1001
    assert {answer.status_code for answer in asking.answers} == {200}
    # Who was about to connect, or to send over an idle connection, found it closed; nobody waited for nothing.
    assert not any(isinstance(error, httpx.TimeoutException) for error in asking.failures)
    assert not any("Traceback" in line for line in running.log), running.log


def test_load_balancers_are_told_first(start_server: Callable, load: Callable) -> None:
    """No request fails when they take the server out within the drain time."""
    running = start_server("--drain-seconds", "10", *PATIENT)
    asking = load(running.url)
    asking.wait_for(3)
    with httpx.Client(base_url=running.url, timeout=60) as balancer:
        assert balancer.get("/readyz").status_code == 200
        running.process.send_signal(signal.SIGTERM)
        while (answer := balancer.get("/readyz")).status_code == 200:  # fails where the drain time ends first
            time.sleep(0.01)
        assert answer.status_code == 503
        assert balancer.get("/healthz").status_code == 200
    wait_for_line(running, "stopping in 10 seconds")
    asking.wait_for(1)
    asking.stop()
    assert exit_code(running) == 0
    assert asking.failures == []
    assert {answer.status_code for answer in asking.answers} == {200}


def test_told_twice_it_ends_at_once(start_server: Callable) -> None:
    running = start_server("--drain-seconds", "600")
    running.process.send_signal(signal.SIGTERM)
    with httpx.Client(base_url=running.url, timeout=60) as client:
        while client.get("/readyz").status_code == 200:
            time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    assert exit_code(running) == 128 + signal.SIGTERM


def test_models_are_exchanged_under_load_without_a_failed_request(
    start_server: Callable, load: Callable, checkpoint: Path, image: bytes
) -> None:
    running = start_server("--pose", str(checkpoint), *PATIENT)
    asking = load(running.url)
    with connect(running.url.replace("http", "ws") + "/v1/stream?max_hands=1") as stream:

        def track() -> int:
            stream.send(image)
            message = json.loads(stream.recv(60))
            return message["hands"][0]["track_id"]

        assert track() == 1
        asking.wait_for(3)
        set_version(checkpoint, "new")
        running.process.send_signal(signal.SIGHUP)
        wait_for_line(running, "reloaded: ")
        asking.wait_for(5)
        assert track() == 1  # the stream goes on, and its hand keeps its number
    asking.stop()
    assert asking.failures == []
    assert {answer.status_code for answer in asking.answers} == {200}
    versions = asking.versions()
    assert (versions[0], versions[-1]) == ("old", "new")
    assert httpx.get(running.url + "/v1/models").json()["pose"]["version"] == "new"


def test_broken_models_change_nothing(start_server: Callable, load: Callable, checkpoint: Path) -> None:
    running = start_server("--pose", str(checkpoint), *PATIENT)
    asking = load(running.url)
    asking.wait_for(1)
    set_version(checkpoint, "new")
    graph = checkpoint / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1000])
    running.process.send_signal(signal.SIGHUP)
    line = wait_for_line(running, "the old models stay in use")
    assert "sha256" in line
    asking.wait_for(3)
    asking.stop()
    assert asking.failures == []
    assert set(asking.versions()) == {"old"}
    assert httpx.get(running.url + "/readyz").status_code == 200


def test_after_a_crash_it_starts_again_on_the_same_port(start_server: Callable, load: Callable) -> None:
    running = start_server()
    asking = load(running.url)
    asking.wait_for(2)
    running.process.kill()
    assert exit_code(running) == -signal.SIGKILL
    asking.stop()
    again = start_server("--port", running.url.rpartition(":")[2])
    assert again.url == running.url
    assert httpx.get(again.url + "/readyz").status_code == 200


def test_everything_it_says_is_json_when_so_asked(start_server: Callable, image: bytes) -> None:
    running = start_server("--log-format", "json", "--access-log")
    with httpx.Client(base_url=running.url, timeout=60) as client:
        client.post("/v1/pose", files={"image": image}, headers={"X-Request-ID": "id-7"})
        client.get("/nowhere?key=secret")
    with connect(running.url.replace("http", "ws") + "/v1/stream?max_hands=2") as stream:
        assert stream.response.headers["X-Request-ID"]
    assert running.stop() == 0
    lines = [json.loads(line) for line in running.log]
    found = {line["path"]: line for line in lines if line["logger"] == "service.access"}
    assert found["/v1/pose"]["request_id"] == "id-7"
    assert found["/nowhere"]["status"] == 404
    assert found["/v1/stream"]["status"] == 101
    assert not any("secret" in line or "max_hands" in line for line in running.log)


def test_a_process_that_is_stuck_ends_itself_when_so_asked(root: Path) -> None:
    """Its supervisor then starts it anew."""
    program = """
import sys, threading
from service.__main__ import main
from service.inference.pipeline import Pipeline
Pipeline.run = lambda *_, **__: threading.Event().wait()
sys.exit(main(["--port", "0", "--stuck-seconds", "1", "--exit-when-stuck"]))
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=root, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = ""
    for line in process.stderr:
        if "listening on" in line:
            url = line.split("listening on ")[1].split()[0]
            break
    photo = (root / "tests" / "photos" / "rendered_101.jpg").read_bytes()
    with pytest.raises(httpx.TransportError):
        httpx.post(url + "/v1/pose", files={"image": photo}, timeout=60)
    rest = process.stderr.read()
    assert process.wait(20) == 70
    process.stderr.close()
    assert "in <lambda>" in rest  # where it hangs
    assert "The process ends with 70" in rest
