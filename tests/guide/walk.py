"""Carries out a page of the guide: its blocks in order, servers beside them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
SERVERS = ("ancestral serve", "python -m http.server")
READY_SECONDS = 300
PORTS = (8000, 9000)  # as the pages have them; here they are free ones


class Walk:
    """A page in a folder of its own that looks like a clone; `run` returns what was printed."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        self.folder = folder
        self.ports = {port: free_port() for port in PORTS}
        self._servers: list[subprocess.Popen[bytes]] = []
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        python = [str(ROOT / "server"), str(ROOT / "clients/python"), str(folder)]
        self._env = os.environ | {
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": os.pathsep.join(python),
            "ANCESTRAL_PORT": str(self.ports[8000]),
        }
        for name in ("docs", "models_store"):
            (folder / name).symlink_to(ROOT / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def run(self) -> str:
        """Every block of the page. A command that fails raises AssertionError with its output."""
        return "".join(self._block(*block) for block in self.blocks)

    def _block(self, language: str, title: str, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(f":{port}", f":{free}").replace(f"server {port}", f"server {free}")
        if title:
            (self.folder / title).write_text(text, encoding="utf-8")
            return ""
        if language == "sh" and text.startswith(SERVERS):
            return self._serve(text)
        script = self.folder / "block"
        script.write_text(text, encoding="utf-8")
        command = [sys.executable] if language == "python" else ["bash", "-e"]
        done = subprocess.run(
            [*command, script.name],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, text: str) -> str:
        ours = text.startswith("ancestral")
        if ours:
            self.stop()  # as the pages say: one server at a time
        log = (self.folder / f"server-{len(self._servers)}.log").open("wb")
        started = subprocess.Popen(
            ["bash", "-ec", f"exec {text}"],
            cwd=self.folder,
            env=self._env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self._servers.append(started)
        port = self.ports[8000 if ours else 9000]
        url = f"http://127.0.0.1:{port}/" + ("health/ready" if ours else "")
        end = time.monotonic() + READY_SECONDS
        while subprocess.run(["curl", "-sf", "-o", os.devnull, url]).returncode:
            alive = started.poll() is None and time.monotonic() < end
            assert alive, Path(log.name).read_text(encoding="utf-8")
            time.sleep(0.2)
        return ""

    def stop(self) -> None:
        """End every server that the page started, with its workers."""
        for server in self._servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(10)
        self._servers.clear()
