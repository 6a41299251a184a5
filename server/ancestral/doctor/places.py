"""The cache folder and the port."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from ancestral.addresses import require_free
from ancestral.doctor.finding import Finding
from ancestral.settings import Settings

LEAST_FREE = 2**30  # bytes: all that is kept of the shipped models takes a tenth
PATIENCE = 2.0  # seconds


def cache(settings: Settings) -> Iterator[Finding]:
    """Whether the folder can be written to, and has room."""
    folder = settings.cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"ancestral")
    except OSError as error:
        detail = f"cannot be written: {error.strerror}; every start compiles all over again"
        mend = "ANCESTRAL_CACHE=FOLDER names another"
        yield Finding("cache", str(folder), "wrong", detail, mend)
        return
    free = shutil.disk_usage(folder).free
    kept = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    detail = f"holds {kept / 2**20:.0f} MiB, {free / 2**30:.1f} GiB are free"
    if free < LEAST_FREE:
        yield Finding("cache", str(folder), "note", detail, "make room, or name another folder")
    else:
        yield Finding("cache", str(folder), "ok", detail)


def port(settings: Settings) -> Iterator[Finding]:
    """Whether a server could listen where the settings say, or one of ours does already."""
    where = f"{settings.host}:{settings.port}"
    try:
        require_free(settings.host, settings.port)
    except OSError as error:
        answer = _readiness(settings)
        if answer is None:
            detail = f"cannot be listened at: {error.strerror or error}"
            yield Finding("port", where, "wrong", detail, "ANCESTRAL_PORT=…, or end who holds it")
        elif answer.get("status") == "ready":
            yield Finding("port", where, "ok", "a server of ours listens, and is ready")
        else:
            reasons = [str(reason) for reason in answer.get("reasons", ())]
            starts = all(reason.endswith(": loading") for reason in reasons)
            detail = f"a server of ours is not ready: {'; '.join(reasons)}"
            mend = "wait: models load" if starts else "its log says more"
            yield Finding("port", where, "note" if starts else "wrong", detail, mend)
        return
    yield Finding("port", where, "ok", "free")


def _readiness(settings: Settings) -> dict[str, Any] | None:
    """What a server at the port says of itself; None where it is none of ours."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{settings.port}/health/ready"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            try:
                found = json.load(refusal)
            except ValueError:
                return None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "status" in found else None
