from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ancestral.engine.pace import Pace


def settle(pace: Pace, seconds_per_site: float, budget: float, turns: int = 40) -> list[int]:
    chunks = []
    for _ in range(turns):
        chunks.append(pace.sites(budget))
        pace.measured(chunks[-1], chunks[-1] * seconds_per_site)
    return chunks


def test_chunks_double_until_they_fill_the_budget() -> None:
    chunks = settle(Pace(), 0.001, 0.0505)
    assert chunks[:7] == [1, 2, 4, 8, 16, 32, 50]
    assert set(chunks[6:]) == {50}


def test_a_site_that_takes_longer_than_the_budget_is_a_chunk() -> None:
    assert set(settle(Pace(), 3.0, 0.05)) == {1}


def test_a_newcomer_gets_its_first_sites_soon() -> None:
    pace = Pace()
    settle(pace, 0.001, 0.05)
    pace.restart()
    assert settle(pace, 0.001, 0.0505, 5) == [8, 16, 32, 50, 50]
    pace.restart()
    assert pace.sites(0.004) == 4  # never beyond the budget


@given(st.floats(1e-6, 1e-2), st.floats(1e-6, 1e-2))
def test_it_follows_a_change_of_speed(before: float, after: float) -> None:
    pace = Pace()
    settle(pace, before, 0.05)
    last = settle(pace, after, 0.05, 120)[-1]
    assert 0.9 * 0.05 - after <= last * after <= 1.1 * 0.05
