"""Each fault is made, found, and told with what mends it."""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from tests.packages import publish
from tests.ports import free_port

from ancestral.access import create
from ancestral.broker import ModelReport, WorkerReport
from ancestral.broker.connect import worker_queue
from ancestral.broker.embedded import EmbeddedServer, binary
from ancestral.doctor import Finding, examine
from ancestral.doctor.broker import broker
from ancestral.doctor.examination import _guarded
from ancestral.doctor.finding import safely
from ancestral.doctor.machine import device, numbers, runtimes, versions
from ancestral.doctor.places import cache, port
from ancestral.doctor.store import store
from ancestral.settings import RUNTIMES, Settings


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to answer than somebody at a terminal waits."""
    for module in ("places", "broker"):
        monkeypatch.setattr(f"ancestral.doctor.{module}.PATIENCE", 60.0)


def states(findings: Iterator[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["rich>=1", "numpy>=999.1", "there-is-no-such-thing>=1", "x>=1; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    found = {finding.name: finding for finding in versions()}
    assert found["numpy"].state == "wrong"
    assert found["numpy"].mend == "pip install -U 'numpy>=999.1'"
    assert found["there-is-no-such-thing"].detail == "is missing"
    assert f"rich {metadata.version('rich')}" in found["requirements"].detail
    assert "x" not in found
    assert numbers("2.13.0+cpu") == (2, 13, 0) < numbers("2.13.1rc1")


def test_the_machine() -> None:
    assert set(states(device(Settings()))) == {"processor", "gpu"}
    missing = {f.name: f for f in device(Settings(device="cuda:99"))}["gpu"]
    assert (missing.state, "cuda:99" in missing.detail) == ("wrong", True)
    assert "ANCESTRAL_DEVICE=cpu" in missing.mend
    assert states(runtimes(Settings(runtime="native"))) == dict.fromkeys(RUNTIMES, "ok")


def test_the_store(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-gpt")
    publish(tmp_path, "tiny-made", reference={"unit": "nats", "scores": [-3.0, -2.0]})
    whole = tmp_path / "tiny-made" / "1"
    (whole / "README.md").write_text("# A card\n\nOf a tiny model.\n")
    shutil.copytree(whole, tmp_path / "tiny-made" / "2")
    told = Settings(models=tmp_path, packages="tiny-made/1,absent", preload="tiny-made,late")
    found = {f.name: f for f in store(told)}
    assert found["tiny-made/1"].state == "ok"
    assert "2 reference scores" in found["tiny-made/1"].detail
    assert found["tiny-gpt/1"].state == "note"
    assert found["tiny-gpt/1"].mend.startswith("ancestral calibrate tiny-gpt/1")
    assert found["tiny-made/2"].state == "wrong"  # it calls itself version 1
    assert "lies in tiny-made/2" in found["tiny-made/2"].detail
    assert found["absent"].state == "wrong"
    assert "tiny-gpt" in found["absent"].mend
    assert "ANCESTRAL_PRELOAD" in found["late"].detail
    (tmp_path / "tiny-gpt" / "default_version").write_text("7")
    pinned = {f.name: f for f in store(Settings(models=tmp_path))}["tiny-gpt"]
    assert (pinned.state, "pins version '7'" in pinned.detail) == ("wrong", True)
    weights = tmp_path / "tiny-gpt" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert states(store(Settings(models=tmp_path)))["tiny-gpt/1"] == "wrong"
    assert states(store(Settings(models=tmp_path / "no"))) == {str(tmp_path / "no"): "wrong"}


def test_the_cache(tmp_path: Path) -> None:
    assert states(cache(Settings(cache=tmp_path / "new"))) == {str(tmp_path / "new"): "ok"}
    (tmp_path / "file").touch()
    (found,) = cache(Settings(cache=tmp_path / "file"))
    assert found.state == "wrong"
    assert "ANCESTRAL_CACHE" in found.mend


class Readiness(http.server.BaseHTTPRequestHandler):
    answer: tuple[int, dict[str, object]] = (200, {})

    def do_GET(self) -> None:
        status, document = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_port() -> None:
    number = free_port()
    assert states(port(Settings(port=number))) == {f"127.0.0.1:{number}": "ok"}
    server = http.server.HTTPServer(("127.0.0.1", number), Readiness)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    answers: list[tuple[tuple[int, dict[str, object]], str]] = [
        ((200, {"status": "ready", "reasons": []}), "ok"),
        ((503, {"status": "not ready", "reasons": ["m/1: loading"]}), "note"),
        ((503, {"status": "not ready", "reasons": ["there is no worker"]}), "wrong"),
        ((404, {"detail": "another program"}), "wrong"),
    ]
    try:
        for answer, state in answers:
            Readiness.answer = answer
            assert states(port(Settings(port=number))) == {f"127.0.0.1:{number}": state}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(binary() is None, reason="no Redis-compatible server is installed")
def test_the_broker(tmp_path: Path) -> None:
    assert states(broker(Settings())) == {"memory": "ok"}
    server = EmbeddedServer(tmp_path)
    try:
        settings = Settings(broker=server.url)
        assert states(broker(settings))["workers"] == "wrong"
        workers = worker_queue(settings)
        workers.renew(WorkerReport("w", 1, {"m/1": ModelReport("ready")}))
        found = {finding.name: finding for finding in broker(settings)}
        assert found["workers"].state == "ok"
        assert found["workers"].detail == "1, with 1 models"
        assert {"Valkey", "Redis"} & set(found)
        workers.renew(WorkerReport("w", 2, {"m/1": ModelReport("failed", error="no memory")}))
        found = {finding.name: finding for finding in broker(settings)}
        assert found["workers"].state == "wrong"
        assert "m/1: no memory" in found["workers"].detail
    finally:
        server.stop()
    (found_away,) = broker(Settings(broker=server.url.replace("//", "//:secret@")))
    assert found_away.state == "wrong"
    assert "secret" not in found_away.detail


def test_access(tmp_path: Path) -> None:
    guarded = _guarded(Settings(keys=tmp_path / "keys.json"))
    assert states(guarded) == {"values": "ok", "access": "wrong"}  # there is no such file
    create(tmp_path / "keys.json", "ada", admin=True)
    found = list(_guarded(Settings(keys=tmp_path / "keys.json")))
    assert found[-1].detail == "1 keys, 1 of admins"
    assert states(_guarded(Settings(host="0.0.0.0"))) == {"access": "wrong"}
    assert states(_guarded(Settings())) == {"values": "ok", "access": "ok"}


def test_traces_without_what_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if not installed
    found = {f.name: f for f in _guarded(Settings(traces="http://127.0.0.1:4318"))}
    assert found["traces"].state == "wrong"
    assert "ancestral[tracing]" in found["traces"].mend


def test_nothing_ends_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "tiny-gpt")
    monkeypatch.setenv("ANCESTRAL_PROT", "8001")
    found = list(examine(models=tmp_path))
    (settings,) = [finding for finding in found if finding.area == "settings"]
    assert settings.state == "wrong"
    assert "ANCESTRAL_PORT" in settings.detail
    assert {finding.area for finding in found} == {
        "versions", "settings", "device", "runtimes", "store", "cache", "broker", "port"
    }  # fmt: skip
    (broken,) = safely("store", lambda: [][0])
    assert (broken.area, broken.state) == ("store", "wrong")
