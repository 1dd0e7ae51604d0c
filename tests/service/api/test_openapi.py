"""The description of the interface, and `docs/api.md` against it."""

import json
import re
from pathlib import Path

import pytest

from service.api.schemas import BatchAnswer, PoseAnswer, PoseQuery, ProblemAnswer
from service.settings import Settings


@pytest.fixture
def openapi(client) -> dict:
    return client.get("/openapi.json").json()


def test_routes(openapi: dict) -> None:
    assert set(openapi["paths"]) == {
        "/v1/pose",
        "/v1/pose/batch",
        "/v1/models",
        "/v1/models/reload",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_pose_is_described_whole(openapi: dict) -> None:
    pose = openapi["paths"]["/v1/pose"]["post"]
    assert {p["name"] for p in pose["parameters"]} == set(PoseQuery.model_fields)
    assert all(p["in"] == "query" and p["description"] for p in pose["parameters"])
    body = pose["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "image/jpeg", "image/png", "image/webp", "image/bmp"}
    assert body["multipart/form-data"]["schema"]["required"] == ["image"]
    refusals = {"401", "403", "408", "413", "415", "422", "429", "503"}
    assert set(pose["responses"]) == refusals | {"200", "406"}
    assert set(pose["responses"]["200"]["content"]) == {"application/json", "image/png", "image/jpeg"}
    for status, response in pose["responses"].items():
        if status != "200":
            assert set(response["content"]) == {"application/problem+json"}


def test_a_batch_is_described_whole(openapi: dict) -> None:
    pose, batch = (openapi["paths"][path]["post"] for path in ("/v1/pose", "/v1/pose/batch"))
    assert batch["parameters"] == pose["parameters"]
    (body,) = batch["requestBody"]["content"].values()
    assert body["schema"]["properties"]["images"]["type"] == "array"
    assert set(batch["responses"]) == set(pose["responses"]) - {"406"}
    BatchAnswer.model_validate(batch["responses"]["200"]["content"]["application/json"]["example"])


def test_what_needs_a_key_says_so(openapi: dict) -> None:
    assert openapi["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    secured = {
        path
        for path, operations in openapi["paths"].items()
        if any("security" in operation for operation in operations.values())
    }
    assert secured == set(openapi["paths"]) - {"/healthz", "/readyz"}


def test_every_reference_leads_somewhere(openapi: dict) -> None:
    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(openapi)))
    assert references
    assert references <= set(openapi["components"]["schemas"])


def test_the_documentation_names_every_route_parameter_and_status(openapi: dict, root: Path) -> None:
    text = (root / "docs" / "api.md").read_text(encoding="utf-8")
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            assert f"`{method.upper()} {path}`" in text
            for parameter in operation.get("parameters", []):
                row = re.search(rf"^\| `{parameter['name']}` \|(.*)$", text, re.MULTILINE)
                assert row, parameter["name"]
                schema = parameter["schema"]
                assert str(schema["default"]).lower() in row[1]
                for bound in ("minimum", "maximum"):
                    if bound in schema:
                        assert f"{schema[bound]:g}" in row[1]
            for status in operation["responses"]:
                assert status in text
    for route in re.findall(r"`(?:GET|POST) (/[\w/]*)`", text):
        assert route in openapi["paths"] or route in ("/", "/docs")


def example(root: Path, heading: str) -> dict:
    """The first JSON under a heading of the documentation."""
    text = (root / "docs" / "api.md").read_text(encoding="utf-8")
    found = re.search(r"```json\n(.*?)```", text[text.index(f"\n{heading}\n") :], re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_examples_in_the_documentation_are_answers(root: Path) -> None:
    answer = example(root, "### Response")
    for hand in answer["hands"]:
        assert len(hand["keypoints"]) == 1  # the others are left out
        hand["keypoints"] *= 21
    PoseAnswer.model_validate(answer, strict=True)
    BatchAnswer.model_validate(example(root, "## `POST /v1/pose/batch`"), strict=True)
    ProblemAnswer.model_validate(example(root, "## Errors"), strict=True)


def test_the_bad_parameter_in_the_documentation_is_told_in_these_words(
    client, photo: bytes, root: Path
) -> None:
    assert client.pose(photo, params={"max_hands": "99"}).json() == example(root, "## Errors")


def test_every_setting_the_documentation_names_is_one(root: Path) -> None:
    for name in ("docs/api.md", "SECURITY.md"):
        text = (root / name).read_text(encoding="utf-8")
        for setting in set(re.findall(r"HANDPOSE_([A-Z_]+)", text)):
            assert setting.lower() in Settings.model_fields, f"{name}: HANDPOSE_{setting}"
