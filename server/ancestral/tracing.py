"""Traces by OpenTelemetry: a request's span, and its job's on whichever worker.

`traceparent` (W3C Trace Context) travels in the job. Without the setting `traces` there is no
provider, and every call here costs next to nothing. FastAPI makes the spans of requests.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ancestral import __version__
from ancestral.broker.job import Job
from ancestral.settings import Settings

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

_CONTEXT = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("ancestral", __version__)
_QUIET = ("/health/", "/v2/health/", "/metrics")


def set_up_traces(settings: Settings, service: str) -> None:
    """Send spans to the collector of the settings, if they name one. Raises ValueError."""
    if not settings.traces:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ValueError("ANCESTRAL_TRACES needs `pip install 'ancestral[tracing]'`") from error
    named = Resource.create({"service.name": service, "service.version": __version__})
    provider = TracerProvider(resource=named)
    exporter = OTLPSpanExporter(endpoint=settings.traces.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def of_requests(settings: Settings) -> TelemetryConfig:
    """What FastAPI traces: requests, but none that has a token in its query or asks for health."""

    def exclude(scope: MutableMapping[str, Any]) -> bool:
        return scope["path"].startswith(_QUIET) or b"token=" in scope.get("query_string", b"")

    return {
        "tracing": bool(settings.traces),
        "metrics": False,  # ours are at /metrics
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": exclude,
    }


def traceparent() -> str:
    """The current span as a job carries it; empty where nothing is traced."""
    found: dict[str, str] = {}
    _CONTEXT.inject(found)
    return found.get("traceparent", "")


def trace_job(job: Job, event: str, now: float, seconds: float) -> None:
    """Spans of a job that ended with `event` now: its wait, then its work of so many seconds.

    `now` is in seconds since the epoch.
    """
    context = _CONTEXT.extract({"traceparent": job.traceparent})
    about: dict[str, str | int] = {
        "ancestral.job": job.id,
        "ancestral.model": job.model,
        "ancestral.items": job.items,
    }
    begun = max(job.submitted, now - seconds)
    wait = _TRACER.start_span("queue", context, attributes=about, start_time=_ns(job.submitted))
    wait.end(_ns(begun))
    work = _TRACER.start_span(job.lane, context, attributes=about, start_time=_ns(begun))
    work.set_attribute("ancestral.sites", job.sites)
    work.set_attribute("ancestral.finish_reason", event)
    if event == "failed":
        work.set_status(Status(StatusCode.ERROR))
    work.end(_ns(max(begun, now)))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
