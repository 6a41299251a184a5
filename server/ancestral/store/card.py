"""What a package's model card, README.md, says in short."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ancestral.store.files import CARD

_LONGEST = 64 * 2**10  # bytes that are looked at


@dataclass(frozen=True, slots=True)
class Card:
    """A title, and the paragraph behind it; both may be empty."""

    title: str = ""
    summary: str = ""


def read_card(folder: Path) -> Card:
    """The first heading of a package's card and the paragraph that follows it.

    Front matter is passed over, Markdown's marks of code and emphasis are left out.
    """
    try:
        with (folder / CARD).open("rb") as file:
            text = file.read(_LONGEST).decode(errors="replace")
    except OSError:
        return Card()
    lines = text.splitlines()
    if lines[:1] == ["---"] and "---" in lines[1:]:
        lines = lines[lines.index("---", 1) + 1 :]
    start = next((i for i, line in enumerate(lines) if line.startswith("# ")), None)
    if start is None:
        return Card()
    body = "\n".join(lines[start + 1 :]).strip().split("\n\n")[0]
    summary = "" if body.startswith("#") else " ".join(body.split())
    return Card(lines[start][2:].strip(), summary.replace("`", "").replace("*", ""))
