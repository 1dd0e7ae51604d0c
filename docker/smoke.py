"""Build the image, run the compose file, and try what an operator relies on: `make docker-smoke`.

Prints a table, exits with 1 when a check failed, and takes away what it started; Docker's build cache stays.
Needs a Docker engine (DOCKER_HOST is honoured) and Docker Compose, either version.
"""

# ruff: noqa: T201 - a program that prints a table
import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from urllib.parse import quote

from smoke_load import Load, in_flight
from smoke_project import ROOT, Smoke, SmokeError, find_compose, get, obtainable, post

PHOTO = ROOT / "tests" / "photos" / "rendered_101.jpg"
DASHBOARD = ROOT / "docker" / "monitoring" / "grafana" / "dashboards" / "handpose.json"
MAX_MB_OVER_BASE = 450
UPLOADS = 4
# The process in the container, found by what it runs: the first process is the init.
KILL = (
    "import os,pathlib,signal\n"
    "for p in pathlib.Path('/proc').glob('[0-9]*'):\n"
    "    words = (p/'cmdline').read_bytes().split(b'\\0')\n"
    "    if words[:3] == [b'python', b'-m', b'service'] and p.name != '1': os.kill(int(p.name), signal.SIGKILL)\n"
)


def build(smoke: Smoke) -> str:
    started = time.monotonic()
    smoke.compose("build", "handpose")
    return f"{time.monotonic() - started:.0f} s"


def size(smoke: Smoke) -> str:
    ask = ("docker", "image", "inspect", "--format", "{{.Size}}")
    image, base = (int(smoke.run(*ask, name)) / 1e6 for name in ("handpose-service:smoke", smoke.base))
    note = f"{image:.0f} MB, {image - base:.0f} MB over {smoke.base} (at most {MAX_MB_OVER_BASE})"
    if image - base > MAX_MB_OVER_BASE:
        raise SmokeError(note)
    return note


def up(smoke: Smoke) -> str:
    started = time.monotonic()
    smoke.compose("up", "--detach", "--no-build")
    created = time.monotonic() - started
    smoke.wait_ready()
    ready = time.monotonic() - started
    return (
        f"{ready:.1f} s from `up` to ready, {ready - created:.1f} s of them after the container had started"
    )


def healthy(smoke: Smoke) -> str:
    smoke.wait("healthy", lambda: smoke.inspect("{{.State.Health.Status}}") == "healthy")
    return "Docker's own health check says healthy"


def photo(smoke: Smoke) -> str:
    status, body = post(smoke.port, PHOTO.read_bytes())
    answer = json.loads(body)
    if status != 200 or not answer["hands"]:
        raise SmokeError(f"{status} {body[:300]!r}")
    hand = answer["hands"][0]
    return (
        f"{len(answer['hands'])} hand ({hand['handedness']['label']}, score {hand['score']:.2f}), "
        f"{len(hand['keypoints'])} keypoints, {answer['timing_ms']['total']:.0f} ms"
    )


def locked_down(smoke: Smoke) -> str:
    status = smoke.inside("cat", "/proc/self/status")
    uid = smoke.inside("id", "-u")
    capabilities = int(re.findall(r"CapEff:\s*(\w+)", status)[0], 16)
    no_new = re.findall(r"NoNewPrivs:\s*(\d)", status)[0]
    if uid == "0" or capabilities or no_new != "1":
        raise SmokeError(f"uid {uid}, capabilities {capabilities:x}, NoNewPrivs {no_new}")
    for folder in ("/", "/opt/app", "/opt/venv", "/etc", "/var/tmp"):
        said = smoke.inside("sh", "-c", f"touch {folder}/smoke 2>&1 || true")
        if "Read-only file system" not in said:
            raise SmokeError(f"{folder} can be written to: {said!r}")
    tools = smoke.inside(
        "sh", "-c", "for t in gcc cc g++ make; do command -v $t; done; ls ~root/.cache 2>/dev/null; true"
    )
    if tools:
        raise SmokeError(f"in the image: {tools.split()}")
    return f"uid {uid}, root file system read-only, no capabilities, no compiler"


def stop_under_load(smoke: Smoke) -> str:
    metrics = get(smoke.port, "/metrics")[1].decode()
    threads = int(float(re.findall(r"^handpose_threads (\S+)", metrics, re.MULTILINE)[0]))
    load = Load(smoke.port, PHOTO.read_bytes(), clients=2 * threads, uploads=UPLOADS)
    try:
        load.start()
        container, told = smoke.container, time.monotonic()
        stopping = subprocess.Popen(["docker", "stop", container], stdout=subprocess.DEVNULL)
        time.sleep(1.0)  # so that the uploads end after the signal
        load.finish_uploads()
        stopping.wait()
        took = time.monotonic() - told
    finally:
        load.join()
    caught = in_flight(load.sent, told) + load.uploads
    bad = [f"{one.status} {one.error}" for one in caught if one.status != 200]
    bad += [one.error for one in load.sent if "IncompleteRead" in one.error]
    state = smoke.run("docker", "inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", container)
    note = (
        f"{len(caught) - len(bad)} of {len(caught)} requests in flight answered ({UPLOADS} half uploaded), "
        f"exit code {state.split()[0]} after {took:.1f} s"
    )
    if bad or len(caught) <= UPLOADS or state != "0 false":
        raise SmokeError(f"{note}; {bad[:5]} {state}")
    return note


def start_again(smoke: Smoke) -> str:
    started = time.monotonic()
    smoke.compose("start", "handpose")
    smoke.wait_ready()
    return f"ready {time.monotonic() - started:.1f} s after `start`"


def killed(smoke: Smoke) -> str:
    before = int(smoke.inspect("{{.RestartCount}}"))
    started = time.monotonic()
    smoke.run("docker", "exec", smoke.container, "python", "-c", KILL, check=False)
    smoke.wait("restarted", lambda: int(smoke.inspect("{{.RestartCount}}")) > before)
    smoke.wait_ready()
    photo(smoke)
    return f"kill -9: restarted by Docker, ready after {time.monotonic() - started:.1f} s"


def stop_while_loading(smoke: Smoke) -> str:
    smoke.run("docker", "restart", "--time", "30", smoke.container)
    started = time.monotonic()
    smoke.run("docker", "stop", smoke.container)
    took = time.monotonic() - started
    code = smoke.run(
        "docker", "inspect", "--format", "{{.State.ExitCode}}", smoke.compose("ps", "-aq", "handpose")
    )
    if code not in ("0", "143"):
        raise SmokeError(f"exit code {code} after {took:.1f} s")
    return f"ended {took:.1f} s after `stop`, exit code {code}"


def monitoring(smoke: Smoke) -> str:
    smoke.compose("--profile", "monitoring", "up", "--detach", "--no-build", "handpose", "prometheus")
    smoke.wait_ready()
    photo(smoke)

    def ask(path: str) -> dict:
        status, body = get(smoke.prometheus_port, path)
        return json.loads(body)["data"] if status == 200 else {}

    def scraped() -> bool:
        targets = ask("/api/v1/targets?state=active").get("activeTargets", [])
        return bool(targets) and all(target["health"] == "up" for target in targets)

    smoke.wait("scraped", scraped)
    # Twice at least, so that rates exist.
    smoke.wait("scraped twice", lambda: _count(ask(_query("count_over_time(handpose_ready[10m])"))) >= 3)
    rules = [rule for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    ill = [rule["name"] for rule in rules if rule["health"] == "err" or rule["state"] == "firing"]
    expressions = dashboard_expressions()
    failed = [text for text in expressions if not ask(_query(text))]
    if ill or failed or not rules:
        raise SmokeError(f"rules {ill}, dashboard queries {failed}")
    answered = sum(bool(ask(_query(text))["result"]) for text in expressions)
    return (
        f"Prometheus scrapes; {len(rules)} alert rules load, none fires; "
        f"{len(expressions)} dashboard queries run, {answered} have data"
    )


def grafana(smoke: Smoke) -> str:
    smoke.compose("--profile", "monitoring", "up", "--detach", "--no-build", "grafana")
    smoke.wait("up", lambda: get(smoke.grafana_port, "/api/health")[0] == 200)
    smoke.wait("provisioned", lambda: get(smoke.grafana_port, "/api/dashboards/uid/handpose")[0] == 200)
    return "the dashboard is there, without a login"


def dashboard_expressions() -> list[str]:
    """The queries of the dashboard, with its variables filled in as Grafana would."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [text.replace("$instance", ".*").replace("$__rate_interval", "1m") for text in found]


def _query(expression: str) -> str:
    return "/api/v1/query?query=" + quote(expression)


def _count(data: dict) -> float:
    return float(data["result"][0]["value"][1]) if data.get("result") else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--base", default="python:3.11-slim-bookworm", help="base image (default: %(default)s)"
    )
    parser.add_argument("--compose", type=shlex.split, help="command of Docker Compose (default: found)")
    options = parser.parse_args()
    if not shutil.which("docker"):
        raise SystemExit("docker-smoke: there is no docker")
    smoke = Smoke(options.compose or find_compose(), options.base)
    engine = smoke.run("docker", "version", "--format", "{{.Server.Version}}")
    print(f"engine {engine}, compose {smoke.compose('version', '--short')}\n")
    try:
        # Without these there is nothing to look at.
        if all(smoke.step(name, check) for name, check in (("build", build), ("size", size), ("up", up))):
            smoke.step("health", healthy)
            smoke.step("photo", photo)
            smoke.step("locked down", locked_down)
            smoke.step("stop under load", stop_under_load)
            smoke.step("start again", start_again)
            smoke.step("killed", killed)
            smoke.step("stop while loading", stop_while_loading)
            images = dict(
                re.findall(r"image: ((?:prom|grafana)/(\w+):\S+)", (ROOT / "docker-compose.yml").read_text())
            )
            for image, name in images.items():
                if obtainable(smoke, image):
                    smoke.step(name, {"prometheus": monitoring, "grafana": grafana}[name])
                else:
                    print(f"not run {name:<24} {image} can be neither found nor pulled", flush=True)
    finally:
        smoke.clean_up()
    return 0 if all(passed for _, passed, _ in smoke.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
