"""A progress bar (tqdm's), or whatever the caller does with the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = bool | Callable[[int, int | None], object]


@contextmanager
def reporting(progress: Progress, total: int | None) -> Iterator[Callable[[], object]]:
    """A function to be called for every item done. Raises ImportError where tqdm is missing."""
    if progress is False:
        yield lambda: None
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            message = "progress=True needs tqdm: pip install ancestral-client[progress]"
            raise ImportError(message) from error
        with tqdm(total=total, unit="item") as bar:
            yield bar.update
    else:
        done = 0
        call = progress

        def report() -> None:
            nonlocal done
            done += 1
            call(done, total)

        yield report
