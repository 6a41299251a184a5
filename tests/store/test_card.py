"""Model cards in short."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.store.card import Card, read_card

CARD = """---
license: mit
tags:
- x
---
# NADE on *digits*

One `paragraph` on
two lines.

Another.
"""


@pytest.mark.parametrize(
    ("text", "card"),
    [
        (CARD, Card("NADE on *digits*", "One paragraph on two lines.")),
        ("# Title\n\n## Figures\n\nNone.\n", Card("Title", "")),
        ("no heading\n", Card()),
        ("", Card()),
        (None, Card()),
    ],
)
def test_the_title_and_the_first_paragraph(tmp_path: Path, text: str | None, card: Card) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path) == card
