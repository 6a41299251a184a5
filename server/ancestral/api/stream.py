"""`WS /stream`: the socket around `ancestral.v1`.

Each job has a task that reads its result stream and sends. Sending waits while the socket's buffer
is above its high water mark (64 KiB, the transport's own), so a slow reader holds up its own socket
only: its entries stay in the broker, bounded by admission, and the worker never waits for it. A
closed socket cancels the jobs that it started; jobs that it had only attached to go on, and so do
all where it is this process that closes it to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ancestral.api.connection import (
    SUBPROTOCOL,
    Cancel,
    Connection,
    Generate,
    Pause,
    Resume,
    Stream,
)
from ancestral.api.following import follow
from ancestral.api.problems import Problem, of_error, respond
from ancestral.api.results import WAV, offered, to_pcm
from ancestral.api.services import Services, services_of
from ancestral.api.visits import current_visit
from ancestral.broker import Job
from ancestral.store import Manifest

router = APIRouter()


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    services = services_of(socket)
    if SUBPROTOCOL not in socket.scope.get("subprotocols", []):
        detail = f"the subprotocol {SUBPROTOCOL} is expected"
        problem = Problem(400, "Bad Request", detail, [("Sec-WebSocket-Protocol", detail)])
        await socket.send_denial_response(respond(problem, socket.url.path))
        return
    try:
        services.require_open()  # a proxy tries the next process then
    except Problem as problem:
        await socket.send_denial_response(respond(problem, socket.url.path))
        return
    await socket.accept(subprotocol=SUBPROTOCOL)
    services.metrics.sockets.inc()
    shell = _Shell(socket, services)
    try:
        await shell.run()
    finally:
        services.metrics.sockets.dec()
        shell.end()


class _Shell:
    """One socket: receives commands, and runs a task for each job that sends."""

    def __init__(self, socket: WebSocket, services: Services) -> None:
        self._socket, self._services = socket, services
        self._connection = Connection()
        self._tasks: set[asyncio.Task[None]] = set()
        self._own: set[str] = set()  # jobs that end with the socket

    async def run(self) -> None:
        """Serve until the client goes."""
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            message: str | bytes = text if text is not None else event.get("bytes") or b""
            try:
                await self._obey(message)
            except WebSocketDisconnect:
                return
            except Exception as error:
                await self._send(self._connection.refuse(of_error(error), message))

    def end(self) -> None:
        """Nobody listens: stop sending, and give the slots back."""
        for task in self._tasks:
            task.cancel()
        for job in self._own:
            self._services.abandoned(job)

    async def _obey(self, message: str | bytes) -> None:
        command = self._connection.receive(message)
        if isinstance(command, Cancel):
            await self._services.job(command.job)
            await self._services.queue.cancel(command.job)
            return
        if isinstance(command, Pause):
            await self._services.pause(command.job, command.type == "pause")
            await self._send(self._connection.paused(command))
            return
        await current_visit.get().spend("requests", 1)
        self._connection.require_room()
        if isinstance(command, Generate):
            await self._generate(command)
        else:
            await self._resume(command)

    async def _generate(self, command: Generate) -> None:
        job, manifest = await self._services.sample_job(command)
        opened = self._open(job, manifest, command, None)
        try:
            await self._services.submit(job)
        except Exception:
            self._connection.close(opened)
            raise
        self._own.add(job.id)
        await self._send(opened.queued())
        self._start(opened)

    async def _resume(self, command: Resume) -> None:
        status = await self._services.job(command.job)
        if status.job.lane != "sample":
            raise Problem.of_field("job", "is no sampling job")
        manifest = self._services.catalogue.manifest(status.job.model)
        self._start(self._open(status.job, manifest, command, command.next))

    def _open(
        self, job: Job, manifest: Manifest, command: Generate | Resume, start: list[int] | None
    ) -> Stream:
        convert = None
        if command.format == "pcm16":
            if WAV not in offered(manifest):
                raise Problem.of_field("format", "pcm16 is for sound")
            convert = functools.partial(_pcm, manifest)
        return self._connection.open(
            job.id, command.ref, command.format, start, convert, command.progress
        )

    def _start(self, opened: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._pump(opened))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self, opened: Stream) -> None:
        """Send a job's stream to its end."""
        self._services.streams += 1
        try:
            async for entry in follow(self._services.queue, opened.job):
                for message in (opened.deliver(entry), opened.progress(entry)):
                    if message is not None:
                        await self._send(message)
                if opened.ended:
                    break
        except WebSocketDisconnect:
            return
        except Exception as error:
            with contextlib.suppress(WebSocketDisconnect):
                await self._send(opened.error(of_error(error)))
        finally:
            self._services.streams -= 1
            self._connection.close(opened)
        self._own.discard(opened.job)

    async def _send(self, message: str | bytes) -> None:
        if self._socket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect
        if isinstance(message, str):
            await self._socket.send_text(message)
        else:
            await self._socket.send_bytes(message)


def _pcm(manifest: Manifest, payload: bytes, dtype: str) -> bytes:
    return to_pcm(payload, manifest, dtype)
