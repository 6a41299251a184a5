"""What does not fit in a file that people write."""

from __future__ import annotations

from pydantic import ValidationError

_PLAINLY = {"extra_forbidden": "there is no such key"}


def first_fault(error: ValidationError) -> str:
    """Where the first fault lies, what it is, and how many there are beside it; never a value."""
    found = error.errors(include_url=False, include_input=False)
    where = ".".join(str(part) for part in found[0]["loc"]) or "the document"
    says = _PLAINLY.get(found[0]["type"]) or found[0]["msg"].removeprefix("Value error, ")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{where}: {says}{more}"
