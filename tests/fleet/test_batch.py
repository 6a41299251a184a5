"""A long batch on the command line, killed and run again: no repeats, and flat memory."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from tests.fleet.conftest import COMMAND
from tests.fleet.test_load import MIB, resident

pytestmark = pytest.mark.slow

LINES = 100_000


def written(output: Path) -> int:
    return output.read_bytes().count(b"\n") if output.exists() else 0


@pytest.mark.timeout(3600)
def test_a_batch_of_many_lines(long_store: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    body = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}
    with source.open("w") as file:
        for n in range(LINES):
            line = {"custom_id": f"item-{n}", "url": "/log_prob", "body": body}
            file.write(json.dumps(line) + "\n")
    command = [*COMMAND, "batch", str(source), str(output), "--models", str(long_store), "--json"]

    def after(lines: int, process: subprocess.Popen[bytes]) -> int:
        """Bytes of the process's memory once so many lines are written."""
        while written(output) < lines:
            assert process.poll() is None
            time.sleep(0.5)
        return resident(process.pid)

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    after(LINES // 5, first)
    first.kill()
    first.wait()
    stood = [json.loads(line)["custom_id"] for line in output.read_bytes().splitlines()[:-1]]

    second = subprocess.Popen(command, stdout=subprocess.PIPE)
    early = after(LINES // 2, second)
    late = after(LINES - LINES // 100, second)
    told = json.loads(second.communicate()[0])
    assert second.returncode == 0
    print(f"{LINES // 2} lines grew it by {(late - early) / MIB:.1f} MiB")  # noqa: T201
    assert late - early < 32 * MIB
    assert told["already_answered"] >= len(stood)
    names = [json.loads(line)["custom_id"] for line in output.read_bytes().splitlines()]
    assert names[: len(stood)] == stood  # those were not repeated
    assert len(names) == len({*names}) == LINES
