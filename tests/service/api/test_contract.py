"""Requests made from the OpenAPI document, sensible and senseless, by schemathesis: no answer may be a 5xx, and each
must be one that the document describes.
"""

import re
from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

OPERATIONS = (
    ("POST", "/v1/pose"),
    ("POST", "/v1/pose/batch"),
    ("GET", "/v1/models"),
    ("POST", "/v1/models/reload"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
)
# Other spellings of true and false, which are taken too: no request is wrong for one.
BOOLEAN = re.compile(r"[?&]mirrored=(?!true|false)(?i:0|1|t|f|y|n|yes|no|on|off|true|false)(&|$)")
DESCRIBED = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture
def description(client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def play(
    client: Any, description: dict[str, Any], method: str, path: str, mode: GenerationMode
) -> Counter[int]:
    """Forty requests; how many got which status, other spellings of a boolean apart. Raises for an answer that must
    not be.
    """
    statuses: Counter[int] = Counter()
    operation = schemathesis.openapi.from_dict(description)[path][method]

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        sent = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
        response = client.request(str(sent.method), sent.url, headers=dict(sent.headers), content=sent.body)
        if not (response.status_code == 200 and BOOLEAN.search(str(sent.url))):
            statuses[response.status_code] += 1
        case.validate_response(response, checks=list(DESCRIBED))

    run()
    return statuses


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_asked_as_described_is_answered_as_described(
    client, description: dict[str, Any], method: str, path: str
) -> None:
    assert play(client, description, method, path, GenerationMode.POSITIVE)


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/v1/pose", {413, 415, 422}),
        ("/v1/pose/batch", {200, 413, 415, 422}),  # each of its pictures may fail alone
    ],
)
def test_what_is_not_described_is_refused_as_described(
    client, description: dict[str, Any], path: str, statuses: set[int]
) -> None:
    for operation in description["paths"][path].values():
        operation.pop("security")  # this service has no keys, so to send none is no offence
    found = set(play(client, description, "POST", path, GenerationMode.NEGATIVE))
    assert {422} <= found <= statuses


def test_every_operation_is_tried(description: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, methods in description["paths"].items() for method in methods
    }
    assert described == set(OPERATIONS)
