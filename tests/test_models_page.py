"""docs/models.md against the packages that ship: each is listed, with its own figure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ancestral.models import FAMILIES
from ancestral.settings import SHIPPED
from ancestral.store import list_packages, load_package

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
NAMES = [entry.name for entry in list_packages(SHIPPED)]


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_listed_with_the_figure_of_its_manifest(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if f"`{name}`" in line]
    metrics = load_package(SHIPPED / name / "1").manifest.provenance.metrics
    said = {float(number) for number in re.findall(r"\d+\.\d+", row)}
    assert any(abs(figure - one) <= 0.005 for figure in metrics.values() for one in said), metrics


def test_every_family_has_a_package() -> None:
    shipped = {load_package(SHIPPED / name / "1").manifest.family for name in NAMES}
    assert shipped == set(FAMILIES)
