"""Have workers load and unload models: on request, and for jobs that wait for a model."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Literal

from ancestral.api.catalogue import report_of
from ancestral.api.following import everything
from ancestral.api.problems import Problem, of_full_queue
from ancestral.broker import BrokerUnavailable, Job, Queue, QueueFull
from ancestral.broker.queue import control_queue
from ancestral.logs import current_request
from ancestral.tracing import traceparent

logger = logging.getLogger("ancestral.api")
LOOK_SECONDS = 2.0  # between looks whether a worker that is to load or unload still lives


async def obeyed(queue: Queue, worker: str, action: Literal["load", "unload"], label: str) -> None:
    """Have one worker load or unload a model. Raises a problem where it fails; it may die."""
    job = Job(
        id=uuid.uuid4().hex,
        model=control_queue(worker),
        lane="control",
        request={"action": action, "model": label},
        priority=1,
        request_id=current_request.get(),
        traceparent=traceparent(),
    )
    try:
        await queue.submit(job)
    except QueueFull as error:
        raise of_full_queue(error, 503) from error
    logger.info("job %s: %s %s", job.id, action, label, extra={"job": job.id, "model": label})
    task = asyncio.ensure_future(everything(queue, job.id))
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            if worker not in [found.worker for found in await queue.workers()]:
                await queue.cancel(job.id)
                return
        task.result()
    finally:
        task.cancel()


class Summons:
    """Loads of models that jobs wait for, one at a time for each model."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, label: str) -> None:
        """See to it that some worker loads the model, if none has."""
        if label in self._tasks:
            return
        report = report_of(await self._queue.workers(), label)
        if report is None or report.state not in ("on_demand", "loading"):
            return
        task = asyncio.get_running_loop().create_task(self._see_to(label))
        self._tasks[label] = task
        task.add_done_callback(lambda _: self._tasks.pop(label, None))

    async def close(self) -> None:
        """Give up what is being waited for; workers go on loading."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, label: str) -> None:
        try:
            while await self._once(label):
                pass  # the worker died; another is asked
        except Problem as problem:
            why = {"status": 503, "title": problem.title, "detail": problem.detail}
            await self._queue.refuse(label, why)
        except BrokerUnavailable as error:
            logger.warning("%s waits to be loaded: %s", label, error)

    async def _once(self, label: str) -> bool:
        """Ask the worker with the fewest models; whether there was one to ask."""
        workers = await self._queue.workers()
        report = report_of(workers, label)
        if report is None or report.state not in ("on_demand", "loading"):
            return False
        able = [w for w in workers if label in w.models and w.models[label].state == report.state]
        held = [sum(model.state == "ready" for model in w.models.values()) for w in able]
        worker = able[held.index(min(held))].worker
        await obeyed(self._queue, worker, "load", label)
        return True
