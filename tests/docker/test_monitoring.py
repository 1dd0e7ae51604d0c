"""The dashboard and the alerts ask for metrics that the service has, where it has them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from service.api.metrics import (
    MALFORMED,
    NOT_READY,
    QUEUE_FULL,
    REASONS,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_STREAMS,
)
from service.app import create_app
from service.settings import Settings

MONITORING = Path("docker/monitoring")
# Those of Prometheus' own making.
SCRAPE = {"up"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, not started."""
    return create_app(Settings())


@pytest.fixture(scope="module")
def routes(app: FastAPI) -> set[str]:
    """The paths that are served; those of the pages among them are not in the schema."""
    return set(app.openapi()["paths"])


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    return json.loads((root / MONITORING / "grafana/dashboards/handpose.json").read_text())


@pytest.fixture(scope="module")
def alerts(root: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((root / MONITORING / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def scrape(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / MONITORING / "prometheus/prometheus.yml").read_text())


@pytest.fixture(scope="module")
def expressions(dashboard: dict[str, Any], alerts: list[dict[str, Any]]) -> list[str]:
    """Every PromQL expression."""
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    shown += [one["expr"] for one in dashboard["annotations"]["list"]]
    asked = [one["definition"] for one in dashboard["templating"]["list"]]
    return shown + asked + [rule["expr"] for rule in alerts]


def exposed(app: FastAPI) -> set[str]:
    """The names of the series at /metrics."""
    names = set()
    for line in app.state.service.metrics.text().decode().splitlines():
        if found := re.match(r"# TYPE (\S+) (\w+)", line):
            name, kind = found.groups()
            names |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


def test_every_metric_exists(app: FastAPI, expressions: list[str]) -> None:
    names = exposed(app)
    asked = {name for text in expressions for name in re.findall(r"\b(?:handpose|process)_\w+", text)}
    assert len(asked) > 20
    assert asked <= names, f"not at /metrics: {sorted(asked - names)}"


def test_every_metric_that_tells_something_is_shown(app: FastAPI, expressions: list[str]) -> None:
    shown = " ".join(expressions)
    boring = {"handpose_queue_size"}  # a setting
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exposed(app)}
    families = {name for name in families if name.startswith("handpose_")}
    assert {name for name in families if name not in shown} <= boring


def test_labels_have_values_that_occur(routes: set[str], expressions: list[str]) -> None:
    reasons = {*REASONS.values(), QUEUE_FULL, NOT_READY, MALFORMED, TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS}
    known = {
        "route": routes,
        "reason": reasons,
        "outcome": {"answered", "dropped", "failed", "done", "refused"},
        "stage": {"total"},
    }
    for text in expressions:
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', text):
            if label not in known:
                continue
            for pattern in value.split("|") if "~" in operator else [re.escape(value)]:
                assert any(re.fullmatch(pattern, there) for there in known[label]), (
                    f"{label} {pattern}: {text}"
                )


def test_prometheus_scrapes_the_service(
    routes: set[str], scrape: dict[str, Any], compose: dict[str, Any]
) -> None:
    (job,) = scrape["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["port"] == Settings.model_fields["port"].default
    assert set(found["names"]) <= compose["services"].keys()
    assert compose["services"]["handpose-gpu"]["networks"]["default"]["aliases"] == found["names"]
    assert "/metrics" in routes


def test_alerts_are_loaded_and_say_what_to_do(
    root: Path, scrape: dict[str, Any], alerts: list[dict[str, Any]], expressions: list[str]
) -> None:
    assert scrape["rule_files"] == ["alerts.yml"]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        for job in re.findall(r'job="(\w+)"', rule["expr"]):
            assert job == scrape["scrape_configs"][0]["job_name"]


def test_alerts_fire_when_they_should(root: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        ["promtool", "test", "rules", *sorted((root / "tests" / "docker").glob("alerts*.test.yml"))],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_lists_the_alerts(root: Path, alerts: list[dict[str, Any]]) -> None:
    text = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(Handpose\w+)` \| (\w+) \| (\w+) \|", text, re.MULTILINE)
    assert listed == [(one["alert"], one["labels"]["severity"], one.get("for", "0")) for one in alerts]


def test_every_reason_to_turn_somebody_away_is_told(alerts: list[dict[str, Any]]) -> None:
    asked = " ".join(rule["expr"] for rule in alerts)
    told_otherwise = {QUEUE_FULL, NOT_READY}  # by the status 503, by handpose_ready
    for reason in {*REASONS.values(), TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS, MALFORMED} - told_otherwise:
        assert reason in asked, reason


def test_grafana_finds_its_files(root: Path, compose: dict[str, Any], dashboard: dict[str, Any]) -> None:
    provisioning = root / MONITORING / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
    assert compose["services"][host]["ports"][0].endswith(f":{port}")
    used = re.findall(r'"uid": "(\w+)"', json.dumps(dashboard["panels"]))
    assert set(used) == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards/handpose.yml").read_text())["providers"]
    grafana = compose["services"]["grafana"]
    mounted = {volume.split(":")[1] for volume in grafana["volumes"]}
    assert provider["options"]["path"] in mounted
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/handpose.json"


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for cell in [
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        ]:
            assert cell not in taken, f"{panel['title']} lies on {taken.get(cell)}"
            taken[cell] = panel["title"]
