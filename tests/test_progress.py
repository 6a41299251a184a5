from __future__ import annotations

import pytest

from ancestral.progress import bar, rate, staged
from ancestral.stages import each


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


def test_stages_have_a_bar_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("COLUMNS", "120"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    with staged("importing mine.pt2") as display:
        assert list(each("deriving", "operators", "abcd")) == list("abcd")
        display.refresh()
        assert sum(each("checking", "sites", range(48))) == 1128
        display.refresh()
    shown = capsys.readouterr().err
    for part in ("mine.pt2: deriving", "4/4", "mine.pt2: checking", "48/48"):
        assert part in shown
    with staged("importing", quiet=True):
        assert list(each("deriving", "operators", "ab")) == ["a", "b"]
    assert capsys.readouterr().err == ""
