from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError

from ancestral.api.problems import Problem, field_of, install, of_error, of_full_queue
from ancestral.api.schemas import SampleBody
from ancestral.broker import JobExists, JobUnknown, QueueFull
from ancestral.store import PackageError


class Inner(BaseModel):
    b: int


class Outer(BaseModel):
    a: list[Inner]


@pytest.mark.parametrize(
    ("location", "field"),
    [
        (("body", "inputs", 0, "File", "data"), "inputs[0].data"),
        (("inputs", 0, "list[any]"), "inputs[0]"),
        (("query", "version"), "version"),
        (("body",), "body"),
        ((), "body"),
        (("path", "id"), "id"),
    ],
)
def test_fields_are_named_as_clients_write_them(
    location: tuple[str | int, ...], field: str
) -> None:
    assert field_of(location) == field


def test_validation_names_every_field() -> None:
    with pytest.raises(ValidationError) as found:
        Outer.model_validate({"a": [{"b": 1}, {"b": "x"}, {}]})
    problem = of_error(found.value)
    assert [field for field, _ in problem.errors] == ["a[1].b", "a[2].b"]
    assert problem.status == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "a", "n": 3}, ("n", "there is no such field here")),
        ("model=a", ("body", "a JSON object is expected, as Content-Type: application/json")),
    ],
)
def test_validation_speaks_to_those_who_call(body: object, said: tuple[str, str]) -> None:
    app = FastAPI()
    install(app)

    @app.post("/")
    def take(body: SampleBody) -> None:
        raise AssertionError(body)

    with TestClient(app) as client:
        answer = client.post("/", json=body).json()
    assert [(error["field"], error["message"]) for error in answer["errors"]] == [said]


def test_a_full_queue_says_when_to_come_back() -> None:
    problem = of_full_queue(QueueFull(12, 7.0), 503)
    assert problem.status == 503
    assert problem.headers == {"Retry-After": "7"}


def test_the_rest() -> None:
    assert of_error(JobExists("x")).status == 409
    assert of_error(JobUnknown("x")).status == 404
    pin = of_error(PackageError(Path("/srv/made/default_version"), "pins version '9'"))
    assert pin.status == 503
    assert "pins version" in pin.detail
    assert "/srv" not in pin.detail
    secret = of_error(RuntimeError("a path, a token"))
    assert secret.status == 500
    assert "token" not in str(secret.document())


def test_messages_are_bounded() -> None:
    document = Problem.of_field("prefix", "x" * 10_000).document("/sample", "id")
    assert len(document["detail"]) == len(document["errors"][0]["message"]) == 300
    assert (document["instance"], document["request_id"]) == ("/sample", "id")
