from __future__ import annotations

import json
from typing import Any

import pytest

from ancestral.api.connection import MOST_STREAMS, Cancel, Connection, Generate, Resume, Stream
from ancestral.api.problems import Problem
from ancestral.api.wire import Frame
from ancestral.broker import Entry

STARTED = {"dtype": "uint8", "count": 2, "sites": 4, "dims_per_site": 1, "permutation": None}


def output(item: int, first: int, values: bytes, last: bool = False) -> Entry:
    data = {"item": item, "first_site": first, "count": len(values), "last": last, "log_prob": -1.0}
    return Entry("9-0", "output", data, values)


def started_stream(connection: Connection, **options: Any) -> Stream:
    stream = connection.open("job", "ref", **options)
    told = stream.deliver(Entry("1-0", "started", STARTED))
    assert isinstance(told, str)
    return stream


def test_commands_are_read() -> None:
    connection = Connection()
    asked = connection.receive('{"type": "generate", "model": "m", "seed": "18446744073709551615"}')
    assert isinstance(asked, Generate)
    assert (asked.model, asked.seed, asked.count) == ("m", 2**64 - 1, 1)
    assert isinstance(connection.receive('{"type": "cancel", "job": "j"}'), Cancel)
    resumed = connection.receive('{"type": "resume", "job": "j", "next": [1, 2]}')
    assert isinstance(resumed, Resume)
    assert resumed.next == [1, 2]


@pytest.mark.parametrize("seed", [-1, 2**53, 1.5, True, "x", "18446744073709551616", ""])
def test_seeds_that_json_would_bend_are_refused(seed: object) -> None:
    with pytest.raises(Problem) as found:
        Connection().receive(json.dumps({"type": "generate", "model": "m", "seed": seed}))
    assert found.value.errors[0][0] == "seed"


def test_streams_are_numbered_and_told_apart() -> None:
    connection = Connection()
    first, second = connection.open("a", None), connection.open("b", "mine")
    assert json.loads(first.queued()) == {"type": "queued", "job": "a", "stream": 1}
    assert json.loads(second.queued()) == {
        "type": "queued", "job": "b", "stream": 2, "ref": "mine",
    }  # fmt: skip
    connection.close(first)
    assert connection.open("c", None).number == 3  # a number is never used again


def test_a_socket_carries_a_bounded_number_of_jobs() -> None:
    connection = Connection()
    streams = [connection.open(str(index), None) for index in range(MOST_STREAMS)]
    with pytest.raises(Problem) as full:
        connection.require_room()
    assert full.value.status == 429
    connection.close(streams[0])
    connection.require_room()


def test_values_become_frames() -> None:
    stream = started_stream(Connection())
    data = stream.deliver(output(1, 2, b"\5\6", last=True))
    assert isinstance(data, bytes)
    assert Frame.decode(data) == Frame(1, 1, 2, 2, "uint8", True, b"\5\6")


def test_resuming_leaves_out_what_the_client_has() -> None:
    stream = started_stream(Connection(), next=[3, 0])
    assert stream.deliver(output(0, 0, b"\0\1")) is None
    rest = stream.deliver(output(0, 2, b"\2\3", last=True))
    assert isinstance(rest, bytes)
    assert Frame.decode(rest) == Frame(1, 0, 3, 1, "uint8", True, b"\3")
    untouched = stream.deliver(output(1, 0, b"\0\1"))
    assert isinstance(untouched, bytes)
    assert Frame.decode(untouched).count == 2


def test_resuming_another_number_of_items_is_an_error() -> None:
    stream = Connection().open("job", None, next=[0])
    told = stream.deliver(Entry("1-0", "started", STARTED))
    assert isinstance(told, str)
    assert json.loads(told)["error"]["errors"][0]["field"] == "next"
    assert stream.ended


def test_pcm_is_converted_on_the_way() -> None:
    stream = Connection().open(
        "job", None, "pcm16", to_pcm=lambda payload, dtype: b"".join(bytes([b, 0]) for b in payload)
    )
    told = stream.deliver(Entry("1-0", "started", STARTED))
    assert isinstance(told, str)
    assert json.loads(told)["dtype"] == "int16"
    assert "permutation" not in json.loads(told)
    data = stream.deliver(output(0, 0, b"\1\2"))
    assert isinstance(data, bytes)
    assert Frame.decode(data) == Frame(1, 0, 0, 2, "int16", False, b"\1\0\2\0")


@pytest.mark.parametrize("event", ["done", "canceled", "failed"])
def test_every_end_ends_the_stream(event: str) -> None:
    stream = started_stream(Connection())
    told = stream.deliver(Entry("2-0", event, {"status": 500, "title": "t", "detail": "d"}))
    assert stream.ended
    assert isinstance(told, str)
    assert json.loads(told)["type"] == ("error" if event == "failed" else event)


def test_a_refusal_echoes_whom_it_answers() -> None:
    told = Connection().refuse(Problem.of_field("model", "no"), '{"ref": "r", "job": 3}')
    assert json.loads(told)["ref"] == "r"
    assert "job" not in json.loads(told)
    assert "ref" not in json.loads(Connection().refuse(Problem.of_field("model", "no"), b"\xff"))


def test_progress_is_told_where_it_is_asked_for() -> None:
    asked = Connection().receive('{"type": "resume", "job": "j", "next": [0], "progress": true}')
    assert isinstance(asked, Resume)
    assert asked.progress
    stream = started_stream(Connection(), next=[2, 0], tells=True)
    assert stream.progress(Entry("1-0", "started", STARTED)) is None
    assert stream.progress(output(0, 0, b"\0\1")) is None  # the client has these
    told = stream.progress(output(0, 2, b"\2\3", last=True))
    assert told is not None
    assert json.loads(told) == {
        "type": "progress", "ref": "ref", "job": "job", "stream": 1,
        "item": 0, "sites": 4, "log_prob": -2.0,
    }  # fmt: skip
    assert started_stream(Connection()).progress(output(0, 0, b"\0")) is None
