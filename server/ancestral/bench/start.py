"""`ancestral bench start`: how long a server takes to come up, and until it serves."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ancestral.api.connection import SUBPROTOCOL
from ancestral.bench.load import condition_of, get

PATIENCE = 1800.0  # seconds; a cold start on a busy machine compiles for minutes
_LOOK = 0.02  # seconds between looks


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started; `processor` seconds of its own meanwhile, by each.

    up      it answers
    first   the first frame of a stream that was asked for as soon as it was up
    ready   every package is loaded
    """

    model: str
    packages: int
    up: float
    first: float
    ready: float
    processor_up: float
    processor_first: float
    processor_ready: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def start(
    models: Path, model: str, runtime: str | None = None, tell: Callable[[str], None] = print
) -> Start:
    """Start a server on a folder of packages, and stop it again.

    Raises ValueError where it ends by itself, does not load a package, or cannot stream the model.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, began = f"http://127.0.0.1:{port}", time.monotonic()
    with _server(models, port, runtime) as process:

        def passed() -> tuple[float, float]:
            return time.monotonic() - began, _processor(process.pid)

        tell("starting")
        _until(process, lambda: _answers(url))
        up = passed()
        tell(f"up after {up[0]:.1f} s; a stream of {model}")
        _first_frame(url, get(f"{url}/models/{model}", None))
        first = passed()
        while (left := _loading(url))[0]:
            tell(f"{left[1] - left[0]} of {left[1]} packages are loaded")
            _require_running(process)
            time.sleep(_LOOK * 5)
        ready = passed()
    return Start(model, left[1], up[0], first[0], ready[0], up[1], first[1], ready[1])


@contextlib.contextmanager
def _server(models: Path, port: int, runtime: str | None) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "from ancestral.cli.main import main; main()", "serve"]
    command += ["--models", str(models), "--port", str(port)]
    command += [] if runtime is None else ["--runtime", runtime]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(process: subprocess.Popen[bytes], so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not so():
        _require_running(process)
        if time.monotonic() > end:
            raise ValueError(f"the server did not answer within {PATIENCE:.0f} s")
        time.sleep(_LOOK)


def _require_running(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise ValueError(f"the server ended with status {process.returncode}")


def _answers(url: str) -> bool:
    try:
        return bool(get(f"{url}/health/live", None))
    except ValueError:
        return False


def _loading(url: str) -> tuple[int, int]:
    """How many packages are yet to be loaded, and how many there are."""
    states = {entry["name"]: entry["state"] for entry in get(f"{url}/models", None)["models"]}
    failed = [name for name, state in states.items() if state == "failed"]
    if failed:
        raise ValueError(f"not loaded: {', '.join(failed)}")
    return sum(state == "loading" for state in states.values()), len(states)


def _first_frame(url: str, known: Any) -> None:
    address = url.replace("http", "ws", 1) + "/stream"
    with connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None) as stream:
        wanted = {"type": "generate", "model": known["name"], **condition_of(known, 0)}
        stream.send(json.dumps({**wanted, "seed": 0}))
        while not isinstance(message := stream.recv(PATIENCE), bytes):
            if (event := json.loads(message))["type"] == "error":
                raise ValueError(event["error"]["detail"])


def _processor(pid: int) -> float:
    """Seconds that a process has computed (Linux's proc); NaN elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_table(found: Start) -> Table:
    """What was seen, for a terminal."""
    table = Table(title=f"a server of {found.packages} packages", caption="since its start")
    for name in ("", "s", "processor s"):
        table.add_column(name, justify="right" if name else "left")
    rows = (
        ("up", found.up, found.processor_up),
        (f"first frame of {found.model}", found.first, found.processor_first),
        ("every package loaded", found.ready, found.processor_ready),
    )
    for name, seconds, processor in rows:
        table.add_row(name, f"{seconds:.1f}", f"{processor:.1f}")
    return table
