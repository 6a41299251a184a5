"""Content negotiation (RFC 9110, section 12.5.1): which of our media types the client wants."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.api.problems import Problem


def preferred(header: str | None, offered: Sequence[str]) -> str:
    """The best of `offered` (the first wins ties) for an Accept header; a 406 where none fits."""
    wishes = [_parse(part) for part in (header or "*/*").split(",") if part.strip()]
    best, quality = "", 0.0
    for kind in offered:
        matches = [wish for wish in wishes if _covers(wish[0], kind)]
        if not matches:
            continue
        found = max(matches, key=lambda wish: wish[0].count("*") * -1)[1]
        if found > quality:
            best, quality = kind, found
    if not best:
        detail = f"{header} cannot be given; {', '.join(offered)} can"
        raise Problem(406, "Not Acceptable", detail, [("Accept", detail)])
    return best


def _parse(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return kind, quality


def _covers(wish: str, kind: str) -> bool:
    if wish == "*/*":
        return True
    family, _, member = wish.partition("/")
    if member == "*":
        return kind.startswith(f"{family}/")
    return wish == kind
