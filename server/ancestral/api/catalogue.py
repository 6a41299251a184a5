"""The packages of the store as requests name them, and what the workers say of each."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ancestral.api.problems import Problem
from ancestral.broker import ModelReport, WorkerReport
from ancestral.store import Entry, Manifest, PackageError, find, list_packages, read_manifest
from ancestral.store.card import Card, read_card


class Catalogue:
    """Manifests by name, read again when their file changes; weights are the workers' business."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._manifests: dict[Path, tuple[int, Manifest]] = {}

    def entries(self) -> list[Entry]:
        """Every name in the store."""
        return list_packages(self.root)

    def labels(self) -> list[str]:
        """NAME/VERSION of every name's default version."""
        return [f"{entry.name}/{entry.default}" for entry in self.entries()]

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """Raises a 404 problem naming the field `model` where the store has no such package."""
        try:
            path = find(name, self.root, version)
        except PackageError as error:
            raise Problem.of_field("model", error.message, 404) from error
        try:
            changed = (path / "model.json").stat().st_mtime_ns
            known = self._manifests.get(path)
            if known is None or known[0] != changed:
                known = (changed, read_manifest(path))
                self._manifests[path] = known
        except (PackageError, OSError) as error:
            raise Problem.of_field("model", f"the package is broken: {error}", 503) from error
        return known[1]

    def card(self, manifest: Manifest) -> Card:
        """What a package's model card says of it."""
        return read_card(self.root / manifest.name / str(manifest.version))


def report_of(workers: list[WorkerReport], label: str) -> ModelReport | None:
    """The best that any worker says of a model."""
    found = [worker.models[label] for worker in workers if label in worker.models]
    order = ("ready", "loading", "on_demand", "leaving", "failed")
    return min(found, key=lambda report: order.index(report.state), default=None)


def loaders(workers: list[WorkerReport], name: str) -> list[str]:
    """The workers that may be asked to load a model."""
    return [worker.worker for worker in workers if not worker.serves or name in worker.serves]


def in_service(workers: list[WorkerReport], label: str) -> str:
    """The version that a name stands for now: while its default is not ready, the last that is.

    So a new version can be put into the store and loaded while the old one serves.
    """
    report = report_of(workers, label)
    if report is not None and report.state in ("ready", "on_demand"):
        return label
    name = label.partition("/")[0]
    ready = {
        int(found.partition("/")[2])
        for worker in workers
        for found, model in worker.models.items()
        if found.partition("/")[0] == name and model.state == "ready"
    }
    return f"{name}/{max(ready)}" if ready else label


def missing(workers: list[WorkerReport], wanted: Collection[str]) -> list[str]:
    """Why not every name that a worker holds, or that is wanted, is ready in some version.

    One that is loaded on demand counts as ready: who asks for it waits for the load.
    """
    reports: dict[str, list[tuple[str, ModelReport]]] = {name: [] for name in wanted}
    for worker in workers:
        for label, report in worker.models.items():
            if report.state != "leaving":
                reports.setdefault(label.partition("/")[0], []).append((label, report))
    found = []
    for name, held in sorted(reports.items()):
        if not held:
            found.append(f"{name}: not loaded")
        elif all(report.state not in ("ready", "on_demand") for _, report in held):
            found += [f"{label}: {report.error or report.state}" for label, report in held[:1]]
    return found


def require_served(workers: list[WorkerReport], label: str, wanted: Collection[str] = ()) -> None:
    """Raise a problem where no worker holds the model or is about to.

    One that is wanted comes back when its worker does, unless another version has taken its place.
    """
    report = report_of(workers, label)
    name = label.partition("/")[0]
    held = {found.partition("/")[0] for worker in workers for found in worker.models}
    if report is None and name in wanted and name not in held:
        detail = f"model: no worker holds {label} at the moment"
        raise Problem(503, "Service Unavailable", detail, [("model", detail)], {"Retry-After": "5"})
    if report is None or report.state == "leaving":
        mend = f"POST /models/{name}/load loads it"
        if not loaders(workers, name):
            mend = "no worker serves it (ancestral serve --packages, ancestral worker --models)"
        detail = f"{label} is not loaded; {mend}"
        raise Problem.of_field("model", detail, 409)
    if report.state == "failed":
        raise Problem.of_field("model", f"{label} cannot be served: {report.error}", 503)


def describe(
    manifest: Manifest, card: Card, versions: tuple[int, ...], workers: list[WorkerReport]
) -> dict[str, Any]:
    """A model as `GET /models` shows it."""
    report = report_of(workers, manifest.label)
    data = manifest.data
    spec = data.spec
    report_fields = report or ModelReport("loading")
    return {
        "name": manifest.name,
        "version": manifest.version,
        "versions": list(versions),
        "title": card.title or manifest.name,
        "summary": card.summary,
        "state": "unloaded" if report is None else report.state,
        "loadable": bool(loaders(workers, manifest.name)),
        "error": report_fields.error,
        "family": manifest.family,
        "kind": data.kind,
        "shape": list(data.shape),
        "levels": data.levels,
        "sample_rate": data.sample_rate,
        "codec": None if data.codec is None else data.codec.model_dump(),
        "palette": None if data.palette is None else [list(colour) for colour in data.palette],
        "sites": spec.sites() if data.length is None else None,
        "length": None if data.length is None else data.length.model_dump(),
        "dims_per_site": spec.dims_per_site,
        "likelihood": str(manifest.likelihood["kind"]),
        "conditions": [entry.model_dump(exclude_none=True) for entry in manifest.conditions],
        "reference_n": 0 if manifest.reference is None else len(manifest.reference.scores),
        "reference_marginal": manifest.reference.marginal if manifest.reference else None,
        "derived": report_fields.derived,
        "runtime": report_fields.runtime,
        "fingerprint": report_fields.fingerprint,
        "slots_total": report_fields.slots_total,
        "slots_in_use": report_fields.slots_in_use,
    }
