"""Long batches: on the command line, killed and run again, and over HTTP; memory stays flat."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from tests.fleet.conftest import CLI, Fleet
from tests.fleet.test_load import MIB, resident

pytestmark = pytest.mark.slow

LINES = 40_000
POSTED = 10_000  # of them over HTTP


def write_lines(path: Path, count: int = LINES) -> None:
    body = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}
    with path.open("w") as file:
        for n in range(count):
            line = {"custom_id": f"item-{n}", "url": "/log_prob", "body": body}
            file.write(json.dumps(line) + "\n")


def written(output: Path) -> int:
    return output.read_bytes().count(b"\n") if output.exists() else 0


@pytest.mark.timeout(3600)
def test_a_batch_of_many_lines(long_store: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_lines(source)
    command = [*CLI, "batch", str(source), str(output), "--models", str(long_store), "--json"]

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


@pytest.mark.timeout(3600)
def test_a_batch_of_many_lines_over_http(fleet: Fleet, tmp_path: Path) -> None:
    # Results are gone soon after they are read: what grows is what the batch itself holds
    fleet.settings = {"PACKAGES": "tiny-made", "JOB_TTL_SECONDS": "15"}
    server, api = fleet.api()
    fleet.worker()
    fleet.wait_until_ready(server, 1)
    source = tmp_path / "in.jsonl"
    write_lines(source, POSTED)
    grown: list[int] = []
    names: set[str] = set()
    started = time.monotonic()
    before = resident(api.pid)
    content = source.read_bytes()
    with server.client.stream("POST", "/batches", content=content, timeout=600) as answer:
        for text in answer.iter_lines():
            line = json.loads(text)
            assert line["response"]["status_code"] == 200
            names.add(line["custom_id"])
            if len(names) % 1000 == 0:
                grown.append(resident(api.pid) - before)
    rate = POSTED / (time.monotonic() - started)
    assert len(names) == POSTED
    early, late = grown[len(grown) // 4], max(grown)
    print(f"{POSTED} lines, {len(content) / MIB:.1f} MiB, at {rate:.0f}/s: the API grew by "  # noqa: T201
          f"{early / MIB:.1f} MiB in the first quarter, {late / MIB:.1f} MiB in all")  # fmt: skip
    assert late - early < 32 * MIB
