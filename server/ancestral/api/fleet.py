"""API, workers and a Redis-compatible server as processes of one machine."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ancestral.broker.embedded import EmbeddedServer
from ancestral.settings import Settings

logger = logging.getLogger("ancestral.api")
RESTART_SECONDS = 1.0  # a worker that ended is started again after that
STOP_SECONDS = 40.0  # for a worker to finish or hand over what it runs


@contextmanager
def fleet(settings: Settings, workers: int) -> Iterator[Settings]:
    """Start the broker and so many workers; gives the settings with the broker's address.

    A worker that ends is started again. All end with the block, the broker last.
    """
    with tempfile.TemporaryDirectory(prefix="ancestral-") as folder:
        broker = EmbeddedServer(Path(folder))
        try:
            found = replace(settings, broker=broker.url)
            with contextlib.ExitStack() as stack:
                started = [_Supervised(found) for _ in range(workers)]
                for one in started:
                    stack.callback(one.join)
                for one in started:
                    stack.callback(one.terminate)  # all of them before one is waited for
                yield found
        finally:
            broker.stop()


class _Supervised:
    """A worker process, and the thread that starts it again."""

    def __init__(self, settings: Settings) -> None:
        self._env = os.environ | settings.to_env()
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def terminate(self) -> None:
        self._stopping.set()
        self._process.terminate()

    def join(self) -> None:
        self._thread.join(STOP_SECONDS)
        if self._process.poll() is None:
            self._process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ancestral.cli.main", "worker"]
        # of its own session: an interrupt of the terminal is passed on by us, once
        return subprocess.Popen(command, env=self._env, start_new_session=True)

    def _watch(self) -> None:
        while True:
            code = self._process.wait()
            if self._stopping.wait(RESTART_SECONDS):
                return
            logger.error("a worker ended with status %d; it is started again", code)
            self._process = self._start()
