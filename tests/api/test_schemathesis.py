"""Requests made from the OpenAPI document: what it promises is kept, and nothing is a 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.server import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MODEL = "tiny-made"  # small, and a name that a generator does not guess
LEFT = {"/models/{name}/load", "/models/{name}/unload"}  # other tests need the models


@schemathesis.serializer(
    "application/jsonl", "image/png", "image/jpeg", "audio/wav", "application/x-npy"
)
def as_bytes(context: Any, value: Any) -> Any:
    """Bodies of files: whatever was generated, as bytes."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def named(case: schemathesis.Case) -> None:
    """Let most requests be about a model that is there."""
    if isinstance(case.body, dict) and "model" in case.body and len(str(case.body)) % 4:
        case.body["model"] = MODEL
    if "name" in case.path_parameters and len(str(case.path_parameters["name"])) % 3:
        case.path_parameters["name"] = MODEL


def keeps_its_word(server: Server, examples: int, operation: Any) -> None:
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        named(case)
        answer = case.call(base_url=server.url, timeout=240)
        if answer.status_code != 504:  # a deadline of microseconds that passed
            case.validate_response(answer, checks=CHECKS)

    check()


def operations(server: Server) -> dict[str, Any]:
    document = server.client.get("/openapi.json").json()
    found = [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
    return {one.label: one for one in found if one.path not in LEFT}


def all_keep_their_word(server: Server, examples: int) -> None:
    failures: list[Exception] = []
    for operation in operations(server).values():
        try:
            keeps_its_word(server, examples, operation)
        except Exception as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup("broken promises", failures)


def test_as_described(server: Server) -> None:
    assert len(operations(server)) > 20
    all_keep_their_word(server, 6)


@pytest.mark.slow
def test_much_as_described(server: Server) -> None:
    all_keep_their_word(server, 60)
