"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    area, name   where, and what: 'store', 'nade-binary-mnist/1'
    state        'ok'; 'note': works, and could be better; 'wrong': something will not work
    detail       what was found
    mend         what to do about it, where it is not ok
    """

    area: str
    name: str
    state: State
    detail: str
    mend: str = ""


Check = Callable[[], Iterable[Finding]]


def safely(area: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; one that breaks is a finding itself, and not the end of the rest."""
    try:
        yield from check()
    except Exception as error:  # whatever is broken here is what we were asked for
        yield Finding(area, "check", "wrong", f"{type(error).__name__}: {error}")
