"""The compose project that the smoke test tries: its commands, its addresses, and the rows of the table."""

# ruff: noqa: T201 - a program that prints a table
import contextlib
import http.client
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
READY_S = 120.0


class SmokeError(Exception):
    """A check that failed; the message says what was seen."""


class Smoke:
    """The compose project under test: its commands, its addresses, and the rows of the table."""

    def __init__(self, compose: list[str], base: str) -> None:
        self.base = base
        self.rows: list[tuple[str, bool, str]] = []
        self.port, self.prometheus_port, self.grafana_port = free_ports(3)
        # The settings of whoever runs this are not what is tried: no `.env`, no override file, no variables.
        files = ["--file", str(COMPOSE_FILE), "--env-file", str(ROOT / "docker" / "smoke.env")]
        self._compose = [*compose, "--project-name", "handpose-smoke", *files]
        self._environment = without_settings(os.environ) | {
            "TAG": "smoke",
            "BASE": base,
            "HANDPOSE_PORT": str(self.port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "GRAFANA_PORT": str(self.grafana_port),
            "COMPOSE_HTTP_TIMEOUT": "600",  # seconds; version 1 gives up on a slow disk
        }

    def run(self, *command: str, check: bool = True) -> str:
        """Standard output of a command. Raises SmokeError with the end of what it said when it fails."""
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise SmokeError(f"{shlex.join(command[:6])} … ended with {done.returncode}: {said}")
        return done.stdout.strip()

    def compose(self, *arguments: str, check: bool = True) -> str:
        """The same for Docker Compose."""
        return self.run(*self._compose, *arguments, check=check)

    @property
    def container(self) -> str:
        """The id of the service's container."""
        return self.compose("ps", "--quiet", "handpose")

    def inspect(self, template: str) -> str:
        """What `docker inspect` says of the service's container."""
        return self.run("docker", "inspect", "--format", template, self.container)

    def inside(self, *command: str) -> str:
        """Standard output of a command in the service's container."""
        return self.run("docker", "exec", self.container, *command)

    def wait(self, what: str, done: Callable[[], bool], limit: float = READY_S) -> None:
        """Ask four times a second. Raises SmokeError with the log's end when it takes too long."""
        until = time.monotonic() + limit
        while not done():
            if time.monotonic() > until:
                log = self.compose("logs", "--tail=20", check=False)
                raise SmokeError(f"not {what} after {limit:.0f} s: {log[-1500:]}")
            time.sleep(0.25)

    def wait_ready(self) -> None:
        """Until /readyz says yes."""
        self.wait("ready", lambda: get(self.port, "/readyz")[0] == 200)

    def step(self, name: str, check: Callable[["Smoke"], str]) -> bool:
        """Make one check and keep its row."""
        try:
            note, passed = check(self), True
        except (SmokeError, OSError, KeyError, ValueError) as error:
            note, passed = str(error), False
        self.rows.append((name, passed, note))
        print(f"{'ok' if passed else 'FAILED':<7} {name:<24} {note}", flush=True)
        return passed

    def clean_up(self) -> None:
        """Take away containers, volumes, networks and the image."""
        everything = ("--profile", "monitoring")
        self.compose(*everything, "down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
        self.run("docker", "image", "rm", "--force", "handpose-service:smoke", check=False)


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what the compose file asks for, and without what Compose itself would do differently."""
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE_FILE.read_text(encoding="utf-8")))
    prefixes = ("HANDPOSE_", "OTEL_", "COMPOSE_")
    return {k: v for k, v in environment.items() if k not in asked and not k.startswith(prefixes)}


def obtainable(smoke: Smoke, image: str) -> bool:
    """Whether an image is there or can be pulled."""
    with contextlib.suppress(SmokeError):
        smoke.run("docker", "image", "inspect", image)
        return True
    with contextlib.suppress(SmokeError):
        smoke.run("docker", "pull", image)
        return True
    return False


def find_compose() -> list[str]:
    """`docker compose` where there is one, else `docker-compose`."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit("docker-smoke: neither `docker compose` nor `docker-compose` is there")


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 while nothing answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error).encode()


def post(port: int, body: bytes) -> tuple[int, bytes]:
    """Send a photo."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/v1/pose", body, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        return response.status, response.read()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
