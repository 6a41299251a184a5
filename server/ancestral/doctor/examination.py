"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from ancestral.access import read_keys
from ancestral.doctor.broker import broker
from ancestral.doctor.finding import Check, Finding, safely
from ancestral.doctor.machine import device, runtimes, versions
from ancestral.doctor.places import cache, port
from ancestral.doctor.store import store
from ancestral.settings import Settings


def examine(
    config: Path | None = None, models: Path | None = None, broker_url: str | None = None
) -> Iterator[Finding]:
    """The findings as they come; the arguments stand above the environment's settings."""
    yield from safely("versions", versions)
    try:
        settings = Settings.from_env(config=config, models=models, broker=broker_url)
    except (ValueError, OSError) as error:
        mend = "correct it or unset it; what follows was looked at with the defaults"
        yield Finding("settings", "values", "wrong", str(error), mend)
        settings = Settings()
    else:
        yield from safely("settings", partial(_guarded, settings))
    checks: list[tuple[str, Check]] = [
        ("device", partial(device, settings)),
        ("runtimes", partial(runtimes, settings)),
        ("store", partial(store, settings)),
        ("cache", partial(cache, settings)),
        ("broker", partial(broker, settings)),
        ("port", partial(port, settings)),
    ]
    for area, check in checks:
        yield from safely(area, check)


def _traced() -> Finding:
    """Whether spans can be sent; a server that is told to and cannot does not start."""
    try:
        import_module("opentelemetry.sdk.trace")
        import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        mend = "pip install 'ancestral[tracing]', or unset ANCESTRAL_TRACES"
        return Finding("settings", "traces", "wrong", str(error), mend)
    return Finding("settings", "traces", "ok", "can be sent")


def _guarded(settings: Settings) -> Iterator[Finding]:
    """Whether a server would start with these settings, and whom it would serve."""
    try:
        settings.require_guarded()
    except ValueError as error:
        mend = "ANCESTRAL_HOST=127.0.0.1, or ancestral keys create"
        yield Finding("settings", "access", "wrong", str(error), mend)
        return
    yield Finding("settings", "values", "ok", "all known, all in bounds")
    if settings.traces:
        yield _traced()
    if settings.keys is None:
        yield Finding("settings", "access", "ok", f"nobody is asked for a key at {settings.host}")
        return
    try:
        keys = read_keys(settings.keys)
    except (ValueError, OSError) as error:
        mend = "ancestral keys create makes one; every request is refused until then"
        yield Finding("settings", "access", "wrong", str(error), mend)
        return
    admins = sum(key.admin for key in keys)
    yield Finding("settings", "access", "ok", f"{len(keys)} keys, {admins} of admins")
