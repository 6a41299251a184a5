"""The examples of the API's own documentation name packages that are shipped."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from pydantic import BaseModel

from ancestral.api import schemas
from ancestral.settings import ROOT, SHIPPED
from ancestral.store import find, read_manifest


def examples() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _, kind in inspect.getmembers(schemas, inspect.isclass):
        extra = kind.model_config.get("json_schema_extra") if issubclass(kind, BaseModel) else None
        found += extra.get("examples", []) if isinstance(extra, dict) else []
    return found


@pytest.mark.parametrize("example", examples(), ids=lambda example: str(example["model"]))
def test_an_example_is_of_a_shipped_package(example: dict[str, Any]) -> None:
    manifest = read_manifest(find(example["model"], SHIPPED))
    labels = {one.name for one in manifest.conditions if one.prior is None}
    assert example.get("condition", {}).keys() <= {one.name for one in manifest.conditions}
    if "count" in example or "seconds" in example:
        assert labels <= example.get("condition", {}).keys()


def test_the_operations_page_names_shipped_packages() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    named = re.findall(r"--(?:models|packages) ([a-z0-9-]+(?:,[a-z0-9-]+)+)", text)
    assert named
    for name in ",".join(named).split(","):
        assert find(name, SHIPPED).is_dir()
