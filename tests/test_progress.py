from __future__ import annotations

import pytest

from ancestral.progress import bar, rate


@pytest.mark.parametrize(
    ("speed", "text"),
    [(12345.6, "12,346 sites/s"), (3.21, "3.21 sites/s"), (0.05, "3 sites/min")],
)
def test_rates(speed: float, text: str) -> None:
    assert rate(speed, "sites") == text


def test_a_bar_says_how_much_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    now = [0.0]
    display = bar("files")
    display.get_time = lambda: now[0]
    task = display.add_task("scoring", total=100)
    for _ in range(5):
        now[0] += 10
        display.advance(task, 5)
    with display.console.capture() as captured:
        display.console.print(display)
    text = captured.get()
    for part in ("scoring", "25/100", "0.5 files/s", "0:00:50", "0:02:30"):
        assert part in text
