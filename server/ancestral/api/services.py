"""What the routes share: settings, the queue, the catalogue and the API's own metrics."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.requests import HTTPConnection, Request

from ancestral.api.catalogue import Catalogue, in_service, require_served
from ancestral.api.control import Summons
from ancestral.api.following import cancel, ended_with_client, everything, while_connected
from ancestral.api.inputs import read_conditions
from ancestral.api.problems import Problem, draining, of_full_queue
from ancestral.api.schemas import SampleBody
from ancestral.api.visits import current_visit
from ancestral.broker import Entry, Job, JobUnknown, Queue, QueueFull, Status
from ancestral.engine.request import SampleRequest, checked_sample, sample_bytes
from ancestral.engine.sampling import fresh_seed
from ancestral.logs import current_request
from ancestral.settings import Settings
from ancestral.store import Manifest
from ancestral.tracing import traceparent

logger = logging.getLogger("ancestral.api")


class ApiMetrics:
    """What the API counts; the workers count the rest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rejections = Counter(
            "ancestral_admission_rejections",
            "Requests refused because the queue is full",
            ("model", "reason"),
            registry=registry,
        )
        self.waiting = Gauge(
            "ancestral_requests_waiting",
            "Jobs that no worker has taken",
            ("model",),
            registry=registry,
        )
        self.oldest = Gauge(
            "ancestral_requests_waiting_oldest_seconds",
            "Age of the job that has waited longest for a worker",
            ("model",),
            registry=registry,
        )
        self.sockets = Gauge(
            "ancestral_websockets_open", "Open WebSocket connections", registry=registry
        )


@dataclass(slots=True)
class Services:
    """One process's."""

    settings: Settings
    queue: Queue
    catalogue: Catalogue
    registry: CollectorRegistry
    metrics: ApiMetrics
    wanted: frozenset[str] = frozenset()  # names without which we are not ready
    draining: bool = False
    drain_until: float = math.inf  # by the monotonic clock; what runs then is broken off
    streams: int = 0  # jobs being sent over sockets
    told: set[str] = field(default_factory=set)  # NAME/VERSION whose queues `/metrics` tells of
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _summons: Summons = field(init=False)

    def __post_init__(self) -> None:
        self._summons = Summons(self.queue)

    async def served(self, name: str, version: int | None = None) -> Manifest:
        """The manifest of a model that a worker serves. Raises a problem naming `model`."""
        self.require_open()
        manifest = await self.meant(name, version)
        require_served(await self.queue.workers(), manifest.label, self.wanted)
        return manifest

    async def meant(self, name: str, version: int | None = None) -> Manifest:
        """The manifest that a name stands for now. Raises a problem naming `model`."""
        manifest = self.catalogue.manifest(name, version)
        if version is not None or "/" in name:
            return manifest
        label = in_service(await self.queue.workers(), manifest.label)
        return self.catalogue.manifest(label)

    def require_open(self) -> None:
        """Raise a problem where this process is about to stop."""
        if self.draining:
            raise draining()

    def abandoned(self, job: str) -> None:
        """The client of a stream has gone: its job ends, unless it was us who broke off.

        Then the job goes on, and the client finds it at another process.
        """
        if time.monotonic() < self.drain_until:
            self.cancel_soon(job)

    async def submit(self, job: Job) -> bool:
        """Queue a job; False where it was there before.

        A full queue is a problem, and counted; so is an allowance of sites that is spent.
        """
        visit = current_visit.get()
        await visit.spend("sites", job.sites)
        job = replace(
            job,
            owner=visit.owner,
            request_id=current_request.get(),
            traceparent=traceparent(),
        )
        try:
            new = await self.queue.submit(job)
        except QueueFull as error:
            self.metrics.rejections.labels(job.model, error.reason).inc()
            raise of_full_queue(error, self.settings.queue_full_status) from error
        extra = {"job": job.id, "model": job.model}
        await self._summons.ask(job.model)  # afterwards: see `engine.residents`
        logger.info("job %s: %s of %s", job.id, job.lane, job.model, extra=extra)
        return new

    async def outcome(self, request: Request, job: Job, *, keep: bool = False) -> list[Entry]:
        """All that a submitted job gives; unless `keep`, a client that hangs up ends it.

        Raises a problem where the job fails, and ClientGone.
        """
        with ended_with_client(self.cancel_soon, job.id, keep=keep):
            return await while_connected(request, everything(self.queue, job.id))

    async def close(self) -> None:
        """Give up what is waited for here, and the connection to the queue."""
        await self._summons.close()
        await self.queue.close()

    async def job(self, identity: str) -> Status:
        """How a job of this visitor stands. Raises JobUnknown, also for a job of another's key."""
        status, visit = await self.queue.status(identity), current_visit.get()
        if not visit.admin and status.job.owner != visit.owner:
            raise JobUnknown(identity)
        return status

    async def pause(self, identity: str, on: bool) -> None:
        """Pause a sampling job of this visitor, or let it go on; nothing where it has ended."""
        status = await self.job(identity)
        if status.job.lane != "sample":
            raise Problem.of_field("job", "is no sampling job")
        await self.queue.pause(identity, on)

    def cancel_soon(self, job: str) -> None:
        """Cancel a job whose client has gone, from a task that is being cancelled itself."""
        task = asyncio.get_running_loop().create_task(cancel(self.queue, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def sample_job(
        self, body: SampleBody, identity: str | None = None, digest: str = ""
    ) -> tuple[Job, Manifest]:
        """A checked sampling job, ready to be submitted."""
        manifest = await self.served(body.model)
        if body.count > self.settings.max_items:
            raise Problem.of_field("count", f"{self.settings.max_items} items at most")
        if body.first_item + body.count > 2**32:
            raise Problem.of_field("first_item", "first_item + count must not exceed 2^32")
        condition, steps = await asyncio.to_thread(
            read_conditions,
            manifest,
            body.condition,
            body.count,
            fit=body.fit,
            most=self.settings.max_item_sites,
        )
        request: SampleRequest = checked_sample(
            manifest,
            count=body.count,
            seed=fresh_seed() if body.seed is None else body.seed,
            sites=body.sites,
            seconds=body.seconds,
            first_item=body.first_item,
            condition=condition,
            temperature=body.temperature,
            top_k=body.top_k,
            top_p=body.top_p,
            prefix=body.prefix,
            known=body.known,
            order=body.order,
        )
        taken = dict.fromkeys(step for own in steps for step in own)
        request = replace(request, notes=(*request.notes, *taken))
        size = sample_bytes(manifest, request)
        if size > self.settings.max_output_bytes:
            detail = f"{size} bytes of values; {self.settings.max_output_bytes} are given at most"
            raise Problem.of_field("count", detail, 413)
        job = Job(
            id=identity or new_id(),
            model=manifest.label,
            lane="sample",
            request=request.to_json(),
            items=body.count,
            priority=body.priority,
            timeout=body.timeout_seconds,
            output_bytes=size,
            digest=digest,
            sites=body.count * request.sites,
        )
        return job, manifest


def new_id() -> str:
    return uuid.uuid4().hex


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app that serves this connection."""
    found: Services = connection.app.state.services
    return found
