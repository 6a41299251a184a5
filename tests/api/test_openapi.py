from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.server import Server


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return dict(server.client.get("/openapi.json").json())


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from nodes(part)


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    assert "#/components/schemas/LogProbBody" in references
    for reference in references:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    operations = [
        (path, verb, operation)
        for path, item in document["paths"].items()
        for verb, operation in item.items()
    ]
    assert {path for path, _, _ in operations} == {
        "/embed", "/log_prob", "/sample", "/sample/{id}", "/batches",
        "/jobs/{id}", "/jobs/{id}/events", "/jobs/{id}/result",
            "/jobs/{id}/pause", "/jobs/{id}/unpause",
        "/models", "/models/{name}", "/models/{name}/load", "/models/{name}/unload", "/tokens",
        "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}",
        "/v2/models/{name}/ready", "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}", "/v2/models/{name}/versions/{version}/ready",
        "/v2/models/{name}/versions/{version}/infer",
        "/health/live", "/health/ready", "/health/status", "/metrics", "/workers",
    }  # fmt: skip
    for _, _, operation in operations:
        assert operation["summary"]


def test_bodies_have_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("SampleBody", "LogProbBody"):
        for example in schemas[name]["examples"]:
            assert set(example) <= set(schemas[name]["properties"])
    media = document["paths"]["/log_prob"]["post"]["requestBody"]["content"]
    assert {"application/json", "multipart/form-data", "image/png", "audio/wav"} <= set(media)


def test_refusals_are_problems(document: dict[str, Any]) -> None:
    for path in ("/sample", "/log_prob"):
        answers = document["paths"][path]["post"]["responses"]
        for status in ("404", "413", "422", "429", "504"):
            assert "application/problem+json" in answers[status]["content"]


@pytest.mark.parametrize(
    ("path", "own"),
    [("/log_prob", {"return", "order", "marginal"}), ("/embed", {"layer"})],
)
def test_files_may_come_with_every_option(
    document: dict[str, Any], path: str, own: set[str]
) -> None:
    both = {"model", "condition", "fit", "priority", "timeout_seconds"}
    told = document["paths"][path]["post"]
    assert {one["name"] for one in told["parameters"]} == both | own
    form = told["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == both | own | {"file"}
    assert form["fit"]["type"] == "boolean"
