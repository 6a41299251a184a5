"""Processes whose streams are drawn only as fast as a test lets them.

The native runtime draws a tiny model's 200,000 sites in less than a second: a test of what happens
while a stream goes on would depend on which is faster. So it holds the model meanwhile: as long as
the folder TEST_HOLD has a file of its name, a step draws one site of each item and lasts ten
milliseconds at least.

`python tests/pace.py WORDS…` is `ancestral WORDS…` with that; `serve-api` is a server alone, and
`serve-fleet` one with a worker process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HOLD = "TEST_HOLD"
STEP_SECONDS = 0.01
COMMAND = [sys.executable, str(Path(__file__).resolve())]


@contextmanager
def held(folder: Path, model: str) -> Iterator[Callable[[], None]]:
    """Draw a model's sites one by one until the end of the block, or a call of what it gives."""
    file = folder / model
    file.touch()
    try:
        yield lambda: file.unlink(missing_ok=True)
    finally:
        file.unlink(missing_ok=True)


def slow_down(folder: Path) -> None:
    """Let this process, if it is a worker, look for what is held in the folder."""
    from ancestral.engine.batch import RunningBatch

    length, advance = RunningBatch._slice, RunningBatch.advance

    def is_held(batch: RunningBatch) -> bool:
        return (folder / batch._label.partition("/")[0]).exists()

    def one(batch: RunningBatch, budget: float) -> int:
        return 1 if is_held(batch) else length(batch, budget)

    def slowly(batch: RunningBatch, sites: int) -> Any:
        if is_held(batch):
            time.sleep(STEP_SECONDS)
        return advance(batch, sites)

    RunningBatch._slice, RunningBatch.advance = one, slowly  # type: ignore[method-assign]


def _serve_fleet() -> None:
    from ancestral.api import fleet
    from ancestral.api.server import serve
    from ancestral.settings import Settings

    start = fleet.subprocess.Popen

    def own(command: Sequence[str], **options: Any) -> Any:
        return start([*COMMAND, *command[3:]], **options)  # in place of `python -m MODULE`

    fleet.subprocess = SimpleNamespace(Popen=own)  # type: ignore[assignment]
    with fleet.fleet(Settings.from_env(), 1) as shared:
        serve(shared)


def main() -> None:
    del sys.path[0]  # this folder, whose names are not modules of their own
    words = sys.argv[1:]
    if words == ["serve-fleet"]:
        _serve_fleet()
        return
    slow_down(Path(os.environ[HOLD]))
    if words == ["serve-api"]:
        from ancestral.api.server import serve
        from ancestral.settings import Settings

        serve(Settings.from_env())
        return
    from ancestral.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
