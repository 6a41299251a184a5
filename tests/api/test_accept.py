from __future__ import annotations

import pytest

from ancestral.api.accept import preferred
from ancestral.api.problems import Problem

OFFERED = ["application/json", "image/png", "application/x-npy"]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("application/*;q=0.4, image/png", "image/png"),
        ("application/x-npy, */*;q=0.1", "application/x-npy"),
        ("application/json;q=0, */*", "image/png"),  # the more specific range counts
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0.3, image/png;q=0.7", "image/png"),
    ],
)
def test_preferred(header: str | None, kind: str) -> None:
    assert preferred(header, OFFERED) == kind


@pytest.mark.parametrize(
    "header", ["audio/wav", "application/json;q=0", "nonsense", "image/png;q=x"]
)
def test_nothing_fits(header: str) -> None:
    with pytest.raises(Problem) as found:
        preferred(header, OFFERED)
    assert found.value.status == 406
