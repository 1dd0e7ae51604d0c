"""docker-compose.yml: readable by both versions, locked down, and in step with the service."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings

PROFILES = {
    "handpose": [],
    "handpose-gpu": ["gpu"],
    "prometheus": ["monitoring"],
    "grafana": ["monitoring"],
    "training": ["training"],
    "training-gpu": ["training-gpu"],
}
# What the schemas of Compose 1.29 and 2 both know, of that which is used here.
KEYS = {
    "build", "cap_drop", "command", "cpus", "depends_on", "deploy", "environment", "healthcheck",
    "image", "init", "logging", "mem_limit", "networks", "pids_limit", "ports", "profiles", "read_only",
    "restart", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return float(found[1])


def default(text: str) -> str:
    """A value with its variables at their defaults: `${A:-b}` is b."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_profiles(compose: dict[str, Any]) -> None:
    assert {name: of.get("profiles", []) for name, of in compose["services"].items()} == PROFILES


def test_only_what_both_versions_read(compose: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"services", "volumes"}
    for name, service in compose["services"].items():
        assert service.keys() <= KEYS, name
        # Version 1 takes limits from `deploy` in swarms alone.
        assert "limits" not in service.get("deploy", {}).get("resources", {}), name


@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_itself_accepts_it(root: Path, command: list[str]) -> None:
    if (
        not shutil.which(command[0])
        or subprocess.run([*command, "version"], capture_output=True, check=False, timeout=60).returncode
    ):
        pytest.skip(f"{' '.join(command)} is not installed")
    profiles = [word for names in PROFILES.values() for name in names for word in ("--profile", name)]
    done = subprocess.run(
        [*command, *profiles, "config", "--quiet"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PROFILES)
def test_every_container_is_locked_down_and_limited(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert re.fullmatch(r"\d+[gm]", default(service["mem_limit"]))
    assert service["restart"] == ("no" if name.startswith("training") else "unless-stopped")
    assert "max-size" in service["logging"]["options"]


@pytest.mark.parametrize("name", PROFILES)
def test_ports_are_open_to_this_machine_alone(compose: dict[str, Any], name: str) -> None:
    for port in compose["services"][name].get("ports", []):
        assert default(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", ["handpose", "handpose-gpu"])
def test_every_setting_can_be_set(compose: dict[str, Any], name: str) -> None:
    # Else a variable that the operator sets, say HANDPOSE_KEYS_FILE, would be left behind without a word.
    passed_on = {key for key in compose["services"][name]["environment"] if key.startswith(PREFIX)}
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    published = {"HANDPOSE_HOST", "HANDPOSE_PORT"}  # where the port is published; inside they are fixed
    assert passed_on == settings - published


def test_the_service_is_published_where_it_listens(compose: dict[str, Any]) -> None:
    fields = Settings.model_fields
    (port,) = compose["services"]["handpose"]["ports"]
    assert default(port) == f"{fields['host'].default}:{fields['port'].default}:{fields['port'].default}"


# After the drain; the second time is for what is stuck.
LONGEST_STOP = 2 * Settings.model_fields["grace_seconds"].default + 5


@pytest.mark.parametrize("name", ["handpose", "handpose-gpu"])
def test_there_is_time_to_stop(compose: dict[str, Any], name: str) -> None:
    drain = Settings.model_fields["drain_seconds"].default
    assert seconds(default(compose["services"][name]["stop_grace_period"])) >= drain + LONGEST_STOP


def test_a_pod_as_the_document_has_it(root: Path) -> None:
    text = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"### Kubernetes\n\n```yaml\n(.*?)```", text, re.DOTALL)
    assert found
    pod = yaml.safe_load(found[1])["spec"]
    (container,) = pod["containers"]
    settings = {one["name"].removeprefix(PREFIX).lower(): one["value"] for one in container["env"]}
    assert settings.keys() <= Settings.model_fields.keys()
    assert pod["terminationGracePeriodSeconds"] >= float(settings["drain_seconds"]) + LONGEST_STOP


def test_the_memory_is_enough_for_four_threads_at_every_limit(compose: dict[str, Any]) -> None:
    """The sum of docs/operations.md, Memory."""
    gigabytes = int(default(compose["services"]["handpose"]["mem_limit"]).removesuffix("g"))
    fields = Settings.model_fields
    pixels = fields["max_pixels"].default
    threads = 4 * 4 * pixels
    dearest = 16 * pixels
    bodies = 2 * fields["upload_memory"].default  # what comes, and drawn answers
    streams = fields["max_streams"].default * 4 * fields["stream_max_bytes"].default
    assert gigabytes * 2**30 > 200e6 + threads + dearest + bodies + streams


def test_what_traces_are_set_by_is_passed_on(compose: dict[str, Any]) -> None:
    passed_on = compose["services"]["handpose"]["environment"].keys()
    exporter = {
        "ENDPOINT",
        "HEADERS",
        "TIMEOUT",
        "PROTOCOL",
        "TRACES_ENDPOINT",
        "TRACES_HEADERS",
        "TRACES_TIMEOUT",
    }
    assert passed_on >= {f"OTEL_EXPORTER_OTLP_{name}" for name in exporter}
    assert passed_on >= {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}
    assert passed_on >= {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}


def test_what_is_mounted_exists(compose: dict[str, Any], root: Path) -> None:
    named = set(compose["volumes"])
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = re.sub(r"^\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
            if source == "./data":  # the operator's own
                continue
            assert source in named or (root / source).exists(), f"{name}: {volume}"


def test_foreign_images_are_pinned_to_a_version(compose: dict[str, Any]) -> None:
    foreign = [of["image"] for of in compose["services"].values() if "build" not in of]
    assert len(foreign) == 2
    for image in foreign:
        assert re.search(r":v?\d+\.\d+\.\d+$", image), image


def test_the_gpu_is_reserved(compose: dict[str, Any]) -> None:
    service = compose["services"]["handpose-gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["build"]["args"]["EXTRA"] == "gpu"
    assert default(service["environment"]["HANDPOSE_DEVICE"]) == "cuda"
