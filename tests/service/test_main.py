import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.__main__ import listen, main
from service.inference.pipeline import Pipeline


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_a_bad_setting_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "99999"]) == 2
    assert "HANDPOSE_PORT (--port)" in one_line(capsys.readouterr().err)


def test_a_folder_without_a_checkpoint_ends_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--detector", str(tmp_path)]) == 2
    message = one_line(capsys.readouterr().err)
    assert f"HANDPOSE_DETECTOR: {tmp_path}" in message
    assert "card.json" in message


def test_models_that_do_not_run_end_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Pipeline) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Pipeline, "warm_up", fail)
    assert main(["--port", "0"]) == 2
    assert "the models do not run: out of memory" in one_line(capsys.readouterr().err)


def test_a_port_in_use_ends_with_2_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    message = one_line(capsys.readouterr().err)
    assert f"127.0.0.1 port {port}" in message
    assert "in use" in message


def test_it_can_be_stopped_at_any_time_of_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = []

    def fail(*_: object) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise OSError(errno.EADDRINUSE, "")

    monkeypatch.setattr("service.__main__.listen", fail)
    assert main(["--port", "0"]) == 2
    assert handlers != [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "0..0.0.0", "a" * 64])
def test_an_unknown_host_ends_with_2(capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["--host", host, "--port", "0"]) == 2
    message = one_line(capsys.readouterr().err)
    assert host in message
    assert "HANDPOSE_HOST" in message


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (["--log-format", "json", "--port", "x"], {}, "HANDPOSE_PORT"),
        ([], {"HANDPOSE_LOG_FORMAT": "json", "HANDPOSE_PROT": "1"}, "HANDPOSE_PROT"),
        (["--log-format=json", "--host", "192.0.2.1"], {}, "cannot listen on 192.0.2.1"),
    ],
)
def test_why_it_does_not_start_is_json_when_so_asked(
    root: Path, words: list[str], variables: dict[str, str], told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", *words],
        cwd=root, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    line = json.loads(one_line(done.stderr))
    assert line["level"] == "critical"
    assert told in line["message"]


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_listening_on_ipv6() -> None:
    try:
        with listen("::1", 0) as listener:
            assert listener.family == socket.AF_INET6
    except OSError as error:
        pytest.skip(f"IPv6 is switched off: {error}")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has not both")
def test_all_addresses_are_those_of_ipv4_too() -> None:
    with listen("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


def test_a_link_local_address_keeps_its_network_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    address = ("fe80::1", 80, 0, 2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET6, 0, 0, "", address)])
    given = []

    def create(address: object, **_: object) -> socket.socket:
        given.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_server", create)
    with listen("fe80::1%eth0", 80):
        assert given == [address]
