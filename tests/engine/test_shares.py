from __future__ import annotations

from ancestral.engine.shares import Shares


def test_equal_time_whatever_a_turn_costs() -> None:
    shares: Shares[str] = Shares()
    costs = {"sample": 0.05, "score": 1.0}
    used = dict.fromkeys(costs, 0.0)
    longest_gap, gap = 0.0, 0.0
    for _ in range(2000):
        chosen = shares.pick(list(costs))
        shares.charge(chosen, costs[chosen])
        used[chosen] += costs[chosen]
        gap = 0.0 if chosen == "sample" else gap + costs[chosen]
        longest_gap = max(longest_gap, gap)
    assert abs(used["sample"] - used["score"]) <= 1.0
    assert longest_gap == 1.0  # never two passes in a row


def test_idling_earns_no_credit() -> None:
    shares: Shares[str] = Shares()
    for _ in range(100):
        shares.charge(shares.pick(["busy"]), 1.0)
    turns = []
    for _ in range(10):
        turns.append(shares.pick(["busy", "late"]))
        shares.charge(turns[-1], 1.0)
    assert turns.count("late") == 5


def test_leaving_with_debt_and_coming_back_soon_does_not_clear_it() -> None:
    shares: Shares[str] = Shares()
    shares.pick(["a", "b"])
    shares.charge("a", 10.0)
    assert shares.pick(["b"]) == "b"
    shares.charge("b", 1.0)
    assert shares.pick(["a", "b"]) == "b"
