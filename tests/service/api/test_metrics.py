import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def read(client) -> dict[str, Metric]:
    """The page, as Prometheus understands it."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(response.text)}


def value(families: dict[str, Metric], family: str, sample_name: str = "", /, **labels: str) -> float:
    (sample,) = [
        sample
        for sample in families[family].samples
        if sample.name == (sample_name or family) and labels.items() <= sample.labels.items()
    ]
    return sample.value


def test_a_photo_is_counted_in_every_stage(client, photo: bytes) -> None:
    client.pose(photo)
    families = read(client)
    for stage in ("queue", "decode", "detect", "pose", "encode", "total"):
        assert value(families, "handpose_stage_seconds", "handpose_stage_seconds_count", stage=stage) == 1
    assert value(families, "handpose_hands", "handpose_hands_sum") == 1
    assert value(families, "handpose_pose_batch_crops", "handpose_pose_batch_crops_sum") == 1
    assert (
        value(families, "handpose_request_seconds", "handpose_request_seconds_count", route="/v1/pose") == 1
    )


def test_a_batch_is_counted_as_one_request_of_many_pictures(client, photo: bytes) -> None:
    files = [("images", photo), ("images", photo), ("images", b"nothing")]
    assert client.post("/v1/pose/batch", files=files).status_code == 200
    families = read(client)
    assert value(families, "handpose_batch_pictures", "handpose_batch_pictures_sum") == 3
    assert value(families, "handpose_hands", "handpose_hands_count") == 2
    assert value(families, "handpose_requests", "handpose_requests_total", route="/v1/pose/batch") == 1


def test_gauges_tell_the_state(client) -> None:
    families = read(client)
    assert value(families, "handpose_ready") == 1
    assert value(families, "handpose_threads") == 1
    assert value(families, "handpose_queue_size") == 32
    for name in ("queue_waiting", "jobs_running", "threads_dead", "oldest_job_seconds", "streams"):
        assert value(families, f"handpose_{name}") == 0
    for name in ("resident_memory_bytes", "cpu_seconds", "open_fds"):
        assert f"process_{name}" in families


def test_models_are_told_and_the_old_ones_forgotten(client, pipeline) -> None:
    from dataclasses import replace

    service = client.app.state.service
    assert value(read(client), "handpose_model_info", task="detector", name="fake-detector", version="1") == 1
    pipeline.models = tuple(replace(model, version="2") for model in pipeline.models)
    service.use(pipeline)
    samples = read(client)["handpose_model_info"].samples
    assert [sample.labels["version"] for sample in samples] == ["2", "2"]


def test_what_did_not_happen_is_told_as_none(client) -> None:
    """A rate needs a value before the first event; an alert on it would miss that one otherwise."""
    families = read(client)
    assert {sample.labels["reason"] for sample in families["handpose_rejected"].samples} >= {"queue_full"}
    assert {sample.labels["outcome"] for sample in families["handpose_reloads"].samples} == {
        "done",
        "failed",
        "refused",
    }


@pytest.fixture
def documented(root: Path) -> set[str]:
    """Names in the table of docs/operations.md."""
    rows = re.findall(r"^\| (`handpose_.*?) \|", (root / "docs" / "operations.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_documentation_names_every_metric_and_no_other(client, documented: set[str]) -> None:
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in read(client).values()
        if family.name.startswith("handpose_")
    }
    assert documented == names


def test_labels_do_not_grow_with_what_strangers_make_up(make_client: Callable) -> None:
    client = make_client()
    client.get("/metrics")
    before = client.get("/metrics").text.count("\n")
    for index in range(20):
        client.get(f"/made/up/{index}")
        client.request(f"VERB{index}", "/v1/pose")
    assert client.get("/metrics").text.count("\n") <= before + 40  # two routes with their buckets
