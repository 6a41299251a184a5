"""Workers, API processes and the broker die or hang under load: nothing is lost, nothing wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.fleet import streams
from tests.fleet.conftest import Fleet

pytestmark = pytest.mark.slow

SITES = 50_000  # of one stream: a second, or minutes while it is held
QUEUED = 50  # jobs that wait meanwhile
ANSWER_SECONDS = 10.0  # five times the two within which a server without a broker says so


def body(seed: int) -> dict[str, Any]:
    """A short job."""
    return {"model": "long-wavenet", "seed": seed, "sites": 20, "condition": {"label": 1}}


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def under_way(readers: list[streams.Reader]) -> None:
    """Every stream has begun and none has ended."""
    until(lambda: all(len(reader.values) > 20 for reader in readers))
    assert not any(reader.ended for reader in readers)


def attempts(fleet: Fleet, readers: list[streams.Reader]) -> set[bytes | None]:
    return fleet.attempts(*[reader.job for reader in readers])


@pytest.mark.parametrize("course", ["dies", "hangs", "comes back while others run its jobs"])
def test_a_worker_dies_or_hangs(fleet: Fleet, course: str) -> None:
    server, _ = fleet.api()
    workers = [fleet.worker(), fleet.worker()]
    fleet.wait_until_ready(server, 2)
    with fleet.held():
        readers = streams.start(server, SITES)
        under_way(readers)
        victim = fleet.busiest(workers)
        victim.send_signal(signal.SIGKILL if course == "dies" else signal.SIGSTOP)
        until(lambda: b"2" in attempts(fleet, readers))
        if course.startswith("comes back"):
            assert not any(reader.ended for reader in readers)
            victim.send_signal(signal.SIGCONT)  # its late writes are refused
    streams.join(readers, fleet.model)
    lengths = [fleet.redis.xlen(f"{{job:{reader.job}}}:out") for reader in readers]
    if course != "dies":
        victim.send_signal(signal.SIGCONT)
        fleet.wait_until_ready(server, 2)  # it is back, and was refused what it had still to say
        assert [fleet.redis.xlen(f"{{job:{r.job}}}:out") for r in readers] == lengths
    assert fleet.redis.xlen("dead") == 0
    for priority in (1, 2, 3):
        key = f"q:{{long-wavenet/1}}:sample:p{priority}"
        until(lambda key=key: fleet.redis.xlen(key) == 0)


def test_an_api_process_dies_and_its_clients_resume_on_another(fleet: Fleet) -> None:
    (server, process), (other, _) = fleet.api(), fleet.api()
    fleet.worker()
    fleet.wait_until_ready(server, 1)
    fleet.wait_until_ready(other, 1)
    with fleet.held():
        readers = streams.start(server, SITES, other)
        under_way(readers)
        process.kill()
        until(lambda: all(reader.resumed for reader in readers))
    streams.join(readers, fleet.model)


def test_the_broker_is_restarted_under_load(fleet: Fleet) -> None:
    fleet.settings = {"PACKAGES": "long-wavenet", "SLOTS": str(streams.STREAMS)}
    server, _ = fleet.api()
    fleet.worker()
    fleet.wait_until_ready(server, 1)
    with fleet.held():
        readers = streams.start(server, SITES)
        under_way(readers)
        answers = [
            server.post("/sample", body(seed), prefer="respond-async") for seed in range(QUEUED)
        ]
        assert {answer.status_code for answer in answers} == {202}
        queued = [answer.json()["id"] for answer in answers]
        states = [server.client.get(f"/jobs/{job}").json()["state"] for job in queued]
        assert states.count("queued") > QUEUED // 2
        fleet.broker.stop(signal.SIGKILL)
        time.sleep(1.0)
        fleet.broker.start()
    streams.join(readers, fleet.model)
    assert [reader.resumed for reader in readers] == [0] * len(readers)  # a pause, no error
    for seed, job in enumerate(queued):
        until(lambda job=job: server.client.get(f"/jobs/{job}/result").status_code == 200)
        (item,) = server.client.get(f"/jobs/{job}/result").json()["items"]
        expected = fleet.model.sample(1, seed, {"label": 1}, sites=20).items[0]
        assert item["data"] == expected.tolist()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_broker_is_out_of_reach(fleet: Fleet, how: signal.Signals) -> None:
    server, _ = fleet.api()
    fleet.worker()
    fleet.wait_until_ready(server, 1)
    before = server.post("/sample", body(1))
    assert before.status_code == 200
    fleet.broker.process.send_signal(how)
    time.sleep(0.1)
    started = time.monotonic()
    refused = server.post("/sample", body(1))
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert time.monotonic() - started < ANSWER_SECONDS
    print(f"503 after {time.monotonic() - started:.2f} s")  # noqa: T201
    ready = server.client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["the broker does not answer"]
    assert server.client.get("/health/live").status_code == 200
    if how == signal.SIGSTOP:
        fleet.broker.process.send_signal(signal.SIGCONT)
    else:
        fleet.broker.process.wait()
        fleet.broker.start()
    fleet.wait_until_ready(server, 1)
    after = server.post("/sample", body(1))
    assert after.json()["items"] == before.json()["items"]
