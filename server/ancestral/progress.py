"""Progress of what takes long, for people: done of all, rate, time passed and time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ancestral.stages import watched


class Rate(ProgressColumn):
    """What is done in a second, in `unit`s; what is rarer, in a minute."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", self._unit)
        return Text("" if not speed else rate(speed, unit), style="progress.data.speed")


def rate(speed: float, unit: str) -> str:
    """`speed`, a second, in three figures: '1,234 sites/s', '3.21 sites/s', '4.5 sites/min'."""
    if speed < 0.5:
        return f"{60 * speed:.3g} {unit}/min"
    return f"{speed:,.0f} {unit}/s" if speed >= 100 else f"{speed:.3g} {unit}/s"


def bar(unit: str | None, *, quiet: bool = False) -> Progress:
    """A progress display on standard error, gone when it is left; `quiet`: none at all.

    So it is where standard error is no terminal. Without a unit it counts seconds, which have no
    rate.
    """
    console = Console(stderr=True)
    counts = () if unit is None else (MofNCompleteColumn(), Rate(unit))
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


@contextmanager
def staged(title: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A display of the stages of what is done in the block, each with a bar of its own length."""
    with bar("", quiet=quiet) as display:
        task = display.add_task(title, total=None)
        at = ""

        def listen(stage: str, unit: str, done: int, total: int) -> None:
            nonlocal at
            if stage != at or done == 0:
                at = stage
                display.reset(task, total=total or None, description=f"{title}: {stage}", unit=unit)
            display.update(task, completed=done)

        with watched(listen):
            yield display
