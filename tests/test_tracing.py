"""Spans as a collector of one's own receives them over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ancestral.settings import Settings
from ancestral.tracing import of_requests, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the W3C document's
RUN = """
import sys
from ancestral.broker.job import Job
from ancestral.settings import Settings
from ancestral.tracing import set_up_traces, trace_job, traceparent
from opentelemetry import trace
set_up_traces(Settings(traces=sys.argv[1]), "ancestral-worker")
job = Job("j", "m/1", "sample", {}, items=2, sites=12, traceparent=sys.argv[2], submitted=100.0)
trace_job(job, "done", 107.0, 5.0)
trace_job(job, "failed", 107.0, 5.0)
with trace.get_tracer("x").start_as_current_span("request"):
    print(traceparent())
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                name = resource.resource.attributes
                for scope in resource.scope_spans:
                    spans.extend((span, name) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_jobs_spans_belong_to_its_request(collector: tuple[str, list[Any]]) -> None:
    url, spans = collector
    command = [sys.executable, "-c", RUN, url, PARENT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.startswith("00-")
    by_name = {span.name: span for span, _ in spans}
    assert set(by_name) == {"queue", "sample", "request"}
    for name in ("queue", "sample"):
        assert by_name[name].trace_id.hex() == PARENT.split("-")[1]
        assert by_name[name].parent_span_id.hex() == PARENT.split("-")[2]
    wait, work = by_name["queue"], by_name["sample"]
    assert (wait.start_time_unix_nano, wait.end_time_unix_nano) == (100 * 10**9, 102 * 10**9)
    assert (work.start_time_unix_nano, work.end_time_unix_nano) == (102 * 10**9, 107 * 10**9)
    ended = [
        (attribute.value.string_value, span.status.code)
        for span, _ in spans
        for attribute in span.attributes
        if attribute.key == "ancestral.finish_reason"
    ]
    assert sorted(ended) == [("done", 0), ("failed", 2)]  # 2: ERROR
    names = {a.value.string_value for _, told in spans for a in told if a.key == "service.name"}
    assert names == {"ancestral-worker"}


def test_nothing_is_traced_unasked() -> None:
    assert traceparent() == ""
    assert of_requests(Settings())["tracing"] is False


def test_tokens_and_probes_are_not_traced() -> None:
    exclude = of_requests(Settings(traces="http://localhost:4318"))["exclude"]
    assert exclude is not None
    assert exclude({"path": "/stream", "query_string": b"token=x"})
    assert exclude({"path": "/health/ready", "query_string": b""})
    assert not exclude({"path": "/sample", "query_string": b""})


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from ancestral.tracing import set_up_traces

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ValueError, match="tracing"):
        set_up_traces(Settings(traces="http://localhost:4318"), "x")
