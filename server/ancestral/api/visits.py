"""A visit: whose request this is, what it may do, and what is left of its allowance.

The guard makes one for each request or socket; whatever runs on its behalf finds it in
`current_visit`.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from ancestral.access import Key, Ledger, Level, Rate
from ancestral.api.problems import Problem


@dataclass(slots=True)
class Visit:
    """What one client is doing. `key` is None where nobody is asked for one."""

    admin: bool = False
    key: Key | None = None
    ledger: Ledger | None = None
    rates: dict[str, Rate] = field(default_factory=dict)  # by what is counted
    levels: dict[str, Level] = field(default_factory=dict)  # as they were last seen

    @property
    def owner(self) -> str:
        """To whom its jobs belong."""
        return "" if self.key is None else self.key.id

    async def spend(self, what: str, cost: float) -> None:
        """Take from the allowance of `requests` or `sites`. Raises a 429 problem."""
        rate = self.rates.get(what)
        if rate is None or self.ledger is None or cost <= 0:
            return
        level = await self.ledger.spend(f"{self.owner}:{what}", rate, cost)
        self.levels[what] = level
        if not level.granted:
            seconds = str(level.retry_after(cost))
            detail = f"{rate.per_minute} {what} a minute are allowed; try again in {seconds} s"
            headers = {"Retry-After": seconds, **self.headers()}
            raise Problem(429, "Too Many Requests", detail, headers=headers)

    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        if not self.rates:
            return {}
        policies = [f'"{what}";q={rate.per_minute};w=60' for what, rate in self.rates.items()]
        levels = [
            f'"{what}";r={level.remaining};t={level.reset_seconds}'
            for what, level in self.levels.items()
        ]
        found = {"RateLimit-Policy": ", ".join(policies)}
        return found | ({"RateLimit": ", ".join(levels)} if levels else {})


ANYBODY = Visit(admin=True)  # this process's own commands
current_visit: ContextVar[Visit] = ContextVar("current_visit", default=ANYBODY)


def require_admin() -> None:
    """Raise a 403 problem where the visitor may not change what is loaded."""
    if not current_visit.get().admin:
        raise Problem(
            403,
            "Forbidden",
            "this needs an admin key",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )
