from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from tests.deploy.files import DOCKER, assert_command, documents, settings

from ancestral.broker.redis_keys import GROUP, queue_keys

BASE = DOCKER / "kubernetes" / "base"
VERSIONS = ("1.29", "1.34")  # of Kubernetes, the oldest and one of the newest
(KUSTOMIZATION,) = documents(BASE / "kustomization.yaml")
ALL = [one for name in KUSTOMIZATION["resources"] for one in documents(BASE / name)]


def resource(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in ALL if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = resource("Deployment", name)["spec"]["template"]["spec"]
    return spec


def variables() -> dict[str, str]:
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert generated["name"] == "settings"
    return dict(line.split("=", 1) for line in generated["literals"])


def name_of(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", ALL, ids=name_of)
def test_a_resource_fits_the_published_schema(document: dict[str, Any], version: str) -> None:
    if document["kind"] != "ScaledObject":
        kubernetes_validate.validate(document, version, strict=True)
        return
    read = ScaledObject.model_validate(document)
    assert read.model_dump(by_alias=True, exclude_none=True, mode="json") == document


def test_a_misspelt_field_is_noticed() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(resource("Deployment", "worker")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_part_of_it() -> None:
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_pod_has_longer_than_its_drain(name: str) -> None:
    spec = pod(name)
    (container,) = spec["containers"]
    waits = 0.0
    if "lifecycle" in container:
        waits = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = waits + settings(variables()).drain_seconds + 10
    assert spec["terminationGracePeriodSeconds"] > needed
    assert_command(container["args"])
    assert spec["enableServiceLinks"] is False  # a Service's variables are no settings of ours
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"/tmp", "/cache"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_every_request_needs_a_key() -> None:
    (container,) = pod("api")["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    found = settings(variables() | told | {"ANCESTRAL_HOST": "0.0.0.0"})
    found.require_guarded()
    assert not found.allow_anonymous
    assert found.keys is not None
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["keys"] == str(found.keys.parent)


def test_selectors_meet_their_pods() -> None:
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in ALL
        if one["kind"] in ("Deployment", "StatefulSet")
    ]
    for one in ALL:
        selector = one.get("spec", {}).get("selector") or {}
        labels = selector.get("matchLabels", selector)
        if labels:
            assert any(labels.items() <= found.items() for found in pods), name_of(one)
    budgets = {one["metadata"]["name"] for one in ALL if one["kind"] == "PodDisruptionBudget"}
    assert budgets == {"api", "worker"}
    ports = {port["name"] for port in resource("Service", "api")["spec"]["ports"]}
    (rule,) = resource("Ingress", "gateway")["spec"]["rules"]
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        assert resource("Service", backend["name"])
        assert backend["port"]["name"] in ports


def test_workers_scale_on_the_lag_of_their_own_queues() -> None:
    spec = resource("ScaledObject", "worker")["spec"]
    assert resource("Deployment", spec["scaleTargetRef"]["name"])
    assert "replicas" not in resource("Deployment", "worker")["spec"]
    usual = 1  # of the priorities, the one in the middle
    expected = {
        queue_keys(f"{model}/1", lane)[usual]
        for model in settings(variables()).wanted
        for lane in ("sample", "score")
    }
    assert {trigger["metadata"]["stream"] for trigger in spec["triggers"]} == expected
    for trigger in spec["triggers"]:
        assert trigger["type"] == "redis-streams"
        assert trigger["metadata"]["consumerGroup"] == GROUP
        assert set(trigger["metadata"]) == {"address", "stream", "consumerGroup", "lagCount"}
        host, _, port = trigger["metadata"]["address"].partition(":")
        service = resource("Service", host.partition(".")[0])
        assert int(port) == service["spec"]["ports"][0]["port"]


def rendered(folder: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl")
    command = ["kubectl", "kustomize", str(BASE.parent / folder)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return [one for one in yaml.safe_load_all(found.stdout) if one]


@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_what_kustomize_renders_fits_the_published_schemas(folder: str) -> None:
    documents = rendered(folder)
    assert len(documents) == len(ALL) + 1  # and the settings, which are generated
    for one in documents:
        if one["kind"] == "ScaledObject":
            ScaledObject.model_validate(one)
        else:
            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    (settings_map,) = [one for one in documents if one["kind"] == "ConfigMap"]
    (worker,) = [one for one in documents if name_of(one) == "Deployment-worker"]
    spec = worker["spec"]["template"]["spec"]
    (container,), (init,) = spec["containers"], spec["initContainers"]
    assert container["envFrom"] == [{"configMapRef": {"name": settings_map["metadata"]["name"]}}]
    assert init["image"] == container["image"]
    assert container["image"].startswith("registry.example/ancestral:")
    assert container["image"].endswith("-gpu") == (folder == "gpu")
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (folder == "gpu")


def test_new_workers_begin_with_what_the_image_compiled() -> None:
    spec = pod("worker")
    (init,), (container,) = spec["initContainers"], spec["containers"]
    image = (DOCKER / "Dockerfile").read_text("utf-8")
    (kept,) = [m for m in container["volumeMounts"] if m["name"] == "cache"]
    assert f"ANCESTRAL_CACHE={kept['mountPath']}" in image
    assert init["command"] == ["cp", "-rn", f"{kept['mountPath']}/.", "/seed"]
    assert init["volumeMounts"] == [{"name": "cache", "mountPath": "/seed"}]


def test_the_overlay_for_gpus() -> None:
    (overlay,) = documents(DOCKER / "kubernetes" / "gpu" / "kustomization.yaml")
    (patch,) = overlay["patches"]
    assert resource(**patch["target"])
    (changed,) = documents(DOCKER / "kubernetes" / "gpu" / patch["path"])
    (container,) = changed["spec"]["template"]["spec"]["containers"]
    assert container["name"] == pod("worker")["containers"][0]["name"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert_command(container["args"])
    assert (Path(DOCKER / "kubernetes" / "gpu") / overlay["resources"][0]).is_dir()
