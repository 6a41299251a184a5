"""More work than there is room for, and a day's worth of jobs in miniature."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.fleet.conftest import Fleet
from tests.fleet.test_faults import until

pytestmark = pytest.mark.slow

JOBS = 50_000
BATCH = 5_000  # lines of one POST /batches
MIB = 2**20


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def held(pid: int) -> tuple[int, int]:
    """File descriptors and threads of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(
        list(Path(f"/proc/{pid}/task").iterdir())
    )


def jobs(fleet: Fleet) -> set[bytes]:
    """What the broker keeps of jobs."""
    return set(fleet.redis.scan_iter("{job:*", count=1000))


def slots_in_use(fleet: Fleet) -> int:
    """Of all workers that live, of which there must be some."""
    reports = [json.loads(report) for report in fleet.redis.hvals("{workers}:reports")]
    assert reports
    return sum(model["slots_in_use"] for report in reports for model in report["models"].values())


def test_more_jobs_than_may_wait_are_refused(fleet: Fleet) -> None:
    fleet.settings = {"QUEUE_DEPTH": "500", "SLOTS": "1", "PACKAGES": "long-wavenet"}
    server, process = fleet.api()
    fleet.worker()
    fleet.wait_until_ready(server, 1)
    body = {"model": "long-wavenet", "sites": 200_000, "condition": {"label": 1}}
    before = resident(process.pid)
    with fleet.held():
        answers = [server.post("/sample", body, prefer="respond-async") for _ in range(2000)]
        waiting = [a.json()["id"] for a in answers if a.status_code == 202]
        assert server.client.get(f"/jobs/{waiting[-1]}").json()["ahead"] >= 498
    statuses = [answer.status_code for answer in answers]
    others = [a.text for a in answers if a.status_code not in (202, 429)]
    assert others == []
    assert 500 <= statuses.count(202) <= 502  # one runs, and perhaps one is on its way
    assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status_code == 429)
    grown = resident(process.pid) - before
    print(f"2,000 requests against 500 places: the API grew by {grown / MIB:.1f} MiB")  # noqa: T201
    assert grown < 64 * MIB


@pytest.mark.timeout(3600)
def test_many_short_jobs_leave_nothing_behind(fleet: Fleet) -> None:
    fleet.settings = {"JOB_TTL_SECONDS": "10", "PACKAGES": "tiny-made"}
    server, api = fleet.api()
    worker = fleet.worker()
    fleet.wait_until_ready(server, 1)
    score = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}
    draw = {"model": "tiny-made", "count": 2}

    def run(count: int) -> None:
        asked = [("/log_prob", score) if n % 4 else ("/sample", draw) for n in range(count)]
        lines = [json.dumps({"url": url, "body": body}) for url, body in asked]
        answer = server.client.post("/batches", content="\n".join(lines), timeout=600)
        codes = [json.loads(line)["response"]["status_code"] for line in answer.text.splitlines()]
        assert codes == [200] * count

    run(1000)  # warm
    before = [(resident(p.pid), held(p.pid)) for p in (api, worker)]
    started = time.monotonic()
    for _ in range(JOBS // BATCH):
        run(BATCH)
    rate = JOBS / (time.monotonic() - started)
    until(lambda: not jobs(fleet))  # the last of them expire
    run(20)  # what has expired is taken off the books when somebody asks for room
    until(lambda: not jobs(fleet))
    after = [(resident(p.pid), held(p.pid)) for p in (api, worker)]
    grown = [(now[0] - then[0]) / MIB for then, now in zip(before, after, strict=True)]
    print(f"{JOBS} jobs at {rate:.0f}/s; the API grew by {grown[0]:.1f} MiB, "  # noqa: T201
          f"the worker by {grown[1]:.1f} MiB")  # fmt: skip
    assert max(grown) < 64
    for process, (_, (files, threads)) in zip((api, worker), before, strict=True):
        until(lambda pid=process.pid, most=files + 2: held(pid)[0] <= most)
        until(lambda pid=process.pid, most=threads + 2: held(pid)[1] <= most)
    for key in {key.decode() for key in fleet.redis.scan_iter("q:*", count=1000)}:
        if not key.endswith(":ends"):
            assert fleet.redis.xlen(key) == 0
            assert [g["pending"] for g in fleet.redis.xinfo_groups(key)] == [0]
    assert fleet.redis.hlen("{held}:bytes") <= 20  # of the last jobs
    until(lambda: slots_in_use(fleet) == 0)
