"""Work that one process does for all that share a folder, while the others wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

logger = logging.getLogger("ancestral")
WAIT_SECONDS = 600.0  # longer than anything that is compiled; who holds it by then may hang
AGAIN_SECONDS = 0.1


@contextmanager
def alone(file: Path, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock `file`, which is made where there is none (flock, shared by containers, too).

    Goes on without it after `wait` seconds, and where there are no such locks or nothing can be
    written: what is guarded must be right without, and only be done more often. A lock ends with
    its process.
    """
    with ExitStack() as held:
        with suppress(ImportError, OSError):
            import fcntl

            file.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(file.open("w"))
            end = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        logger.warning("%s is held for long: not waited for", file)
                        break
                time.sleep(AGAIN_SECONDS)
        yield
