"""A slow reader slows its own stream only: sockets held shut by the test, a worker by hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.websockets import WebSocketState
from tests.packages import publish

from ancestral.api.catalogue import Catalogue
from ancestral.api.services import ApiMetrics, Services
from ancestral.api.stream import _Shell
from ancestral.api.wire import Frame
from ancestral.broker import MemoryQueue, ModelReport, Publication, WorkerReport
from ancestral.settings import Settings

CHUNKS = 200


class Socket:
    """Takes messages while `gate` is open."""

    application_state = WebSocketState.CONNECTED

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.sent: list[str | bytes] = []

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send_text(self, text: str) -> None:
        await self.gate.wait()
        self.sent.append(text)

    async def send_bytes(self, data: bytes) -> None:
        await self.gate.wait()
        self.sent.append(data)

    def ask(self, **message: Any) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect"})

    def ended(self) -> bool:
        last = self.sent[-1] if self.sent else b""
        return isinstance(last, str) and json.loads(last)["type"] == "done"


def work(queue: MemoryQueue) -> None:
    """What a worker would do with everything that waits."""
    for delivery in queue.pull("w", {("tiny-gpt/1", "sample"): 9}):
        job = delivery.job.id

        def say(event: str, data: dict[str, Any], payload: bytes = b"", job: str = job) -> None:
            assert queue.publish([Publication(job, 1, event, data, payload)]) == set()

        say("started", {"dtype": "uint8", "count": 1, "dims_per_site": 1})
        for first in range(CHUNKS):
            last = first == CHUNKS - 1
            say(
                "output", {"item": 0, "first_site": first, "count": 1, "last": last}, bytes([first])
            )
        say("done", {"items": []})


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_socket_that_does_not_take_holds_up_itself_alone(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-gpt")

    async def scene() -> None:
        queue = MemoryQueue()
        queue.renew(WorkerReport("w", 1, {"tiny-gpt/1": ModelReport("ready")}))
        registry = CollectorRegistry()
        services = Services(
            Settings(models=tmp_path), queue, Catalogue(tmp_path), registry, ApiMetrics(registry)
        )
        slow, quick = Socket(), Socket()
        quick.gate.set()
        shells = [_Shell(socket, services) for socket in (slow, quick)]  # type: ignore[arg-type]
        runs = [asyncio.create_task(shell.run()) for shell in shells]
        for socket in (slow, quick):
            socket.ask(type="generate", model="tiny-gpt")
        while await queue.waiting("tiny-gpt/1") < 2:
            await asyncio.sleep(0.005)
        work(queue)  # ends at once: nobody's reading is waited for
        await until(quick.ended)
        assert slow.sent == []
        slow.gate.set()
        await until(slow.ended)
        frames = [Frame.decode(data) for data in slow.sent if isinstance(data, bytes)]
        assert [frame.first_site for frame in frames] == list(range(CHUNKS))
        for socket in (slow, quick):
            socket.hang_up()
        await asyncio.gather(*runs)

    asyncio.run(scene())
