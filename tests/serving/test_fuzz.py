"""Requests that nobody thought of, by Schemathesis: whatever comes, no 5xx and no other answer."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from tests.serving.servers import Client

NAMES = {"type": "string"}
B64 = {"type": "object", "properties": {"b64": {"type": "string"}}, "required": ["b64"]}
VALUE = {"anyOf": [{"type": "string"}, B64, {"type": "array", "items": {"type": "number"}}]}
ROWS = {"type": "array", "items": {"anyOf": [VALUE, {"type": "object"}]}, "maxItems": 5}
SIGNATURES = ["serving_default", "predict_tensor", "probabilities", "class_names", "x"]
PREDICT = {
    "type": "object",
    "properties": {
        "signature_name": {"anyOf": [{"enum": SIGNATURES}, NAMES]},
        "instances": ROWS,
        "inputs": {"anyOf": [ROWS, {"type": "object"}, VALUE]},
    },
}
CLASSIFY = {
    "type": "object",
    "properties": {"examples": {"type": "array", "items": {"type": "object"}}, "context": VALUE},
}


def operation(body: dict | None, *parameters: str) -> dict:
    schemas = {"model": {"anyOf": [{"enum": ["light"]}, NAMES]}, "version": {}, "label": NAMES}
    found: dict = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schemas[name]}
            for name in parameters
        ],
        "responses": {"default": {"description": "JSON, whatever the status"}},
    }
    if body is not None:
        content = {"application/json": {"schema": body}}
        found["requestBody"] = {"required": True, "content": content}
    return found


MODEL = "/v1/models/{model}"
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "REST", "version": "1"},
    "paths": {
        f"{MODEL}:predict": {"post": operation(PREDICT, "model")},
        f"{MODEL}:classify": {"post": operation(CLASSIFY, "model")},
        f"{MODEL}/versions/{{version}}:predict": {"post": operation(PREDICT, "model", "version")},
        f"{MODEL}/labels/{{label}}:predict": {"post": operation(PREDICT, "model", "label")},
        f"{MODEL}/versions/{{version}}": {"get": operation(None, "model", "version")},
        f"{MODEL}/metadata": {"get": operation(None, "model")},
        MODEL: {"get": operation(None, "model")},
        "/v1/models": {"get": operation(None)},
        "/healthz": {"get": operation(None)},
    },
}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def asked(server: Client) -> Client:
    return server


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
def test_no_request_breaks_the_server(case: Case, asked: Client) -> None:
    response = case.call(base_url=asked.url)
    assert response.status_code in (200, 400, 404, 405), response.text
    if response.status_code != 200:
        assert set(response.json()) == {"error"}


def test_it_is_as_well_as_before(asked: Client) -> None:
    assert asked.get("/healthz").json == {"status": "ok"}
