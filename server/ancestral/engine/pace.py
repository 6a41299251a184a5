"""How many sites a chunk has: it follows the clock, not the model."""

from __future__ import annotations

FIRST_SECONDS = 0.008  # of the chunk after somebody has joined
SLICE_SECONDS = (0.002, 0.008)  # the shortest and the longest slice
SLICES = 20  # of the shortest item
SMOOTHING = 0.3  # weight of the latest chunk in the running mean


class Pace:
    """Sites that fit into a span of time; starts at one, so that the first frame comes at once.

    Where jobs come all the time, every chunk follows a join. So it starts at some milliseconds'
    worth once a site's time is known: else turns would cost more than steps. A chunk grows at most
    twofold, because the first steps of a batch say little of the later ones.
    """

    def __init__(self) -> None:
        self._seconds_per_site: float | None = None
        self._last = 0  # sites of the largest chunk since somebody joined

    def sites(self, budget: float) -> int:
        """Sites to step in `budget` seconds; one where a site takes longer."""
        if self._seconds_per_site is None:
            return 1
        fitting = int(budget / max(self._seconds_per_site, 1e-9))
        most = 2 * self._last or int(FIRST_SECONDS / max(self._seconds_per_site, 1e-9))
        return max(1, min(fitting, most))

    def slice(self, budget: float, sites: int) -> float:
        """Seconds between two looks for newcomers, where the shortest item has so many sites.

        A look costs a tenth of a millisecond or two, and who comes waits for half of it.
        """
        shortest, longest = SLICE_SECONDS
        each = self._seconds_per_site or 0.0
        return min(budget, max(shortest, min(longest, each * sites / SLICES)))

    def measured(self, sites: int, seconds: float) -> None:
        """A chunk of `sites` took that long; where somebody joined, joining included."""
        each = seconds / sites
        known = self._seconds_per_site
        if known is None:
            self._seconds_per_site = each
        elif self._last or each < known:
            self._seconds_per_site = known + SMOOTHING * (each - known)
        self._last = max(self._last, sites)

    def restart(self) -> None:
        """A sequence joins whose first frame should come soon: the next chunk is short."""
        self._last = 0  # sites of the largest chunk since somebody joined
